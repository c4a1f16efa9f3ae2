"""How a trace file ends: its last whole line, and the bytes behind it.

A writer asks before it continues a file or names one; only the end is read, by blocks.
"""

import os
import sys
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from replay.trace.events import VERSION, Extent, Fragment, Parent
from replay.trace.line import GENESIS, MAX_LINE, LineError, check, continues, stored_hash

_BLOCK: Final = 1 << 16
_FIRST_LINE: Final = 1 << 12  # bytes that hold nearly every first line
_BEGINNING: Final = b'{"v":'
_MOST_CUT_OFF: Final = 1_000
_BOUNDS: Final = 3  # newlines that bound two whole lines; none is longer than MAX_LINE


class Ending(NamedTuple):
    """Where a trace of this version stands.

    Attributes:
        lines: Whole lines in the file.
        hash: The last one's, 64 digits; `GENESIS` for an empty file.
        writer: Who wrote it, None for an empty file.
        event_type: What it is, None for an empty file.
        offset: Bytes up to and with the last newline.
        size: Bytes of the file; more than `offset` when a fragment follows.
    """

    lines: int
    hash: bytes
    writer: str | None
    event_type: str | None
    offset: int
    size: int


def read_ending(fd: int) -> Ending | None:
    """Return how the file open at *fd* ends, or None if not in a right line of this version.

    An empty file, and one that holds a fragment alone, end in line 0.  Cost: about 30 us.
    """
    size = os.fstat(fd).st_size
    return _ending(fd, size, size)


def read_cut_ending(fd: int) -> Ending | None:
    """Return how the registry open at *fd* ends where its last whole line is one that was cut off.

    A process that puts a newline and a `gap` behind a fragment may be killed in the middle of
    it; what the fragment was then stands there like a line.  All such lines belong to what is
    behind `offset`.  None if the last line is not the beginning of one, or no right line, nor
    the beginning of the file, stands before.
    """
    size = os.fstat(fd).st_size
    end = _last_two(fd, size)[0]
    for _ in range(_MOST_CUT_OFF):
        _, last, _ = _last_two(fd, end)
        if last is None or not is_cut_off(last[:-1]):
            return None
        end -= len(last)
        ending = _ending(fd, end, size)
        if ending is not None:
            return ending
    return None


def is_cut_off(data: bytes) -> bool:
    """Return whether *data* is the beginning of a line, and not all of it."""
    if not data or not data.startswith(_BEGINNING[: len(data)]):
        return False
    for more in (b"", b"0"):  # a number may have been cut behind its sign or point
        try:
            msgspec.json.decode(data + more)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if "truncated" in str(error):
                return True
    return False


def _ending(fd: int, upto: int, size: int) -> Ending | None:
    """Return how the first *upto* of the *size* bytes of a file end."""
    offset, last, before = _last_two(fd, upto)
    if last is None:
        return Ending(0, GENESIS, None, None, 0, size) if upto <= MAX_LINE else None
    here = stored_hash(last)
    try:
        fields = check(last)
    except LineError:
        return None
    if fields["event_type"] == "gap" and (cut_off := _cut_off(last)) is not None:
        # In the registry a gap stands behind a cut-off line, which it names.
        _, before, _ = _last_two(fd, min(cut_off.offset, offset))
    if here is None or not continues(last, before):
        return None
    if fields["v"] != VERSION or (fields["seq"] == 0) != (before is None):
        return None
    return Ending(fields["seq"] + 1, here, fields["writer"], fields["event_type"], offset, size)


def _last_two(fd: int, size: int) -> tuple[int, bytes | None, bytes | None]:
    """Return the end of the last whole line, that line, and the one before it."""
    begin, data = size, b""
    while begin > 0 and data.count(b"\n") < _BOUNDS and size - begin <= 3 * MAX_LINE:
        step = min(_BLOCK if begin == size else MAX_LINE, begin)
        begin -= step
        data = os.pread(fd, step, begin) + data
    end = data.rfind(b"\n") + 1
    if end == 0:
        return 0, None, None
    lines = data[:end].split(b"\n")[:-1]
    # What stands first is whole only if the file begins there.
    known = lines if begin == 0 else lines[1:]
    last = known[-1] + b"\n" if known else None
    before = known[-2] + b"\n" if len(known) > 1 else None
    return begin + end, last, before


def fragment(fd: int, offset: int, end: int | None = None) -> Fragment | None:
    """Return what stands from *offset* to *end*, or that of the file; None if nothing does."""
    digest, length = sha256(), 0
    left = sys.maxsize if end is None else end - offset
    while block := os.pread(fd, min(1 << 20, left - length), offset + length):
        digest.update(block)
        length += len(block)
    return Fragment(offset, length, digest.hexdigest()) if length else None


def extent(fd: int, path: str) -> Extent:
    """Return the file open at *fd* as other lines name it: its lines, and what follows them."""
    ending = read_ending(fd)
    if ending is None or ending.lines == 0:
        return Extent(path=path, writer=None, lines=0, hash=None, fragment=fragment(fd, 0))
    return Extent(
        path=path,
        writer=ending.writer,
        lines=ending.lines,
        hash=ending.hash.decode(),
        fragment=fragment(fd, ending.offset),
    )


class _Gap(msgspec.Struct):
    """The part of a `gap` that names a fragment before it."""

    fragment: Fragment | None = None


def _cut_off(line: bytes) -> Fragment | None:
    try:
        return _decode_gap(line).fragment
    except msgspec.DecodeError:
        return None


class Opening(msgspec.Struct):
    """The part of a first line that says which file this one follows or forks from."""

    event_type: str
    writer: str
    follows: Extent | None = None
    parent: Parent | None = None


_decode_gap = msgspec.json.Decoder(_Gap).decode
_decode_opening = msgspec.json.Decoder(Opening).decode


def read_opening(fd: int) -> Opening | None:
    """Return what the first line of the file open at *fd* says of its origin, if it does."""
    data = os.pread(fd, _FIRST_LINE, 0)
    if b"\n" not in data:
        data += os.pread(fd, MAX_LINE - len(data), len(data))
    try:
        opening = _decode_opening(data[: data.find(b"\n") + 1])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return opening if opening.event_type == "writer_opened" else None
