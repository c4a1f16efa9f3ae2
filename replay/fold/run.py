"""One run as a state: what its events add up to, counted as they come.

`apply` is the whole meaning of an event for a run.  The live observer calls it with each line it
has written, the fold (`replay.fold.runs`) with each line it reads, so both hold the same state.
Every handler is total: it takes any event, in any order, whatever is missing before it.  Those of
nodes stand in `replay.fold.nodes`, those of starts and ends in `replay.fold.starts`.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeVar, Union

import msgspec

from replay.fold.instant import Instant, instant_of, seconds_between
from replay.fold.nodes import (
    NodeMark,
    on_node_failure,
    on_node_skipped,
    on_node_start,
    on_node_success,
)
from replay.fold.starts import on_workflow_complete, on_workflow_error, on_workflow_start
from replay.fold.status import FAILED
from replay.trace.events import (
    EVENT_TYPES,
    Event,
    Gap,
    Message,
    NodeFailed,
    NodeSkipped,
    NodeStarted,
    NodeSucceeded,
    ReviewRequested,
    Seconds,
    UnitAttached,
    UnitBegun,
    UnitStatusSet,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
)


class End(msgspec.Struct, gc=False):
    """The last line of a run in one file."""

    seq: int
    hash: str


class RunState(msgspec.Struct, gc=False, kw_only=True):
    """One run, as far as events were applied.

    Attributes:
        run_id: As in the envelope.
        workflow_id: As in the envelope.
        step_number: As in the envelope.
        pid: The process that began the run.
        first: Its first event.
        last: The last event of its course.
        starts: How many `workflow_start` were there: one for each process that joined the run.
        open: The starts whose end has not come, while there are several: (writer, pid) by what
            tells them apart, the node that a process said it would run, else its writer.
        broken: Of the starts that ended by an error, what tells them apart.
        output_dir: Where the program wrote, as it said.
        ended: The terminal event that counts: the last one; None while a start has no end.
        terminal: The type of that event.
        total_nodes: As announced.
        total_time_seconds: As the terminal event has it; of several starts, from the first event
            to the last end.
        cumulative_cost_usd: As the terminal event has it; of several starts, the sum.
        error: Of a `workflow_error`.
        error_type: Of a `workflow_error`.
        traceback: Of a `workflow_error`.
        nodes: The first node of each id.
        nodes_more: Nodes whose id another one had first, a node being (node_id, node_index).
        nodes_completed: Nodes whose last attempt succeeded.
        nodes_failed: Nodes whose last attempt failed.
        nodes_skipped: Nodes that were skipped last.
        warnings: Messages of level `warning`.
        errors: Messages of level `error`.
        dropped: Events that could not be written, as `gap` events say.
        may_await: It may have requests for review.
        failed_units: Ids of the files and batch steps that failed last; the values mean nothing.
        ends: Its last line in each file, by the file's name; kept by `replay.fold.runs`.
        begun_in: The file of its first event.
        begun_at: `seq` of its first event there.
        begin_key: Place in the order of its first event: (sort time, writer, seq).
        sort_key: The same of the last event of its course.
    """

    HANDLERS: ClassVar[dict[type, Callable[[Any, Any], Any]]]
    DECODE: ClassVar[Callable[[bytes], Any]]

    run_id: str
    workflow_id: str
    step_number: str
    pid: int
    first: Instant
    # An event while events are applied; nobody needs more of it than an instant has.
    last: Any
    starts: int = 0
    open: dict[str, tuple[str, int]] = msgspec.field(default_factory=dict)
    broken: list[str] = msgspec.field(default_factory=list)
    ended: Instant | None = None
    terminal: str | None = None
    output_dir: str | None = None
    total_nodes: int | None = None
    total_time_seconds: float | None = None
    cumulative_cost_usd: float | str = 0.0
    error: str | None = None
    error_type: str | None = None
    traceback: str | None = None
    nodes: dict[str | None, NodeMark] = msgspec.field(default_factory=dict)
    nodes_more: int = 0
    nodes_completed: int = 0
    nodes_failed: int = 0
    nodes_skipped: int = 0
    warnings: int = 0
    errors: int = 0
    dropped: int = 0
    may_await: bool = False
    failed_units: dict[str, bool] = msgspec.field(default_factory=dict)
    ends: dict[str, End] = msgspec.field(default_factory=dict)
    begun_in: str = ""
    begun_at: int = 0
    begin_key: tuple[str, str, int] = ("", "", -1)
    sort_key: tuple[str, str, int] = ("", "", -1)

    @property
    def nodes_seen(self) -> int:
        """Number of nodes."""
        return len(self.nodes) + self.nodes_more

    @property
    def start(self) -> str:
        """The timestamp of the run's start: of its first event."""
        return self.first.timestamp


class _NodeEvent(msgspec.Struct, tag_field="event_type", kw_only=True, gc=False):
    """What a run wants to know of a node's event.

    Nearly all events of a trace are of these; a third of their decoding is the fields that only
    a report needs.  They are made here and not shared, so that nobody takes one for an event.
    """

    v: Literal[1]
    timestamp: str
    run_id: str | None = None
    node_id: str | None = None
    node_index: int | None = None
    unit: str | None = None


class _Started(_NodeEvent, tag="node_start"):
    pass


class _Succeeded(_NodeEvent, tag="node_success", kw_only=True):
    duration_seconds: Seconds


class _Failed(_NodeEvent, tag="node_failure", kw_only=True):
    duration_seconds: Seconds


AnyRun = TypeVar("AnyRun", bound=RunState)


def beginning(event: Event, kind: type[AnyRun] = RunState) -> AnyRun:  # type: ignore[assignment]
    """Return the state of the run of *event*, its first event; `apply` comes after it."""
    return kind(
        run_id=event.run_id or "",
        workflow_id=event.workflow_id,
        step_number=event.step_number,
        pid=event.pid,
        first=instant_of(event),
        last=event,
    )


# --- One handler an event type


def on_message(state: RunState, event: Message) -> None:
    """Warnings and errors are counted; a run is never failed by a message."""
    if event.level == "warning":
        state.warnings += 1
    elif event.level == "error":
        state.errors += 1


def on_unit_status(state: RunState, event: UnitStatusSet) -> None:
    """A file or a batch step that failed fails the run; a step of a file is that file's affair."""
    if event.status == FAILED and not event.inside:
        state.failed_units[event.unit] = True
    elif state.failed_units:
        state.failed_units.pop(event.unit, None)


def on_unit_attached(state: RunState, event: UnitAttached) -> None:
    """A step that failed alone may turn out to be one of a file."""
    if event.inside and state.failed_units:
        state.failed_units.pop(event.unit, None)


def on_unit_begin(state: RunState, event: UnitBegun) -> None:
    """What a unit held before it was recorded may be a request for review."""
    if event.state is not None:
        state.may_await = True


def on_review_requested(state: RunState, _: ReviewRequested) -> None:
    """What is asked for, and what became of it, is what a report says."""
    state.may_await = True


def on_gap(state: RunState, event: Gap) -> None:
    """What is not in the record is at least counted."""
    state.dropped += event.dropped or 0


RunState.HANDLERS = {
    WorkflowStarted: on_workflow_start,
    WorkflowCompleted: on_workflow_complete,
    WorkflowFailed: on_workflow_error,
    NodeStarted: on_node_start,
    NodeSucceeded: on_node_success,
    NodeFailed: on_node_failure,
    NodeSkipped: on_node_skipped,
    Message: on_message,
    Gap: on_gap,
    UnitBegun: on_unit_begin,
    ReviewRequested: on_review_requested,
    UnitStatusSet: on_unit_status,
    UnitAttached: on_unit_attached,
    _Started: on_node_start,
    _Succeeded: on_node_success,
    _Failed: on_node_failure,
}
# A line, as far as `apply` looks at it.
RunState.DECODE = staticmethod(
    msgspec.json.Decoder(
        Union[
            (
                _Started,
                _Succeeded,
                _Failed,
                *({*EVENT_TYPES.values()} - {NodeStarted, NodeSucceeded, NodeFailed}),
            )
        ]
    ).decode
)


def apply(state: RunState, event: Event) -> None:
    """Change *state* by *event*, an event of its run's course.  Pure; cost: about 0.3 us."""
    state.last = event
    handler = state.HANDLERS.get(type(event))
    if handler is not None:
        handler(state, event)


def apply_aside(state: RunState, event: Event) -> None:
    """Change *state* by *event*, which somebody wrote about the run and not in its course.

    It makes the run neither longer nor newer.
    """
    handler = state.HANDLERS.get(type(event))
    if handler is not None:
        handler(state, event)


# --- Views


def duration_seconds(state: RunState) -> float:
    """Return how long the run took; for one without an end, up to the last event applied."""
    if state.total_time_seconds is not None:
        return state.total_time_seconds
    return seconds_between(state.first, state.last)
