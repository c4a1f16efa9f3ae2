"""How a change of a live unit becomes an event, and what the event does.

A change makes an event, hands it to the trace of an observer, if there is one, and applies it by
the handlers of `replay.fold.report`, which a fold calls with the same event.  So what is live and
what is replayed are the same.  What a program sees of a unit is `observability.reporting.unit`.
"""

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from observability.reporting.attached import Attached
from observability.reporting.dumps import as_json
from observability.reporting.interruption import change, settle_if_idle
from observability.reporting.nested import FILLING, compare, has_nested, known_of
from observability.reporting.process import PLAIN, PROCESS, stamped
from observability.values import Gate
from replay.fold.report.beginning import begun, place
from replay.fold.report.handlers import HANDLERS
from replay.trace.events import (
    EVENT_TYPES,
    Event,
    UnitAttached,
    UnitBegun,
    UnitEdited,
)

if TYPE_CHECKING:
    from observability.observer import ExecutionObserver
    from observability.reporting.unit import LiveUnit

NodeKey = tuple[str | None, int | None]
NO_NODE: Final[NodeKey] = (None, None)
_NAME_OF: Final = {kind: name for name, kind in EVENT_TYPES.items()}


class Recorder:
    """A handle over the state of one unit.

    Attributes:
        state: What it says; changed by events alone.
        observer: Where events go; None: nowhere.
        parent: What it stands in.
        derived: Its id was made of its label.
        known: What nested values are compared with; None where there are none.
        warned: It was said that changes are in no trace any more.
    """

    __slots__ = ("__weakref__", "derived", "known", "observer", "parent", "state", "warned")

    state: Any
    observer: "ExecutionObserver | None"
    parent: Any
    derived: bool
    warned: bool
    known: bytes | None

    # --- Events

    @property
    def lock(self) -> Any:
        """What makes an event and its application one."""
        return PROCESS.lock if self.observer is None else self.observer.lock

    @property
    def gate(self) -> Gate:
        """What values go through."""
        return PLAIN if self.observer is None else self.observer.gate

    @property
    def is_recorded(self) -> bool:
        """Whether what changes now is in a trace."""
        return self.observer is not None and self.observer.is_open

    def emit_event(
        self, kind: type[Event], payload: dict[str, Any], node: NodeKey = NO_NODE
    ) -> Any:
        """Write an event if somebody keeps it; return it as it was written."""
        observer = self.observer
        if observer is not None:
            if observer.is_open:
                event = observer.tell(_NAME_OF[kind], payload, *node)
                if event is not None:
                    return event
            else:
                self._warn_of_the_end()
        if node is not NO_NODE:
            payload = {**payload, "node_id": node[0], "node_index": node[1]}
        return stamped(kind, payload)

    def record(self, kind: type[Event], payload: dict[str, Any], node: NodeKey = NO_NODE) -> None:
        """Make an event of this unit and apply it.  Values have passed the gate.

        Args:
            kind: What happened.
            payload: The event's fields; gets the unit.
            node: The node that the event is about, where it is one of a node.

        Cost: 2 us, with a trace what an event costs there and 2 us.
        """
        observer = self.observer
        with PROCESS.lock if observer is None else observer.lock:
            if self.observer is not observer:
                # Another thread has let an observer record it while this one waited.
                self.record(kind, payload, node)
                return
            if self.known is not None:
                compare(self)  # not by way of `self.compare`: this is the hot path
            payload["unit"] = self.state.unit
            if observer is None:
                self._apply(stamped(kind, payload))
            else:
                change(observer, self, lambda: self._apply(self.emit_event(kind, payload, node)))

    def _apply(self, event: Any) -> None:
        """Apply an event as it was written."""
        kind, parent = type(event), self.parent
        HANDLERS[kind](self.state, event, None if parent is None else parent.state)
        if kind in FILLING and (self.known is not None or has_nested(event)):
            self.know()

    def begin_in(
        self,
        parent: "LiveUnit | None",
        payload: dict[str, Any],
        *,
        derived: bool = False,
        kind: type[Event] = UnitBegun,
        node: NodeKey = NO_NODE,
    ) -> None:
        """Begin, in *parent* or alone; `observer` is set, and *payload* has passed its gate."""
        self.parent, self.known, self.derived, self.warned = parent, None, derived, False
        payload["unit"] = PROCESS.new_unit()
        if parent is not None:
            payload["parent"] = parent.state.unit
        observer = self.observer
        if observer is None:
            self._begin_by(self.emit_event(kind, payload, node))
            return
        with observer.lock:
            change(observer, self, lambda: self._begin_by(self.emit_event(kind, payload, node)))

    def _begin_by(self, event: Any) -> None:
        self.state = begun(event)
        self.know()
        if self.parent is not None:
            self.parent.take(self, event)
        elif self.observer is not None:
            self.observer.reports.add(self)
        if self.parent is not None and type(event) is not UnitBegun:  # of a node, which says more
            HANDLERS[type(event)](self.state, event, self.parent.state)

    def take(self, child: "LiveUnit", event: Event) -> None:
        """Let *child* stand in this unit."""
        place(self.state, child.state, event)
        self.children_like(child).add(child)

    def join(self, parent: Any, payload: dict[str, Any]) -> None:
        """Stand in *parent*, which *payload* names, from now on."""
        observer = self.observer

        def take(event: Any) -> None:
            HANDLERS[UnitAttached](self.state, event, parent.state)
            parent.children_like(self).add(self)
            self.parent = parent
            if observer is not None:
                observer.reports.discard(self)

        payload["unit"] = self.state.unit
        if observer is None:
            take(stamped(UnitAttached, payload))
        else:
            change(observer, self, lambda: take(self.emit_event(UnitAttached, payload)))

    def children_like(self, child: "LiveUnit") -> Attached:
        """Return the list that *child* stands in, or would."""
        raise NotImplementedError

    def all_children(self) -> "Iterable[LiveUnit]":
        """Return all that stands in this unit."""
        return ()

    def recorded_by(self, observer: "ExecutionObserver | None") -> Self:
        """Return this unit, which and all in which *observer* records already."""
        self.observer = observer
        for child in self.all_children():
            child.recorded_by(observer)
        return self

    @property
    def root(self) -> Any:
        """What it stands in that stands in nothing."""
        root: Any = self
        while root.parent is not None:
            root = root.parent
        return root

    def _warn_of_the_end(self) -> None:
        root = self.root
        if not root.warned:
            root.warned = True
            warnings.warn(
                f"the run of {root!r} has ended: what changes now is not in its trace",
                RuntimeWarning,
                stacklevel=6,
            )

    # --- Values

    def clean_text(self, text: Any, name: str = "text") -> str:
        """Return what is said as it may be kept; *name* is for the message where it is None.

        Raises:
            TypeError: It is None.
        """
        if isinstance(text, str):
            return self.gate.text("text", text)
        if text is None:
            raise TypeError(f"{name}: got None, want a text")
        return self.gate.text("text", str(text))

    def clean_text_or_none(self, text: Any) -> str | None:
        """Return what is said as it may be kept, or None."""
        return None if text is None else self.clean_text(text)

    def clean_values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return JSON values that are nobody else's.

        Raises:
            TypeError: A value has no JSON form; names the key.
            ValueError: A number is out of range; names the key.
        """
        if not isinstance(values, Mapping):
            raise TypeError(f"metadata: got {type(values).__name__}, want a mapping")
        try:
            clean = self.gate.strict(values)
        except TypeError:
            clean = self.gate.strict({key: as_json(value) for key, value in values.items()})
        for value in clean.values():
            if type(value) is dict or type(value) is list:
                copied: dict[str, Any] = orjson.loads(orjson.dumps(clean))
                return copied
        return dict(clean)

    def edit(self, name: str, value: Any) -> None:
        """Record another value of a field, and set it."""
        self.record(UnitEdited, {"field": name, "value": value})

    # --- Values that are changed without a call

    def know(self) -> None:
        """Remember what can be changed without a call, if there is something."""
        self.known = known_of(self.state)

    def compare(self) -> None:
        """Record nested changes here; the lock is held."""
        if self.known is not None:
            compare(self)

    def compare_all(self) -> None:
        """Record nested changes here and in all that stands here; the lock is held."""
        observer = self.observer
        if observer is not None and (observer.changing or observer.doubtful):
            settle_if_idle(observer)
        self.compare()
        for child in self.all_children():
            child.compare_all()

    def settle(self) -> None:
        """Record what was changed inside values: the run ends."""
        with self.lock:
            self.compare_all()
