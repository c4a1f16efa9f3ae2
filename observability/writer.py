"""One writer: from `writer_opened` in a trace file to `writer_closed`, and its registry lines.

It stamps and appends; when that fails it says what is left.  Which policy answers a failure,
and what happens in a fork, is decided in `observability.journal`.
"""

import errno
import os
import platform
from typing import TYPE_CHECKING

from observability.files import make_folders, sync_folder, write_beside
from observability.origin import Origin
from observability.registry import LockedRegistry, payload_json
from observability.signing.sealer import Sealer
from observability.succession import choose_file, forks_of
from observability.trace_file import (
    JournalError,
    TraceFile,
    is_foreign,
    left_by_another,
    remove,
    unseen,
)
from replay.trace.events import Extent, Fragment, Parent, Process, RegistryEnd
from replay.trace.folder import HEAD_SUFFIX
from replay.trace.host import this_process
from replay.trace.line import Envelope
from replay.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from observability.signing.keys import FirstKey


class Writer:
    """A writer; its file is open and registered once `open` has returned.

    Args:
        origin: What the journal's writers share.
        behind: The file that this process wrote before and had to give up.
        parent: Where this process forked.  With either, the file is a new one.

    Attributes:
        id: On every line.
        pid: The process that it belongs to.
        file: The trace file, locked; there from the beginning of `open`.
        began: Byte offset of `writer_opened` in it.
        mono_ns: Monotonic clock at the last line.
        sealer: What it signs with; None where it does not.
        registry_end: The registry behind the line by which this writer closed.
    """

    def __init__(self, origin: Origin, *, behind: Extent | None, parent: Parent | None) -> None:
        self.id = origin.new_writer_id()
        self.pid = os.getpid()
        self.file = TraceFile()
        self.began = 0
        self.mono_ns = 0
        self._origin = origin
        self._clock = origin.clock
        self._on_line = origin.on_line
        self._behind = behind
        self._parent = parent
        self._own = origin.step / f"trace_{origin.step_number}.{self.id}.jsonl"
        self._chose = False
        self._first: int | None = None  # seq of `writer_opened`
        self._last: int | None = None  # seq of `writer_closed`
        self._settling: dict[Path, int] = {}  # lines before the one for that fork
        self._telling: tuple[str, int] | None = None
        self._ended = False
        self.sealer: Sealer | None = None
        self._unused: FirstKey | None = None  # until a line names it
        self._head: str | None = None  # the note in the head
        self.registry_end: RegistryEnd | None = None
        self._envelope = Envelope(
            writer=self.id,
            workflow_id=origin.workflow_id,
            step_number=origin.step_number,
            run_id=origin.run_id,
        )

    def open(self) -> None:
        """Open a file to append to, with `writer_opened` in it and a line in the registry.

        Called again after an exception of a signal handler, it goes on where it was.

        Raises:
            JournalError: That could not be done; no event was written.
        """
        origin = self._origin
        try:
            make_folders(origin.step)
            if origin.step.is_symlink():
                raise OSError(errno.ELOOP, "a symbolic link, want a folder", str(origin.step))
            process = this_process()
            with origin.registry.open() as stream:
                registry = origin.registry.lock(stream)
                if self._first is None:
                    self._choose_file()
                if self.file.unsettled:
                    self.file.settle()
                if self.file.lines == self._first:
                    self._put_opened(registry, process)
                self._unused = None
                self.file.appear()
                self.sync()
                sync_folder(origin.step)
                self._register(registry, "writer_opened", follows=self._behind)
        except JournalError:
            raise
        except OSError as error:
            if is_foreign(error):
                raise
            where = error.filename or origin.step
            raise JournalError(where, error, "no event was written there") from error

    def _choose_file(self) -> None:
        origin, file, behind = self._origin, self.file, self._behind
        own = self._own
        if self._chose:
            self._unchoose()
        self._chose = True
        if behind is None and self._parent is None:
            behind = choose_file(file, origin.step, origin.out, own)
        else:
            file.create_unseen(own, own.relative_to(origin.out).as_posix())
        self._behind, self.began, self._first = behind, file.size, file.lines

    def _unchoose(self) -> None:
        """Take away the file of an attempt that came to nothing."""
        self.file.discard()
        remove(unseen(self._own))

    def _put_opened(self, registry: LockedRegistry, process: Process) -> None:
        self._begin_to_sign()
        opened = payload_json(
            process=process,
            durability=self._origin.durability,
            versions={"auditfold": __version__, "python": platform.python_version()},
            follows=self._behind,
            parent=self._parent,
            registry=registry.end(),
            signing=None if self.sealer is None else self.sealer.declaration(),
            purpose=self._origin.purpose,
        )
        self.put("writer_opened", b"", opened)

    def _begin_to_sign(self) -> None:
        """Take the first key, once; in a file whose hashes are kept from here on."""
        credential, file = self._origin.credential, self.file
        if credential is not None and self.sealer is None:
            first, now_ns = credential.first_key(self.id), self._clock.monotonic_ns()
            file.recent = ()
            self._unused = first
            self.sealer = Sealer(self.id, first, begin=file.lines, now_ns=now_ns)

    def put(self, event_type: str, head: bytes, details: bytes) -> bytes:
        """Stamp and append one line, and return it.

        Args:
            event_type: Its name.
            head: `node_id`, `node_index`, `message` as JSON, each behind a comma.
            details: The payload as a JSON object.

        Raises:
            JournalError: It was not written; the file must not be written again.
        """
        file, clock, sealer = self.file, self._clock, self.sealer
        try:
            if file.unsettled:
                file.settle()
            if sealer is not None and file.lines >= sealer.due_lines and not sealer.sealing:
                self.seal()
            self.mono_ns = mono_ns = clock.monotonic_ns()
            body = self._envelope.encode(
                event_type,
                details,
                head=head,
                seq=file.lines,
                epoch_us=clock.time_ns() // 1000,
                mono_us=mono_ns // 1000,
                pid=self.pid,
            )
            line = file.append(body)
        except OSError as error:
            if is_foreign(error):
                raise
            before = f"the {file.lines} lines before it are intact"
            advice = before if file.lines else "no event was written there"
            raise JournalError(file.path, error, advice) from error
        if self._on_line is not None:
            self._on_line(event_type, line, details)
        return line

    def seal(self, *, last: bool = False) -> None:
        """Write a checkpoint over all lines, with the next key before it.

        Raises:
            JournalError: It was not written; the file must not be written again.
        """
        file, sealer = self.file, self.sealer
        if sealer is None:
            return
        sealer.sealing = True
        try:
            if file.unsettled:
                file.settle()
            sealer.seal(file, self.put, now_ns=self._clock.monotonic_ns(), last=last)
        except JournalError:
            raise
        except OSError as error:
            if is_foreign(error):
                raise
            advice = f"the {file.lines} lines before it are intact"
            raise JournalError(file.path, error, advice) from error
        finally:
            sealer.sealing = False

    def sync(self) -> None:
        """Return when all lines are on the medium.

        Raises:
            JournalError: They are not; the file must not be written again.
        """
        file = self.file
        try:
            file.sync()
            self._show_head()
        except OSError as error:
            if is_foreign(error):
                raise
            advice = f"its first {file.synced[0]} lines are safe, the next event begins a new file"
            raise JournalError(file.path, error, advice) from error

    def _show_head(self) -> None:
        """Replace the file's head by the newest checkpoint; all that it names is on the medium."""
        note = None if self.sealer is None else self.sealer.note
        if note is None or note is self._head:
            return
        if self._origin.durability != "none" or self._last is not None:
            write_beside(self.file.path.with_suffix(HEAD_SUFFIX), [note.encode()])
            self._head = note

    def end(self, *, settle_forks_of: set[str]) -> None:
        """Write `writer_closed`, sync, tell the registry.  Called again, it goes on where it was.

        Args:
            settle_forks_of: Writers that had forks: the ends of those that have gone are proven.

        Raises:
            JournalError: That could not be done.
        """
        file = self.file
        if self._ended:
            return
        try:
            if file.unsettled:
                file.settle()
            if self._last is None:
                if settle_forks_of:
                    self._settle_forks(settle_forks_of)
                self._seal_last()
                self._last = file.lines
            if file.lines == self._last:  # else a close that was interrupted has written it
                self.put("writer_closed", b"", payload_json(purpose=self._origin.purpose))
            self.sync()
            with self._origin.registry.open() as stream:
                registry = self._origin.registry.lock(stream)
                self._register(registry, "writer_closed")
                self.registry_end = registry.end()
            self._ended = True
        except JournalError:
            raise
        except OSError as error:
            if is_foreign(error):
                raise
            raise JournalError(file.path, error, "the end of the trace is not recorded") from error

    def _seal_last(self) -> None:
        """Write the closing checkpoint, behind one that was interrupted."""
        if self.sealer is not None:
            if self.sealer.due_lines == 0:
                self.seal()
            self.seal(last=True)

    @property
    def has_begun(self) -> bool:
        """Whether `writer_opened` may stand in the file."""
        return self._first is not None and (self.file.unsettled or self.file.lines > self._first)

    def last_synced(self) -> Extent | None:
        """Return what is known to be on the medium, without asking the system."""
        return self._named(*self.file.synced, None) if self._first is not None else self._behind

    def give_up(self) -> Extent | None:
        """Close a file that failed, and return what a line elsewhere may say of it.

        A file that this writer has made and nobody was told of holds no event: it is taken away,
        and what it stood behind is returned.
        """
        self._give_key_back()
        if self._first is None or (self.file.made and self._telling is None):
            self._unchoose()
            return self._behind
        left = self._named(*self.file.proven())
        self.file.close()
        return left

    def _give_key_back(self) -> None:
        """Let the next writer of this process have a first key that stands in no line."""
        first, self._unused = self._unused, None
        credential, file = self._origin.credential, self.file
        if first is None or credential is None or file.lines != self._first or file.may_be_longer:
            return
        self.sealer = None
        credential.take_back(first)

    def _named(self, lines: int, digest: bytes, rest: Fragment | None) -> Extent | None:
        if lines == 0:
            return self._behind
        behind = self._behind.writer if self._behind is not None else None
        return Extent(
            path=self.file.name,
            writer=behind if lines == self._first else self.id,
            lines=lines,
            hash=digest.decode(),
            fragment=rest,
        )

    def parent_of_fork(self) -> Parent:
        """Return where this writer stands, as a fork names it."""
        return Parent(self.id, self.file.lines, self.file.hash.decode())

    def leave_to_parent(self) -> None:
        """Close the file in a fork, which has no business with the keys."""
        self.sealer = self._unused = None
        self.file.close()

    def _settle_forks(self, writers: set[str]) -> None:
        origin = self._origin
        for path in forks_of(origin.step, writers):
            if self.file.lines > self._settling.setdefault(path, self.file.lines):
                continue  # written before an interruption
            left = left_by_another(path, path.relative_to(origin.out).as_posix())
            if left is not None and left[0].hash is not None and left[1] != "writer_closed":
                self.put("writer_settled", b"", payload_json(settled=left[0]))

    def _register(
        self, registry: LockedRegistry, event_type: str, *, follows: Extent | None = None
    ) -> None:
        """Write a line in the registry, unless it stands there since before an interruption."""
        file = self.file
        if self._telling is None or self._telling[0] != event_type:
            self._telling = (event_type, registry.size)
        elif registry.tells(event_type, self.id, offset=self._telling[1]):
            return
        reach = Extent(path=file.name, writer=self.id, lines=file.lines, hash=file.hash.decode())
        registry.append(
            self._envelope,
            event_type,
            payload_json(trace=reach, follows=follows),
            epoch_us=self._clock.time_ns() // 1000,
            mono_us=self._clock.monotonic_ns() // 1000,
        )
