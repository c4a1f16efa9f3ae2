"""The starts of a run and their ends: one for each process that joined it.

A run ends when each of its starts has ended; one that ended by an error stays broken until a later
start takes its place and ends well.
"""

from typing import TYPE_CHECKING

from replay.fold.instant import instant_of, seconds_between
from replay.trace.events import Event, WorkflowCompleted, WorkflowFailed, WorkflowStarted

if TYPE_CHECKING:
    from replay.fold.run import RunState


def on_workflow_start(state: "RunState", event: WorkflowStarted) -> None:
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


def on_workflow_complete(state: "RunState", event: WorkflowCompleted) -> None:
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


def on_workflow_error(state: "RunState", event: WorkflowFailed) -> None:
    """Of several terminal events the last in order counts; an error of one start stays."""
    which, _ = _end_start(state, event)
    if which not in state.broken:
        state.broken.append(which)
    state.error = event.error
    state.error_type = event.error_type
    state.traceback = event.traceback
    _end(state, event, "workflow_error")


def _end(state: "RunState", event: WorkflowCompleted | WorkflowFailed, terminal: str) -> None:
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


def _end_start(state: "RunState", event: Event) -> tuple[str, bool]:
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
