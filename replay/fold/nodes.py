"""The nodes of a run: which there are, how each stands, and how many stand so.

A node is (node_id, node_index); its status is that of its last attempt, and the counts of the run
follow it.  Handlers return the node, and make it by *new*, so that a report can keep more of it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from replay.fold.status import FAILED, RUNNING, SKIPPED, SUCCEEDED
from replay.trace.events import (
    Event,
    NodeFailed,
    NodeSkipped,
    NodeStarted,
    NodeSucceeded,
    Seconds,
)

if TYPE_CHECKING:
    from replay.fold.run import RunState


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


# --- One handler an event type


def on_node_start(
    state: "RunState", event: NodeStarted, new: type[NodeMark] = NodeMark
) -> NodeMark:
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
    state: "RunState", event: NodeSucceeded, new: type[NodeMark] = NodeMark
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


def on_node_failure(
    state: "RunState", event: NodeFailed, new: type[NodeMark] = NodeMark
) -> NodeMark:
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
    state: "RunState", event: NodeSkipped, new: type[NodeMark] = NodeMark
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


def _forgive(state: "RunState", event: Any) -> None:
    """Let a step that somebody had failed be what the node that it is says."""
    if event.unit is not None:
        state.failed_units.pop(event.unit, None)


# --- One node, and all of them


def ended_node(state: "RunState", event: Event, new: type[NodeMark] = NodeMark) -> NodeMark:
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


def nodes_of(state: "RunState") -> Iterator[tuple[str | None, Any]]:
    """Yield (node_id, node) of every node: ids in the order they came, indexes likewise."""
    for node_id, head in state.nodes.items():
        yield node_id, head
        if head.others is not None:
            for node in head.others.values():
                yield node_id, node


def node_times(state: "RunState") -> dict[str, Seconds]:
    """Return, by node id, the seconds of the attempt that ended last."""
    return {
        node_id: head.duration
        for node_id, head in state.nodes.items()
        if head.duration is not None and node_id is not None
    }


def _other(state: "RunState", head: NodeMark, index: int | None, new: type[NodeMark]) -> NodeMark:
    """Return the node of *head*'s id that has *index*, made if there is none."""
    if head.others is None:
        head.others = {}
    found = head.others.get(index)
    if found is None:
        head.others[index] = found = new(index)
        state.nodes_more += 1
    return found


def _which(state: "RunState", head: NodeMark, index: int | None, new: type[NodeMark]) -> NodeMark:
    if head.index == index and (index is not None or head.status == RUNNING):
        return head
    if index is not None:
        return _other(state, head, index, new)
    if head.status == RUNNING or head.others is None:
        return head
    others = head.others.values()
    still_open = (node for node in others if node.status == RUNNING)
    return next(still_open, next(reversed(others)))


def _count(state: "RunState", status: str, by: int) -> None:
    if status == SUCCEEDED:
        state.nodes_completed += by
    elif status == FAILED:
        state.nodes_failed += by
    elif status == SKIPPED:
        state.nodes_skipped += by
