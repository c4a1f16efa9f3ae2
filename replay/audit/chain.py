"""The hash chain of one file: is each line framed, and does its hash follow from the one before.

Pure: lines in, a verdict on each out; nothing here reads a file or the JSON in a line.  Where a
line is wrong the next one is tried with every hash that the wrong line may have had, so that one
flipped bit is one wrong line.  Specified in docs/trace-format.md, "Hash".
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from replay.trace.line import GENESIS, SUFFIX_LENGTH, line_hash, stored_hash

# Hashes that the line before may have had: as stored, as computed, and from before it; for two
# wrong lines in a row all of them.
_MOST_CANDIDATES: Final = 8
_NEWLINE: Final = 10
# Copying a hash that was begun takes 0.1 us less than beginning one.
_begun: Final = sha256(b"\0").copy


class Wrong:
    """Why a line is not right.

    Attributes:
        code: `bad_frame` or `bad_hash`.
        message: Got and want.
    """

    __slots__ = ("code", "message")

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message


class Chain:
    """Where the chain of one file stands.

    Attributes:
        candidates: The hashes that the next line may follow; one unless the last line was wrong.
        joined: The last line is the second half of one that a newline was put into: what is
            wrong was said of its first half.

    Args:
        previous: The 64 digits that the first line follows; None if they are not known, and
            its stored hash is taken as given.
    """

    def __init__(self, previous: bytes | None = GENESIS) -> None:
        self.candidates: tuple[bytes, ...] = () if previous is None else (previous,)
        self.joined = False
        self._broken: tuple[bytes, bytes] | None = None

    def together(self, lines: Sequence[bytes]) -> bool:
        """Return whether all *lines* are framed and right, and go on behind them if so.

        Cost: 0.7 us a line of 400 bytes, most of it SHA-256.
        """
        if len(self.candidates) != 1:
            return False
        previous = self.candidates[0]
        hashes: list[str] = []
        add = hashes.append
        for line in lines:
            computed = _begun()
            computed.update(previous + line[:-SUFFIX_LENGTH])
            add(computed.hexdigest())
            previous = line[-67:-3]
        suffixes = '"}\n,"hash":"'.join(hashes)
        # Equal suffixes are frames as well as hashes.
        if b"".join([line[-SUFFIX_LENGTH:] for line in lines]) != (
            f',"hash":"{suffixes}"}}\n'.encode()
        ):
            return False
        self.candidates = (previous,)
        self._broken = None
        self.joined = False
        return True

    def take(self, line: bytes) -> Wrong | None:
        """Go on behind *line*, with its newline; return what is wrong with it, or None."""
        self.joined = False
        stored = stored_hash(line)
        if stored is None:
            self._unframed(line)
            return Wrong("bad_frame", _got_frame(line))
        body = line[:-SUFFIX_LENGTH]
        computed = [line_hash(previous, body) for previous in self.candidates]
        broken, self._broken = self._broken, None
        # Without candidates the hash is taken as given.
        if not computed or stored in computed:
            self.candidates = (stored,)
            return None
        if broken is not None and _joins(*broken, body, stored):
            self.candidates = (stored,)
            self.joined = True
            return None
        self.candidates = tuple(dict.fromkeys((stored, *computed)))[:_MOST_CANDIDATES]
        return Wrong(
            "bad_hash", f"hash {stored.decode()}, want {computed[0].decode()} of what stands there"
        )

    def take_long(self, stored: bytes | None, computed: Sequence[bytes]) -> Wrong | None:
        """Go on behind a line that is too long to be held.

        Args:
            stored: Its hash, None if it is not framed.
            computed: What its hash would be behind each of the `candidates`.
        """
        self.joined = False
        self._broken = None
        if stored is None:
            self.candidates = tuple(dict.fromkeys((*self.candidates, *computed)))
            self.candidates = self.candidates[:_MOST_CANDIDATES]
            return Wrong("bad_frame", 'no hash at its end, want ,"hash":"..."}')
        if not computed or stored in computed:
            self.candidates = (stored,)
            return None
        self.candidates = tuple(dict.fromkeys((stored, *computed)))[:_MOST_CANDIDATES]
        return Wrong("bad_hash", f"hash {stored.decode()}, want {computed[0].decode()}")

    def restart(self, candidates: tuple[bytes, ...] = ()) -> None:
        """Let the next line follow one of *candidates*; without any, take its hash as given."""
        self.candidates = candidates
        self._broken = None

    def _unframed(self, line: bytes) -> None:
        """Keep every hash that may go on: of what stands there, and as if it were not there."""
        found: list[bytes] = []
        if len(line) > SUFFIX_LENGTH:
            found = [line_hash(previous, line[:-SUFFIX_LENGTH]) for previous in self.candidates]
            found.append(line[-67:-3])
        self._broken = (self.candidates[0], line[:-1]) if self.candidates else None
        self.candidates = tuple(dict.fromkeys((*self.candidates, *found)))[:_MOST_CANDIDATES]


def _joins(previous: bytes, first: bytes, body: bytes, stored: bytes) -> bool:
    """Return whether *body* is what a newline cut off from the line that begins with *first*.

    The newline stands in the place of a byte that differs in one bit, or was put in.
    """
    fillers = [b"", *(bytes([_NEWLINE ^ (1 << bit)]) for bit in range(8))]
    return any(line_hash(previous, first + filler + body) == stored for filler in fillers)


def _got_frame(line: bytes) -> str:
    return f'ends in {line[-90:-1]!r}, want ,"hash":" 64 digits "}}'
