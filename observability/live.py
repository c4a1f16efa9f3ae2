"""A run while it happens: each line that is written moves the state, the log and the bar.

The state is that of a fold: the very bytes that were written are decoded and applied by
`replay.fold.run`.  When an exception of a signal handler came in between, the lines of this
process are read again from the trace, so the two cannot differ.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from observability.journal import Clock, Durability, Journal, OnError
from observability.log import AuditLog
from observability.terminal.capture import stderr, stdout
from observability.terminal.progress import Bar, bar_stream
from observability.terminal.screen import is_refusal, is_terminal, put, put_safely
from observability.terminal.streams import LineStream
from replay.fold.instant import Instant
from replay.fold.run import RunState, apply, beginning
from replay.show.line import harmless, log_line, render
from replay.trace.events import Event
from replay.trace.evidence import open_evidence
from replay.trace.line import utc_second
from replay.trace.reader import RawLine, raw_lines
from replay.trace.schema import decode_event


class LiveRun:
    """One run of this process, from the first line of its writer to the last.

    Args:
        out: Absolute; has `audit/step_NN/`.
        workflow_id: What runs.
        run_id: This run.
        total_nodes: How many nodes there will be, or None.
        use_tqdm: A bar where stderr is a terminal, or always; or a line a node on stdout.
        quiet: Neither, and blocks go to the log alone.
        verbose: Print each event to stderr.
        log_path: The log under `audit/`.
        clock: Where stamps come from.
        journal: What else `Journal` takes.
    """

    def __init__(
        self,
        out: Path,
        workflow_id: str,
        *,
        run_id: str,
        total_nodes: int | None,
        use_tqdm: bool | Literal["always"],
        quiet: bool,
        verbose: bool,
        log_path: Path,
        clock: Clock,
        durability: Durability,
        on_error: OnError,
        random: Any,
        signing_key: str | os.PathLike[str] | None,
    ) -> None:
        self.log = AuditLog(log_path)
        self.console = not use_tqdm and not quiet
        self._quiet = quiet
        self._terminal = is_terminal(stdout())
        self._print = LineStream(stderr, put=put_safely).write if verbose else None
        self.summaries: dict[str, bytes] = {}
        self.run_id = run_id
        self._workflow_id = workflow_id
        self._clock = clock
        self._pid = os.getpid()
        self._state: RunState | None = None
        self.latest: tuple[bytes, Event] | None = None  # the last line, and what it says
        self._next = 0  # seq of the first line that state and log do not have
        self.bar: Bar | None = None
        if use_tqdm and not quiet:
            always = use_tqdm == "always"
            self.bar = Bar(
                total_nodes,
                f"Executing {workflow_id}",
                log=self._log_bar,
                stream=bar_stream(always=always) if always or is_terminal(stderr()) else None,
            )
        self.journal = Journal(
            out,
            workflow_id,
            run_id=run_id,
            durability=durability,
            on_error=on_error,
            on_line=self._written,
            clock=clock,
            random=random,
            signing_key=signing_key,
        )

    @property
    def state(self) -> RunState:
        """What a fold of the lines of this process holds."""
        with self.journal.lock:
            if self.journal.lines() != self._next:
                self._read_again()
            if self._state is None:
                self._state = self._empty()
            return self._state

    def say(self, text: str, *, end: str = "\n") -> None:
        """Print to stdout; a stdout that is closed or gone ends that, not the program."""
        if self.console:
            self.console = print_safely(text + end, flush=self._terminal)

    def say_start(self, node_id: str, index: int | None, total_nodes: int | None) -> None:
        """Print that a node starts, in a line that its end completes."""
        place = [str(number) for number in (index, total_nodes) if number is not None]
        shown = "" if index is None else f" [{'/'.join(place)}]"
        self.say(f"{shown} {harmless(node_id)}...", end=" ")

    def say_end(self, payload: Mapping[str, Any]) -> None:
        """Print how long a node took, and its error if it has one."""
        seconds = payload["duration_seconds"]
        shown = f"{seconds:.2f}" if isinstance(seconds, int | float) else seconds
        error = f" Error: {harmless(payload['error'])}" if "error" in payload else ""
        self.say(f"{error} ({shown}s)")

    def block(self, lines: Iterable[str]) -> None:
        """Print the lines of a header or summary, and write them to the log."""
        texts = [harmless(line) for line in lines]
        if not self._quiet:
            print_safely("".join(f"{text}\n" for text in texts))
        self.log.write(texts)

    def say_registry(self) -> None:
        """Print the registry's end, for whoever keeps it where the folder's writers cannot."""
        end = self.journal.registry_end
        if end is not None and not self._quiet:
            print_safely(f" Registry: {end.lines} lines, hash {end.hash}\n\n")

    # --- One line

    def _written(self, event_type: str, line: bytes, details: bytes) -> None:
        """Take in a line that stands in the trace; called under the journal's lock."""
        event = decode_event(line)
        self.latest = line, event
        seq, state = event.seq, self._state
        if state is None or event.pid != self._pid:
            state = self._begin_here(event)
        elif seq != self._next and event_type != "writer_opened":
            return self._read_again()
        apply(state, event)
        if event_type == "node_success":
            self._remember(event)
        node_id, bar = event.node_id, self.bar
        said = (
            log_line(event.timestamp, event_type, node_id, event.message, details.decode()) + "\n"
        )
        self.log.put(said)
        if self._print is not None:
            self._print(said)
        if bar is not None and node_id is not None:
            done = state.nodes_completed + state.nodes_failed + state.nodes_skipped
            if done != bar.n:
                bar.move(done, failed=state.nodes_failed)
        # Last: as long as this is not so, an interruption makes the next line read all again.
        self._next = seq + 1
        return None

    def _begin_here(self, event: Event) -> RunState:
        """Begin the state, in a fork anew: what is counted is this process's own."""
        state: RunState = beginning(event)
        self._state = state
        if event.pid != self._pid:
            self._pid = event.pid
            self.summaries = {}
            if self.bar is not None:
                # The terminal's bar belongs to the process that drew it.
                self.bar.leave_terminal()
        return state

    def _remember(self, event: Any) -> None:
        summary = bytes(event.output_summary)
        if summary not in _FALSY:
            self.summaries[event.node_id] = summary

    def _log_bar(self, line: str) -> None:
        micros = self._clock.time_ns() // 1000
        stamp = f"{utc_second(micros // 1_000_000).decode()}.{micros % 1_000_000:06d}Z"
        self.log.write([f"[{stamp}] {line}"])

    # --- After an interruption, and without a trace

    def _read_again(self) -> None:
        """Fold the lines of this process from the trace, and log those that are not in the log."""
        following, self._state = self._next, None
        for last, raw in self.lines():
            event = decode_event(raw.data)
            self.latest = raw.data, event
            if self._state is None:
                self._state = beginning(event)
            apply(self._state, event)
            if last and event.seq >= following:
                self._next = event.seq + 1
                self.log.put(render(orjson.loads(raw.data)) + "\n")

    def lines(self) -> Iterator[tuple[bool, RawLine]]:
        """Yield the lines of this process from its trace, and whether each is in its last file."""
        journal = self.journal
        for path, offset in journal.written:
            last = path == journal.written[-1][0]
            with contextlib.closing(open_evidence(path)) as stream:
                stream.seek(offset)
                for raw in raw_lines(stream, offset=offset):
                    if raw.torn:
                        break  # what a write that failed has left
                    yield last, raw

    def _empty(self) -> RunState:
        now = self._clock.time_ns()
        second, nanos = divmod(now, 1_000_000_000)
        instant = Instant(
            timestamp=f"{utc_second(second).decode()}.{nanos // 1000:06d}Z",
            epoch_seconds=now / 1e9,
            mono_us=self._clock.monotonic_ns() // 1000,
            writer="",
        )
        return RunState(
            run_id=self.run_id,
            workflow_id=self._workflow_id,
            step_number=self.journal.origin.step_number,
            pid=self._pid,
            first=instant,
            last=instant,
        )


_FALSY = frozenset({b"null", b"{}", b"[]", b'""', b"0", b"0.0", b"false"})


# Past the bars, and not into the log of a capture: that has these lines already.
_STDOUT: Final = LineStream(stdout, put=put)


def print_safely(text: str, *, flush: bool = True) -> bool:
    """Write *text* to stdout; return False when there is none, or it is closed or broken.

    Args:
        text: Whole or begun lines.
        flush: At once, and past the bars; not where stdout is no terminal, which saves 4 us.
    """
    stream = stdout()
    if stream is None:
        return False
    try:
        if flush:
            _STDOUT.write(text)
            _STDOUT.flush()
        else:
            stream.write(text)
    except UnicodeEncodeError:
        return print_safely(text.encode("ascii", "backslashreplace").decode(), flush=flush)
    except Exception as error:
        if not is_refusal(error, stream):
            raise
        return False
    return True
