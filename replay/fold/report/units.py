"""All units of a run, as its events name them."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from replay.fold.report.base import ReportBase
from replay.fold.report.beginning import begun, fits, place
from replay.fold.report.handlers import apply, on_unit_attached
from replay.trace.events import NodeSkipped, NodeStarted, UnitAttached, UnitBegun

_BEGIN_NODES: Final = frozenset({NodeStarted, NodeSkipped})


class Units(msgspec.Struct, gc=False):
    """The units of a run, by id in the order in which they began.

    Attributes:
        states: Every one.
        parents: What each stands in; not there for one that stands alone.
        unit: The unit of the last event, because the next one is often about the same.
        state: Its state; None if it never began.
        parent: What it stands in, or None.
    """

    states: dict[str, ReportBase] = msgspec.field(default_factory=dict)
    parents: dict[str, ReportBase] = msgspec.field(default_factory=dict)
    unit: str = ""
    state: ReportBase | None = None
    parent: ReportBase | None = None

    def apply(self, event: Any) -> None:
        """Take in an event that names a unit; one whose unit never began is passed over."""
        if type(event) is UnitBegun:
            self.begin(event)
            return
        if event.unit != self.unit:
            self.turn_to(event.unit)
        if type(event) is UnitAttached:
            self.attach(event)
            return
        if self.state is None and type(event) in _BEGIN_NODES:
            self.begin(event)
        if self.state is not None:
            apply(self.state, event, self.parent)

    def turn_to(self, unit: str) -> None:
        """Look up the unit that the next events are about."""
        self.unit = unit
        self.state = self.states.get(unit)
        self.parent = self.parents.get(unit)

    def begin(self, event: UnitBegun | NodeStarted | NodeSkipped) -> None:
        """Make the state of a unit that begins, in its parent if that is known."""
        if event.unit in self.states:
            return
        state = begun(event)
        self.unit, self.parent = state.unit, None
        self.state = self.states[state.unit] = state
        if event.parent is not None:
            parent = self.states.get(event.parent)
            if parent is not None and fits(parent, state):
                self.parent = self.parents[state.unit] = parent
                place(parent, state, event)

    def attach(self, event: UnitAttached) -> None:
        """Let a unit that stands alone stand in a parent that is known."""
        state, parent = self.state, self.states.get(event.parent)
        if state is None or parent is None or self.parent is not None or not fits(parent, state):
            return
        self.parent = self.parents[event.unit] = parent
        on_unit_attached(state, event, parent)

    def roots(self) -> Iterator[ReportBase]:
        """Yield the units that stand in no other."""
        parents = self.parents
        return (state for unit, state in self.states.items() if unit not in parents)
