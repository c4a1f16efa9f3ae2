"""The registry of an `audit/` folder: which writers it knows, and how far it says files reach.

Many processes append to it, a line at a time.  A fragment that one of them left at its end got a
newline and a `gap` line from the next, which names it: that is no damage.  If that one was
killed in the middle of it, the next `gap` names all of it.
"""

from hashlib import sha256
from typing import Any

import msgspec
import orjson

from replay.audit.facts import Claim, Facts, Mark, Spot, Torn
from replay.audit.lines import Lines
from replay.audit.writers import converted
from replay.trace.ending import is_cut_off
from replay.trace.events import Extent, Fragment
from replay.trace.line import SUFFIX_LENGTH, line_hash, stored_hash


class _Before(msgspec.Struct):
    """The state before a line was taken, in case it turns out to be, or begin, a fragment."""

    offset: int
    count: int
    candidates: tuple[bytes, ...]
    seq: int | None
    lines: int
    damaged: bool
    intact: int | None
    n_findings: int
    n_claims: int
    learnt: set[str]


class _Run:
    """Lines that may together be a fragment: wrong ones in a row, and the one behind them.

    Attributes:
        before: The state before the first of them.
        cut_off: Each wrong one is the beginning of a line, and not all of it.
    """

    def __init__(self, before: _Before) -> None:
        self.before = before
        self.cut_off = True
        self._length = 0
        self._digest = sha256()
        self._line = b""

    def add(self, line: bytes) -> None:
        self._digest.update(self._line)
        self._length += len(self._line)
        self._line = line

    def fragment(self) -> Fragment:
        """Return all of them, without the last newline."""
        digest = self._digest.copy()
        digest.update(self._line[:-1])
        length = self._length + len(self._line) - 1
        return Fragment(self.before.offset, length, digest.hexdigest())

    def last(self) -> Fragment:
        """Return the last of them, without its newline."""
        digest = sha256(self._line[:-1]).hexdigest()
        return Fragment(self.before.offset + self._length, len(self._line) - 1, digest)


class RegistryScan(Lines):
    """Takes the lines of a registry.

    Attributes:
        known: The writers that stand in it.

    Cost: 6 us a line.
    """

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self.known: set[str] = set()
        self._before: _Before | None = None
        self._run: _Run | None = None

    def line(self, line: bytes) -> None:
        """Take a whole line."""
        facts, run, last, undone = self.facts, self._run, self._before, False
        if run is not None and last is not None and b'"gap"' in line:
            # A gap names the line before it, or all that is wrong before it as well.
            for before, fragment in ((run.before, run.fragment()), (last, run.last())):
                if _names(line, fragment, before.candidates):
                    self._undo(before)
                    undone = True
                    break
        before = self._before = _Before(
            offset=facts.size,
            count=facts.count,
            candidates=self.chain.candidates,
            seq=self.seq,
            lines=facts.lines,
            damaged=facts.damaged,
            intact=facts.intact,
            n_findings=len(facts.findings),
            n_claims=len(facts.claims),
            learnt=set(),
        )
        # Of the gap itself the newline may be missing: then the next gap names it as well.
        if self._run is None or not (facts.ends_damaged or undone):
            self._run = _Run(before)
        self._run.add(line)
        super().line(line)
        if facts.ends_damaged and self._run.cut_off:
            self._run.cut_off = is_cut_off(line[:-1])

    def end(self) -> None:
        """Take notice of the end of the file: of a `gap` there may be no more than a newline."""
        run, facts = self._run, self.facts
        if run is not None and facts.ends_damaged and run.cut_off and self._long is None:
            before, whole = run.before, facts.whole()
            self._undo(before)
            facts.size, facts.count = before.offset, before.count
            facts.torn = Torn(before.offset, whole - before.offset)
        super().end()

    def event(self, line: bytes, fields: dict[str, Any], spot: Spot) -> None:
        """Take down what the registry says of a writer and its file."""
        del line
        facts = self.facts
        facts.marks[fields["seq"] + 1] = Mark((fields["hash"].encode(),), spot)
        for key in ("trace", "follows"):
            extent = converted(fields.get(key), Extent)
            if extent is not None:
                facts.claims.append(Claim(extent, key, spot, fields["writer"]))
                if extent.writer is not None:
                    self._learn(extent.writer)

    def _learn(self, writer: str) -> None:
        if writer not in self.known and self._before is not None and self._run is not None:
            self._before.learnt.add(writer)
            self._run.before.learnt.add(writer)
        self.known.add(writer)

    def _undo(self, before: _Before) -> None:
        """Take the last line back: it is a fragment that this line names."""
        facts = self.facts
        self.chain.restart(before.candidates)
        self.seq = before.seq
        facts.lines = before.lines
        facts.damaged, facts.intact = before.damaged, before.intact
        facts.ends_damaged = False
        del facts.findings[before.n_findings :]
        del facts.claims[before.n_claims :]
        self.known -= before.learnt
        for lines in [lines for lines in facts.marks if lines > before.lines]:
            del facts.marks[lines]


def _names(line: bytes, fragment: Fragment, candidates: tuple[bytes, ...]) -> bool:
    """Return whether *line* is a `gap` that names *fragment* and follows what stood before it."""
    if b'"gap"' not in line:
        return False
    stored = stored_hash(line)
    if stored not in [line_hash(previous, line[:-SUFFIX_LENGTH]) for previous in candidates]:
        return False
    try:
        fields: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return (
        fields.get("event_type") == "gap"
        and converted(fields.get("fragment"), Fragment) == fragment
    )
