"""The lines of one run, read again from where a fold found them.

A fold keeps where each run's lines are, not the lines: what needs them (the report of one run,
its copies) reads just these.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, Final

from replay.fold.collector import paused_collector
from replay.fold.files import OpenFiles, Resumed, Source
from replay.fold.run import apply, apply_aside, beginning
from replay.fold.run_report import RunReport
from replay.fold.runs import Fold, Span
from replay.trace.events import ASIDE, Event, WriterOpened
from replay.trace.evidence import TraceError
from replay.trace.line import MAX_LINE
from replay.trace.reader import EventReader

_CHUNK: Final = 1 << 16


def report_state(sources: Sequence[Source], fold: Fold[Any], run_id: str) -> RunReport:
    """Return a run with all that a report says, read again from where its lines are.

    Raises:
        TraceError: There is none of them any more, or a source cannot be read.
        OSError, NewerVersionError: As `lines_of` does.
    """
    found: RunReport | None = None
    aside: set[str] = set()
    with paused_collector():
        for _, events in _batches_of(sources, fold.spans(run_id), run_id):
            for _, event in events:
                if found is None:
                    found = beginning(event, RunReport)
                    found.run_id = run_id
                if type(event) is WriterOpened:
                    (aside.add if event.purpose == ASIDE else aside.discard)(event.writer)
                (apply_aside if event.writer in aside else apply)(found, event)
    if found is None:
        raise TraceError(sources[0].name, f"run {run_id}: its lines are gone")
    state = fold.run(run_id)
    for name in ("ends", "begun_in", "begun_at", "begin_key", "sort_key"):
        setattr(found, name, getattr(state, name))
    return found


def lines_of(
    sources: Sequence[Source], spans: Sequence[Span], run_id: str
) -> Iterator[tuple[Event, bytes]]:
    """Yield (event, line) of a run in the order; damaged lines are left out.

    Memory: a few hundred lines.

    Raises:
        TraceError, OSError: A source cannot be opened or read.
        NewerVersionError: A right line of a newer format version has come since.
    """
    for reader, events in _batches_of(sources, spans, run_id):
        for at, event in events:
            yield event, reader.line(at)


def _batches_of(
    sources: Sequence[Source], spans: Sequence[Span], run_id: str
) -> Iterator[tuple[EventReader, list[tuple[int, Event]]]]:
    """Yield some events of a run at a time: (what reads them, (number in its list, event))."""
    for place, offset, piece in stretches_of(sources, spans):
        reader = EventReader(io.BytesIO(piece), sources[place].name, offset=offset)
        for events in reader.batches():
            # Older lines do not name their run; a span has those of one run only.
            yield (
                reader,
                [
                    (at, event)
                    for at, event in enumerate(events)
                    if event.run_id == run_id or not event.hash
                ],
            )


def stretches_of(
    sources: Sequence[Source], spans: Sequence[Span]
) -> Iterator[tuple[int, int, bytes]]:
    """Yield (number of the source, offset, whole lines) of *spans*, some kilobytes at a time.

    Raises:
        TraceError, OSError: A source cannot be opened or read.
    """
    files = OpenFiles()
    streams: dict[int, Resumed] = {}
    with closing(files):
        for span in spans:
            if span.place not in streams:
                streams[span.place] = Resumed(sources[span.place], files, 0)
            stream, at, rest = streams[span.place], span.begin, b""
            stream.go_to(at)
            while data := stream.read(min(span.end - at, _CHUNK)):
                at += len(data)
                end = data.rfind(b"\n") + 1
                if end:
                    yield span.place, at - len(data) - len(rest), rest + data[:end]
                    rest = data[end:]
                elif len(rest) <= MAX_LINE:
                    rest += data
                # Else it is no event, however it ends.
