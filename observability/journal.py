"""The journal of one process: events in, chained lines in a trace file out.

It holds what outlives a writer: the lock, the policy for failures, when to sync, forks, and
emissions that interrupt others.  Rules: docs/trace-format.md, "Writing".
"""

import contextlib
import operator
import os
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from observability.forks import OPEN, close_with_multiprocessing
from observability.origin import Clock, OnLine, Origin
from observability.redaction.redact import Redact, Redactor
from observability.signing.keys import VARIABLE, load_credential
from observability.trace_file import JournalError, is_foreign
from observability.values import MAX_PAYLOAD, EventTooLongError, Gate, encode
from observability.writer import Writer
from replay.trace.events import ENVELOPE, Extent, Parent, RegistryEnd
from replay.trace.folder import check_workflow_id, step_number
from replay.trace.line import MAX_INT, check_event_type

__all__ = ["Clock", "Durability", "Journal", "JournalError", "OnError"]

Durability = Literal["none", "interval", "always"]
OnError = Literal["raise", "warn"]

SYNC_INTERVAL_NS: Final = 1_000_000_000
LONGEST_BACKOFF_NS: Final = 60_000_000_000
_REMEMBERED: Final = 1_000  # event types, so that hostile ones cannot fill memory

_dumps: Final = orjson.dumps
_TERMINAL: Final = frozenset({"workflow_complete", "workflow_error"})
_OWN: Final = frozenset(
    {"writer_opened", "writer_closed", "writer_settled", "gap", "key_rotated", "checkpoint"}
)

# What a journal is doing; a call that comes in the middle of another one finds it.
_IDLE: Final = 0
_WRITING: Final = 1
_WRITING_LAST: Final = 2  # `close` was called in the middle of writing, and is next
_CLOSING: Final = 3
_HALF_CLOSED: Final = 4  # an exception of a signal handler ended `close`; it may be called again
_CLOSED: Final = 5


class Journal:
    """Appends the events of one process to one trace file at a time.

    Args:
        out: The folder that has, or gets, `audit/`.
        workflow_id: 1 to 200 bytes, no `/`, no control character.
        run_id: On every line, or None where there is no run.
        durability: `none` leaves syncing to the system; `interval` syncs at the first emission a
            second or more after the last sync; `always` before a call returns.  Opening, closing
            and terminal events are synced in any case.
        on_error: `raise`, or `warn`: the work goes on, dropped events are counted, and a `gap`
            event says so when writing works again.
        redact: As for `observability.redaction.redact.Redactor`; False for none.
        on_line: Called under the lock with event type, line and payload of what was written.
        clock: Where stamps come from.
        random: Returns that many random bytes, for the writer's id.
        signing_key: The key file that the trace is signed with (docs/signing.md); that of
            AUDITFOLD_SIGNING_KEY if None.
        purpose: What the writer is for, if it does not write a run's course: `review`.

    Attributes:
        dropped: Events of this process that were not written (under `warn`).
        unsaid: Those of them that no `gap` in the trace speaks of yet.
        written: (file, byte offset of its `writer_opened`) of each writer of this process.

    Raises:
        ValueError: An argument is none of the above.
        OSError: The key file cannot be read, or is none.
        ModuleNotFoundError: There is a key, and the extra `sign` is not installed.
        JournalError: The trace cannot be opened (under `raise`).

    Threads share a journal behind one lock.  A forked child goes on in a file of its own.
    Cost of `append`: 4 us for a payload of short values, besides what the disk takes.
    """

    def __init__(
        self,
        out: str | os.PathLike[str],
        workflow_id: str,
        *,
        run_id: str | None = None,
        durability: Durability = "interval",
        on_error: OnError = "raise",
        redact: Redact = None,
        on_line: OnLine | None = None,
        clock: Clock = time,
        random: Callable[[int], bytes] = os.urandom,
        signing_key: str | os.PathLike[str] | None = None,
        purpose: str | None = None,
    ) -> None:
        check_workflow_id(workflow_id)
        signing_key = signing_key or os.environ.get(VARIABLE) or None
        if durability not in {"none", "interval", "always"}:
            raise ValueError(f"durability {durability!r}: want 'none', 'interval' or 'always'")
        if on_error not in {"raise", "warn"}:
            raise ValueError(f"on_error {on_error!r}: want 'raise' or 'warn'")
        self.durability = durability
        self.on_error = on_error
        self.gate = Gate(None if redact is False else Redactor(redact))
        self.lock = threading.RLock()
        self.dropped = 0
        self.written: list[tuple[Path, int]] = []
        self.origin = Origin(
            Path(os.path.abspath(out)),
            workflow_id,
            step_number(workflow_id),
            run_id=run_id,
            durability=durability,
            clock=clock,
            random=random,
            on_line=on_line,
            credential=None if signing_key is None else load_credential(signing_key),
            purpose=purpose,
        )
        self._clock = clock
        self._state = _IDLE
        self._writer: Writer | None = None
        self._opening: Writer | None = None
        self._behind: Extent | None = None
        self._parent: Parent | None = None
        self._had_forks: set[str] = set()
        self._pid = os.getpid()
        self._types: set[str] = set()
        self._queue: deque[tuple[str, bytes, bytes]] = deque()
        self._begun: tuple[Writer, int] | None = None
        self._next_sync = 0
        self._retry_at = 0
        self._backoff = SYNC_INTERVAL_NS
        self.unsaid = 0
        self._finalizer: Any = None
        # A fork waits until the file is open: a child must not inherit the registry's lock.
        with self.lock:
            OPEN.add(self)
            try:
                self._next_writer()
            except BaseException:
                self._end_unborn()
                raise

    def _end_unborn(self) -> None:
        """Leave nothing half open when the constructor raises: nobody has the journal."""
        with contextlib.suppress(JournalError):
            self._finish_opening()
            if self._writer is not None:
                self._writer.end(settle_forks_of=set())
        self._release()

    @property
    def closed(self) -> bool:
        """Whether `close` has returned."""
        return self._state == _CLOSED

    @property
    def writer_id(self) -> str | None:
        """Who writes; None while nobody can."""
        return None if self._writer is None else self._writer.id

    @property
    def queued(self) -> int:
        """How many events are still to be written."""
        return len(self._queue)

    @property
    def trace_path(self) -> Path:
        """The file that is written, was last, or would be."""
        if self._writer is not None:
            return self._writer.file.path
        if self.written:
            return self.written[-1][0]
        return self.origin.step / f"trace_{self.origin.step_number}.jsonl"

    @property
    def registry_end(self) -> RegistryEnd | None:
        """How far the registry reached when the last writer closed; None before that."""
        return None if self._writer is None else self._writer.registry_end

    # --- Emitting

    def append(
        self,
        event_type: str,
        payload: Mapping[str, Any],
        *,
        node_id: str | None = None,
        node_index: int | None = None,
        message: str | None = None,
    ) -> bytes | None:
        """Append one event, secrets redacted, and return its line.

        Args:
            event_type: Its name: ASCII letters, digits and underscores.
            payload: JSON values; no key is a name of the envelope.
            node_id: The node it is about.
            node_index: That node's index; 0 is written.
            message: One line for people.

        Returns:
            The line; None when the event was queued (the call interrupted another one in the
            same thread) or dropped (under `warn`).

        Raises:
            ValueError: A key is a name of the envelope, a number is out of range, or the line
                would be too long; names the key.
            TypeError: A value has no JSON form; names the key.
            RuntimeError: The journal is closed.
            JournalError: The line was not written, or not synced (under `raise`).
        """
        if node_id is not None:
            node_id = self.gate.name("node_id", node_id)
        if message is not None:
            message = self.gate.text("message", message)
        clean = self.gate.strict(payload)
        return self.append_clean(event_type, clean, node_id, node_index, message)

    def append_clean(  # noqa: C901, PLR0912 - the hot path: a call costs more than a branch
        self,
        event_type: str,
        payload: Mapping[str, Any],
        node_id: str | None = None,
        node_index: int | None = None,
        message: str | None = None,
    ) -> bytes | None:
        """Append an event whose values have passed the gate; else like `append`."""
        if event_type not in self._types:
            self._check_type(event_type)
        if not ENVELOPE.isdisjoint(payload):
            names = ", ".join(sorted(ENVELOPE.intersection(payload)))
            raise ValueError(f"{event_type}: {names}: a name of the envelope, want another key")
        details = encode(payload) if payload else b"{}"
        head = b"" if node_id is None else b',"node_id":' + _dumps(node_id)
        if node_index is not None:
            if type(node_index) is not int or not -MAX_INT <= node_index <= MAX_INT:
                node_index = _checked_index(node_index)
            head += b',"node_index":' + _dumps(node_index)
        if message is not None:
            head += b',"message":' + _dumps(message)
        if len(details) + len(head) > MAX_PAYLOAD:
            raise EventTooLongError(event_type, {"node_id": node_id, "message": message, **payload})
        if os.getpid() != self._pid:  # a fork that no hook has seen
            self.become_child()
        with self.lock:
            if self._state:  # not _IDLE
                self._append_later(event_type, head, details)
                return None
            self._state = _WRITING
            try:
                if self._queue:
                    self._drain()
                line = self._emit(event_type, head, details)
                if self._queue:
                    # What fails stays in the queue: this event was written.
                    with contextlib.suppress(JournalError):
                        self._drain()
            finally:
                if self._state == _WRITING:
                    self._state = _IDLE
                elif self._state == _WRITING_LAST:
                    self._close_now()
        return line

    def write_queued(self) -> None:
        """Write what is queued, if no event is being written; what cannot be stays so."""
        with self.lock:
            if self._state or not self._queue:
                return
            self._state = _WRITING
            try:
                with contextlib.suppress(JournalError):
                    self._drain()
            finally:
                if self._state == _WRITING:
                    self._state = _IDLE
                elif self._state == _WRITING_LAST:
                    self._close_now()

    def _check_type(self, event_type: str) -> None:
        check_event_type(event_type)
        if event_type in _OWN:
            raise ValueError(f"event_type {event_type!r}: only a writer itself says that")
        if len(self._types) < _REMEMBERED:
            self._types.add(event_type)

    def _append_later(self, event_type: str, head: bytes, details: bytes) -> None:
        """Queue what a signal handler, finaliser or hook emits in the middle of an event."""
        if self._state != _WRITING:
            raise RuntimeError(f"{event_type}: the journal of {self.origin.workflow_id} is closed")
        self._queue.append((event_type, head, details))

    def _drain(self) -> None:
        """Emit what was queued while an event was being written.

        Each event stays in the queue until it is known to stand in the file, and what an
        exception of a signal handler left unknown is asked there.
        """
        queue = self._queue
        while queue:
            if not self._is_written():
                writer = self._writer or self._next_writer()
                self._begun = None if writer is None else (writer, writer.file.lines)
                self._emit(*queue[0])
            self._begun = None
            queue.popleft()

    def _is_written(self) -> bool:
        """Return whether the first event of the queue was written before an interruption."""
        if self._begun is None:
            return False
        self._settle()
        writer, lines = self._begun
        return writer.file.lines > lines

    def _emit(self, event_type: str, head: bytes, details: bytes) -> bytes | None:
        writer = self._writer
        if writer is None:
            if event_type in _TERMINAL:
                self._retry_at = 0  # there is no later one to wait for
            writer = self._next_writer()
            if writer is None:
                self._drop()
                return None
        try:
            line = writer.put(event_type, head, details)
        except JournalError as error:
            if writer.pid != os.getpid():  # a signal handler forked: the event is the parent's
                return None
            self._fail(error)
            self._drop()
            return None
        sealer = writer.sealer
        if (
            sealer is not None
            and (writer.mono_ns >= sealer.due_ns or writer.file.lines >= sealer.due_lines)
            and not self._seal(writer)
        ):
            return line
        if writer.mono_ns >= self._next_sync or event_type in _TERMINAL:
            self._sync(writer)
        return line

    def _seal(self, writer: Writer) -> bool:
        """Write a checkpoint; return whether the file can still be written."""
        try:
            writer.seal()
        except JournalError as error:
            if writer.pid == os.getpid():
                self._fail(error)
            return False
        return True

    def _sync(self, writer: Writer) -> None:
        try:
            writer.sync()
        except JournalError as error:
            if writer.pid == os.getpid():
                self._fail(error)
            return
        self._next_sync = self._sync_after(self._clock.monotonic_ns())

    def _sync_after(self, now: int) -> int:
        """Return when the next emission syncs."""
        return {"none": sys.maxsize, "interval": now + SYNC_INTERVAL_NS, "always": 0}[
            self.durability
        ]

    def lines(self) -> int:
        """Return the lines in the file that is written, an interrupted write settled.

        Call it under the lock.  0 while there is no file.

        Raises:
            JournalError: The file is not as this writer left it (under `raise`).
        """
        self._settle()
        return 0 if self._writer is None else self._writer.file.lines

    def _settle(self) -> None:
        """Find out what became of a write that an exception of a signal handler interrupted."""
        writer = self._writer
        if writer is not None and writer.file.unsettled:
            try:
                writer.file.settle()
            except OSError as error:
                if is_foreign(error):
                    raise
                self._fail(JournalError(writer.file.path, error, "a new file follows"))

    # --- Opening and failing

    def _next_writer(self) -> Writer | None:
        """Open a file: the first, or the next after a failure or a fork.

        Returns:
            Its writer; None when that failed, or it is not yet time to try (under `warn`).
        """
        if self.on_error == "warn" and self._clock.monotonic_ns() < self._retry_at:
            return None
        try:
            writer = self._open()
            if self.unsaid:
                gap = {"dropped": self.unsaid, "reason": "the trace could not be written"}
                writer.put("gap", b"", encode(gap))
                self.unsaid = 0
        except JournalError as error:
            self._fail(error)
            return None
        return writer

    def _open(self) -> Writer:
        """Open a file, or go on opening the one at which an exception of a handler came."""
        writer = self._opening
        if writer is None:
            writer = Writer(self.origin, behind=self._behind, parent=self._parent)
            self._opening = writer
        try:
            writer.open()
        except JournalError:
            self._behind, self._opening = writer.last_synced(), None
            self._behind = writer.give_up()
            raise
        if self._finalizer is None:
            self._finalizer = close_with_multiprocessing(self)
        next_sync = self._sync_after(self._clock.monotonic_ns())
        written = [*self.written, (writer.file.path, writer.began)]
        # No call from here on: either all of it is known, or the opening goes on.
        self._backoff, self._next_sync, self.written = SYNC_INTERVAL_NS, next_sync, written
        self._writer, self._opening, self._behind, self._parent = writer, None, None, None
        return writer

    def _finish_opening(self) -> None:
        """Go on with an opening that was interrupted, or take away what came of it."""
        writer = self._opening
        if writer is None:
            return
        if writer.has_begun:
            self._open()
        else:
            writer.give_up()
            self._opening = None

    def _fail(self, error: JournalError) -> None:
        """Give the file up; raise *error*, or plan a new file."""
        writer = self._writer
        if writer is not None:
            self._behind, self._writer = writer.last_synced(), None
            self._behind = writer.give_up()
        if self.on_error == "raise":
            raise error
        self._retry_at = self._clock.monotonic_ns() + self._backoff
        self._backoff = min(2 * self._backoff, LONGEST_BACKOFF_NS)
        warnings.warn(f"events are being dropped: {error}", RuntimeWarning, stacklevel=6)

    def _drop(self) -> None:
        self.dropped += 1
        self.unsaid += 1

    # --- Closing

    def close(self) -> None:
        """Write `writer_closed`, sync, tell the registry; does nothing the second time.

        A close that a signal handler interrupted may be called again and goes on where it was;
        no event is taken any more.

        Raises:
            JournalError: The end could not be written (under `raise`); the file is closed.
        """
        if os.getpid() != self._pid:
            self.become_child()
        with self.lock:
            if self._state == _WRITING:
                self._state = _WRITING_LAST
            elif self._state in {_IDLE, _HALF_CLOSED}:
                self._close_now()

    def _close_now(self) -> None:
        self._state = _CLOSING
        try:
            failure = self._end()
            if self._state == _CLOSING:  # else a signal handler forked: the end is the parent's
                self._release()
        finally:
            if self._state == _CLOSING:
                self._state = _HALF_CLOSED
        if failure is not None:
            if self.on_error == "raise":
                raise failure
            warnings.warn(f"the trace was not closed: {failure}", RuntimeWarning, stacklevel=4)

    def _end(self) -> JournalError | None:
        """Write what is still to be written, and return what kept from it."""
        try:
            if self._queue:
                self._drain()
            self._finish_opening()
            if self._writer is None and self.unsaid:
                self._retry_at = 0
                self._next_writer()
            writer = self._writer
            if writer is not None:
                writer.end(settle_forks_of=self._had_forks)
        except JournalError as error:
            return error if self._state == _CLOSING else None
        return None

    def _release(self) -> None:
        if self._writer is not None:
            self._writer.file.close()
        if self._finalizer is not None:
            self._finalizer.cancel()
        self._state = _CLOSED
        OPEN.discard(self)

    # --- Forks

    def note_fork(self) -> None:
        """Remember, in the parent, that this writer has a fork, whose end it may have to prove."""
        if self._writer is not None:
            self._had_forks.add(self._writer.id)

    def become_child(self) -> None:
        """Leave the parent's file alone: the next event begins a file of this process."""
        self.lock = threading.RLock()
        self._pid = os.getpid()
        if self._state != _CLOSED:
            self._state = _IDLE
        if self._writer is not None:
            self._parent = self._writer.parent_of_fork()
            self._writer.leave_to_parent()
        if self._opening is not None:
            self._opening.leave_to_parent()
        self._writer = self._opening = self._behind = self._begun = self._finalizer = None
        self._queue.clear()
        self.dropped = self.unsaid = self._retry_at = 0
        self._had_forks = set()
        self.written = []


def _checked_index(index: Any) -> int:
    try:
        number = operator.index(index)
    except TypeError:
        raise TypeError(f"node_index: got {type(index).__name__}, want int") from None
    if not -MAX_INT <= number <= MAX_INT:
        raise ValueError("node_index: integer beyond 2^53 - 1")
    return number
