"""Nodes that are steps: what begins while a report is bound stands in that report.

The events are those of nodes and name the step besides; what they mean for it is
`replay.fold.report`, what they mean for the node `replay.fold.run_report`.  Which report is bound
is in `observability.context`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from observability.context import bound
from observability.reporting.recorder import NodeKey
from observability.reporting.step import StepReport
from replay.trace.events import (
    CheckMade,
    Event,
    Message,
    NodeFailed,
    NodeSkipped,
    NodeStarted,
    NodeSucceeded,
    ReviewCleared,
    ReviewRequested,
)

if TYPE_CHECKING:
    from observability.observer import ExecutionObserver

_KINDS: Final[dict[str, type[Event]]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        *(NodeStarted, NodeSucceeded, NodeFailed, NodeSkipped),
        *(Message, CheckMade, ReviewRequested, ReviewCleared),
    )
}
_ENDS: Final = frozenset({NodeSucceeded, NodeFailed, NodeSkipped})


class NodeSteps:
    """The nodes of one observer that are steps, by id and index.

    A step whose node has ended is known as long as its batch has it: the node's next attempt goes
    on with it, unless another batch is bound by then.
    """

    def __init__(self, observer: "ExecutionObserver") -> None:
        self._observer = observer
        self._open: dict[NodeKey, StepReport] = {}
        self._ended: WeakValueDictionary[NodeKey, StepReport] = WeakValueDictionary()

    def begin(self, event_type: str, payload: Mapping[str, Any], node: NodeKey) -> bool:
        """Write an attempt's start, or that a node is skipped, and apply it to the step.

        The journal's lock is held, and the values have passed the gate.

        Returns:
            False if the node is no step; nothing was written.
        """
        kind, report = _KINDS[event_type], bound()
        if report is not None and report.observer is not self._observer:
            report = None
        step = self._of(node)
        if step is not None and (report is None or step.parent is report):
            self._record(step, kind, {**payload, **_place(step)}, node)
            return True
        if report is None:
            return False
        self._note(StepReport.begin_node(report, kind, dict(payload), node), kind, node)
        return True

    def tell(self, event_type: str, payload: Mapping[str, Any], node: NodeKey) -> bool:
        """Write an end, or something said of a node, and apply it to the step.

        Returns:
            False if the node is no step, or that is nothing that a step has; nothing was written.
        """
        kind = _KINDS.get(event_type)
        if kind is None:
            return False
        with self._observer.lock:
            step = self._of(node)
            if step is not None:
                self._record(step, kind, dict(payload), node)
        return step is not None

    def _of(self, node: NodeKey) -> StepReport | None:
        return self._open.get(node) or self._ended.get(node)

    def _record(
        self, step: StepReport, kind: type[Event], payload: dict[str, Any], node: NodeKey
    ) -> None:
        step.record(kind, payload, node)
        self._note(step, kind, node)

    def _note(self, step: StepReport, kind: type[Event], node: NodeKey) -> None:
        """Note whether the node is open; one that failed stays in its batch for a next attempt."""
        if kind is NodeStarted:
            self._open[node] = step
        elif kind in _ENDS:
            self._open.pop(node, None)
            self._ended[node] = step
            report: Any = step.parent
            if kind is not NodeFailed:
                report.has_ended(step)


def _place(step: StepReport) -> dict[str, Any]:
    """Return where a step stands, so that the trace says it with every attempt."""
    parent: Any = step.parent
    return {"parent": parent.state.unit, "id": step.state.id}
