"""Reading trace files: lines with exact offsets, events, and what could not be read.

A line counts once its newline is there: bytes after the last newline are a torn tail, which is
normal in a file that is being written, and never an event.  A bad line that others follow is
damage: it is skipped, remembered and left to `replay.audit`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate, islice
from typing import IO, Any, Final, NamedTuple, Protocol

import orjson

from replay.trace.events import VERSION, Event
from replay.trace.evidence import TraceError
from replay.trace.line import MAX_LINE, LineError, continues
from replay.trace.schema import (
    NO_EVENT,
    NewerVersionError,
    OlderLayout,
    decode_event,
    decode_unknown,
    older_fields,
    version_of,
)

_BUFFER: Final = 1 << 20
_BATCH: Final = 64  # lines; each may have MAX_LINE bytes
_NEWLINE: Final = ord("\n")


class RawLine(NamedTuple):
    """The bytes of one line.

    Attributes:
        number: From 1.
        offset: Of its first byte.
        length: In bytes, newline included; more than `len(data)` when it is over `MAX_LINE`.
        data: With the newline; its first `MAX_LINE` + 1 bytes when it is longer.
        torn: No newline ends it.
    """

    number: int
    offset: int
    length: int
    data: bytes
    torn: bool


def raw_lines(stream: IO[bytes], *, offset: int = 0, number: int = 0) -> Iterator[RawLine]:
    r"""Yield the lines of *stream*, split at `\n` only, in bounded memory.

    Args:
        stream: At the beginning of a line.
        offset: Byte offset of that place.
        number: Lines before it.
    """
    for data in iter(partial(stream.readline, MAX_LINE + 1), b""):
        number += 1
        length, torn = len(data), not data.endswith(b"\n")
        if torn and length > MAX_LINE:
            length, torn = skip_line(stream, length)
        yield RawLine(number, offset, length, data, torn)
        offset += length


class Readable(Protocol):
    """What an EventReader needs of a stream."""

    def read(self, size: int, /) -> bytes:
        """Return at most *size* bytes, none at the end."""

    def readline(self, size: int, /) -> bytes:
        """Return the bytes up to the next newline, at most *size*."""


def skip_line(stream: Readable, length: int) -> tuple[int, bool]:
    """Read *stream* to the end of a line of which *length* bytes were read.

    Returns:
        The length of the whole line, and whether its newline is missing.
    """
    for data in iter(partial(stream.readline, _BUFFER), b""):
        length += len(data)
        if data.endswith(b"\n"):
            return length, False
    return length, True


class Damage(NamedTuple):
    """A line that is no event.

    Attributes:
        path: The file, as the reader was told to call it.
        line: From 1.
        offset: Of its first byte.
        message: What was found and what was wanted.
    """

    path: str
    line: int
    offset: int
    message: str


class EventReader:
    """The events of one trace file, older layouts included; iterate it once.

    Attributes:
        name: What positions and messages call the file.
        damage: Lines that were skipped, filled while iterating.
        offset: Byte offset behind the last whole line read.
        lines: Number of whole lines read.
        torn: Bytes behind the last newline, once the end was reached.

    Hashes are not checked, that is `replay.audit.chain`.  Cost: 0.7 us an event.
    """

    def __init__(self, stream: Readable, name: str, *, offset: int = 0, lines: int = 0) -> None:
        self.name = name
        self.damage: list[Damage] = []
        self.offset = offset
        self.lines = lines
        self.torn = 0
        self._stream = stream
        self._older = OlderLayout()
        self._previous = b""
        self._texts: list[bytes] = []
        self._batch: list[Any] = []
        self._length = 0
        self._begins: list[int] | None = None
        self._cut = ""

    def __iter__(self) -> Iterator[Event]:
        """Yield the events in order; where compressed data is cut or damaged that is the end.

        Raises:
            NewerVersionError: A line of a newer format version whose hash is right.
        """
        stream, offset, number = self._stream, self.offset, self.lines
        previous = b""
        try:
            for data in iter(partial(stream.readline, MAX_LINE), b""):
                self._previous, previous = previous, data
                try:
                    event: Event | None = decode_event(data)
                    if data[-1] != _NEWLINE or event.v != VERSION:  # type: ignore[union-attr]
                        event = None
                except NO_EVENT:
                    event = None
                if event is None:
                    length, torn = len(data), data[-1] != _NEWLINE
                    if torn and length >= MAX_LINE:
                        length, torn = skip_line(stream, length)
                    if torn:
                        self.torn = length
                        return
                    event = self._unusual(data, length, offset, number)
                    offset += length
                else:
                    offset += len(data)
                number += 1
                self.offset, self.lines = offset, number
                if event is not None:
                    yield event
        except TraceError as error:
            self._refuse(str(error).partition(": ")[2])

    def batches(self, decode: Callable[[bytes], Any] = decode_event) -> Iterator[list[Any]]:
        """Yield the same events by lists; `offset` and `lines` are behind each list.

        Args:
            decode: Makes an event of a line, or less of it; it raises msgspec.DecodeError for
                what it does not know and for other versions.  A list in which it raised, and
                any older line, is decoded in full.

        Raises:
            NewerVersionError: As iterating does, behind the events before that line.
        """
        chunks = iter(partial(self._stream.readline, MAX_LINE), b"")
        while lines := self._some(chunks):
            lengths = list(map(len, lines))
            if lines[-1][-1] != _NEWLINE and lengths[-1] < MAX_LINE:
                self.torn = lengths.pop()
                lines.pop()
            try:
                # A line over the limit is there in parts, of which the first may be JSON.
                whole = sum(lengths) < MAX_LINE or max(lengths) < MAX_LINE
                events = list(map(decode, lines)) if whole else []
            except NO_EVENT:
                events = []
            if events:
                yield self._at_hand(lines, events)
            else:
                yield from self._unusual_events(lines)
        if self._cut:
            self._refuse(self._cut)

    def _some(self, chunks: Iterator[bytes]) -> list[bytes]:
        """Return the next lines, those before the place where compressed data ends if it does."""
        lines: list[bytes] = []
        if self._cut:
            return lines
        try:
            # Unlike list(), it keeps what came before an exception.
            lines.extend(islice(chunks, _BATCH))
        except TraceError as error:
            self._cut = str(error).partition(": ")[2]
        return lines

    def _refuse(self, message: str) -> None:
        self.damage.append(Damage(self.name, self.lines + 1, self.offset, message))

    def begin_of(self, place: int) -> int:
        """Return the byte offset of the line of event number *place* of the last list."""
        if place == 0:
            return self.offset - self._length
        if self._begins is None:
            begin = self.offset - self._length
            self._begins = list(accumulate(map(len, self._texts), initial=begin))
        return self._begins[place]

    def line(self, place: int) -> bytes:
        """Return the line of event number *place* of the last list, with its newline."""
        return self._texts[place]

    def event(self, place: int) -> Event | None:
        """Return event number *place* of the last list in full, None if it does not fit."""
        event = self._batch[place]
        if isinstance(event, Event):
            return event
        try:
            full: Event = decode_event(self._texts[place])
        except NO_EVENT:
            return None
        return full

    def _at_hand(self, lines: list[bytes], events: list[Any]) -> list[Any]:
        """Note where the lines of *events* are, the next ones of the file."""
        self._texts, self._batch, self._begins = lines, events, None
        self._length = sum(map(len, lines))
        self.offset, self.lines = self.offset + self._length, self.lines + len(lines)
        return events

    def _unusual_events(self, lines: list[bytes]) -> Iterator[list[Any]]:
        """Yield the events in *lines*, a list for each stretch without damage.

        A line over the limit is there in parts; its rest is read.
        """
        self._previous = b"".join(self._texts[-1:])
        offset, number = self.offset, self.lines
        good: list[bytes] = []
        events: list[Any] = []
        parts = iter(lines)
        for line in parts:
            length, torn = len(line), line[-1] != _NEWLINE
            if torn:
                length, torn = self._skip(length, parts)
            try:
                event = None if torn else self._one(line, length, offset, number)
            except NewerVersionError:
                if events:
                    yield self._at_hand(good, events)
                raise
            if event is not None:
                good.append(line)
                events.append(event)
            elif events:
                yield self._at_hand(good, events)
                good, events = [], []
            if torn:
                self.torn = length
                return
            self._previous = line
            offset, number = offset + length, number + 1
            if event is None:
                self.offset, self.lines = offset, number
        if events:
            yield self._at_hand(good, events)

    def _skip(self, length: int, parts: Iterator[bytes]) -> tuple[int, bool]:
        """Pass over what is left of a line; return as `skip_line` does."""
        for part in parts:
            length += len(part)
            if part[-1] == _NEWLINE:
                return length, False
        return skip_line(self._stream, length)

    def _one(self, line: bytes, length: int, offset: int, number: int) -> Event | None:
        """Return the event in *line*, or remember the damage."""
        try:
            event: Event = decode_event(line)
            if length == len(line):
                return event
        except NO_EVENT:
            pass
        return self._unusual(line, length, offset, number)

    def _unusual(self, data: bytes, length: int, offset: int, number: int) -> Event | None:
        """Return the event in a line that the fast path refused, or remember the damage."""
        try:
            if length > MAX_LINE:
                raise LineError("malformed", f"line of {length} bytes, want at most {MAX_LINE}")
            if (older := older_fields(data)) is not None:
                return self._older.event(older, number)
            fields = orjson.loads(data)
            version = version_of(fields) if isinstance(fields, dict) else None
            if version is not None and version != VERSION:
                if version > VERSION and continues(data, self._previous if number else None):
                    raise NewerVersionError(self.name, line=number + 1, version=version)
                raise LineError("malformed", f"version {version}, and its hash is wrong")
            return decode_unknown(data)
        except orjson.JSONDecodeError as error:
            message = f"not JSON: {error}"
        except LineError as error:
            message = str(error)
        self.damage.append(Damage(self.name, number + 1, offset, message))
        return None
