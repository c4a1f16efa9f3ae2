"""What one pass over a file established, so that files can be compared without reading again.

Values only; `replay.audit.scan` fills them, `replay.audit.registry` and `replay.audit.judge`
compare them.  All of it can be pickled, because parts of a file are read in several processes.
"""

from typing import Any, Final, Literal

import msgspec

from replay.findings import Finding, Severity
from replay.trace.events import Extent, Process, Signing

Kind = Literal["chained", "older", "other", "empty", "absent"]
SEALING: Final = ("key_rotated", "checkpoint")  # types of events that seal those before


class Spot(msgspec.Struct, frozen=True, gc=False):
    """Where a line stands.

    Attributes:
        path: The file, as findings call it.
        line: From 1.
        seq: The line's `seq`, where it could be read.
        offset: Of its first byte.
    """

    path: str
    line: int
    seq: int | None
    offset: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line} (byte {self.offset})"


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A line that says how far a file reaches.

    Attributes:
        extent: What it says.
        said_as: The key it stands under: `follows`, `settled`, `trace` or `registry`.
        spot: The line.
        by: The writer that says it.
    """

    extent: Extent
    said_as: str
    spot: Spot
    by: str


class Span(msgspec.Struct, gc=False):
    """The lines of one writer in a file.

    Attributes:
        writer: Its id.
        spot: Its first line.
        process: Who that was, if its `writer_opened` said so.
        closed: Whether `writer_closed` is its last line.
        parent: The writer that it was forked from.
        signing: What it declared to sign with; without a text where that is nothing known.
    """

    writer: str
    spot: Spot
    process: Process | None = None
    closed: bool = False
    parent: str | None = None
    signing: Signing | None = None


class Output(msgspec.Struct, frozen=True, gc=False):
    """One `artifact_written` with the role `output`.

    Attributes:
        path: As recorded: relative to OUT with `/`, or absolute.
        spot: The line.
        timestamp: Of the line.
        writer: Of the line.
    """

    path: str
    kind: str
    size: int | None
    digest: str | None
    entries: list[tuple[str, int, str]] | None
    run_id: str | None
    node_id: str | None
    spot: Spot
    timestamp: str
    writer: str


State = Literal["ok", "changed", "missing", "untracked", "superseded", "unverified"]


class Item(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """How one output stands.

    Attributes:
        path: The file or directory as recorded; None for a value that a node returned.
        state: Among these, only `changed`, `missing` and `untracked` are bad.
        expected: The digest that was recorded.
        actual: The digest as of now, where it could be computed.
        run_id: The run that recorded it.
        node_id: The node that made it.
    """

    path: str | None
    state: State
    expected: str | None = None
    actual: str | None = None
    run_id: str | None = None
    node_id: str | None = None


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A line that other lines may name.

    Attributes:
        hashes: Its hash; several where the line was wrong and any of them may be.
        spot: Where it stands, if that is known.
    """

    hashes: tuple[bytes, ...]
    spot: Spot | None


class Torn(msgspec.Struct, frozen=True, gc=False):
    """Bytes behind the last newline."""

    offset: int
    length: int


class Facts(msgspec.Struct, gc=False):
    """One file.

    Attributes:
        name: How events name it, relative to OUT.
        path: How findings name it.
        kind: What it is.
        size: Bytes that were read.
        count: Whole lines that were read.
        lines: Lines as `Extent` counts them: the last `seq` and one more.
        intact: Whole lines before the first that is wrong.
        marks: For some numbers of lines the last of them; among these the ends of all writers.
        last: The last whole line.
        damaged: Some line is not right.
        ends_damaged: The last whole line is not right.
        newer: The first line of a newer version.
        ends_newer: The last line is of a newer version.
        excerpt: It holds a part of a trace.
        last_epoch: `epoch_seconds` of the last event.
        torn: Bytes behind the last newline.
        recounts: Counts that wait for what another file holds, by `replay.audit.counts`.
        unfinished: Runs without an end, by writer, by `replay.audit.counts`.
        sealing: The numbers of the lines that seal others, where it was looked what lines say.
        seals: What the checkpoints of its writers amount to, by `replay.audit.seals`.
        n_own: Findings that reading the file alone gave; others come from comparing.
    """

    name: str
    path: str
    kind: Kind = "chained"
    size: int = 0
    count: int = 0
    lines: int = 0
    intact: int | None = None
    last: Spot | None = None
    marks: dict[int, Mark] = msgspec.field(default_factory=dict)
    damaged: bool = False
    ends_damaged: bool = False
    newer: Spot | None = None
    ends_newer: bool = False
    excerpt: bool = False
    last_epoch: float = 0.0
    torn: Torn | None = None
    claims: list[Claim] = msgspec.field(default_factory=list)
    spans: list[Span] = msgspec.field(default_factory=list)
    findings: list[Finding] = msgspec.field(default_factory=list)
    outputs: list[Output] = msgspec.field(default_factory=list)
    items: list[Item] = msgspec.field(default_factory=list)
    recounts: list[Any] = msgspec.field(default_factory=list)
    unfinished: dict[str, Any] = msgspec.field(default_factory=dict)
    sealing: list[int] = msgspec.field(default_factory=list)
    seals: list[Any] = msgspec.field(default_factory=list)
    n_own: int = 0

    def whole(self) -> int:
        """Return the bytes of the file, with those behind the last newline."""
        return self.size + (self.torn.length if self.torn else 0)

    def behind(self) -> Spot:
        """Return the place behind the last whole line."""
        return Spot(self.path, self.count + 1, None, self.size)

    def report(
        self, code: str, spot: Spot | None, message: str, *, severity: Severity = "error"
    ) -> None:
        """Add a finding about the line at *spot*, or about the file; *message* is got and want."""
        self.findings.append(
            Finding(
                severity=severity,
                code=code,
                path=self.path,
                line=None if spot is None else spot.line,
                seq=None if spot is None else spot.seq,
                offset=None if spot is None else spot.offset,
                message=f"{self.path if spot is None else spot}: {message}",
            )
        )
