"""Who writes the lines of a trace file, and how far they say that files reach.

Row 2 of docs/auditing.md: the lines of a writer begin with `writer_opened`, end with
`writer_closed`, and nobody writes in between; an unclosed writer is named by the one behind it.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from replay.audit.counts import Tally
from replay.audit.facts import Claim, Facts, Mark, Span, Spot
from replay.audit.names import REGISTRY_NAME
from replay.trace.events import Extent, Parent, Process, RegistryEnd, Signing
from replay.trace.line import stored_hash

UNKNOWN: Final = ""
T = TypeVar("T")


class Seam(msgspec.Struct):
    """Where a part of a file begins and ends, for putting parts together.

    Attributes:
        seq: Of its first line; 0 at the beginning of the file.
        opens: Its first line is a `writer_opened`.
        names: The writer that the `follows` of such a line names.
        writer: Of its first line.
        owner: The writer at its end.
        closed: Whether that writer is closed.
        tally: Of that writer.
    """

    seq: int = 0
    opens: bool = False
    names: str | None = None
    writer: str = UNKNOWN
    owner: str = UNKNOWN
    closed: bool = False
    tally: Tally | None = None


class Writers:
    """The writers of one trace file, line by line.

    Args:
        facts: Where spans, claims and findings go.
        followed: Writers whose unfinished runs another file may go on with.
        seq: Of the first line; if it is not 0, who wrote before it is not known.

    Attributes:
        owner: The writer whose lines these are, `UNKNOWN` behind a line that could not be read.
        closed: Whether the last line closed it.
        tally: What it has counted.
        seam: For putting parts together.
    """

    def __init__(self, facts: Facts, followed: frozenset[str], *, seq: int) -> None:
        self.owner = UNKNOWN
        self.closed = False
        self.tally = Tally(None, doubtful=True)
        self.seam = Seam(seq)
        self._facts = facts
        self._followed = followed
        self._intruder = UNKNOWN
        self._started = seq > 0

    def take(self, fields: Mapping[str, Any], spot: Spot, before: bytes) -> str | None:
        """Take notice of who writes the next line; return what is wrong with that, or None.

        Args:
            fields: The line.
            spot: Where it stands.
            before: The line before it; empty if that is not at hand.
        """
        writer, opens = fields["writer"], fields["event_type"] == "writer_opened"
        if self.seam.seq > 0 and spot.seq == self.seam.seq:
            self.seam.writer, self.seam.opens = writer, opens
            self.seam.names = follows_writer(fields)
        wrong = None if self._facts.excerpt else self._out_of_form(fields, opens=opens)
        self._started = True
        inside = self.owner != UNKNOWN and not self.closed and not self._facts.excerpt
        if writer != self.owner and not opens and inside:
            self._intruder = writer
            return wrong
        if writer != self.owner or opens:
            self._begin(fields, spot, opens=opens)
        elif fields.get("run_id") != self.tally.run_id:
            self.tally = Tally(fields.get("run_id"), doubtful=self.tally.doubtful)
        self.closed = fields["event_type"] == "writer_closed"
        self._facts.spans[-1].closed = self.closed
        if opens or self.closed:
            self._mark(fields, spot, before)
        elif fields["event_type"] == "writer_settled":
            self._claim(fields, "settled", spot)
        return wrong

    def forget(self) -> None:
        """Forget who writes: a line that could not be read may have changed that."""
        self._started = True
        self.owner = self._intruder = UNKNOWN
        self.closed = False
        self.tally.doubtful = True

    def end(self) -> None:
        """Take notice of the end of the file, or of the part."""
        self.seam.owner, self.seam.closed, self.seam.tally = self.owner, self.closed, self.tally
        self._keep_unfinished()

    def _out_of_form(self, fields: Mapping[str, Any], *, opens: bool) -> str | None:
        writer, event_type, owner = fields["writer"], fields["event_type"], self.owner
        if not self._started:
            return None if opens else f"the first event is {event_type}, want writer_opened"
        if owner == UNKNOWN:
            return None
        if self.closed:
            return None if opens else f"{event_type} behind writer_closed, want writer_opened"
        if opens:
            if follows_writer(fields) == owner:
                return None
            return f"writer {writer} begins behind {owner}, which is not closed, without naming it"
        if writer in {owner, self._intruder}:
            return None
        return f"an event of writer {writer} inside the lines of {owner}"

    def _begin(self, fields: Mapping[str, Any], spot: Spot, *, opens: bool) -> None:
        writer, spans = fields["writer"], self._facts.spans
        if opens or not spans or spans[-1].writer != writer:
            spans.append(Span(writer, spot))
        self._keep_unfinished()
        before, self.tally = self.tally, Tally(fields.get("run_id"))
        if opens:
            spans[-1].process = converted(fields.get("process"), Process)
            parent = converted(fields.get("parent"), Parent)
            spans[-1].parent = None if parent is None else parent.writer
            if fields.get("signing") is not None:
                # What cannot be read was declared nevertheless.
                spans[-1].signing = converted(fields["signing"], Signing) or Signing("", "")
            self._follow(fields, before)
            self._claim(fields, "follows", spot)
            self._claim_registry(fields, spot)
        elif self.seam.seq > 0 and spot.seq == self.seam.seq:
            self.tally.partial = True
        else:
            self.tally.doubtful = True
        self.owner, self._intruder = writer, UNKNOWN

    def _follow(self, fields: Mapping[str, Any], before: Tally) -> None:
        """Go on with the counts of the writer that this one follows in its run."""
        named = follows_writer(fields)
        if named is None or self.tally.run_id is None:
            return
        if named != self.owner:
            self.tally.behind = named
        elif before.run_id == self.tally.run_id:
            self.tally.follow(before)

    def _keep_unfinished(self) -> None:
        if self.owner in self._followed and not self.tally.ended:
            self._facts.unfinished[self.owner] = self.tally

    def _mark(self, fields: Mapping[str, Any], spot: Spot, before: bytes) -> None:
        """Keep the hashes that others name: of this line, and of the one before it."""
        seq, path, marks = fields["seq"], self._facts.path, self._facts.marks
        marks[seq + 1] = Mark((fields["hash"].encode(),), spot)
        if seq > 0 and seq not in marks and (stored := stored_hash(before)) is not None:
            ahead = Spot(path, spot.line - 1, seq - 1, spot.offset - len(before))
            marks[seq] = Mark((stored,), ahead)

    def _claim(self, fields: Mapping[str, Any], key: str, spot: Spot) -> None:
        extent = converted(fields.get(key), Extent)
        if extent is not None:
            self._facts.claims.append(Claim(extent, key, spot, fields["writer"]))

    def _claim_registry(self, fields: Mapping[str, Any], spot: Spot) -> None:
        end = converted(fields.get("registry"), RegistryEnd)
        if end is not None:
            extent = Extent(path=REGISTRY_NAME, writer=None, lines=end.lines, hash=end.hash)
            self._facts.claims.append(Claim(extent, "registry", spot, fields["writer"]))


def follows_writer(fields: Mapping[str, Any]) -> str | None:
    """Return the writer that the `follows` in *fields* names, None if it names none."""
    follows = fields.get("follows")
    named = follows.get("writer") if isinstance(follows, dict) else None
    return named if isinstance(named, str) else None


def converted(value: Any, kind: type[T]) -> T | None:
    """Return *value* as a *kind*, None if it does not fit: a trace may say anything."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None
