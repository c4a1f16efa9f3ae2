"""The attempts of nodes in this process: which are open and whose, what they use, which are steps.

What an attempt's events mean is in `replay.fold.nodes`; this is only known to the live program.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from observability import context
from observability.context import Scope, enter, leave, owner

if TYPE_CHECKING:
    from observability.environment.resources import Meter
    from observability.observer import ExecutionObserver
    from observability.reporting.node_steps import NodeSteps


class Attempts:
    """The open nodes of one process, by node id in the order they began.

    Each is a scope of `observability.context` from its start to its end.  Callers hold the
    journal's lock.

    Args:
        observer: Whose nodes they are.
        append: Appends an event whose values have passed the gate.
        meter: Reads what nodes use; None: nobody wants to know.

    Attributes:
        steps: The nodes that are steps; None as long as no report was bound.
    """

    def __init__(
        self,
        observer: "ExecutionObserver",
        append: Callable[[str, Mapping[str, Any], str, int | None], object],
        meter: "Meter | None",
    ) -> None:
        self.steps: NodeSteps | None = None
        self._observer = observer
        self._append = append
        self._meter = meter
        self._open: dict[str, list[tuple[int | None, object, Scope]]] = {}
        self._last: dict[str, int | None] = {}

    def begin_step(
        self, event_type: str, payload: Mapping[str, Any], node_id: str, index: int | None
    ) -> bool:
        """Append a node's start, or that it is skipped, if it is a step of a batch."""
        if self.steps is None:
            if not context.bindings:
                return False
            # Where a report is bound, what reports need has been loaded.
            from observability.reporting.node_steps import NodeSteps

            self.steps = NodeSteps(self._observer)
        return self.steps.begin(event_type, payload, (node_id, index))

    def begin(self, node_id: str, index: int | None) -> None:
        """Note that a node began, or began again while it was open."""
        if node_id in self._open:
            self._leave(node_id, index)
        self._last[node_id] = index
        mine = (index, owner(), enter(self._observer, node_id, index))
        self._open.setdefault(node_id, []).append(mine)
        if self._meter is not None:
            self._meter.begin(node_id, index)

    def ending(self, node_id: str) -> tuple[bool, int | None]:
        """Return whether a node of that id is open, and the index of the one that ends.

        It is the one begun last in this thread or task, otherwise the oldest; where none is
        open, the node of that id that began last.
        """
        others = self._open.get(node_id)
        if not others:
            return False, self._last.get(node_id)
        if len(others) == 1:
            return True, others[0][0]
        me = owner()
        mine = [index for index, whose, _ in others if whose == me]
        return True, mine[-1] if mine else others[0][0]

    def knows(self, node_id: str) -> bool:
        """Return whether a node of that id has ever begun."""
        return node_id in self._last

    def end(
        self, event_type: str, payload: Mapping[str, Any], node_id: str, index: int | None
    ) -> None:
        """Append the end of a node, with what it used, and of the step that it is if it is one."""
        used = None if self._meter is None else self._meter.end(node_id, index)
        if used is not None and "resource" not in payload:
            payload = {**payload, "resource": used}
        steps = self.steps
        if steps is None or not steps.tell(event_type, payload, (node_id, index)):
            self._append(event_type, payload, node_id, index)
        self._leave(node_id, index)

    def skip(self, node_id: str, index: int | None) -> None:
        """Note that a node was skipped."""
        if self._meter is not None:
            self._meter.forget(node_id, index)
        self._leave(node_id, index)

    def _leave(self, node_id: str, index: int | None) -> None:
        """Note that a node is not open any more; one that was not open is none."""
        left = []
        for node in self._open.pop(node_id, ()):
            if node[0] == index:
                leave(node[2])
            else:
                left.append(node)
        if left:
            self._open[node_id] = left
