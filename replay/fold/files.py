"""Trace files as a fold sees them: where they are, how far they were read, who wrote last.

`replay.fold.runs` walks over them; the order is that of docs/reading.md, "Order".
"""

import os
from collections import OrderedDict
from collections.abc import Callable
from operator import attrgetter
from typing import IO, Any, Final, NamedTuple

import msgspec

from replay.trace.events import ASIDE, Process, WriterOpened
from replay.trace.evidence import TraceError, open_evidence, plain, standard_input
from replay.trace.folder import Place
from replay.trace.left_out import links
from replay.trace.reader import EventReader

Key = tuple[str, str, int]
"""Place of an event in the order: (sort time, writer, seq)."""

TIMESTAMP: Final = attrgetter("timestamp")
# Behind every timestamp, and behind every writer.
LAST: Final = "\U0010ffff"
MOST_OPEN: Final = 64
_CHUNK: Final = 1 << 16
END: Final[Key] = (LAST, LAST, 0)
BEFORE_ALL: Final[Key] = ("", "", -1)


class Source(NamedTuple):
    """A trace file that can be opened more than once.

    Attributes:
        name: How events and positions call it: relative to OUT, with `/`.
        open: Returns it at its beginning; the caller closes it.
        begin: Byte offset from where it is read.
        before: The file's sort time there.
    """

    name: str
    open: Callable[[], IO[bytes]]
    begin: int = 0
    before: str = ""


def sources_of(place: Place) -> list[Source]:
    """Return the trace files of *place*; standard input is kept in a nameless file.

    A link in the place of a trace is left out: `replay.trace.left_out` tells which.

    Raises:
        TraceError: There are links, and nothing else.
    """
    if place.kind == "stdin":
        return [Source("-", _spooled(standard_input()))]
    left_out = {link.trace: link for link in links(place)}
    if left_out and len(left_out) == len(place.traces):
        only = next(iter(left_out.values()))
        raise TraceError(place.given, f"no trace: {only.trace.shown} is {only.message()}")
    return [
        Source(trace.name, opener(trace.path)) for trace in place.traces if trace not in left_out
    ]


def opener(path: os.PathLike[str]) -> Callable[[], IO[bytes]]:
    """Return what opens the trace at *path*."""
    return lambda: open_evidence(path)


def _spooled(stream: IO[bytes]) -> Callable[[], IO[bytes]]:
    import shutil
    import tempfile

    kept = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as what is returned
    shutil.copyfileobj(stream, kept)
    kept.flush()

    def rewound() -> IO[bytes]:
        again = os.fdopen(os.dup(kept.fileno()), "rb")
        again.seek(0)
        return plain(again, "-")

    return rewound


class OpenFiles:
    """Sources that are read in turns, of which only so many are open at a time.

    A process may have 256 open files on some systems, and a step a trace for each fork.
    """

    def __init__(self, most: int = MOST_OPEN) -> None:
        self._most = most
        self._open: OrderedDict[str, IO[bytes]] = OrderedDict()

    def at(self, source: Source, offset: int) -> IO[bytes]:
        """Return *source* opened, and at *offset* if it was not open."""
        stream = self._open.get(source.name)
        if stream is None:
            while len(self._open) >= self._most:
                self._open.popitem(last=False)[1].close()
            stream = self._open[source.name] = source.open()
            if stream.seekable():
                stream.seek(offset)
            else:
                skip(stream, offset)
        self._open.move_to_end(source.name)
        return stream

    def close(self) -> None:
        """Close what is open."""
        while self._open:
            self._open.popitem()[1].close()


def skip(stream: IO[bytes], length: int) -> None:
    """Read so many bytes of a stream that cannot seek."""
    while length > 0 and (data := stream.read(min(length, _CHUNK))):
        length -= len(data)


class Resumed:
    """A source that is opened when it is read, as often as that takes."""

    def __init__(self, source: Source, files: OpenFiles, offset: int) -> None:
        self._source = source
        self._files = files
        self._offset = offset

    def go_to(self, offset: int) -> None:
        """Read from *offset* on; it may be before only where the stream can seek."""
        stream = self._files.at(self._source, self._offset)
        if stream.seekable():
            stream.seek(offset)
        else:
            skip(stream, offset - self._offset)
        self._offset = offset

    def read(self, size: int, /) -> bytes:
        """Return at most *size* bytes."""
        data = self._files.at(self._source, self._offset).read(size)
        self._offset += len(data)
        return data

    def readline(self, size: int, /) -> bytes:
        """Return the rest of a line, at most *size* bytes."""
        data = self._files.at(self._source, self._offset).readline(size)
        self._offset += len(data)
        return data


class FileState(msgspec.Struct, gc=False, kw_only=True):
    """How far a file was folded, and who wrote it last.

    Attributes:
        name: How events and positions call it.
        offset: Bytes of whole lines.
        lines: Their number.
        hash: Of the last event; empty in the older layout.
        key: Place in the order of its last event; its first part is the file's sort time.
        epoch_seconds: Of the last event.
        writer: Of the last event.
        run_id: Of the last event.
        opened: Who wrote the last `writer_opened`.
        process: The process that it names.
        aside: Writers whose lines are no part of a run's course; the values mean nothing.
        torn: Bytes behind the last newline.
        damaged: Lines that are no event.
        more: The run of the next event where the fold was cut before it, empty if that event is
            in no run or no part of its course; None at the end of the file.
    """

    name: str
    offset: int = 0
    lines: int = 0
    hash: str = ""
    key: Key = BEFORE_ALL
    epoch_seconds: float = 0.0
    writer: str = ""
    run_id: str | None = None
    opened: str = ""
    process: Process | None = None
    aside: dict[str, bool] = msgspec.field(default_factory=dict)
    torn: int = 0
    damaged: int = 0
    more: str | None = None


class Cursor:
    """The next event of one file.

    Attributes:
        file: Its state.
        place: Its number among the files.
        reader: What reads it.
        batch: The events at hand, as `decode` makes them.
        at: Which of them comes next.
    """

    def __init__(
        self,
        file: FileState,
        place: int,
        reader: EventReader,
        *,
        decode: Callable[[bytes], Any],
        stop: int | None = None,
    ) -> None:
        self.file = file
        self.place = place
        self.reader = reader
        self.batch: list[Any] = []
        self.at = 0
        self._stop = stop
        self._batches = reader.batches(decode)

    def load(self) -> bool:
        """Take the next events, behind those at hand; return whether there are any."""
        self.batch, self.at = next(self._batches, []), 0
        return bool(self.batch)

    def is_cut(self) -> bool:
        """Return whether the fold ends here: the event of the `seq` it was to end at is applied."""
        if self._stop is None:
            return False
        return self.file.key[2] >= self._stop or self.seq(self.at) > self._stop

    def up_to(self, bound: Key) -> list[Any]:
        """Return the events at hand from the next one on that do not sort behind *bound*."""
        events = self._up_to_stop()
        latest, limit = self.file.key[0], bound[0]
        if latest < limit and max(map(TIMESTAMP, events), default="") < limit:
            return events
        for place, event in enumerate(events):
            latest = max(latest, event.timestamp)
            if latest >= limit and self.key(self.at + place, latest) > bound:
                return events[:place]
        return events

    def _up_to_stop(self) -> list[Any]:
        events = self.batch[self.at :] if self.at else self.batch
        if self._stop is None or self.seq(len(self.batch) - 1) <= self._stop:
            return events
        return [e for n, e in enumerate(events, self.at) if self.seq(n) <= self._stop]

    def seq(self, at: int) -> int:
        """Return `seq` of event *at*; -1 where that does not fit its declaration."""
        event = self.reader.event(at)
        return -1 if event is None else event.seq

    def key(self, at: int, latest: str = "") -> Key:
        """Return the place in the order of event *at*.

        Args:
            at: Number in `batch`.
            latest: The largest timestamp of those before it that are not in `file.key`.
        """
        stamp = max(self.batch[at].timestamp, self.file.key[0], latest)
        event = self.reader.event(at)
        return (stamp, "", -1) if event is None else (stamp, event.writer, event.seq)

    def offset(self, at: int) -> int:
        """Return where the line of event *at* begins, or the last one ends."""
        return self.reader.begin_of(at) if at < len(self.batch) else self.reader.offset

    def settle(self) -> None:
        """Write down how far the file was read."""
        file, reader = self.file, self.reader
        left = len(self.batch) - self.at
        file.offset = self.offset(self.at)
        file.lines = reader.lines - left
        file.damaged += len(reader.damage)
        file.torn = reader.torn
        file.more = self._run_of_next() if left else None

    def _run_of_next(self) -> str:
        """Return the run whose course goes on with the next event; empty if none does."""
        event = self.reader.event(self.at)
        if isinstance(event, WriterOpened) and event.purpose == ASIDE:
            return ""
        if event is not None and event.writer in self.file.aside:
            return ""
        return self.batch[self.at].run_id or ""
