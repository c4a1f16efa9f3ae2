"""The lines of a file, one after the other, each with what the chain says of it.

A base for `replay.audit.scan` and `replay.audit.registry`: it keeps the place (line, offset,
`seq`), reads lines that are too long in bounded memory, and reports rows 1 and 6 of
docs/auditing.md.
"""

from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import IO, Any, Final

import orjson

from replay.audit.chain import Chain, Wrong
from replay.audit.facts import Facts, Mark, Spot, Torn
from replay.trace.events import VERSION
from replay.trace.line import GENESIS, MAX_LINE, SUFFIX_LENGTH, LineError, check, stored_hash

# A block in memory is at most so many lines of at most 1 MiB.
_BLOCK_LINES: Final = 48
_SEQ_DIGITS: Final = 16

Progress = Callable[[int], None]


class _LongLine:
    """What is kept of a line longer than `MAX_LINE`: its end, and the hashes of the rest."""

    def __init__(self, candidates: Sequence[bytes]) -> None:
        self.length = 0
        self._end = b""
        self._hashes = [sha256(b"\0" + previous) for previous in candidates]

    def add(self, piece: bytes) -> None:
        self.length += len(piece)
        held = self._end + piece
        for computed in self._hashes:
            computed.update(held[:-SUFFIX_LENGTH])
        self._end = held[-SUFFIX_LENGTH:]

    def stored(self) -> bytes | None:
        return stored_hash(b"." + self._end)

    def computed(self) -> list[bytes]:
        return [found.hexdigest().encode() for found in self._hashes]


class Lines:
    """Takes the lines of one file in order and fills its `Facts`.

    Args:
        facts: Where what is found goes; `size`, `count` and `lines` are the place reached.
        previous: The hash that the first line follows.
    """

    def __init__(self, facts: Facts, *, previous: bytes | None = GENESIS) -> None:
        self.facts = facts
        self.chain = Chain(previous)
        self.seq: int | None = 0  # of the next line; None when nothing is expected
        self._long: _LongLine | None = None

    def read(self, stream: IO[bytes], *, length: int, progress: Progress | None = None) -> None:
        """Take the next *length* bytes of *stream*, or what there is of them.

        Args:
            stream: At the place reached.
            length: Bytes up to the end of a line, or of the file as it was when it was opened.
            progress: Called with the number of bytes taken, now and then.
        """
        pieces = iter(partial(stream.readline, MAX_LINE), b"")
        while length > 0:
            block: list[bytes] = []
            try:
                block += islice(pieces, _BLOCK_LINES)
            finally:  # what was read before an error is taken nevertheless
                size = sum(map(len, block))
                while block and size - len(block[-1]) >= length:
                    size -= len(block.pop())
                length -= size
                if block:
                    self.feed(block, size)
            if not block:
                return
            if progress is not None:
                progress(size)

    def feed(self, block: Sequence[bytes], size: int) -> None:
        """Take the next lines, or pieces of lines of `MAX_LINE` bytes; *size* bytes in all."""
        del size
        for piece in block:
            self.piece(piece)

    def piece(self, piece: bytes) -> None:
        """Take a line, or a piece of one."""
        whole = piece.endswith(b"\n")
        if self._long is not None:
            self._long.add(piece)
            if whole:
                self._end_long(self._long)
        elif whole:
            self.line(piece)
        elif len(piece) >= MAX_LINE:
            self._long = _LongLine(self.chain.candidates)
            self._long.add(piece)
        else:
            self.facts.torn = Torn(self.facts.size, len(piece))

    def end(self) -> None:
        """Take notice of the end of the file."""
        if self._long is not None:
            self.facts.torn = Torn(self.facts.size, self._long.length)
            self._long = None
        self.facts.n_own = len(self.facts.findings)

    def line(self, line: bytes) -> None:
        """Take a whole line."""
        wrong = self.chain.take(line)
        if wrong is not None:
            self.wrong(wrong, line)
        elif self.chain.joined:
            self._pass(len(line), lines=0)
            self.uncertain()
        else:
            self.right(line)

    def right(self, line: bytes) -> None:
        """Take a line whose hash is right."""
        try:
            fields = check(line)
        except LineError as error:
            if not self._newer(line):
                self.wrong(Wrong("malformed", str(error)), line)
            return
        if fields["v"] != VERSION:
            self._newer(line)
            return
        spot, expected = self.spot(fields["seq"]), self.seq
        if expected is not None and spot.seq != expected:
            self.facts.report("bad_seq", spot, f"seq {spot.seq}, want {expected}{self.intact()}")
            self._damage()
        self.seq = fields["seq"] + 1
        self.facts.lines = fields["seq"]
        self.facts.ends_newer = False
        self.event(line, fields, spot)
        self._pass(len(line))

    def event(self, line: bytes, fields: dict[str, Any], spot: Spot) -> None:
        """Take the event in a line that keeps every rule."""
        raise NotImplementedError

    def wrong(self, wrong: Wrong, line: bytes) -> None:
        """Report *line*, and go on behind it."""
        spot = self.spot(seq_of(line))
        self.facts.report(wrong.code, spot, f"{wrong.message}{self.intact()}")
        self._damage()
        self._pass(len(line))
        self.facts.ends_damaged = True
        self.uncertain()

    def uncertain(self) -> None:
        """Forget what was expected of the next line: this one could not be read."""
        self.seq = None

    def spot(self, seq: int | None) -> Spot:
        """Return the place reached."""
        return Spot(self.facts.path, self.facts.count + 1, seq, self.facts.size)

    def intact(self) -> str:
        """Return what is still good, for a message about the next line."""
        n = self.facts.count if self.facts.intact is None else self.facts.intact
        if n == 0:
            return "; no line before it is intact"
        return "; the line before it is intact" if n == 1 else f"; the first {n} lines are intact"

    def _damage(self) -> None:
        self.facts.damaged = True
        if self.facts.intact is None:
            self.facts.intact = self.facts.count

    def _pass(self, length: int, *, lines: int = 1) -> None:
        """Move the place behind a line of *length* bytes."""
        facts = self.facts
        spot = self.spot(None)
        facts.size += length
        facts.count += 1
        facts.lines += lines
        facts.ends_damaged = False
        facts.last = spot
        if len(self.chain.candidates) != 1:
            facts.marks[facts.lines] = Mark(self.chain.candidates, spot)

    def _end_long(self, found: _LongLine) -> None:
        self._long = None
        wrong = self.chain.take_long(found.stored(), found.computed())
        if wrong is None:
            wrong = Wrong("malformed", f"line of {found.length} bytes, want at most {MAX_LINE}")
        self.wrong(wrong, b"")
        self.facts.size += found.length

    def _newer(self, line: bytes) -> bool:
        """Return whether *line*, whose hash is right, is of a newer version; note it if so."""
        try:
            version = orjson.loads(line).get("v")
        except (orjson.JSONDecodeError, AttributeError):
            return False
        if type(version) is not int or version <= VERSION:
            return False
        if self.facts.newer is None:
            spot = self.facts.newer = self.spot(seq_of(line))
            self.facts.report(
                "newer_version",
                spot,
                f"format version {version}, this program knows {VERSION}; from there on only "
                "frames and hashes were checked. Run: pip install -U auditfold",
            )
        self._pass(len(line))
        self.facts.ends_newer = True
        self.uncertain()
        return True


def seq_of(line: bytes) -> int | None:
    """Return the `seq` that stands in *line*, however wrong the line is; None if none does."""
    _, found, rest = line[:200].partition(b'"seq":')
    digits = rest.partition(b",")[0]
    return int(digits) if found and digits.isdigit() and len(digits) <= _SEQ_DIGITS else None
