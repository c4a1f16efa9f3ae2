"""The copies of one run: its lines as they are, and its events as text.

Their names, and when they are made: `replay.show.derived`.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from replay.fold.files import Source
from replay.fold.lines import lines_of, stretches_of
from replay.fold.names import Copies
from replay.fold.run import RunState, apply, beginning
from replay.fold.runs import Fold
from replay.show.line import harmless, log_line, render
from replay.show.summary import error_block, header, shown_in, summary
from replay.trace.events import Event, UnknownEvent
from replay.trace.line import SUFFIX_LENGTH, Envelope

_CHUNK: Final = 1 << 16


def trace_copy(sources: Sequence[Source], fold: Fold[RunState], run_id: str) -> Iterator[bytes]:
    """Yield the run's lines as they are, in the order."""
    spans = fold.spans(run_id)
    damaged = {damage.path for damage in fold.damage}
    if any(sources[span.place].name in damaged for span in spans):
        # Damaged lines, which belong to no run, may stand between its own.
        return gathered(line for _, line in lines_of(sources, spans, run_id))
    return gathered(piece for _, _, piece in stretches_of(sources, spans))


def log_copy(
    sources: Sequence[Source], fold: Fold[RunState], run_id: str, names: Copies
) -> Iterator[bytes]:
    """Yield the run's events as text, with the blocks at its beginning and its end.

    Args:
        sources: The traces.
        fold: What they add up to, with spans.
        run_id: The run.
        names: What its copies are called.
    """
    return gathered(map(str.encode, _texts(lines_of(sources, fold.spans(run_id), run_id), names)))


def _texts(lines: Iterator[tuple[Event, bytes]], names: Copies) -> Iterator[str]:
    state: RunState | None = None
    printer = Printer()
    for event, line in lines:
        if state is None:
            state = beginning(event)
        apply(state, event)
        yield printer.text(event, line) + "\n"
        for text in _block(state, event, names):
            yield harmless(text) + "\n"


def _block(state: RunState, event: Event, names: Copies) -> list[str]:
    """Return the block that stands behind *event*, empty for most."""
    kind = event_type_of(event)
    if kind == "workflow_start":
        return header(state)
    if kind == "workflow_complete":
        return summary(
            state,
            trace_file=shown_in(state, names.trace),
            log_file=shown_in(state, names.log),
        )
    if kind == "workflow_error":
        return error_block(state, trace_file=shown_in(state, names.trace))
    return []


class Printer:
    """Renders lines whose events are at hand.

    A line as this project writes it has the details behind what the envelope determines: they
    are cut out of it, which costs a third of parsing and writing them.
    """

    def __init__(self) -> None:
        self._writer: str | None = None
        self._envelope: Envelope | None = None

    def text(self, event: Event, line: bytes) -> str:
        """Return *line*, the line of *event*, as the log has it."""
        name = event_type_of(event)
        before = self._before_details(event, name)
        if before is None or not line.startswith(before):
            return _parsed(event, name, line)
        details = line[len(before) + 1 : -SUFFIX_LENGTH].decode()
        return log_line(event.timestamp, name, event.node_id, event.message, f"{{{details}}}")

    def _before_details(self, event: Event, name: str) -> bytes | None:
        """Return what a line of *event* begins with if this project wrote it."""
        if self._envelope is None or event.writer != self._writer:
            self._writer = event.writer
            self._envelope = Envelope(
                writer=event.writer,
                workflow_id=event.workflow_id,
                step_number=event.step_number,
                run_id=event.run_id,
            )
        head = b""
        if event.node_id is not None:
            head = b',"node_id":%s' % orjson.dumps(event.node_id)
        if event.node_index is not None:
            head += b',"node_index":%d' % event.node_index
        if event.message is not None:
            head += b',"message":%s' % orjson.dumps(event.message)
        try:
            return self._envelope.encode(
                name,
                b"{}",
                head=head,
                seq=event.seq,
                epoch_us=round(event.epoch_seconds * 1e6),
                mono_us=event.mono_us,
                pid=event.pid,
            )
        except (ValueError, OverflowError, OSError):
            # A type, or a time, that no writer of this project writes.
            return None


def _parsed(event: Event, name: str, line: bytes) -> str:
    try:
        return render(orjson.loads(line))
    except (orjson.JSONDecodeError, TypeError):
        # Deeper, or larger, than the format allows; it has been read, so it is shown.
        text = line.decode(errors="backslashreplace").rstrip("\n")
        return log_line(event.timestamp, name, event.node_id, event.message, text)


def event_type_of(event: Event) -> str:
    """Return the event type as the line has it."""
    return event.name if isinstance(event, UnknownEvent) else str(type(event).__struct_config__.tag)


def gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in larger pieces."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _CHUNK:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)
