"""What stands on a page, in the order in which somebody needs it: a report in, values out.

First what failed and why and what awaits review, then when, then everything else.  It reads no
clock and no disk: who makes a page says when the audit was.
"""

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from replay.audit.report import AuditReport
from replay.findings import NOTES, Finding
from replay.show.audited import signers
from replay.show.page.timeline import Chart, chart
from replay.show.page.units import BAD, KINDS, Review, Tree, Unit, View
from replay.show.page.wording import last_lines, lines, short, value
from replay.show.text import count_text, second_text, seconds_text

MOST_PROBLEMS: Final = 40
MOST_REVIEWS: Final = 40
_MOST_NAMED: Final = 8
_MOST_FINDINGS: Final = 100
_MOST_SIGNERS: Final = 10
_MOST_OF_AN_ERROR: Final = 800
_MOST_COMPARED: Final = 4_000
_NUMBER: Final = re.compile("[0-9]+")
_ORDER: Final = ("failed", "interrupted", "running", "pending", "skipped", "succeeded")
_VERDICTS: Final = {
    "complete": "every line is as it was written, and the end is there",
    "intact-prefix": "what is there is as it was written; more may be missing, or to come",
    "unchained": "an older layout without hashes: nothing proves that it is unchanged",
    "tampered": "something is not as it was written",
}


class Audited(NamedTuple):
    """An audit of the evidence.

    Attributes:
        report: What it found.
        path: The PATH that was audited.
        at: When it ended, RFC 3339.
        seconds: How long it took.
    """

    report: AuditReport
    path: str
    at: str
    seconds: float


class Problem(NamedTuple):
    """What went wrong with one unit, or with several in words that differ in numbers only.

    Attributes:
        status: `failed` or `interrupted`.
        error: The words of the first of them; perhaps empty.
        same: All of them say exactly that.
        traceback: Of the first of them.
        units: Those that are named.
        more: How many are not.
    """

    status: str
    error: str
    same: bool
    traceback: str
    units: Sequence[Unit]
    more: int


class Request(NamedTuple):
    """A unit that somebody asked to be looked at; `step` is which one of its steps, or empty."""

    unit: Unit
    step: str
    review: Review


class Output(NamedTuple):
    """A file or directory that the run made, and how it stands as of the audit."""

    path: str
    size: int | None
    digest: str
    made_by: str
    state: str


class Said(NamedTuple):
    """A message; `about` is the unit, or empty."""

    time: str
    level: str
    text: str
    about: str


class Page(NamedTuple):
    """All of it but the rows of units, which `rendering` makes one by one.

    Attributes:
        title: The workflow.
        status: Of the run.
        assumed: The status rests on an assumption.
        facts: (what, text) about the run.
        batches: (status, name, what it said last) of each report that the run made.
        tallies: (status, how many of what).
        error: Of the run itself; empty if there is none.
        traceback: Likewise.
        problems: What went wrong, the first ones.
        more_problems: How many units with problems are in none of them.
        requests: Open requests for review, the first ones.
        more_requests: How many more there are.
        counts: Units by kind.
        chart: The timeline.
        n_outputs: How many outputs there are.
        n_messages: How many messages of the run itself there are.
        environment: (what, text), the long ones last.
        verdict: (verdict, what it means); None without an audit.
        audit_facts: (what, text).
        findings: The first ones.
        more_findings: How many more there are.
        position: How far the trace was read: (file, seq, hash).
    """

    title: str
    status: str
    assumed: bool
    facts: Sequence[tuple[str, str]]
    batches: Sequence[tuple[str, str, str]]
    tallies: Sequence[tuple[str, str]]
    error: str
    traceback: str
    problems: Sequence[Problem]
    more_problems: int
    requests: Sequence[Request]
    more_requests: int
    counts: Mapping[str, int]
    chart: Chart | None
    n_outputs: int
    n_messages: int
    environment: Sequence[tuple[str, str]]
    verdict: tuple[str, str] | None
    audit_facts: Sequence[tuple[str, str]]
    findings: Sequence[Finding]
    more_findings: int
    position: Sequence[tuple[str, str, str]]


def page_of(head: View, tree: Tree, audited: Audited | None) -> Page:
    """Return what stands on the page of a run.

    Args:
        head: Its report; the lists of units in it are not looked at.
        tree: Its units.
        audited: The audit of its evidence, None if there was none.
    """
    survey = _Survey(tree)
    error = f"{head['error_type']}: {head['error']}" if head.get("error_type") else head["error"]
    findings = [] if audited is None else sorted(audited.report.findings, key=_notes_last)
    return Page(
        title=short(head["workflow_id"]),
        status=head["status"],
        assumed=head["liveness"] == "assumed",
        facts=list(_facts(head)),
        batches=[_batch(report) for report in head.get("reports", ())],
        tallies=list(_tallies(head, survey)),
        error="" if error is None else lines(error),
        traceback=last_lines(head["traceback"] or ""),
        problems=survey.problems(),
        more_problems=survey.more_problems(),
        requests=survey.requests[:MOST_REVIEWS],
        more_requests=max(0, len(survey.requests) - MOST_REVIEWS),
        counts=survey.counts,
        chart=chart(tree),
        n_outputs=len(head["outputs"]),
        n_messages=len(head["messages"]),
        environment=list(environment_rows(head.get("environment"))),
        verdict=None if audited is None else _verdict(audited),
        audit_facts=[] if audited is None else list(_audit_facts(audited)),
        findings=findings[:_MOST_FINDINGS],
        more_findings=max(0, len(findings) - _MOST_FINDINGS),
        position=[
            (short(end["path"]), str(end["seq"]), short(end["hash"])) for end in head["position"]
        ],
    )


class _Survey:
    """One pass over all units: how many of each status, what went wrong, what awaits review."""

    def __init__(self, tree: Tree) -> None:
        self.counts: Counter[str] = Counter()
        self.statuses: Counter[tuple[str, str]] = Counter()
        self.requests: list[Request] = []
        self._found: dict[tuple[str, str], list[Unit]] = {}
        self._first: dict[tuple[str, str], str] = {}
        self._differ: set[tuple[str, str]] = set()
        self._units: Counter[tuple[str, str]] = Counter()
        for unit in tree.every():
            self._look_at(unit)

    def _look_at(self, unit: Unit) -> None:
        status = unit.status
        self.counts[unit.kind] += 1
        self.statuses[unit.kind, status] += 1
        if status in BAD:
            error = unit.error[:_MOST_COMPARED]
            key = (status, _NUMBER.sub("0", error))
            self._units[key] += 1
            if self._first.setdefault(key, error) != error:
                self._differ.add(key)
            found = self._found.setdefault(key, [])
            if len(found) < _MOST_NAMED:
                found.append(unit)
        for one, review in unit.reviews:
            if review.is_open:
                self.requests.append(Request(unit, "" if one is unit else one.name, review))

    def problems(self) -> list[Problem]:
        """Return the first problems: failures before interruptions, otherwise as they came."""
        return [
            Problem(
                status=key[0],
                error=_reasons_text(self._found[key][0].reasons),
                same=key not in self._differ,
                traceback=last_lines(self._found[key][0].traceback),
                units=self._found[key],
                more=self._units[key] - len(self._found[key]),
            )
            for key in self._ordered()[:MOST_PROBLEMS]
        ]

    def more_problems(self) -> int:
        """Return how many units went wrong in other ways than the first ones."""
        return sum(self._units[key] for key in self._ordered()[MOST_PROBLEMS:])

    def _ordered(self) -> list[tuple[str, str]]:
        return sorted(self._found, key=lambda key: _ORDER.index(key[0]))


def _reasons_text(reasons: Sequence[str]) -> str:
    """Return them cut so that a long one leaves room for those behind it."""
    first, rest = "".join(reasons[:1]), "\n".join(reasons[1:])
    if not rest:
        return lines(first, _MOST_OF_AN_ERROR)
    most = _MOST_OF_AN_ERROR // 2
    return f"{lines(first, most)}\n{lines(rest, most)}"


def outputs_of(head: View, audited: Audited | None) -> Iterator[Output]:
    """Yield the outputs, in the order in which they were recorded."""
    states: dict[tuple[str | None, str | None], str] = {}
    if audited is not None:
        for item in audited.report.outputs.items:
            if item.run_id == head["run_id"] and item.path is not None:
                # An older record of the same path does not say how the file is now.
                if item.state == "superseded" and (item.path, item.expected) in states:
                    continue
                states[item.path, item.expected] = item.state
    for found in head["outputs"]:
        index = "" if found.get("node_index") is None else f" #{found['node_index']}"
        by = "" if found.get("node_id") is None else f"{short(found['node_id'])}{index}"
        name = short(found["path"], 400) + ("/" if found["kind"] == "directory" else "")
        state = states.get((found["path"], found["digest"]), "")
        yield Output(name, found["size"], short(found["digest"] or "none"), by, state)


def messages_of(head: View) -> Iterator[Said]:
    """Yield the messages that no node has."""
    for said in head["messages"]:
        about = "" if said.get("node_id") is None else short(said["node_id"])
        yield Said(
            short(second_text(said["timestamp"]), 26),
            short(said["level"]),
            lines(f"{said['author']}: {said['text']}" if said.get("author") else said["text"]),
            about,
        )


def environment_rows(environment: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Yield what the report says of where the run was, whatever fields it has."""
    long = []
    for name, found in (environment or {}).items():
        if found is None or found in ({}, []):
            continue
        label = short(name).replace("_", " ")
        if name == "argv" and isinstance(found, list):
            yield "command", short(shlex.join(map(str, found)), 1000)
        elif isinstance(found, Mapping | list):
            long.append((label, value(found)))
        else:
            yield label, lines(found)
    yield from long


def _facts(head: View) -> Iterator[tuple[str, str]]:
    yield "run", short(head["run_id"])
    yield "step", short(head["step_number"])
    yield "started", f"{second_text(head['started_at'])} UTC"
    if head["ended_at"] is not None:
        yield "ended", f"{second_text(head['ended_at'])} UTC"
    until = "" if head["ended_at"] is not None else ", up to its last event"
    yield "took", seconds_text(head["duration_seconds"]) + until
    yield "pid", str(head["pid"])
    cost = head["cumulative_cost_usd"]
    if cost:
        yield "cost", f"${short(cost) if isinstance(cost, str) else f'{cost:.4f}'}"
    if head["events_dropped"]:
        yield "not recorded", count_text(head["events_dropped"], "event")


def _batch(report: View) -> tuple[str, str, str]:
    stage = f"{short(report['stage'])} {report['percent']} %" if report.get("stage") else ""
    said = [stage, short(report.get("message") or "")]
    name = f"{short(report['label'])} ({short(report['kind'])})"
    return short(report["status"]), name, ": ".join(filter(None, said))


def _tallies(head: View, survey: _Survey) -> Iterator[tuple[str, str]]:
    for kind in KINDS:
        for status in _ORDER:
            count = survey.statuses[kind, status]
            if count:
                yield status, f"{count_text(count, kind)} {status}"
    # Of all nodes, those that are steps among them.
    keys = ("nodes_completed", "nodes_failed", "nodes_skipped", "nodes_unfinished")
    total, begun = head["total_nodes"], sum(head[key] for key in keys)
    if total is not None and total > begun:
        yield "pending", f"{count_text(total - begun, 'node')} not begun"
    for key, one in (("errors", "error message"), ("warnings", "warning")):
        found = head.get(key) or 0
        count = len(found) if isinstance(found, list) else int(found)
        if count:
            yield "warning", count_text(count, one)


def _verdict(audited: Audited) -> tuple[str, str]:
    verdict = str(audited.report.verdict)
    meaning = _VERDICTS[verdict]
    if verdict == "complete" and audited.report.exit_code():
        meaning += "; outputs or counts differ"
    return verdict, meaning


def _audit_facts(audited: Audited) -> Iterator[tuple[str, str]]:
    yield "audited", f"{second_text(audited.at)} UTC, in {seconds_text(audited.seconds)}"
    files = audited.report.files
    whole = sum(file.lines for file in files)
    yield "evidence", f"{count_text(whole, 'line')} in {count_text(len(files), 'file')}"
    for signer, _, words, what in islice(signers(audited.report.signatures), _MOST_SIGNERS):
        yield "signed by", f"{short(signer)}, {words}: {what}"
    outputs = audited.report.outputs
    states = ("ok", "changed", "missing", "untracked", "superseded", "unverified")
    counts = [f"{getattr(outputs, state)} {state}" for state in states if getattr(outputs, state)]
    yield "outputs", ", ".join(counts) or "none recorded"
    yield "again", f"auditfold audit {short(shlex.quote(audited.path))}"


def _notes_last(finding: Finding) -> bool:
    return finding.code in NOTES
