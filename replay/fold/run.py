"""One run as a state: what its events add up to, counted as they come.

`apply` is the whole meaning of an event for a run.  The live observer calls it with each line it
has written, the fold (`replay.fold.runs`) with each line it reads, so both hold the same state.
Every handler is total: it takes any event, in any order, whatever is missing before it.  Which
runs are alive is no part of the state: `status_of` is told.  Rules: docs/reading.md, "Status".
"""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final, Literal, TypeVar, Union

import msgspec

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

Status = Literal["pending", "running", "succeeded", "failed", "skipped", "interrupted"]

RUNNING: Final = "running"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"
INTERRUPTED: Final = "interrupted"


class Instant(msgspec.Struct, gc=False):
    """When something was written, and by whom; an event is one as well."""

    timestamp: str
    epoch_seconds: float
    mono_us: int
    writer: str


def instant_of(when: Event | Instant) -> Instant:
    """Return *when* without the rest of the event."""
    return Instant(when.timestamp, when.epoch_seconds, when.mono_us, when.writer)


def seconds_between(begin: Instant, end: Instant | Event) -> float:
    """Return the time from *begin* to *end*, in seconds, never negative.

    By the monotonic clock where one writer wrote both, else by the wall clock.
    """
    if begin.writer == end.writer:
        return max(0, end.mono_us - begin.mono_us) / 1e6
    return max(0.0, round(end.epoch_seconds - begin.epoch_seconds, 6))


class End(msgspec.Struct, gc=False):
    """The last line of a run in one file."""

    seq: int
    hash: str


class NodeMark(msgspec.Struct, gc=False, array_like=True):
    """How a node stands.

    Attributes:
        index: With the id, what tells a node from others.
        status: Of its last attempt.
        duration: Seconds of the attempt that ended last, among all nodes of this id; kept on
            the first node of the id.
        others: The nodes of the same id with another index, kept on the first one; None while
            there is none.
    """

    index: int | None
    status: str = RUNNING
    duration: Seconds | None = None
    others: "dict[int | None, NodeMark] | None" = None


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


def on_workflow_start(state: RunState, event: WorkflowStarted) -> None:
    """The first one says who began the run; a total given later is the better one.

    A second one is another process that joins the run, or takes the place of one that was to run
    the same node: the run goes on until each of them has ended.
    """
    state.starts += 1
    if state.starts == 1:
        state.pid = event.pid
        state.output_dir = event.output_dir
    else:
        state.terminal = state.ended = state.total_time_seconds = None
    which = _which_start(event)
    state.open[which] = (event.writer, event.pid)
    if which in state.broken:
        state.broken.remove(which)
    if event.total_nodes is not None:
        state.total_nodes = event.total_nodes


def on_workflow_complete(state: RunState, event: WorkflowCompleted) -> None:
    """Of several terminal events the last in order counts."""
    which, is_first = _end_start(state, event)
    if which in state.broken:
        state.broken.remove(which)
    if not state.broken:
        state.error = state.error_type = state.traceback = None
    cost = event.cumulative_cost_usd
    if state.starts > 1 and is_first and _is_number(cost, state.cumulative_cost_usd):
        state.cumulative_cost_usd += cost  # type: ignore[operator]  # both are numbers
    else:
        state.cumulative_cost_usd = cost
    _end(state, event, "workflow_complete")


def on_workflow_error(state: RunState, event: WorkflowFailed) -> None:
    """Of several terminal events the last in order counts; an error of one start stays."""
    which, _ = _end_start(state, event)
    if which not in state.broken:
        state.broken.append(which)
    state.error = event.error
    state.error_type = event.error_type
    state.traceback = event.traceback
    _end(state, event, "workflow_error")


def _end(state: RunState, event: WorkflowCompleted | WorkflowFailed, terminal: str) -> None:
    """Let the run end by *event*, unless another process of it has not ended."""
    if state.starts > 1 and state.open:
        return
    state.terminal = terminal
    state.ended = instant_of(event)
    state.total_time_seconds = event.total_time_seconds
    if state.starts > 1:
        state.total_time_seconds = seconds_between(state.first, event)


def _which_start(event: Event) -> str:
    """Return what tells the start or the end of one process from those of others."""
    return event.writer if event.node_id is None else f"node {event.node_id}"


def _end_start(state: RunState, event: Event) -> tuple[str, bool]:
    """Note that a start has ended; return which, and whether it was open.

    A process that had to begin another file, or a fork of it, ends as another writer than it
    began.
    """
    which, whose = _which_start(event), (event.writer, event.pid)
    if state.starts <= 1:
        # Whoever says so: nobody else is in the run.
        which = next(iter(state.open), which)
        return which, state.open.pop(which, None) is not None
    begun = state.open.get(which)
    if begun is None and event.node_id is None:
        same = (name for name, (_, pid) in state.open.items() if pid == event.pid)
        which = next(same, which)
    elif begun is not None and begun[0] != whose[0] and begun[1] != whose[1]:
        # Another process took this one's place, and has not ended.
        return which, False
    return which, state.open.pop(which, None) is not None


def _is_number(*values: float | str) -> bool:
    return not any(isinstance(value, str) for value in values)


def on_node_start(state: RunState, event: NodeStarted, new: type[NodeMark] = NodeMark) -> NodeMark:
    """A node that has ended begins its next attempt and is not counted until that ends."""
    if state.failed_units:
        _forgive(state, event)
    index = event.node_index
    node = state.nodes.get(event.node_id)
    if node is None:
        state.nodes[event.node_id] = node = new(index)
        return node
    if node.index != index:
        node = _other(state, node, index, new)
    if node.status != RUNNING:
        _count(state, node.status, -1)
        node.status = RUNNING
    return node


def on_node_success(
    state: RunState, event: NodeSucceeded, new: type[NodeMark] = NodeMark
) -> NodeMark:
    """The node's last attempt succeeded."""
    if state.failed_units:
        _forgive(state, event)
    head = state.nodes.get(event.node_id)
    if head is None:
        state.nodes[event.node_id] = head = node = new(event.node_index)
    elif head.others is None and (head.index == event.node_index or event.node_index is None):
        node = head
    else:
        node = _which(state, head, event.node_index, new)
    if node.status != RUNNING:
        _count(state, node.status, -1)
    node.status = SUCCEEDED
    state.nodes_completed += 1
    head.duration = event.duration_seconds
    return node


def on_node_failure(state: RunState, event: NodeFailed, new: type[NodeMark] = NodeMark) -> NodeMark:
    """The node's last attempt failed; a step that it is fails with it, and counts once."""
    if state.failed_units:
        _forgive(state, event)
    node = ended_node(state, event, new)
    if node.status != RUNNING:
        _count(state, node.status, -1)
    node.status = FAILED
    state.nodes_failed += 1
    state.nodes[event.node_id].duration = event.duration_seconds
    return node


def on_node_skipped(
    state: RunState, event: NodeSkipped, new: type[NodeMark] = NodeMark
) -> NodeMark:
    """The node is not run, or not again."""
    if state.failed_units:
        _forgive(state, event)
    node = ended_node(state, event, new)
    if node.status != RUNNING:
        _count(state, node.status, -1)
    node.status = SKIPPED
    state.nodes_skipped += 1
    return node


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


def _forgive(state: RunState, event: Any) -> None:
    """Let a step that somebody had failed be what the node that it is says."""
    if event.unit is not None:
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


# --- Nodes


def ended_node(state: RunState, event: Event, new: type[NodeMark] = NodeMark) -> NodeMark:
    """Return the node that *event* is about, made by *new* if it never started.

    An event without an index (older traces have it at the start only) is about the oldest open
    node of its id, and when none is open about the one of that id that came last.
    """
    head = state.nodes.get(event.node_id)
    if head is None:
        state.nodes[event.node_id] = head = new(event.node_index)
        return head
    if head.others is None and (head.index == event.node_index or event.node_index is None):
        return head
    return _which(state, head, event.node_index, new)


def nodes_of(state: RunState) -> Iterator[tuple[str | None, Any]]:
    """Yield (node_id, node) of every node: ids in the order they came, indexes likewise."""
    for node_id, head in state.nodes.items():
        yield node_id, head
        if head.others is not None:
            for node in head.others.values():
                yield node_id, node


def node_times(state: RunState) -> dict[str, Seconds]:
    """Return, by node id, the seconds of the attempt that ended last."""
    return {
        node_id: head.duration
        for node_id, head in state.nodes.items()
        if head.duration is not None and node_id is not None
    }


def _other(state: RunState, head: NodeMark, index: int | None, new: type[NodeMark]) -> NodeMark:
    """Return the node of *head*'s id that has *index*, made if there is none."""
    if head.others is None:
        head.others = {}
    found = head.others.get(index)
    if found is None:
        head.others[index] = found = new(index)
        state.nodes_more += 1
    return found


def _which(state: RunState, head: NodeMark, index: int | None, new: type[NodeMark]) -> NodeMark:
    if head.index == index and (index is not None or head.status == RUNNING):
        return head
    if index is not None:
        return _other(state, head, index, new)
    if head.status == RUNNING or head.others is None:
        return head
    others = head.others.values()
    still_open = (node for node in others if node.status == RUNNING)
    return next(still_open, next(reversed(others)))


def _count(state: RunState, status: str, by: int) -> None:
    if status == SUCCEEDED:
        state.nodes_completed += by
    elif status == FAILED:
        state.nodes_failed += by
    elif status == SKIPPED:
        state.nodes_skipped += by


# --- Views


def status_of(state: RunState, *, alive: bool) -> Status:
    """Return the status of the run; *alive*: a process that writes to it is there."""
    if state.terminal is None:
        return "running" if alive else "interrupted"
    if (
        state.terminal == "workflow_error"
        or state.nodes_failed
        or state.broken
        or state.failed_units
    ):
        return "failed"
    return "succeeded"


def duration_seconds(state: RunState) -> float:
    """Return how long the run took; for one without an end, up to the last event applied."""
    if state.total_time_seconds is not None:
        return state.total_time_seconds
    return seconds_between(state.first, state.last)


# --- Snapshots

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(RunState).decode


def freeze(state: RunState) -> bytes:
    """Return *state* as bytes, a tenth of the size of its objects; `thaw` is the inverse."""
    state.last = instant_of(state.last)
    return _encode(state)


def thaw(frozen: bytes) -> RunState:
    """Return the state that `freeze` was given."""
    state = _decode(frozen)
    state.last = msgspec.convert(state.last, Instant)
    return state


def dump(state: RunState) -> dict[str, Any]:
    """Return *state* as plain data that JSON can hold; `load` is the inverse."""
    plain = {name: getattr(state, name) for name in RunState.__struct_fields__}
    plain["last"] = instant_of(state.last)
    plain["nodes"] = [
        (node_id, node.index, node.status, node.duration) for node_id, node in nodes_of(state)
    ]
    return plain


def load(plain: dict[str, Any]) -> RunState:
    """Return the state that `dump` was given.

    Raises:
        msgspec.ValidationError: It was given none.
    """
    rows = msgspec.convert(plain["nodes"], list[tuple[str | None, int | None, str, Seconds | None]])
    state = msgspec.convert({**plain, "nodes": {}}, RunState)
    state.last = msgspec.convert(state.last, Instant)
    for node_id, index, status, duration in rows:
        node = NodeMark(index, status, duration)
        head = state.nodes.setdefault(node_id, node)
        if head is not node:
            if head.others is None:
                head.others = {}
            head.others[index] = node
    return state
