"""The seal of one writer: when a checkpoint is due, what it says, and which key signs it.

The keys evolve: each checkpoint is signed by the current key, and the line before it names the
next one; then the current one is forgotten.  Whoever takes the machine has no key for what was
sealed before.  Rules: docs/trace-format.md, "Checkpoints".
"""

from typing import Any, Final, Protocol

import orjson

from observability.signing.keys import FirstKey, SigningKey
from replay.audit.checkpoint import ORIGIN, Checkpoint
from replay.audit.merkle import Tree
from replay.audit.seals import EVERY
from replay.trace.events import Signing

INTERVAL_NS: Final = 1_000_000_000


class Sealed(Protocol):
    """The file that a writer's lines stand in."""

    lines: int
    hash: bytes
    recent: Any  # the hashes of the last lines: (those before, the last), or ()


class Put(Protocol):
    """Appends a line of the writer."""

    def __call__(self, event_type: str, head: bytes, details: bytes) -> bytes:
        """Append an event; `head` as for `Writer.put`."""


class Sealer:
    """What one writer signs with.

    Args:
        writer: Its id.
        first: Its first key.
        begin: Lines of the file before its own.

    Attributes:
        due_lines: With so many lines in the file a checkpoint is due.
        due_ns: At that time of the monotonic clock a checkpoint is due.
        note: The newest checkpoint, a signed note; None before the first.
        sealing: A checkpoint is being written: its own lines are not counted.
    """

    def __init__(self, writer: str, first: FirstKey, *, begin: int, now_ns: int) -> None:
        self.note: str | None = None
        self.sealing = False
        self.due_lines, self.due_ns = begin + EVERY, now_ns + INTERVAL_NS
        self._origin = f"{ORIGIN}{writer}"
        self._begin = begin
        self._key, self._operator = first.key, first.operator
        self._certificate = first.certificate
        self._next: SigningKey | None = None
        self._tree = Tree()
        self._rotating: int | None = None  # lines before `key_rotated`
        self._noting: int | None = None  # lines before `checkpoint`
        self._draft = ""

    def declaration(self) -> Signing:
        """Return what `writer_opened` says of the first key."""
        key = str(self._key.verifier)
        return Signing(key=key, certificate=self._certificate, end_signed=True)

    def seal(self, file: Sealed, put: Put, *, now_ns: int, last: bool = False) -> None:
        """Write `key_rotated` and `checkpoint`; called again, it goes on where it was.

        Args:
            file: Settled: what an interrupted write left is known.
            put: Appends a line.
            now_ns: The monotonic clock.
            last: The writer closes.
        """
        self.due_lines = 0  # until it is done: what an exception interrupts is due
        if self._next is None:
            self._next = SigningKey.new(self._origin)
        if self._rotating is None:
            self._rotating = file.lines
        if file.lines == self._rotating:
            put("key_rotated", b"", orjson.dumps({"key": str(self._next.verifier)}))
        if self._noting is None:
            self._draft = self._signed(file, end=self._next if last else None)
            self._noting = file.lines
        if file.lines == self._noting:
            said = b',"message":"%d lines sealed"' % (file.lines - self._begin)
            put("checkpoint", said, orjson.dumps({"note": self._draft}))
        lines, due_ns = file.lines, now_ns + INTERVAL_NS
        # No call from here on: either all of it is so, or the next call goes on.
        self.note, self._key, self._next = self._draft, self._next, None
        self._rotating = self._noting = None
        file.recent = ((), file.hash)
        self.due_lines, self.due_ns = lines + EVERY, due_ns

    def _signed(self, file: Sealed, *, end: SigningKey | None) -> str:
        """Return the note over the lines so far; *end*, the next key, signs that of the end too.

        An earlier note has no such signature, so a trace that is cut off there is not closed.
        """
        count = file.lines - self._begin - self._tree.size
        hashes, recent = [], file.recent
        for _ in range(count):
            recent, digest = recent
            hashes.append(digest)
        tree = self._tree.copy()
        tree.extend(bytes.fromhex(b"".join(hashes[::-1]).decode()))
        self._tree = tree
        text = Checkpoint(self._origin, tree.size, tree.root()).text()
        others = () if end is None else (end, self._operator)
        return f"{text}\n{self._key.sign(text)}{''.join(key.sign(text) for key in others if key)}"
