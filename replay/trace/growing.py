"""A trace file that may grow: its lines from the end backwards, and what became of it.

`replay.trace.tail` decides what to read and when; this module looks at one file.  Nothing here
knows what a line means.
"""

import os
import stat
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from replay.trace.evidence import TraceError, open_evidence
from replay.trace.line import MAX_LINE

_BLOCK: Final = 1 << 16
# As much of the first line, and of the line read last, as tells two files apart: a line begins
# with the instant it was written, and ends in its hash.
_MARK: Final = 256


class Change(Enum):
    """What became of a file since it was last looked at."""

    NONE = "unchanged"
    GROWN = "grown"
    CUT = "cut"
    REWRITTEN = "rewritten"
    REPLACED = "replaced"
    REMOVED = "removed"


class Piece(NamedTuple):
    """A whole line and where it stands.

    Attributes:
        offset: Of its first byte.
        length: In bytes, newline included.
        data: The line; None when it is longer than `MAX_LINE`.
    """

    offset: int
    length: int
    data: bytes | None


class GrowingFile:
    """A file that is read up to an offset, and looked at again later.

    Attributes:
        path: Where it is.
        name: What people call it.
        offset: Bytes read so far; a newline stands before it.
        size: Bytes it had when it was last looked at.

    Raises:
        TraceError: It is a link, a directory, a FIFO or a device.
        OSError: It cannot be opened.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.offset = 0
        self._head = b""
        self._mark = b""
        self._unfinished = 0  # bytes of a line above the limit, whose newline is still to come
        self._is_behind = True  # whether there may be lines that were there at the last look
        self._stream: BinaryIO | None = open_evidence(path)
        found = os.fstat(self._stream.fileno())
        self._identity = (found.st_dev, found.st_ino)
        self.size = found.st_size
        self._mtime_ns = found.st_mtime_ns

    def descriptor(self) -> int:
        """Return the open file, which is opened again after `close`.

        Raises:
            TraceError: Another file has its name now.
            OSError: It cannot be opened.
        """
        if self._stream is None:
            stream = open_evidence(self.path)
            found = os.fstat(stream.fileno())
            if (found.st_dev, found.st_ino) != self._identity:
                stream.close()
                raise TraceError(self.name, "another file than before")
            self._stream = stream
        return self._stream.fileno()

    @property
    def is_open(self) -> bool:
        """Whether a descriptor is held."""
        return self._stream is not None

    def close(self) -> None:
        """Give the descriptor back."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def look(self) -> Change:
        """Compare what is at the path with what was read.  Cost: 3 us when nothing changed.

        A file that was written over in place is known by the bytes before `offset`; one that
        was replaced by its inode, which no other file can get while this one is open.
        """
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return Change.REMOVED
        if (found.st_dev, found.st_ino) != self._identity or not stat.S_ISREG(found.st_mode):
            return Change.REPLACED
        if found.st_size == self.size and found.st_mtime_ns == self._mtime_ns:
            return Change.GROWN if self._is_behind else Change.NONE
        self.size, self._mtime_ns = found.st_size, found.st_mtime_ns
        try:
            return self._compare(self.descriptor())
        except (FileNotFoundError, TraceError):
            return Change.REPLACED

    def _compare(self, descriptor: int) -> Change:
        head = os.pread(descriptor, len(self._head), 0)
        if head != self._head:
            return Change.REWRITTEN
        if self.size < self.offset:
            return Change.CUT
        mark = os.pread(descriptor, len(self._mark), self.offset - len(self._mark))
        if mark != self._mark:
            return Change.REWRITTEN
        return Change.GROWN if self.size > self.offset + self._unfinished else Change.NONE

    def go_to(self, offset: int) -> None:
        """Go on reading at *offset*, behind a newline, and remember what stands before it."""
        descriptor = self.descriptor()
        begin = max(0, offset - _MARK)
        self.offset, self._unfinished, self._is_behind = offset, 0, True
        self._mark = os.pread(descriptor, offset - begin, begin)
        self._head = os.pread(descriptor, min(_MARK, offset), 0)

    def read(self, limit: int) -> list[Piece]:
        """Return the whole lines from `offset` on, and move it behind them.

        Args:
            limit: Of bytes, at most `MAX_LINE`; a single line may be longer.
        """
        descriptor, begin = self.descriptor(), self.offset
        if self._unfinished:
            return self._read_on(descriptor)
        data = os.pread(descriptor, limit, begin)
        end = data.rfind(b"\n") + 1
        if end == 0 and len(data) == limit:
            data = os.pread(descriptor, MAX_LINE + 1, begin)
            # The one line; more may follow it.
            end = data.find(b"\n") + 1
        self._is_behind = end > 0
        if end == 0:
            self._unfinished = len(data) if len(data) > MAX_LINE else 0
            return self._read_on(descriptor) if self._unfinished else []
        if begin == 0:
            self._head = data[: min(_MARK, end)]
        self.offset = begin + end
        self._mark = data[max(0, end - _MARK) : end]
        pieces = []
        for line in data[:end].split(b"\n")[:-1]:
            length = len(line) + 1
            pieces.append(Piece(begin, length, line + b"\n" if length <= MAX_LINE else None))
            begin += length
        return pieces

    def _read_on(self, descriptor: int) -> list[Piece]:
        """Look for the newline of a line above the limit, of which the beginning was read."""
        while block := os.pread(descriptor, _BLOCK, self.offset + self._unfinished):
            found = block.find(b"\n") + 1
            self._unfinished += found or len(block)
            if found:
                piece = Piece(self.offset, self._unfinished, None)
                self.go_to(self.offset + self._unfinished)
                return [piece]
        return []

    def whole_end(self) -> int:
        """Return the offset behind the last newline."""
        descriptor, position = self.descriptor(), self.size
        while position > 0:
            size = min(_BLOCK, position)
            position -= size
            found = os.pread(descriptor, size, position).rfind(b"\n")
            if found >= 0:
                return position + found + 1
        return 0

    def backwards(self, end: int) -> Iterator[tuple[int, bytes | None]]:
        """Yield (offset, line) from the line that ends at *end* to the first one of the file.

        A line longer than `MAX_LINE` is None.  Memory: two lines and a block.

        Args:
            end: An offset behind a newline.
        """
        descriptor, position = self.descriptor(), end
        rest, too_long = b"", False  # the end of the line that `position` falls into
        while position > 0:
            size = min(_BLOCK, position)
            position -= size
            data = os.pread(descriptor, size, position) + rest
            stop = len(data) - 1
            while (begin := data.rfind(b"\n", 0, max(stop, 0)) + 1) > 0 or position == 0:
                line = data[begin : stop + 1]
                yield position + begin, None if too_long or len(line) > MAX_LINE else line
                too_long = False
                if begin == 0:
                    return
                stop = begin - 1
            rest = data[: stop + 1]
            if len(rest) > MAX_LINE:
                rest, too_long = b"\n", True

    def line_before(self, offset: int) -> bytes | None:
        """Return the line that ends at *offset*; None at the beginning, or if it is too long."""
        return next(self.backwards(offset), (0, None))[1]

    def count_lines(self, end: int) -> int:
        """Return how many lines end at or before *end*.  Cost: 0.3 s a GB."""
        descriptor, count = self.descriptor(), 0
        for begin in range(0, end, MAX_LINE):
            count += os.pread(descriptor, min(MAX_LINE, end - begin), begin).count(b"\n")
        return count
