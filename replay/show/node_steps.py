"""Steps that are nodes, for people: one place with what both say.

In a report they are two views that name each other (docs/reports.md, "Nodes").  On a screen such a
node stands among the steps of its batch, and not among the nodes.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from replay.fold.nodes import nodes_of
from replay.fold.run_report import NodeReport, RunReport
from replay.fold.run_report_views import node_of_step, node_view
from replay.fold.run_units import step_views
from replay.fold.runs import Standing

# What a node says and its step does not; the rest stands at the step.
_OF_NODE: Final = (
    "attempts",
    "outputs",
    "results",
    "messages",
    "retries",
    "output_hash",
    "output_summary",
    "resource",
    "reason",
)


def with_node(step: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the view of a step with what the node that it is says besides."""
    return {**step, **{name: node[name] for name in _OF_NODE if node.get(name)}}


def steps_with_nodes(state: RunReport, standing: Standing) -> Iterator[dict[str, Any]]:
    """Yield batch steps, and steps that stand in nothing, with the nodes that they are."""
    for step in step_views(state.units, standing.status, state.last.mono_us):
        name = step.get("node_id")
        node = None if name is None else node_of_step(state, step["unit"], name, step["node_index"])
        yield step if node is None else with_node(step, node_view(state, name, node, standing))


def lone_nodes(state: RunReport) -> Iterator[tuple[str | None, NodeReport]]:
    """Yield the nodes that are no steps, ids in the order in which they came."""
    states = state.units.states
    for node_id, node in nodes_of(state):
        if node.extras is None or node.extras.unit not in states:
            yield node_id, node


def batch_of(state: RunReport, node: NodeReport) -> str:
    """Return the label of the batch in which a node is a step, empty where it is in none."""
    unit = None if node.extras is None else node.extras.unit
    parent = None if unit is None else state.units.parents.get(unit)
    return "" if parent is None else parent.label
