"""Row 4 of docs/auditing.md: is what a writer declared to sign signed, and by whom.

A second pass over the lines of a file whose chain is right: the hashes that stand there are the
leaves of its writers' trees.  Pure; `replay.audit.reading` gives it the lines.  Specified in
docs/trace-format.md, "Checkpoints".
"""

from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from typing import Any, Final

import msgspec
import orjson

from replay.audit.checkpoint import (
    ORIGIN,
    Certificate,
    Checkpoint,
    KeyTextError,
    NoteError,
    VerifierKey,
    open_note,
    split_note,
)
from replay.audit.facts import Facts, Span, Spot
from replay.audit.merkle import Tree

EVERY: Final = 256  # events of a writer before its next checkpoint

_DIGITS: Final = slice(-67, -3)
_RUN: Final = ("run_id", "workflow_id", "step_number")
_CLOSING: Final = 3  # the lines that no later checkpoint covers, and the one before them
_BLOCK: Final = 256  # lines looked at together
_MOST_HASHES: Final = 4096  # that wait for a checkpoint before they go into the tree


class Seal(msgspec.Struct):
    """What the checkpoints of one writer amount to.

    Attributes:
        writer: Its id.
        signer: Who certified its first key, `NAME+ID`, several with a comma.
        certified: Whether one of the keys that were given did.
        checked: Whether signatures were checked, which takes the extra `sign`.
        lines: How many of its lines the last checkpoint covers.
        roots: Of its checkpoints, by size.
        first: Its first key, 32 bytes; empty where that is none.
        unsealed: How many lines stand behind what its last checkpoint covers; 0 if it closed.
    """

    writer: str
    signer: str = ""
    certified: bool = False
    checked: bool = True
    lines: int = 0
    roots: dict[int, bytes] = {}
    first: bytes = b""
    unsealed: int = 0


def check_seals(lines: Iterable[bytes], facts: Facts, vkeys: Sequence[VerifierKey]) -> None:
    """Add the seals of all writers in a file, and what is wrong with them, to its facts.

    Args:
        lines: Of the file from its beginning, as many as there were when it was read.
        facts: What reading it gave, `sealing` too; nothing is damaged.
        vkeys: The keys that have to have certified each writer; none: nobody has to.

    Raises:
        ModuleNotFoundError: There are keys, and the extra `sign` is not installed.

    Cost: 0.8 us a line of a writer that signs, and 100 us a checkpoint, most of it the signature;
    with `chain_only` 0.6 us a line more.
    """
    place, sealing = iter(lines), iter([*facts.sealing, facts.count + 1])
    mark = next(sealing)
    for n, span in enumerate(facts.spans):
        end = facts.spans[n + 1].spot.line if n + 1 < len(facts.spans) else facts.count + 1
        mine, marks = islice(place, end - span.spot.line), []
        while mark < end:
            marks.append(mark - span.spot.line)
            mark = next(sealing)
        if span.signing is not None:
            _Scan(span, facts, vkeys).run(mine, marks)
        elif vkeys:
            facts.report("unauthorised", span.spot, f"writer {span.writer} does not sign")
        for _ in mine:  # what a writer that does not sign has left
            pass


def sealing_lines(lines: Iterator[bytes]) -> list[int]:
    """Return the numbers of the lines that may seal others.

    Cost: 0.6 us a line.
    """
    found, n = [], 0
    while block := list(islice(lines, _BLOCK)):
        if _may_be_sealing(b"".join(block)):
            found += [k for k, line in enumerate(block, n + 1) if _may_be_sealing(line)]
        n += len(block)
    return found


class _Scan:
    """The lines of one writer that signs."""

    def __init__(self, span: Span, facts: Facts, vkeys: Sequence[VerifierKey]) -> None:
        self._span = span
        self._facts = facts
        self._vkeys = vkeys
        self._tree = Tree()
        self._hashes: list[bytes] = []
        self._since = 0  # events since the last checkpoint
        self._key: VerifierKey | None = None
        self._next: VerifierKey | None = None
        self._sound = True
        self._at = -1  # of the last checkpoint
        self._is_end = False  # whether it is signed as the closing one is
        self.seal = Seal(span.writer, roots={})
        self.seal.checked = bool(vkeys) or find_spec("cryptography") is not None

    def run(self, lines: Iterator[bytes], marks: Iterable[int]) -> None:
        """Take all lines of the writer; *marks* are the places, from 0, of those that seal."""
        self._facts.seals.append(self.seal)
        self._open()
        n, offset, last = 0, self._span.spot.offset, list[bytes]()
        for mark in [*marks, None]:
            while block := list(islice(lines, _BLOCK if mark is None else min(_BLOCK, mark - n))):
                self._events(block, n, offset)
                n, offset = n + len(block), offset + sum(map(len, block))
                last = [*last, *block][-_CLOSING:]
            for line in islice(lines, mark is not None):  # none if somebody has cut the file
                self._sealing(line, n, offset)
                n, offset, last = n + 1, offset + len(line), [*last, line][-_CLOSING:]
        if not self._span.closed:
            self.seal.unsealed = n - self.seal.lines
        elif message := self._closed_wrongly(n, last):
            self._wrong(n - 1, offset - sum(map(len, last[-1:])), message)

    def _closed_wrongly(self, n: int, last: list[bytes]) -> str | None:
        """Return what is wrong with the end of a writer of *n* lines, the *last* ones given."""
        if self._at != n - 2:
            return "closed without a checkpoint of all lines before"
        declared = self._span.signing
        if declared is not None and declared.end_signed and not self._is_end:
            return "closed behind a checkpoint that is not signed as the last one"
        first, *others = [[one.get(key) for key in _RUN] for one in map(_fields_of, last)]
        return None if others == [first] * len(others) else "its closing lines are of another run"

    def _events(self, block: Sequence[bytes], n: int, offset: int) -> None:
        """Take lines that seal nothing, the first of them the *n*-th of the writer from 0."""
        over = self._since + len(block) - EVERY
        if over > 0 and self._sound:
            k = len(block) - over
            message = f"{EVERY + 1} events without a checkpoint, want one by now"
            self._wrong(n + k, offset + sum(map(len, block[:k])), message)
        self._since += len(block)
        self._hashes += [line[_DIGITS] for line in block]
        if len(self._hashes) > _MOST_HASHES:
            self._grow()

    def _sealing(self, line: bytes, n: int, offset: int) -> None:
        """Take a line that may be of the seal, which is no event that a checkpoint waits for."""
        fields = _fields_of(line)
        if fields.get("event_type") == "key_rotated":
            self._rotate(fields, n, offset)
        elif fields.get("event_type") == "checkpoint":
            self._since = 0
            self._checkpoint(fields, n, offset)
        else:
            self._events([line], n, offset)
            return
        self._hashes.append(line[_DIGITS])

    def _open(self) -> None:
        """Look at the first key and its certificate."""
        declared, span = self._span.signing, self._span
        if declared is None:
            return
        try:
            self._key = _key_of(declared.key)
            self.seal.first = self._key.public
            text, signatures = split_note(declared.certificate)
            certificate = Certificate.parse(text)
            self.seal.signer = ", ".join(f"{one.name}+{one.key_id}" for one in signatures)
            if certificate.key != self._key or certificate.writer not in {None, span.writer}:
                raise NoteError("the certificate is for another key or another writer")
        except (NoteError, KeyTextError) as error:
            self._wrong(0, span.spot.offset, str(error))
            if self._vkeys:
                self._facts.report("unauthorised", span.spot, f"no certificate: {error}")
            return
        if not self._vkeys:
            return
        try:
            open_note(declared.certificate, self._vkeys)
            self.seal.certified = True
        except NoteError as error:
            said = f"the certificate of writer {span.writer}: {error}"
            self._facts.report("unauthorised", span.spot, said)

    def _rotate(self, fields: dict[str, Any], n: int, offset: int) -> None:
        try:
            self._next = _key_of(str(fields.get("key")))
        except KeyTextError as error:
            self._wrong(n, offset, str(error))

    def _checkpoint(self, fields: dict[str, Any], n: int, offset: int) -> None:
        """Compare a checkpoint with the lines before it."""
        self._grow()
        key, self._key, self._next = self._key, self._next, None
        try:
            text, signatures = split_note(str(fields.get("note")))
            said = Checkpoint.parse(text)
            want = Checkpoint(f"{ORIGIN}{self._span.writer}", n, self._tree.root())
            if said != want:
                raise NoteError(_difference(said, want))
            if key is None or self._key is None:
                raise NoteError("no key was named for it" if key is None else "no key_rotated")
            signers = {(one.name, one.key_id) for one in signatures}
            if (key.name, key.id) not in signers:
                raise NoteError(f"not signed by {key.name}+{key.id}")
            if self.seal.checked:
                open_note(str(fields.get("note")), [key, self._key, *self._vkeys])
            self._is_end = (self._key.name, self._key.id) in signers
        except NoteError as error:
            self._wrong(n, offset, str(error))
            return
        self._at, self.seal.lines = n, n
        self.seal.roots[n] = said.root

    def _grow(self) -> None:
        """Take the hashes so far into the tree."""
        self._tree.extend(bytes.fromhex(b"".join(self._hashes).decode()))
        self._hashes.clear()

    def _wrong(self, n: int, offset: int, message: str) -> None:
        """Report once that the seal of this writer is broken."""
        if not self._sound:
            return
        self._sound = False
        begin, sealed = self._span.spot, self.seal.lines
        spot = Spot(self._facts.path, begin.line + n, (begin.seq or 0) + n, offset)
        intact = f"; its first {sealed} lines are sealed" if sealed else ""
        said = f"the seal of writer {self._span.writer} is broken: {message}{intact}"
        self._facts.report("unsealed", spot, said)


def _key_of(text: str) -> VerifierKey:
    """Return the key that *text* is, as a writer writes it: nothing around it, digits small."""
    key = VerifierKey.parse(text)
    if str(key) != text:
        raise KeyTextError(f"verifier key {key.name} is not in its one form")
    return key


def _fields_of(line: bytes) -> dict[str, Any]:
    """Return the event in *line*; nothing where it is none, which `--chain` does not notice."""
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _may_be_sealing(text: bytes) -> bool:
    """Return whether a line in *text* may seal others; names may be written with escapes."""
    if b'"checkpoint"' in text or b'"key_rotated"' in text:
        return True
    return b"\\" in text and b"\\u" in text  # one byte is found ten times as fast as two


def _difference(said: Checkpoint, want: Checkpoint) -> str:
    if said.origin != want.origin:
        return f"a checkpoint of {said.origin}, want {want.origin}"
    if said.size != want.size:
        return f"a checkpoint of {said.size} lines, want {want.size}"
    if said.root != want.root:
        return f"root {said.root.hex()}, want {want.root.hex()} of what stands there"
    return "a checkpoint with further lines"
