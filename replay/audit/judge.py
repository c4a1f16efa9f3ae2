"""Rows 4, 5, 7 and 8 of docs/auditing.md: how files end, and what is not at hand to say so.

`judge` compares what was read of all files and adds findings; it may be called again when some
of them were read again.
"""

from collections.abc import Mapping

import msgspec

from replay.audit.anchors import (
    Anchor,
    Head,
    anchored_lines,
    compare_anchors,
    compare_heads,
)
from replay.audit.facts import Claim, Facts, Span, Spot
from replay.audit.names import Named, Names, PathKind, ReadDigest, ReadMark, key_of
from replay.trace.host import Hosts


class Evidence(msgspec.Struct):
    """What was read under one PATH.

    Attributes:
        kind: What PATH is.
        traces: The trace files, by key.
        registry: The registry, `absent` if there is none; None where it is not at hand.
        known: The writers that it knows.
        claims_upto: Claims of the registry that were there before the traces were read: later
            ones may name lines that came later.
        prefix: What stands before `step_NN/` in the paths of findings.
        heads: The heads, as they were before the traces were read.
        anchors: What was kept elsewhere.
        require_anchor: Lines that no anchor proves are an error.
        read_upto: Bytes of each trace, by key, whose lines name what has to be there.  What lines
            behind name came while others were read, so it may prove an end and nothing else.
            None: all lines.
    """

    kind: PathKind
    traces: dict[str, Facts]
    registry: Facts | None
    known: set[str]
    claims_upto: int
    prefix: str
    heads: list[Head] = []
    anchors: list[Anchor] = []
    require_anchor: bool = False
    read_upto: dict[str, int] | None = None

    def facts(self) -> list[Facts]:
        """Return all files, the registry too."""
        return [*self.traces.values(), *([] if self.registry is None else [self.registry])]


class Judgement(msgspec.Struct):
    """What came of comparing.

    Attributes:
        absent: Files that are named and not there.
        suspects: Files that a second look may find otherwise, by key; a writer may have gone on
            since they were read.
        anchored: How many lines of each file anchors prove, by its path; 0 is left out.
    """

    absent: list[Facts]
    suspects: set[str]
    anchored: dict[str, int]


def judge(
    evidence: Evidence, hosts: Hosts, *, read_digest: ReadDigest, read_mark: ReadMark
) -> Judgement:
    """Add to each file the findings that other files and the machine give rise to."""
    for facts in evidence.facts():
        del facts.findings[facts.n_own :]
    named = _compare(evidence, read_digest=read_digest, read_mark=read_mark)
    running = _running(evidence, named.proven, hosts)
    for key, facts in evidence.traces.items():
        _judge_trace(facts, evidence, running, proven=key in named.proven)
    _judge_copies(evidence)
    _judge_beginnings(evidence)
    if evidence.registry is not None:
        _judge_registry(evidence.registry, evidence, running=bool(running))
    proven = compare_anchors(evidence.anchors, evidence.registry)
    anchored = anchored_lines(named.held, evidence.registry, proven) if evidence.anchors else {}
    absent = compare_heads(evidence.heads, evidence.traces)
    absent = [
        facts for facts in absent if facts.path not in {f.path for f in named.absent.values()}
    ]
    if evidence.require_anchor:
        _judge_anchored(evidence, anchored)
    suspects = {
        key
        for key, facts in evidence.traces.items()
        if any(finding.severity == "error" for finding in facts.findings[facts.n_own :])
    }
    return Judgement(
        absent=[*named.absent.values(), *absent],
        suspects=suspects | set(named.absent),
        anchored=anchored,
    )


def _compare(evidence: Evidence, *, read_digest: ReadDigest, read_mark: ReadMark) -> Named:
    names = Names(
        evidence.kind,
        evidence.traces,
        evidence.registry,
        prefix=evidence.prefix,
        read_digest=read_digest,
        read_mark=read_mark,
    )
    claims = [claim for anchor in evidence.anchors for claim in anchor.claims]
    late: list[Claim] = []
    if evidence.registry is not None:
        claims += evidence.registry.claims[: evidence.claims_upto]
    upto = evidence.read_upto
    for key, facts in evidence.traces.items():
        for claim in facts.claims:
            in_time = upto is None or claim.spot.offset < upto.get(key, 0)
            (claims if in_time else late).append(claim)
    return names.compare(claims, late)


def _running(evidence: Evidence, proven: set[str], hosts: Hosts) -> dict[str, str]:
    """Return, for each writer that is running, how that is known.

    Only the last writer of a file can be; so can a fork that is gone, as long as the writer that
    it comes from may still prove its end.
    """
    running: dict[str, str] = {}
    gone: list[Span] = []
    for key, facts in evidence.traces.items():
        span = _last_open(facts)
        if span is not None and key not in proven:
            alive, how = hosts.alive(span.process, facts.last_epoch)
            if alive:
                running[span.writer] = how
            else:
                gone.append(span)
    # A fork of a fork comes after the one it comes from as often as before it.
    for _ in gone:
        for span in gone:
            if span.parent in running:
                running.setdefault(span.writer, "its parent is")
    return running


def _last_open(facts: Facts) -> Span | None:
    """Return the last writer of a trace if it is not closed; None if that cannot be said."""
    if not facts.spans or facts.ends_damaged or facts.ends_newer or facts.spans[-1].closed:
        return None
    return facts.spans[-1]


def _judge_trace(
    facts: Facts, evidence: Evidence, running: dict[str, str], *, proven: bool
) -> None:
    """Judge the end of a trace, and what is not at hand to say more."""
    if facts.kind == "empty":
        facts.report("empty", None, "0 bytes, want at least a writer_opened")
    elif facts.kind == "older":
        facts.report("unchained", None, "a trace of the older layout: nothing proves it unchanged")
    elif facts.kind == "other":
        if not facts.findings:
            facts.report("not_a_trace", None, "no line is an event, want a trace")
    else:
        if not proven:
            _judge_end(facts, running)
        _judge_writers(facts, evidence, running)
        if facts.excerpt:
            message = "a part of a trace: its first hash is taken as given"
            facts.report("excerpt", None, message, severity="note")
        if evidence.registry is None:
            message = "the registry is not at hand: whether lines are missing at the end is open"
            facts.report("alone", None, message, severity="note")


def _judge_end(facts: Facts, running: dict[str, str]) -> None:
    """Judge the end of a trace that no later line names."""
    span = _last_open(facts)
    if span is not None and span.writer in running:
        message = f"writer {span.writer} is running ({running[span.writer]}); more is to come"
        facts.report("live", None, f"{message}{_unsealed(facts, span)}", severity="note")
        return
    if span is not None:
        facts.report(
            "not_closed",
            facts.last,
            f"the last event of writer {span.writer} is no writer_closed, and no later line names "
            f"it; {facts.count} lines are there, whether there were more is open"
            f"{_unsealed(facts, span)}",
        )
    if facts.torn is not None:
        length = facts.torn.length
        what = f"{length} bytes behind the last newline" if length else "compressed data end early"
        facts.report("torn", facts.behind(), f"{what}; the {facts.count} lines before are judged")


def _unsealed(facts: Facts, span: Span) -> str:
    """Return how many lines of the last writer no checkpoint covers, where it signs."""
    lines = next((seal.unsealed for seal in facts.seals if seal.writer == span.writer), 0)
    return f"; its last {lines} lines are not sealed" if lines else ""


def _judge_writers(facts: Facts, evidence: Evidence, running: dict[str, str]) -> None:
    """Report writers that the registry does not know."""
    registry = evidence.registry
    if registry is None or registry.kind == "absent":
        return
    # What a damaged line of the registry knew is not known.
    if registry.damaged or registry.newer is not None:
        return
    # One that was killed before the registry had its line is known by the next, which names it.
    seen = evidence.known | {
        claim.extent.writer for trace in evidence.traces.values() for claim in trace.claims
    }
    for span in facts.spans:
        if span.writer not in seen and span.writer not in running:
            message = f"writer {span.writer} does not stand in {registry.path}"
            facts.report("unregistered", span.spot, message)
        seen.add(span.writer)


def _judge_beginnings(evidence: Evidence) -> None:
    """Report writers that begin twice in a file, and first keys that two writers have."""
    keys: dict[bytes, tuple[str, Spot]] = {}
    for _, facts in sorted(evidence.traces.items()):
        if facts.damaged or facts.excerpt:
            continue
        firsts = {seal.writer: seal.first for seal in facts.seals if seal.first}
        begun: dict[str, Spot] = {}
        for span in facts.spans:
            before = begun.setdefault(span.writer, span.spot)
            if before is not span.spot:
                message = f"writer {span.writer} begins, want it once: it begins at {before} too"
                facts.report("bad_session", span.spot, message)
            elif span.writer in firsts:
                owner, where = keys.setdefault(firsts[span.writer], (span.writer, span.spot))
                if owner != span.writer:
                    message = "its first key is that of another writer, want one of its own: "
                    facts.report("unsealed", span.spot, f"{message}{where} has it too")


def _judge_anchored(evidence: Evidence, anchored: Mapping[str, int]) -> None:
    """Report files with lines that no anchor proves."""
    for facts in evidence.facts():
        behind = facts.lines - anchored.get(facts.path, 0)
        if facts.kind == "chained" and behind > 0:
            message = f"{behind} of {facts.lines} lines are behind the last anchor, want none"
            facts.report("unanchored", None, message)


def _judge_copies(evidence: Evidence) -> None:
    """Report writers whose lines stand in two files: every event of a copy would count twice.

    Where a line at hand says which file is the writer's own, that one is left alone.
    """
    found: dict[str, list[tuple[str, Span]]] = {}
    for key, facts in evidence.traces.items():
        if not facts.excerpt:
            for writer, span in {span.writer: span for span in reversed(facts.spans)}.items():
                found.setdefault(writer, []).append((key, span))
    copied = {writer: places for writer, places in found.items() if len(places) > 1}
    if not copied:
        return
    own = {
        claim.extent.writer: key_of(claim.extent.path)
        for facts in evidence.facts()
        for claim in facts.claims
    }
    for writer, places in copied.items():
        for key, span in places:
            if key != own.get(writer):
                others = ", ".join(evidence.traces[k].path for k, _ in places if k != key)
                message = f"writer {writer} stands in {others} as well, want one file of each"
                evidence.traces[key].report("bad_session", span.spot, message)


def _judge_registry(registry: Facts, evidence: Evidence, *, running: bool) -> None:
    if registry.kind == "absent":
        if any(facts.kind == "chained" for facts in evidence.traces.values()):
            registry.report("missing", None, "not there, want it beside chained traces")
    elif running and (registry.kind == "empty" or registry.torn is not None):
        registry.report("live", None, "a writer is running; more is to come", severity="note")
    elif registry.kind == "empty":
        registry.report("empty", None, "0 bytes, want at least a writer_opened")
    elif not evidence.traces and not evidence.known and not registry.damaged:
        registry.report("missing", None, "no trace is there, and no line of it names one")
    elif registry.torn is not None:
        length = registry.torn.length
        registry.report("torn", registry.behind(), f"{length} bytes behind the last newline")
