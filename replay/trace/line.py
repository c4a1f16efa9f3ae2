"""One event, one line: the bytes of format version 1, written and checked.

`Envelope.encode` makes a line and `check` says whether given bytes are one; neither opens a
file.  The bytes are specified in docs/trace-format.md; limits hold on writing and on reading.
"""

import json
import math
import re
from hashlib import sha256
from typing import Any, Final, NoReturn

import msgspec
import orjson

from replay.trace.events import VERSION

GENESIS: Final = b"0" * 64
MAX_LINE: Final = 1 << 20  # bytes, newline included
MAX_DEPTH: Final = 64  # objects and arrays inside each other; the line itself is the first
MAX_INT: Final = (1 << 53) - 1  # I-JSON, RFC 7493 section 2.2
SUFFIX_LENGTH: Final = 76

_SUFFIX: Final = re.compile(rb',"hash":"[0-9a-f]{64}"\}')
_SECOND_US: Final = 1_000_000
_EVENT_TYPE: Final = re.compile(r"[A-Za-z0-9_]{1,80}", re.ASCII)
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_INT_DIGITS: Final = len(str(MAX_INT)) + 1


class LineError(ValueError):
    """Bytes that are not a line of this format.

    Attributes:
        code: The finding they are: `bad_frame`, `bad_hash`, `bad_seq` or `malformed`.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def line_hash(previous: bytes, body: bytes) -> bytes:
    """Return SHA-256(0x00 || *previous* || *body*) as 64 lower-case hex digits.

    It is also the RFC 6962 leaf hash of the entry *previous* || *body*.

    Args:
        previous: The 64 digits of the line before in the same file, or `GENESIS`.
        body: The line without its last `SUFFIX_LENGTH` bytes.
    """
    return sha256(b"\0" + previous + body).hexdigest().encode()


def seal(previous: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Return the whole line that *body* makes behind *previous*, and its hash."""
    digest = sha256(b"\0" + previous + body).hexdigest().encode()  # line_hash, without its call
    return b'%s,"hash":"%s"}\n' % (body, digest), digest


def stored_hash(line: bytes) -> bytes | None:
    """Return the 64 digits that *line* (with its newline) ends in, or None if not framed."""
    end = len(line) - SUFFIX_LENGTH
    if end > 0 and line.endswith(b"\n") and _SUFFIX.fullmatch(line, end, len(line) - 1):
        return line[end + 9 : end + 73]
    return None


def continues(line: bytes, before: bytes | None) -> bool:
    """Return whether the hash of *line* follows from it and the line *before* it.

    Args:
        line: With its newline.
        before: Likewise; None if *line* is the first of its file.
    """
    previous = GENESIS if before is None else stored_hash(before)
    here = stored_hash(line)
    if previous is None or here is None:
        return False
    return line_hash(previous, line[:-SUFFIX_LENGTH]) == here


class Envelope:
    """Encodes lines of one writer; what is the same in all of a type is made once.

    Cost: about 0.7 us a line without the payload and the hash.
    """

    def __init__(
        self, *, writer: str, workflow_id: str, step_number: str, run_id: str | None
    ) -> None:
        run = b"" if run_id is None else b',"run_id":%s' % orjson.dumps(run_id)
        self._origin = b',"writer":%s%s,"workflow_id":%s,"step_number":%s' % (
            orjson.dumps(writer),
            run,
            orjson.dumps(workflow_id),
            orjson.dumps(step_number),
        )
        self._tails: dict[str, bytes] = {}
        self._pid = -1
        self._second_us = -_SECOND_US
        self._timestamp = self._epoch = b""

    def encode(
        self,
        event_type: str,
        payload: bytes,
        *,
        head: bytes = b"",
        seq: int,
        epoch_us: int,
        mono_us: int,
        pid: int,
    ) -> bytes:
        """Return the body of a line: everything before its hash suffix.

        Args:
            event_type: A name of ASCII letters, digits and underscores.
            payload: A JSON object as orjson writes it; `b"{}"` when there is none.
            head: `node_id`, `node_index` and `message` as JSON, each behind a comma.
            seq: Place in the file, from 0.
            epoch_us: Microseconds since 1970, UTC.
            mono_us: Microseconds of the monotonic clock.
            pid: Process that emits.
        """
        if not 0 <= epoch_us - self._second_us < _SECOND_US:
            self._begin_second(epoch_us // _SECOND_US)
        tail = self._tails.get(event_type)
        if tail is None or pid != self._pid:
            tail = self._tail(event_type, pid)
        micros = (b"%06d" % epoch_us)[-6:]
        return b'{"v":1,"seq":%d%s%s%s%s,"mono_us":%d%s%s%s%s' % (
            seq,
            self._timestamp,
            micros,
            self._epoch,
            # The float in its shortest form, as any encoder would write it.
            micros.rstrip(b"0") or b"0",
            mono_us,
            tail,
            head,
            b"" if payload == b"{}" else b",",
            payload[1:-1],
        )

    def _begin_second(self, second: int) -> None:
        timestamp = b',"timestamp":"%s.' % utc_second(second)
        epoch = b'Z","epoch_seconds":%d.' % second
        # No call in between: an exception of a signal handler must not leave half of it.
        self._second_us, self._timestamp, self._epoch = second * _SECOND_US, timestamp, epoch

    def _tail(self, event_type: str, pid: int) -> bytes:
        check_event_type(event_type)
        if pid != self._pid:
            self._pid, self._tails = pid, {}
        tail = b',"event_type":"%s","pid":%d%s' % (event_type.encode(), pid, self._origin)
        self._tails[event_type] = tail
        return tail


def check_event_type(event_type: str) -> None:
    """Refuse a name that could not stand in a line.

    Raises:
        TypeError: It is not a str.
        ValueError: It is not 1 to 80 ASCII letters, digits and underscores.
    """
    if not isinstance(event_type, str):
        raise TypeError(f"event_type: got {type(event_type).__name__}, want str")
    if not _EVENT_TYPE.fullmatch(event_type):
        raise ValueError(f"event_type {event_type[:80]!r}: want letters, digits and underscores")


def utc_second(second: int) -> bytes:
    """Return *second* since 1970 as `YYYY-mm-ddTHH:MM:SS`.

    >>> utc_second(1763708592)
    b'2025-11-21T07:03:12'
    """
    from datetime import UTC, datetime

    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


class _EnvelopeFields(msgspec.Struct, gc=False):
    """The types of the envelope alone, for lines whose event type may be unknown."""

    v: int
    seq: int
    timestamp: str
    epoch_seconds: float
    mono_us: int
    event_type: str
    pid: int
    writer: str
    workflow_id: str
    step_number: str
    hash: str
    run_id: str | None = None
    node_id: str | None = None
    node_index: int | None = None
    message: str | None = None


_decode_envelope = msgspec.json.Decoder(_EnvelopeFields).decode
_TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)\.[0-9]{6}Z"
)


def check(line: bytes) -> dict[str, Any]:
    """Return *line* as a dict if it keeps every rule that needs no neighbour.

    Checked: size, UTF-8, JSON, unique keys, depth, range of integers, no lone surrogate, and
    the types of the envelope.  Not checked: the frame, the hash, the sequence, and whether `v`
    is ours.  Cost: about 2 us for a line as this project writes it, 10 us for any other.

    Args:
        line: With its newline and hash suffix.

    Raises:
        LineError: `malformed`, saying what was found and what was wanted.
    """
    if len(line) > MAX_LINE:
        _malformed(f"line of {len(line)} bytes, want at most {MAX_LINE}")
    found = _load_canonical(line)
    if found is None:
        found = _load_strictly(line)
    try:
        envelope = _decode_envelope(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _malformed(f"envelope: {error}")
    if envelope.v < 1:
        _malformed(f"v {envelope.v}, want at least {VERSION}")
    if not _TIMESTAMP.fullmatch(envelope.timestamp):
        _malformed(f"timestamp {envelope.timestamp[:40]!r}, want UTC with microseconds and Z")
    return found


def _load_canonical(line: bytes) -> dict[str, Any] | None:
    """Return the object if *line* is byte for byte what orjson writes of it, else None.

    Equality proves unique keys, finite numbers and integers in range at C speed.
    """
    try:
        found = orjson.loads(line)
        if orjson.dumps(found, option=orjson.OPT_STRICT_INTEGER) != line[:-1]:
            return None
    except (orjson.JSONDecodeError, TypeError):
        return None
    # Few brackets cannot be deep; many need not be.
    if line.count(b"{") + line.count(b"[") > MAX_DEPTH and is_too_deep(found):
        return None
    return found if type(found) is dict else None


def _load_strictly(line: bytes) -> dict[str, Any]:
    """Return the object in *line*, or raise the LineError that says what is wrong with it."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        _malformed(f"not UTF-8 at byte {error.start} of the line")
    if (depth := nesting(line)) > MAX_DEPTH:
        _malformed(f"nested {depth} deep, want at most {MAX_DEPTH}")
    try:
        found = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_int_in_range,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except json.JSONDecodeError as error:
        _malformed(f"not JSON: {error.msg} at character {error.pos}")
    if type(found) is not dict:
        _malformed(f"a JSON {type(found).__name__}, want an object")
    # An escape such as \ud800 without its partner: no text at all.
    if "\\u" in text and _SURROGATE.search(_text_of(found)):
        _malformed("a lone surrogate, want Unicode text")
    return found


def is_too_deep(value: Any) -> bool:
    """Return whether dicts and lists in *value* stand inside each other beyond `MAX_DEPTH`.

    Cost: about 0.1 us for each value, an eighth of what `nesting` takes for its bytes.

    >>> is_too_deep({"a": [[1], [2]]})
    False
    """
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        level = [
            one
            for held in level
            for one in (held.values() if type(held) is dict else held)
            if type(one) is dict or type(one) is list
        ]
        if not level:
            return False
    return True


def nesting(line: bytes) -> int:
    """Return how deep objects and arrays stand inside each other in *line*.

    >>> nesting(b'{"a":[[1],"]["]}')
    3
    """
    depth = deepest = 0
    for match in _TOKEN.finditer(line):
        token = match[0]
        if token in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in b"]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        _malformed(f"key {twice[:80]!r} stands twice")
    return found


def _int_in_range(digits: str) -> int:
    value = 0 if len(digits) > _INT_DIGITS else int(digits)
    if len(digits) > _INT_DIGITS or abs(value) > MAX_INT:
        _malformed(f"integer {digits[:24]}, want at most {MAX_INT} either way")
    return value


def _finite(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        _malformed(f"number {digits[:24]}, want a finite one")
    return value


def _text_of(value: Any) -> str:
    """Return every string in *value*, keys too, as one text."""
    if isinstance(value, dict):
        return "".join(key + _text_of(item) for key, item in value.items())
    if isinstance(value, list):
        return "".join(map(_text_of, value))
    return value if isinstance(value, str) else ""


def _malformed(message: str) -> NoReturn:
    raise LineError("malformed", message)
