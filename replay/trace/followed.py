"""The lines of one file as items to show: events, and what is no event.

`replay.trace.tail` chooses files and places in them; here lines get their meaning and their
place in the order of docs/reading.md.  A hash is checked only where a newer version claims it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import merge
from operator import itemgetter
from typing import Any, BinaryIO, Final, NamedTuple

import orjson

from replay.trace.events import VERSION
from replay.trace.evidence import TraceError, open_evidence
from replay.trace.folder import TraceFile
from replay.trace.growing import GrowingFile, Piece
from replay.trace.line import MAX_LINE, LineError, check, continues
from replay.trace.merge import Key
from replay.trace.reader import Damage, RawLine, raw_lines
from replay.trace.schema import NewerVersionError, OlderLayout, older_fields, version_of


class Shown(NamedTuple):
    """An event, as it was stored.

    Attributes:
        name: The file, relative to the PATH that was given.
        line: Its bytes, newline included.
        fields: What they say; for the older layout with the envelope of this version.
    """

    name: str
    line: bytes
    fields: Mapping[str, Any]


class Notice(NamedTuple):
    """Something about a file as a whole that no trace should show."""

    name: str
    message: str


class Torn(NamedTuple):
    """Bytes behind the last newline: a write that was cut off, or one that is under way."""

    name: str
    offset: int
    length: int


Item = Shown | Damage | Notice | Torn
Keep = Callable[[Mapping[str, Any]], bool]
MayKeep = Callable[[bytes], bool]
Keyed = tuple[Key, Item]

# Of a stream, which cannot be read from its end, so many of the last bad lines are remembered.
_MAX_DAMAGE: Final = 1000


_BEGIN: Final = b'{"v":%d,"seq":' % VERSION
_END: Final = b'"}\n'
_TIMESTAMP: Final = b'"timestamp":"'
_WITHIN: Final = len(_BEGIN) + 40  # bytes, in which a timestamp begins
_LENGTH: Final = len("2026-11-21T07:03:12.000000Z")


def looks_right(line: bytes) -> bool:
    """Return whether *line* begins and ends as one that this project wrote.  Cost: 0.1 us."""
    return line.startswith(_BEGIN) and line.endswith(_END)


def quick_timestamp(line: bytes) -> str | None:
    """Return the timestamp of a line that looks right, else None.

    Cost: 0.4 us, a tenth of what checking the line costs.
    """
    if not looks_right(line):
        return None
    begin = line.find(_TIMESTAMP, len(_BEGIN), _WITHIN) + len(_TIMESTAMP)
    if begin < len(_TIMESTAMP) or line[begin + _LENGTH - 1 : begin + _LENGTH + 1] != b'Z"':
        return None
    return line[begin : begin + _LENGTH].decode("ascii", "replace")


class Parser:
    """Says what the lines of one file mean, one after the other.

    Attributes:
        key: Place in the order of the event that came last.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.key: Key = ("", "", -1)
        self._older = OlderLayout()

    def fields(
        self, line: bytes | None, length: int, *, before: Callable[[], bytes | None]
    ) -> dict[str, Any]:
        """Return what *line* says.

        Args:
            line: With its newline; None, or its beginning, when it is longer than `MAX_LINE`.
            length: Of the whole line in bytes.
            before: Returns the line before it; asked only for a line of another version.

        Raises:
            LineError: It is no event.
            NewerVersionError: It is one of a newer version, and its hash is right.
        """
        if line is None or length > MAX_LINE:
            raise LineError("malformed", f"line of {length} bytes, want at most {MAX_LINE}")
        try:
            fields = check(line)
            if fields["v"] == VERSION:
                return fields
        except LineError:
            if (older := older_fields(line)) is not None:
                return self._of_older(older)
            fields = _loads(line)
            if not isinstance(fields, dict) or (version_of(fields) or 0) <= VERSION:
                raise
        version = fields["v"]
        if not continues(line, before()):
            raise LineError("malformed", f"version {version}, and its hash is wrong")
        seq = fields.get("seq")
        number = seq + 1 if type(seq) is int else 1
        raise NewerVersionError(self.name, line=number, version=version)

    def _of_older(self, fields: dict[str, Any]) -> dict[str, Any]:
        event = self._older.event(fields, self.key[2] + 1)
        return {
            **fields,
            "timestamp": event.timestamp,
            "workflow_id": event.workflow_id,
            "step_number": event.step_number,
            "run_id": event.run_id,
            "writer": event.writer,
            "seq": event.seq,
        }

    @property
    def has_events(self) -> bool:
        """Whether any line was an event."""
        return self.key[0] != ""

    def pass_over(self, line: bytes) -> bool:
        """Return whether *line* looks like an event, and take in when it happened."""
        timestamp = quick_timestamp(line)
        if timestamp is None:
            return False
        self.key = (max(self.key[0], timestamp), *self.key[1:])
        return True

    def place(self, fields: Mapping[str, Any]) -> Key:
        """Return where *fields* stand in the order, behind what came before them."""
        self.key = (max(self.key[0], fields["timestamp"]), fields["writer"], fields["seq"])
        return self.key


def _loads(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


class FollowedFile:
    """A growing file and what its lines say."""

    def __init__(self, file: GrowingFile, parser: Parser) -> None:
        self.file = file
        self.parser = parser

    def read(
        self, limit: int, keep: Keep | None, may_keep: MayKeep | None = None
    ) -> tuple[list[Keyed], bool]:
        """Return what *keep* keeps of the next portion, and whether there was a portion.

        What looks like an event and *may_keep* refuses is not looked at any further.

        Raises:
            NewerVersionError: The next line is of a newer version.
        """
        pieces = self.file.read(limit)
        items: list[Keyed] = []
        for n, piece in enumerate(pieces):
            line = piece.data or b""
            if may_keep is not None and not may_keep(line) and self.parser.pass_over(line):
                continue
            try:
                fields = self.fields(self.parser, piece)
            except LineError as error:
                items.append((self.parser.key, self._damage(piece, str(error))))
            except NewerVersionError:
                if n == 0:
                    raise
                # What stands before it is shown first; the next call begins with it.
                self.file.go_to(piece.offset)
                return items, True
            else:
                key = self.parser.place(fields)
                if keep is None or keep(fields):
                    items.append((key, Shown(self.file.name, line, fields)))
        return items, bool(pieces)

    def fields(self, parser: Parser, piece: Piece) -> dict[str, Any]:
        """Return what the line at *piece* says; raises what `Parser.fields` raises."""
        return parser.fields(
            piece.data, piece.length, before=lambda: self.file.line_before(piece.offset)
        )

    def _damage(self, piece: Piece, message: str) -> Damage:
        number = self.file.count_lines(piece.offset) + 1
        return Damage(self.file.name, number, piece.offset, message)

    def is_older(self) -> bool:
        """Return whether its first line is one of the older layout."""
        self.file.go_to(0)
        first = next(iter(self.file.read(1)), None)
        self.file.go_to(0)
        return first is not None and first.data is not None and older_fields(first.data) is not None


def stream_items(trace: TraceFile, parser: Parser, keep: Keep | None) -> Iterator[Keyed]:
    """Yield what *keep* keeps of a compressed trace or of standard input, as it comes.

    Where compressed data is cut or damaged that is the end, and `Damage`.

    Raises:
        TraceError, OSError: It cannot be opened.
        NewerVersionError: A line of a newer version came.
    """
    with open_evidence(trace.path) as stream:
        yield from _items_of(stream, trace, parser, keep)


def _items_of(
    stream: BinaryIO, trace: TraceFile, parser: Parser, keep: Keep | None
) -> Iterator[Keyed]:
    previous: bytes | None = None
    number = offset = 0
    try:
        for raw in raw_lines(stream):
            number, offset = raw.number, raw.offset + raw.length
            if raw.torn:
                yield parser.key, Torn(trace.shown, raw.offset, raw.length)
                return
            item = _stream_item(parser, raw, previous, keep)
            if item is not None:
                yield parser.key, item
            previous = raw.data
    except TraceError as error:
        message = str(error).partition(": ")[2]
        yield parser.key, Damage(trace.shown, number + 1, offset, message)


def _stream_item(
    parser: Parser, raw: RawLine, previous: bytes | None, keep: Keep | None
) -> Item | None:
    try:
        fields = parser.fields(raw.data, raw.length, before=lambda: previous)
    except LineError as error:
        return Damage(parser.name, raw.number, raw.offset, str(error))
    parser.place(fields)
    return Shown(parser.name, raw.data, fields) if keep is None or keep(fields) else None


def last_of_stream(items: Iterable[Keyed], n: int) -> tuple[int, Iterator[Keyed]]:
    """Return how many events are among the last *n* of *items*, and those, in order."""
    shown: deque[Keyed] = deque(maxlen=n)
    others: deque[Keyed] = deque(maxlen=_MAX_DAMAGE)
    ends: list[Exception] = []
    try:
        for keyed in items:
            (shown if isinstance(keyed[1], Shown) else others).append(keyed)
    except NewerVersionError as error:
        ends.append(error)  # of what can be read: what came before it is shown first

    def again() -> Iterator[Keyed]:
        yield from merge(shown, others, key=itemgetter(0))
        for error in ends:
            raise error

    return len(shown), again()
