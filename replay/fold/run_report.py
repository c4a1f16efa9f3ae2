"""The report of a run: its nodes with their attempts, outputs, results and errors.

`RunReport` is a `RunState` that keeps more of each node; its handlers call those of
`replay.fold.run`, so report and metadata cannot count differently.  What it looks like as JSON is
`replay.fold.run_report_views`.
"""

import sys
from collections.abc import Callable
from typing import Any, ClassVar, Final

import msgspec
import orjson

from replay.fold import commands, nodes, starts
from replay.fold import run as runs
from replay.fold.instant import Instant, seconds_between
from replay.fold.nodes import NodeMark
from replay.fold.report.handlers import HANDLERS as OF_UNITS
from replay.fold.report.step import Check
from replay.fold.report.units import Units
from replay.fold.reviews import NO_REVIEW, ReviewFlag, Reviewing, decided
from replay.fold.run import RunState
from replay.fold.status import FAILED, INTERRUPTED, RUNNING, SKIPPED, SUCCEEDED
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
from replay.trace.line import MAX_DEPTH, is_too_deep
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


class RunReport(RunState, gc=False, kw_only=True):
    """One run with all that a report says of it."""

    HANDLERS: ClassVar[dict[type, Callable[[Any, Any], Any]]]
    DECODE: ClassVar[Callable[[bytes], Any]] = staticmethod(decode_event)

    environment: dict[str, Any] | None = None
    messages: list[dict[str, Any]] = msgspec.field(default_factory=list)
    outputs: list[Output] = msgspec.field(default_factory=list)
    results: list[dict[str, Any]] = msgspec.field(default_factory=list)
    units: Units = msgspec.field(default_factory=Units)


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


# --- One handler an event type


def on_workflow_start(state: RunReport, event: WorkflowStarted) -> None:
    """What the run met is what its first start says of it."""
    starts.on_workflow_start(state, event)
    if state.environment is None and event.environment is not None:
        # By way of JSON, which has no tuples: a report is the same in memory and in its file.
        state.environment = orjson.loads(msgspec.json.encode(event.environment))


def on_node_start(state: RunReport, event: NodeStarted) -> None:
    """The node's next attempt begins; one that is still open will not end any more."""
    node: Any = nodes.on_node_start(state, event, NodeReport)
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


def on_node_success(state: RunReport, event: NodeSucceeded) -> None:
    """The current attempt ends well."""
    node: Any = nodes.on_node_success(state, event, NodeReport)
    attempt = _end(node, event, SUCCEEDED)
    attempt.duration, attempt.resource = event.duration_seconds, event.resource
    if attempt.ran is not None:
        commands.ended(attempt.ran, event)
    node.output_hash = event.output_hash
    summary = bytes(event.output_summary)
    node.output_summary = b"" if summary == b"null" else summary
    if event.unit is not None:
        state.units.apply(event)


def on_node_failure(state: RunReport, event: NodeFailed) -> None:
    """The current attempt ends by an error."""
    node: Any = nodes.on_node_failure(state, event, NodeReport)
    attempt = _end(node, event, FAILED)
    attempt.duration = event.duration_seconds
    attempt.error, attempt.error_type = event.error, event.error_type
    attempt.traceback, attempt.resource = event.traceback, event.resource
    if attempt.ran is not None:
        commands.ended(attempt.ran, event)
    if event.unit is not None:
        state.units.apply(event)


def on_node_skipped(state: RunReport, event: NodeSkipped) -> None:
    """The node is not run: no attempt, unless one had begun."""
    node: Any = nodes.on_node_skipped(state, event, NodeReport)
    node.reason = event.reason
    if node.attempt is not None:
        attempt = _end(node, event, SKIPPED)
        attempt.duration = seconds_between(attempt, event)
    _be_a_step(state, event, node)


def _be_a_step(state: RunReport, event: NodeStarted | NodeSkipped, node: NodeReport) -> None:
    """Let the node be the step that the event names; without one it is none, or none any more."""
    if event.unit is not None:
        _extras(node).unit = event.unit
        state.units.apply(event)
    elif node.extras is not None:
        node.extras.unit = None


def on_node_retry(state: RunReport, event: NodeRetried) -> None:
    """Another attempt is announced; the node stays as it is until it begins or ends."""
    node = _known(state, event)
    if node is None:
        return
    _extras(node).retries.append(
        {
            "timestamp": event.timestamp,
            "attempt": event.attempt,
            "max_attempts": event.max_attempts,
            "delay_seconds": event.delay_seconds,
            "error": event.error,
        }
    )


def on_node_result(state: RunReport, event: NodeResult) -> None:
    """A node returned a value; what has no node is the run's."""
    found: dict[str, Any] = {"digest": event.digest, "size": event.size}
    if isinstance(event.value, msgspec.Raw):
        found["value"] = bytes(event.value)
    node = _known(state, event)
    if node is None:
        state.results.append(found)
    else:
        _extras(node).results.append(found)


def on_artifact_written(state: RunReport, event: ArtifactWritten) -> None:
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


def on_unit_begin(state: RunReport, event: UnitBegun) -> None:
    """A unit begins, the first time that this is said of it."""
    state.units.begin(event)


def _on_unit(handler: Callable[[Any, Any, Any], None]) -> Callable[[Any, Any], None]:
    """Return what lets *handler* change the unit that an event is about, if that has begun."""

    def on_unit(state: RunReport, event: Any) -> None:
        # `Units.apply` without looking up what is known: most events of a report are these.
        units = state.units
        if event.unit != units.unit:
            units.turn_to(event.unit)
        if units.state is not None:
            handler(units.state, event, units.parent)

    return on_unit


_say_of_unit: Final = _on_unit(OF_UNITS[Message])
_set_status: Final = _on_unit(OF_UNITS[UnitStatusSet])


def on_message(state: RunReport, event: Message) -> None:
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
        def on_event(state: RunReport, event: Any) -> None:
            (of_node if event.unit is None else of_unit)(state, event)

        return on_event

    return decorate


@_unless_of_a_unit(ReviewResolved)
def on_review_resolved(state: RunReport, event: ReviewResolved) -> None:
    """Somebody has decided about a node."""
    if (node := _known(state, event)) is not None:
        extras = _extras(node)
        extras.reviewing = decided(extras.reviewing, event)


@_unless_of_a_unit(CheckMade)
def on_check(state: RunReport, event: CheckMade) -> None:
    """A check of a node changes no status."""
    if (node := _known(state, event)) is not None:
        _extras(node).checks.append(Check(event.name, event.ok, event.detail))


@_unless_of_a_unit(ReviewRequested)
def on_review_requested(state: RunReport, event: ReviewRequested) -> None:
    """Somebody should look at a node."""
    if (node := _known(state, event)) is not None:
        extras = _extras(node)
        extras.review = ReviewFlag(flagged=True, reason=event.reason)
        extras.reviewing = extras.reviewing or Reviewing()
        extras.reviewing.requested_at = event.timestamp


@_unless_of_a_unit(ReviewCleared)
def on_review_cleared(state: RunReport, event: ReviewCleared) -> None:
    """Nobody needs to look at a node any more."""
    if (node := _known(state, event)) is not None and node.extras is not None:
        node.extras.review = NO_REVIEW


def on_unit_status(state: RunReport, event: UnitStatusSet) -> None:
    """Failures are the run's as well."""
    if event.status == FAILED or state.failed_units:
        runs.on_unit_status(state, event)
    _set_status(state, event)


def on_unit_attached(state: RunReport, event: UnitAttached) -> None:
    """A step of a file is the run's failure no more."""
    runs.on_unit_attached(state, event)
    state.units.apply(event)


def on_captured(state: RunReport, event: Captured) -> None:
    """What a unit wrote is that unit's, what a program printed its node's."""
    if event.unit is not None:
        state.units.apply(event)
    elif (ran := _ran(state, event)) is not None:
        commands.printed(ran, event)


def on_artifact_read(state: RunReport, event: ArtifactRead) -> None:
    """What was read is the node's."""
    if (ran := _ran(state, event)) is not None:
        commands.read(ran, event)


RunReport.HANDLERS = {
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


def _ran(state: RunReport, event: Event) -> commands.Ran | None:
    """Return what the current attempt of the event's node runs or reads, made if need be."""
    node = _known(state, event)
    if node is None or node.attempt is None:
        return None
    if node.attempt.ran is None:
        node.attempt.ran = commands.Ran()
    ran: commands.Ran = node.attempt.ran
    return ran


def _known(state: RunReport, event: Event) -> Any:
    """Return the node that *event* is about, None if it has not come yet.

    What is said of a node makes none: metadata, which leave such events out, count the same.
    """
    head: Any = None if event.node_id is None else state.nodes.get(event.node_id)
    index = event.node_index
    if head is None:
        return None
    if index is None:
        return head if head.others is None else nodes.ended_node(state, event, NodeReport)
    return head if head.index == index else (head.others or {}).get(index)


def parsed(raw: bytes) -> Any:
    """Return the JSON value in *raw*; its text if it is beyond what the format allows."""
    try:
        found = orjson.loads(raw)
        if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH or not is_too_deep(found):
            return found
    except orjson.JSONDecodeError:
        pass
    return raw.decode(errors="backslashreplace")
