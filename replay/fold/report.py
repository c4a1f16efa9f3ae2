"""The report of a run: its nodes with their attempts, outputs, results and errors.

`ReportState` is a `RunState` that keeps more of each node; its handlers call those of
`replay.fold.run`, so report and metadata cannot count differently.  What it looks like as JSON
(`report_XX.json`, `show --json`) is in docs/reading.md, "Report".
"""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, ClassVar, Final

import msgspec
import orjson

from replay.fold import commands
from replay.fold import run as runs
from replay.fold.metadata import position
from replay.fold.names import log_path
from replay.fold.reviews import Reviewing, decided
from replay.fold.run import (
    FAILED,
    INTERRUPTED,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    Instant,
    NodeMark,
    RunState,
    duration_seconds,
    nodes_of,
    seconds_between,
)
from replay.fold.run_units import file_views, other_views, report_heads, step_views
from replay.fold.runs import Fold, Standing
from replay.fold.unit_views import check_view, review_view, said_digest
from replay.fold.units import HANDLERS as OF_UNITS
from replay.fold.units import NO_REVIEW, Check, ReviewFlag, Units
from replay.trace.events import (
    ArtifactRead,
    ArtifactWritten,
    Captured,
    CheckMade,
    Event,
    ExceptionRaised,
    Message,
    MetadataChanged,
    NodeFailed,
    NodeResult,
    NodeRetried,
    NodeSkipped,
    NodeStarted,
    NodeSucceeded,
    ProgressSet,
    ResourceUsage,
    ReviewCleared,
    ReviewRequested,
    ReviewResolved,
    Seconds,
    UnitAttached,
    UnitBegun,
    UnitEdited,
    UnitStatusSet,
    WorkflowStarted,
)
from replay.trace.host import Hosts
from replay.trace.line import MAX_DEPTH, nesting
from replay.trace.schema import decode_event


class Attempt(Instant, gc=False):
    """One attempt of a node; as an `Instant` it is its start, or its end if it never started."""

    pid: int
    begun: bool = True
    status: str = RUNNING
    ended: str | None = None
    duration: Seconds | None = None
    error: str | None = None
    error_type: str | None = None
    traceback: str | None = None
    resource: ResourceUsage | None = None
    ran: commands.Ran | None = None


class Output(msgspec.Struct, gc=False, kw_only=True):
    """A file or directory that the run made."""

    path: str
    size: int | None
    digest: str | None
    kind: str
    node_id: str | None
    node_index: int | None


class Extras(msgspec.Struct, gc=False):
    """What few nodes have."""

    earlier: list[Attempt] = []
    outputs: list[Output] = []
    results: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = []
    retries: list[dict[str, Any]] = []
    reviewing: Reviewing | None = None
    checks: list[Check] = []
    review: ReviewFlag = NO_REVIEW
    unit: str | None = None  # the step that its last attempt is


class NodeReport(NodeMark, gc=False, array_like=False, kw_only=True):
    """A node with what happened to it.

    Attributes:
        attempt: The last one.
        output_hash: As the program gave it, of the attempt that succeeded last.
        output_summary: Likewise, as JSON; empty if there is none.
        reason: Why it was skipped.
        reopened: It ended more often than it started.
        extras: What few nodes have; None if this one has none of it.
    """

    attempt: Attempt | None = None
    output_hash: str | None = None
    output_summary: bytes = b""
    reason: str | None = None
    reopened: bool = False
    extras: Extras | None = None


class ReportState(RunState, gc=False, kw_only=True):
    """One run with all that a report says of it."""

    HANDLERS: ClassVar[dict[type, Callable[[Any, Any], Any]]]
    DECODE: ClassVar[Callable[[bytes], Any]] = staticmethod(decode_event)

    environment: dict[str, Any] | None = None
    messages: list[dict[str, Any]] = msgspec.field(default_factory=list)
    outputs: list[Output] = msgspec.field(default_factory=list)
    results: list[dict[str, Any]] = msgspec.field(default_factory=list)
    units: Units = msgspec.field(default_factory=Units)


# --- One handler an event type


def on_workflow_start(state: ReportState, event: WorkflowStarted) -> None:
    """What the run met is what its first start says of it."""
    runs.on_workflow_start(state, event)
    if state.environment is None and event.environment is not None:
        # By way of JSON, which has no tuples: a report is the same in memory and in its file.
        state.environment = orjson.loads(msgspec.json.encode(event.environment))


def on_node_start(state: ReportState, event: NodeStarted) -> None:
    """The node's next attempt begins; one that is still open will not end any more."""
    node: Any = runs.on_node_start(state, event, NodeReport)
    before = node.attempt
    if before is not None:
        if before.status == RUNNING:
            before.status = INTERRUPTED
            retries = () if node.extras is None else node.extras.retries
            if retries and retries[-1]["timestamp"] >= before.timestamp:
                before.status, before.error = FAILED, retries[-1]["error"]
        _extras(node).earlier.append(before)
    node.attempt = _attempt(event)
    node.attempt.ran = commands.begun(event)
    _be_a_step(state, event, node)


def on_node_success(state: ReportState, event: NodeSucceeded) -> None:
    """The current attempt ends well."""
    node: Any = runs.on_node_success(state, event, NodeReport)
    attempt = _end(node, event, SUCCEEDED)
    attempt.duration, attempt.resource = event.duration_seconds, event.resource
    if attempt.ran is not None:
        commands.ended(attempt.ran, event)
    node.output_hash = event.output_hash
    summary = bytes(event.output_summary)
    node.output_summary = b"" if summary == b"null" else summary
    if event.unit is not None:
        state.units.apply(event)


def on_node_failure(state: ReportState, event: NodeFailed) -> None:
    """The current attempt ends by an error."""
    node: Any = runs.on_node_failure(state, event, NodeReport)
    attempt = _end(node, event, FAILED)
    attempt.duration = event.duration_seconds
    attempt.error, attempt.error_type = event.error, event.error_type
    attempt.traceback, attempt.resource = event.traceback, event.resource
    if attempt.ran is not None:
        commands.ended(attempt.ran, event)
    if event.unit is not None:
        state.units.apply(event)


def on_node_skipped(state: ReportState, event: NodeSkipped) -> None:
    """The node is not run: no attempt, unless one had begun."""
    node: Any = runs.on_node_skipped(state, event, NodeReport)
    node.reason = event.reason
    if node.attempt is not None:
        attempt = _end(node, event, SKIPPED)
        attempt.duration = seconds_between(attempt, event)
    _be_a_step(state, event, node)


def _be_a_step(state: ReportState, event: NodeStarted | NodeSkipped, node: NodeReport) -> None:
    """Let the node be the step that the event names; without one it is none, or none any more."""
    if event.unit is not None:
        _extras(node).unit = event.unit
        state.units.apply(event)
    elif node.extras is not None:
        node.extras.unit = None


def on_node_retry(state: ReportState, event: NodeRetried) -> None:
    """Another attempt is announced; the node stays as it is until it begins or ends."""
    node: Any = runs.ended_node(state, event, NodeReport)
    _extras(node).retries.append(
        {
            "timestamp": event.timestamp,
            "attempt": event.attempt,
            "max_attempts": event.max_attempts,
            "delay_seconds": event.delay_seconds,
            "error": event.error,
        }
    )


def on_node_result(state: ReportState, event: NodeResult) -> None:
    """A node returned a value; what has no node is the run's."""
    found: dict[str, Any] = {"digest": event.digest, "size": event.size}
    if isinstance(event.value, msgspec.Raw):
        found["value"] = bytes(event.value)
    node = _known(state, event)
    if node is None:
        state.results.append(found)
    else:
        _extras(node).results.append(found)


def on_artifact_written(state: ReportState, event: ArtifactWritten) -> None:
    """Outputs are the node's and the run's; other files the tool wrote are nobody's."""
    if event.role != "output":
        return
    output = Output(
        path=event.path,
        size=event.size,
        digest=event.digest,
        kind=event.kind,
        node_id=event.node_id,
        node_index=event.node_index,
    )
    state.outputs.append(output)
    node = _known(state, event)
    if node is not None:
        _extras(node).outputs.append(output)


def on_unit_begin(state: ReportState, event: UnitBegun) -> None:
    """A unit begins, the first time that this is said of it."""
    state.units.begin(event)


def _on_unit(handler: Callable[[Any, Any, Any], None]) -> Callable[[Any, Any], None]:
    """Return what lets *handler* change the unit that an event is about, if that has begun."""

    def on_unit(state: ReportState, event: Any) -> None:
        # `Units.apply` without looking up what is known: most events of a report are these.
        units = state.units
        if event.unit != units.unit:
            units.turn_to(event.unit)
        if units.state is not None:
            handler(units.state, event, units.parent)

    return on_unit


_say_of_unit: Final = _on_unit(OF_UNITS[Message])
_set_status: Final = _on_unit(OF_UNITS[UnitStatusSet])


def on_message(state: ReportState, event: Message) -> None:
    """A message about a unit or a node that is known stands there, any other at the run."""
    if event.unit is not None:
        _say_of_unit(state, event)
        if event.level != "note" and event.author is None:
            runs.on_message(state, event)
        return
    runs.on_message(state, event)
    said = _said(event)
    node = _known(state, event)
    if node is not None:
        _extras(node).messages.append(said)
    elif event.node_id is not None:
        state.messages.append({**said, "node_id": event.node_id, "node_index": event.node_index})
    else:
        state.messages.append(said)


def _unless_of_a_unit(kind: type) -> Callable[[Callable[[Any, Any], None]], Any]:
    """Return a decorator: what names a unit is that unit's, the rest is for the function."""
    of_unit = _on_unit(OF_UNITS[kind])

    def decorate(of_node: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        def on_event(state: ReportState, event: Any) -> None:
            (of_node if event.unit is None else of_unit)(state, event)

        return on_event

    return decorate


@_unless_of_a_unit(ReviewResolved)
def on_review_resolved(state: ReportState, event: ReviewResolved) -> None:
    """Somebody has decided about a node."""
    if (node := _known(state, event)) is not None:
        extras = _extras(node)
        extras.reviewing = decided(extras.reviewing, event)


@_unless_of_a_unit(CheckMade)
def on_check(state: ReportState, event: CheckMade) -> None:
    """A check of a node changes no status."""
    if (node := _known(state, event)) is not None:
        _extras(node).checks.append(Check(event.name, event.ok, event.detail))


@_unless_of_a_unit(ReviewRequested)
def on_review_requested(state: ReportState, event: ReviewRequested) -> None:
    """Somebody should look at a node."""
    if (node := _known(state, event)) is not None:
        extras = _extras(node)
        extras.review = ReviewFlag(flagged=True, reason=event.reason)
        extras.reviewing = extras.reviewing or Reviewing()
        extras.reviewing.requested_at = event.timestamp


@_unless_of_a_unit(ReviewCleared)
def on_review_cleared(state: ReportState, event: ReviewCleared) -> None:
    """Nobody needs to look at a node any more."""
    if (node := _known(state, event)) is not None and node.extras is not None:
        node.extras.review = NO_REVIEW


def on_unit_status(state: ReportState, event: UnitStatusSet) -> None:
    """Failures are the run's as well."""
    if event.status == FAILED or state.failed_units:
        runs.on_unit_status(state, event)
    _set_status(state, event)


def on_unit_attached(state: ReportState, event: UnitAttached) -> None:
    """A step of a file is the run's failure no more."""
    runs.on_unit_attached(state, event)
    state.units.apply(event)


def on_captured(state: ReportState, event: Captured) -> None:
    """What a unit wrote is that unit's, what a program printed its node's."""
    if event.unit is not None:
        state.units.apply(event)
    elif (ran := _ran(state, event)) is not None:
        commands.printed(ran, event)


def on_artifact_read(state: ReportState, event: ArtifactRead) -> None:
    """What was read is the node's."""
    if (ran := _ran(state, event)) is not None:
        commands.read(ran, event)


ReportState.HANDLERS = {
    **RunState.HANDLERS,
    WorkflowStarted: on_workflow_start,
    NodeStarted: on_node_start,
    NodeSucceeded: on_node_success,
    NodeFailed: on_node_failure,
    NodeSkipped: on_node_skipped,
    NodeRetried: on_node_retry,
    NodeResult: on_node_result,
    ArtifactWritten: on_artifact_written,
    Message: on_message,
    UnitBegun: on_unit_begin,
    **{
        kind: _on_unit(OF_UNITS[kind])
        for kind in (MetadataChanged, ProgressSet, UnitEdited, ExceptionRaised)
    },
    ReviewResolved: on_review_resolved,
    CheckMade: on_check,
    ReviewRequested: on_review_requested,
    ReviewCleared: on_review_cleared,
    UnitStatusSet: on_unit_status,
    UnitAttached: on_unit_attached,
    Captured: on_captured,
    ArtifactRead: on_artifact_read,
}


def _said(event: Message) -> dict[str, Any]:
    """Return a message as a report has it: what was not said is not there."""
    said = {"timestamp": event.timestamp, "level": event.level, "text": event.text}
    for name in _SAID:
        value = getattr(event, name)
        if value is not None:
            said[name] = value
    if event.extra != b"null":
        said["extra"] = parsed(bytes(event.extra))
    return said


def _end(node: NodeReport, event: Event, status: str) -> Attempt:
    """Return the attempt that *event* ends; an end without a start is an attempt as well."""
    attempt = node.attempt
    if attempt is None:
        attempt = node.attempt = _attempt(event)
        attempt.begun = False
    elif attempt.status != RUNNING:
        # The later state is kept.
        node.reopened = True
        attempt.error = attempt.error_type = attempt.traceback = attempt.duration = None
        attempt.resource = None
    attempt.status = status
    attempt.ended = event.timestamp
    return attempt


def _attempt(event: Event) -> Attempt:
    return Attempt(
        event.timestamp, event.epoch_seconds, event.mono_us, sys.intern(event.writer), event.pid
    )


def _extras(node: NodeReport) -> Extras:
    if node.extras is None:
        node.extras = Extras()
    return node.extras


def _ran(state: ReportState, event: Event) -> commands.Ran | None:
    """Return what the current attempt of the event's node runs or reads, made if need be."""
    node = _known(state, event)
    if node is None or node.attempt is None:
        return None
    if node.attempt.ran is None:
        node.attempt.ran = commands.Ran()
    ran: commands.Ran = node.attempt.ran
    return ran


def _known(state: ReportState, event: Event) -> Any:
    """Return the node that *event* is about, None if it has not come yet.

    What is said of a node makes none: metadata, which leave such events out, count the same.
    """
    head: Any = None if event.node_id is None else state.nodes.get(event.node_id)
    index = event.node_index
    if head is None:
        return None
    if index is None:
        return head if head.others is None else runs.ended_node(state, event, NodeReport)
    return head if head.index == index else (head.others or {}).get(index)


# --- As JSON

_SAID: Final = (
    "author",
    "logger",
    "level_name",
    "occurred_at",
    "error",
    "error_type",
    "traceback",
    "category",
    "place",
    "omitted",
)
_EMPTY: Final = b"[]"


def report(fold: Fold[Any], state: ReportState, hosts: Hosts) -> dict[str, Any]:
    """Return the report of a run, as `report_XX.json` and `show --json` have it.

    Args:
        fold: Where the run was folded.
        state: The run.
        hosts: Who tells which processes live.
    """
    standing = fold.standing(state, hosts)
    found = report_head(state, standing)
    for name, many in _lists(state, standing).items():
        found[name] = list(many)
    return found


def report_chunks(
    fold: Fold[Any],
    state: ReportState,
    hosts: Hosts,
    *,
    statuses: Collection[str] | None = None,
    nodes: Iterable[tuple[str | None, NodeReport]] | None = None,
) -> Iterator[bytes]:
    """Yield the same report as the file holds it, in pieces, a node at a time.

    Args:
        fold: Where the run was folded.
        state: The run.
        hosts: Who tells which processes live.
        statuses: Leave nodes, files and steps out that have none of these; none if None.
        nodes: Which nodes, in which order; all, in the order they came, if None.
    """
    standing = fold.standing(state, hosts)
    rest = orjson.dumps(report_head(state, standing), option=orjson.OPT_INDENT_2)
    many = _lists(state, standing)
    if nodes is not None:
        many["nodes"] = (node_view(state, node_id, node, standing) for node_id, node in nodes)
    pieces = []
    for _ in many:
        # The lists are the last values of the head.
        rest, _, behind = rest.rpartition(_EMPTY)
        pieces.append(behind)
    yield rest
    for name in many:
        yield from _array(many[name], statuses)
        yield pieces.pop()
    yield b"\n"


def _lists(state: ReportState, standing: Standing) -> dict[str, Iterator[dict[str, Any]]]:
    """Return what a report has many of, in the order in which it has them."""
    now_us = state.last.mono_us
    return {
        "steps": step_views(state.units, standing.status, now_us),
        "files": file_views(state.units, standing.status, now_us),
        "nodes": node_views(state, standing),
    }


def _array(many: Iterator[dict[str, Any]], statuses: Collection[str] | None) -> Iterator[bytes]:
    separator = b"[\n    "
    for view in many:
        if statuses is not None and view["status"] not in statuses:
            continue
        text = orjson.dumps(view, option=orjson.OPT_INDENT_2)
        # A newline in JSON as orjson writes it stands between values, never in a text.
        yield separator + text.replace(b"\n", b"\n    ")
        separator = b",\n    "
    yield b"\n  ]" if separator[:1] == b"," else _EMPTY


def report_head(state: ReportState, standing: Standing) -> dict[str, Any]:
    """Return a report without what it has many of: those lists are there, and empty, at the end."""
    ended = state.ended
    done = state.nodes_completed + state.nodes_failed + state.nodes_skipped
    return {
        "run_id": state.run_id,
        "status": standing.status,
        "liveness": standing.liveness,
        "workflow_id": state.workflow_id,
        "step_number": state.step_number,
        "started_at": state.start,
        "ended_at": None if ended is None else ended.timestamp,
        "duration_seconds": duration_seconds(state),
        "pid": state.pid,
        "total_nodes": state.total_nodes,
        "nodes_completed": state.nodes_completed,
        "nodes_failed": state.nodes_failed,
        "nodes_skipped": state.nodes_skipped,
        "nodes_unfinished": state.nodes_seen - done,
        "error": state.error,
        "error_type": state.error_type,
        "traceback": state.traceback,
        "cumulative_cost_usd": state.cumulative_cost_usd,
        "warnings": state.warnings,
        "errors": state.errors,
        "events_dropped": state.dropped,
        **({} if state.environment is None else {"environment": state.environment}),
        "log_file": log_path(state),
        "trace_file": state.begun_in,
        "position": position(state),
        "messages": state.messages,
        "outputs": [run_output_view(output) for output in state.outputs],
        "results": [result_view(result) for result in state.results],
        "reports": report_heads(state.units, standing.status),
        "units": other_views(state.units, standing.status, state.last.mono_us),
        "steps": [],
        "files": [],
        "nodes": [],
    }


def node_views(state: ReportState, standing: Standing) -> Iterator[dict[str, Any]]:
    """Yield each node as a report has it, in the order in which they came."""
    for node_id, node in nodes_of(state):
        yield node_view(state, node_id, node, standing)


def node_view(
    state: ReportState, node_id: str | None, node: NodeReport, standing: Standing
) -> dict[str, Any]:
    """Return a node as a report has it."""
    extras = _NONE if node.extras is None else node.extras
    attempts = [*extras.earlier, *([] if node.attempt is None else [node.attempt])]
    views = [attempt_view(state, attempt, standing) for attempt in attempts]
    last = views[-1] if views else _NO_ATTEMPT
    return {
        "node_id": node_id,
        "node_index": node.index,
        "status": in_the_end(node.status, standing),
        "started_at": views[0]["started_at"] if views else None,
        "ended_at": last["ended_at"],
        "duration_seconds": last["duration_seconds"],
        "error": last["error"],
        "reason": node.reason,
        "reopened": node.reopened,
        "output_hash": node.output_hash,
        "output_summary": parsed(node.output_summary) if node.output_summary else None,
        **({"resource": last["resource"]} if "resource" in last else {}),
        "attempts": views,
        "outputs": [output_view(output) for output in extras.outputs],
        "results": [result_view(result) for result in extras.results],
        "messages": extras.messages,
        "retries": extras.retries,
        **_said_of(node_id, node, extras),
        **_step_of(state, extras),
    }


def _step_of(state: ReportState, extras: Extras) -> dict[str, Any]:
    """Return which step of which batch the node is; nothing where it is none."""
    if extras.unit is None:
        return {}
    parent = state.units.parents.get(extras.unit)
    return {"unit": extras.unit, "report": None if parent is None else parent.unit}


def _said_of(node_id: str | None, node: NodeReport, extras: Extras) -> dict[str, Any]:
    """Return checks and a request for review; nothing where there is none."""
    found: dict[str, Any] = {}
    if extras.checks:
        found["checks"] = [check_view(check) for check in extras.checks]
    decided = extras.reviewing is not None and extras.reviewing.decision is not None
    if decided or extras.review != NO_REVIEW:
        found["review"] = review_view(
            extras.review, extras.reviewing, lambda: node_digest(node_id, node)
        )
    return found


def node_digest(node_id: str | None, node: NodeReport) -> str:
    """Return the digest of a node as somebody looks at it: without what decisions change.

    It covers how its last attempt ended, what it made and what the program says of it, and not
    times.  Empty where the trace holds what no JSON of this format has.
    """
    extras = _NONE if node.extras is None else node.extras
    attempt = node.attempt
    asked = None if extras.reviewing is None else extras.reviewing.requested_at
    view = {
        "node_id": node_id,
        "node_index": node.index,
        "status": node.status,
        "error": None if attempt is None else attempt.error,
        "error_type": None if attempt is None else attempt.error_type,
        "reason": node.reason,
        "output_hash": node.output_hash,
        "output_summary": parsed(node.output_summary) if node.output_summary else None,
        "outputs": [output_view(output) for output in extras.outputs],
        "results": [result_view(result) for result in extras.results],
        "messages": [said for said in extras.messages if "author" not in said],
        "checks": [check_view(check) for check in extras.checks],
        "review": {**review_view(extras.review), "requested_at": asked},
    }
    return said_digest(view)


def node_of_step(
    state: ReportState, unit: str, node_id: str, index: int | None
) -> NodeReport | None:
    """Return the node that a step is; None if its last attempt is no step, or another one."""
    node: Any = state.nodes.get(node_id)
    if node is not None and node.index != index:
        node = (node.others or {}).get(index)
    if node is None or node.extras is None or node.extras.unit != unit:
        return None
    found: NodeReport = node
    return found


def slowest_first(state: ReportState) -> list[tuple[float, str | None, NodeReport]]:
    """Return (seconds, node_id, node) of each node whose last attempt has a time, slowest first.

    Of an open attempt it is the time to the last event applied.
    """
    timed = []
    for node_id, node in nodes_of(state):
        seconds = None if node.attempt is None else _seconds_of(state, node.attempt)
        if isinstance(seconds, int | float):
            timed.append((float(seconds), node_id, node))
    return sorted(timed, key=lambda one: -one[0])


def attempt_view(state: RunState, attempt: Attempt, standing: Standing) -> dict[str, Any]:
    """Return an attempt; the duration of an open one runs to the last event applied."""
    return {
        "started_at": attempt.timestamp if attempt.begun else None,
        "ended_at": attempt.ended,
        "duration_seconds": _seconds_of(state, attempt),
        "status": in_the_end(attempt.status, standing),
        "error": attempt.error,
        "error_type": attempt.error_type,
        "traceback": attempt.traceback,
        "pid": attempt.pid,
        "writer": attempt.writer,
        **resource_view(attempt.resource),
        **commands.view(attempt.ran),
    }


def _seconds_of(state: RunState, attempt: Attempt) -> Seconds | None:
    """Return the duration of an attempt; of an open one to the last event applied."""
    if attempt.duration is None and attempt.ended is None and attempt.begun:
        return seconds_between(attempt, state.last)
    return attempt.duration


def resource_view(used: ResourceUsage | None) -> dict[str, Any]:
    """Return what an attempt used; nothing where that was not recorded."""
    return {} if used is None else {"resource": msgspec.to_builtins(used)}


def in_the_end(status: str, standing: Standing) -> str:
    """Return the status of something open: when its run runs no more it was interrupted."""
    return INTERRUPTED if status == RUNNING and standing.status != RUNNING else status


def output_view(output: Output) -> dict[str, Any]:
    """Return an output as its node has it."""
    return {
        "path": output.path,
        "size": output.size,
        "digest": output.digest,
        "kind": output.kind,
    }


def run_output_view(output: Output) -> dict[str, Any]:
    """Return an output as the run has it: with its node."""
    return {**output_view(output), "node_id": output.node_id, "node_index": output.node_index}


def result_view(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result with its value parsed, where the value is in the trace."""
    if "value" not in result:
        return result
    return {**result, "value": parsed(result["value"])}


def parsed(raw: bytes) -> Any:
    """Return the JSON value in *raw*; its text if it is beyond what the format allows."""
    try:
        if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH or nesting(raw) <= MAX_DEPTH:
            return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    return raw.decode(errors="backslashreplace")


_NONE: Final = Extras()
_NO_ATTEMPT: Final = {"started_at": None, "ended_at": None, "duration_seconds": None, "error": None}
