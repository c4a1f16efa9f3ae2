"""The registry of an `audit/` folder: which writers it knows, and how far it says files reach.

Many processes append to it, a line at a time.  A fragment that one of them left at its end got a
newline and a `gap` line from the next, which names it: that is no damage.
"""

from hashlib import sha256
from typing import Any

import msgspec
import orjson

from replay.audit.facts import Claim, Facts, Mark, Spot
from replay.audit.lines import Lines
from replay.audit.writers import converted
from replay.trace.events import Extent, Fragment
from replay.trace.line import SUFFIX_LENGTH, line_hash, stored_hash


class _Before(msgspec.Struct):
    """The state before a line was taken, in case it turns out to be a fragment."""

    fragment: Fragment
    candidates: tuple[bytes, ...]
    seq: int | None
    lines: int
    damaged: bool
    intact: int | None
    n_findings: int
    n_claims: int
    learnt: set[str]


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

    def line(self, line: bytes) -> None:
        """Take a whole line."""
        before = self._before
        if before is not None and _names(line, before.fragment, before.candidates):
            self._undo(before)
        facts = self.facts
        digest = sha256(line[:-1]).hexdigest()
        self._before = _Before(
            fragment=Fragment(facts.size, len(line) - 1, digest),
            candidates=self.chain.candidates,
            seq=self.seq,
            lines=facts.lines,
            damaged=facts.damaged,
            intact=facts.intact,
            n_findings=len(facts.findings),
            n_claims=len(facts.claims),
            learnt=set(),
        )
        super().line(line)

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
        if writer not in self.known and self._before is not None:
            self._before.learnt.add(writer)
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
