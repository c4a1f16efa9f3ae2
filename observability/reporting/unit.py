"""A live unit: a handle over a state, whose every change is an event.

A change makes an event, hands it to the trace of an observer, if there is one, and applies it by
`replay.fold.report.apply`, which a fold calls with the same event.  So what is live and what is
replayed are the same.  The units that programs use are in `observability.reporting`.
"""

import itertools
import json
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
import orjson

from observability import context
from observability.reporting.attached import Attached
from observability.reporting.dumps import Status, as_json, check_of, in_python, without_none
from observability.reporting.interruption import fold_again, under_way
from observability.reporting.recording import RecordedDict, RecordedList
from observability.values import Gate
from replay.fold import report as states
from replay.fold.report.beginning import begun, place
from replay.fold.report.handlers import HANDLERS
from replay.fold.report.views import json_chunks, unit_view
from replay.trace.events import (
    EVENT_TYPES,
    Captured,
    CheckMade,
    Event,
    ExceptionRaised,
    Message,
    MetadataChanged,
    UnitAttached,
    UnitBegun,
    UnitEdited,
)
from replay.trace.line import utc_second

if TYPE_CHECKING:
    from observability.observer import ExecutionObserver

NodeKey = tuple[str | None, int | None]
NO_NODE: Final[NodeKey] = (None, None)
LEVELS: Final = {"notes": "note", "warnings": "warning", "errors": "error"}
# After these, metadata may hold something that is changed without a call.
_FILL_METADATA: Final = frozenset({MetadataChanged, ExceptionRaised, Captured})
PLAIN: Final = Gate(None)
_NAME_OF: Final = {kind: name for name, kind in EVENT_TYPES.items()}


# --- What all live units share


class _Process:
    """What belongs to this process: the lock of units without an observer, and unit ids."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin anew, as a fork does."""
        self.lock = threading.RLock()
        self.prefix = os.urandom(5).hex()
        self.count = itertools.count(1)

    def new_unit(self) -> str:
        """Return an id that no other process has."""
        return f"{self.prefix}-{next(self.count):x}"


PROCESS: Final = _Process()
# A fork may inherit a lock that a thread of the parent holds, and must not name units as it does.
os.register_at_fork(after_in_child=PROCESS.begin)


# What an event has that was never written.
_UNWRITTEN: Final[dict[str, Any]] = {
    "v": 1,
    "seq": 0,
    "epoch_seconds": 0.0,
    "pid": 0,
    "writer": "",
    "workflow_id": "",
    "step_number": "",
    "hash": "",
}


_templates: Final[dict[type[Event], Event]] = {}
_second: list[Any] = [0, ""]  # the last second that was asked for, and its text


def _stamped(kind: type[Event], payload: Mapping[str, Any]) -> Event:
    """Return an event that is written nowhere, with the time of now.

    A copy with some fields set costs a third of a call with all of them, and half of that by
    way of the copy module.
    """
    template = _templates.get(kind)
    if template is None:
        template = _templates[kind] = _with_defaults(kind)
    event: Event = template.__copy__()  # type: ignore[attr-defined]
    second, micros = divmod(time.time_ns() // 1000, 1_000_000)
    known, text = _second
    if second != known:
        text = utc_second(second).decode()
        _second[:] = second, text
    event.timestamp = f"{text}.{micros:06d}Z"
    event.mono_us = time.monotonic_ns() // 1000
    for name, value in payload.items():
        setattr(event, name, value)
    return event


def _with_defaults(kind: type[Event]) -> Event:
    """Return an event in which what must be given is None."""
    needed = {field.name for field in msgspec.structs.fields(kind) if field.required}
    names: dict[str, Any] = dict.fromkeys(needed.difference(_UNWRITTEN))
    return kind(**_UNWRITTEN, **names)


@contextmanager
def locked(*units: "LiveUnit") -> Iterator[None]:
    """Hold the locks of *units* in one order: those of observers, then that of the process."""
    locks = {id(unit.lock): unit.lock for unit in units}
    with ExitStack() as held:
        for lock in sorted(locks.values(), key=lambda lock: (lock is PROCESS.lock, id(lock))):
            held.enter_context(lock)
        yield


class LiveUnit:
    """A handle over the state of one unit.

    Attributes:
        state: What it says; changed by events alone.
        observer: Where events go; None: nowhere.
        parent: What it stands in.
        derived: Its id was made of its label.
        warned: It was said that changes are in no trace any more.
    """

    __slots__ = ("__weakref__", "_known", "derived", "observer", "parent", "state", "warned")

    state: Any
    observer: "ExecutionObserver | None"
    parent: "LiveUnit | None"
    derived: bool
    warned: bool
    _known: bytes | None

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

    def _emit(self, kind: type[Event], payload: dict[str, Any], node: NodeKey = NO_NODE) -> Any:
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
        return _stamped(kind, payload)

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
            if self._known is not None:
                self._compare()
            payload["unit"] = self.state.unit
            if observer is None:
                self._apply(_stamped(kind, payload))
            else:
                self._change(observer, lambda: self._apply(self._emit(kind, payload, node)))

    def _apply(self, event: Any) -> None:
        """Apply an event as it was written."""
        kind, parent = type(event), self.parent
        HANDLERS[kind](self.state, event, None if parent is None else parent.state)
        if kind in _FILL_METADATA and (self._known is not None or _has_nested(event)):
            self._know()

    def _change(self, observer: "ExecutionObserver", change: Callable[[], None]) -> None:
        """Let *change* write events and apply them.

        The exception of a signal handler may come between any two instructions.  What was
        written then is what holds: the units are folded from the trace again.
        """
        nested = observer.changing
        if nested:
            if under_way(observer, LiveUnit._change.__code__):
                # A handler or finaliser came in the middle of a change, and changes something
                # itself.  That one sets right in which order they are.
                observer.doubtful = True
            else:
                fold_again(observer)
                nested = False
        before = observer.latest
        observer.changing = True
        try:
            change()
            observer.changing = nested
        except BaseException:
            if nested:
                observer.doubtful = True
            elif observer.latest_settled() is not before or observer.doubtful:
                fold_again(observer, self)
            else:
                observer.changing = False
            raise
        if observer.doubtful and not nested:
            fold_again(observer)

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
        self.parent, self._known, self.derived, self.warned = parent, None, derived, False
        payload["unit"] = PROCESS.new_unit()
        if parent is not None:
            payload["parent"] = parent.state.unit
        observer = self.observer
        if observer is None:
            self._begin_by(self._emit(kind, payload, node))
            return
        with observer.lock:
            self._change(observer, lambda: self._begin_by(self._emit(kind, payload, node)))

    def _begin_by(self, event: Any) -> None:
        self.state = begun(event)
        self._know()
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

    def join(self, parent: "LiveUnit", payload: dict[str, Any]) -> None:
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
            take(_stamped(UnitAttached, payload))
        else:
            self._change(observer, lambda: take(self._emit(UnitAttached, payload)))

    def children_like(self, child: "LiveUnit") -> Attached:
        """Return the list that *child* stands in, or would."""
        raise NotImplementedError

    def all_children(self) -> "Iterable[LiveUnit]":
        """Return all that stands in this unit."""
        return ()

    @property
    def root(self) -> "LiveUnit":
        """What it stands in that stands in nothing."""
        root: LiveUnit = self
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

    def clean_text(self, text: Any) -> str:
        """Return what is said as it may be kept."""
        return self.gate.text("text", text if isinstance(text, str) else str(text))

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

    # --- Lists and metadata

    def recorded_list(self, name: str) -> Any:
        """Return a list of this unit, which records how it is changed."""
        items = getattr(self.state, name)
        if type(items) is not RecordedList:
            items = RecordedList(items or (), self, name)
            setattr(self.state, name, items)
        return items

    @property
    def metadata(self) -> dict[str, Any]:
        """What the program says besides; setting keys is recorded."""
        items = self.state.metadata
        if type(items) is not RecordedDict:
            items = RecordedDict(items or {}, self)
            self.state.metadata = items
        return items

    @metadata.setter
    def metadata(self, values: Mapping[str, Any]) -> None:
        kept = self.metadata
        if not isinstance(values, Mapping):
            raise TypeError(f"metadata: got {type(values).__name__}, want a mapping")
        if values is not kept:
            self.record_metadata(list(kept), dict(values))

    def record_append(self, name: str, item: Any) -> None:
        """Record one more message or check."""
        if name == "checks":
            check = check_of(item)
            self.record(
                CheckMade,
                {
                    "name": self.clean_text(check.name),
                    "ok": check.ok,
                    "detail": self.clean_text_or_none(check.detail),
                },
            )
        else:
            self.record(Message, {"level": LEVELS[name], "text": self.clean_text(item)})

    def record_list(self, name: str, change: Callable[[list[Any]], Any]) -> Any:
        """Record what *change* makes of a list."""
        with self.lock:
            items = list(self.recorded_list(name))
            result = change(items)
            if name == "checks":
                value: list[Any] = [msgspec.to_builtins(check_of(item)) for item in items]
                value = self.clean_values({name: value})[name]
            else:
                value = [self.clean_text(item) for item in items]
            self.edit(name, value)
        return result

    def record_metadata(self, deleted: list[str], patch: Mapping[str, Any]) -> None:
        """Record keys that go and keys that are set."""
        payload: dict[str, Any] = {}
        if deleted:
            payload["deleted"] = deleted
        if patch:
            payload["patch"] = self.clean_values(patch)
        self.record(MetadataChanged, payload)

    def _know(self) -> None:
        """Remember the metadata, if something in it can be changed without a call."""
        metadata = self.state.metadata
        nested = metadata and any(type(value) in {dict, list} for value in metadata.values())
        self._known = orjson.dumps(metadata) if nested else None

    def _compare(self) -> None:
        """Record what was changed inside values of the metadata; what cannot be is put back."""
        metadata, known = self.state.metadata, self._known
        if _json_or_none(metadata) == known:
            return
        before = orjson.loads(known or b"{}")
        changed = [
            key
            for key in metadata
            if key not in before or _json_or_none(metadata[key]) != orjson.dumps(before[key])
        ]
        self._known = None
        try:
            self._record_changed(changed, before)
        except BaseException:
            if self._known is None:
                self._known = known  # what was not recorded is compared again
            raise

    def _record_changed(self, changed: list[str], before: dict[str, Any]) -> None:
        metadata = self.state.metadata
        try:
            clean = self.clean_values({key: metadata[key] for key in changed})
        except (TypeError, ValueError) as error:
            for key in changed:
                dict.__setitem__(metadata, key, before.get(key))
            self._know()
            text = f"a change inside metadata was not kept: {error}"
            warnings.warn(text, RuntimeWarning, stacklevel=6)
            self.record(Message, {"level": "warning", "text": text})
            return
        self.record(MetadataChanged, {"patch": clean})

    def compare_all(self) -> None:
        """Record nested changes here and in all that stands here; the lock is held."""
        observer = self.observer
        if observer is not None and (observer.changing or observer.doubtful):
            self._settle_if_idle(observer)
        if self._known is not None:
            self._compare()
        for child in self.all_children():
            child.compare_all()

    @staticmethod
    def _settle_if_idle(observer: "ExecutionObserver") -> None:
        """Make good what was interrupted twice; not in the middle of a change."""
        if not under_way(observer, LiveUnit._change.__code__):
            fold_again(observer)

    # --- Into a trace

    def adopt(self, observer: "ExecutionObserver") -> None:
        """Record this unit, and all that stands in it, in the trace of *observer* from now on."""
        with observer.lock, PROCESS.lock:
            if not self.is_recorded:
                self.compare_all()
                self.begin_again(observer, self.parent)
                self.warned = False

    def begin_again(self, observer: "ExecutionObserver | None", parent: "LiveUnit | None") -> None:
        """Begin with what was there before: in another trace, or in another unit.

        What fails before all of it was written leaves it where it was; the trace then has a
        beginning under ids that nobody has.
        """
        gate = PLAIN if observer is None else observer.gate
        copies = list(self._copies(gate, None if parent is None else parent.state.unit))
        before = [(unit, unit.state, unit.state.unit, unit.observer) for unit, _ in copies]
        try:
            if observer is not None:
                observer.reports.add(self)  # however often this is interrupted
            for unit, payload in copies:
                unit.observer, unit.state.unit = observer, payload["unit"]
            self._tell_copies(copies, parent)
        except BaseException:
            if observer is not None:
                doubtful, observer.doubtful = observer.doubtful, True
            if self.state is before[0][1]:
                for unit, state, name, former in before:
                    unit.observer, state.unit = former, name
                if observer is not None:
                    observer.reports.discard(self)
            if observer is not None:
                observer.doubtful = doubtful
            raise

    def _copies(
        self, gate: Gate, parent: str | None
    ) -> Iterator[tuple["LiveUnit", dict[str, Any]]]:
        """Yield this unit and those in it, with what says how each of them begins again."""
        held: states.ReportBase = self.state
        plain = msgspec.to_builtins(held)
        for name in ("unit", "kind", "steps", "files", "tally"):
            plain.pop(name, None)
        payload: dict[str, Any] = {
            "unit": PROCESS.new_unit(),
            "kind": held.kind,
            "label": gate.text("text", held.label),
            "state": gate.strict(plain),
        }
        if parent is not None:
            payload["parent"] = parent
        yield self, payload
        for child in self.all_children():
            yield from child._copies(gate, payload["unit"])  # noqa: SLF001 - of this class

    def _tell_copies(
        self, copies: list[tuple["LiveUnit", dict[str, Any]]], parent: "LiveUnit | None"
    ) -> None:
        """Write that units begin again, and let them; nothing is applied before all is written."""

        def begin() -> None:
            events = [self._emit(UnitBegun, payload) for _, payload in copies]
            for (unit, _), event in zip(copies, events, strict=True):
                above = parent if unit is self else unit.parent
                unit.take_over(begun(event), above)
                if above is not None:
                    place(above.state, unit.state, event)
            if parent is not None:
                parent.children_like(self).add(self)
                if observer is not None:
                    observer.reports.discard(self)

        observer = self.observer
        if observer is None:
            begin()
            return
        with observer.lock:
            self._change(observer, begin)

    def take_over(self, state: states.ReportBase, parent: "LiveUnit | None") -> None:
        """Have another state from now on, in which nothing stands yet."""
        held = self.state
        self.state, self.parent = state, parent
        self._keep_nested(held)
        self._keep_containers(held)
        if parent is None and self.observer is not None:
            self.observer.reports.add(self)

    def stand_in_again(self, give: Callable[[states.ReportBase], Any]) -> None:
        """Let the units that stand in the state stand here; *give* returns the one of a state."""

    def _keep_nested(self, held: states.ReportBase) -> None:
        """Let values inside metadata that were changed, and not recorded yet, be compared."""
        known = orjson.loads(self._known) if self._known is not None else {}
        self._know()
        new = self.state.metadata or {}
        for key, value in (held.metadata or {}).items():
            if key in known and key in new and new[key] == known[key]:
                dict.__setitem__(new, key, value)

    def _keep_containers(self, held: states.ReportBase) -> None:
        """Let lists and metadata that somebody holds go on being this unit's."""
        for name in (*LEVELS, "checks"):
            items = getattr(held, name, None)
            if type(items) is RecordedList:
                list.__setitem__(items, slice(None), getattr(self.state, name) or ())
                setattr(self.state, name, items)
        if type(held.metadata) is RecordedDict:
            dict.clear(held.metadata)
            dict.update(held.metadata, self.state.metadata or {})
            self.state.metadata = held.metadata

    # --- Dumps

    def now_us(self) -> int:
        """Return where the duration of what runs ends: the last event, where there are events."""
        if self.observer is None:
            return time.monotonic_ns() // 1000
        return self.observer.last_us

    def model_dump(
        self,
        *,
        mode: str = "python",
        include: Iterable[str] | None = None,
        exclude: Iterable[str] | None = None,
        exclude_none: bool = False,
    ) -> dict[str, Any]:
        """Return the unit as a dict, with all that stands in it.

        Args:
            mode: `json`: as `model_dump_json` has it.  `python`: times are datetimes, paths Paths
                and statuses a `Status`.
            include: Leave out all other fields of this unit.
            exclude: Leave these fields of this unit out.
            exclude_none: Leave out what is None, at every depth.

        Raises:
            ValueError: *mode* is neither.
        """
        if mode not in {"json", "python"}:
            raise ValueError(f"mode {mode!r}: want 'python' or 'json'")
        with self.lock:
            self.compare_all()
            # A copy: nothing that is returned is part of the report.
            view = orjson.loads(orjson.dumps(unit_view(self.state, self.now_us())))
        if mode == "python":
            view = in_python(view)
        if include is not None:
            wanted = set(include)
            view = {key: value for key, value in view.items() if key in wanted}
        for key in exclude or ():
            view.pop(key, None)
        return without_none(view) if exclude_none else dict(view)

    def model_dump_json(self, *, indent: int | None = None, **how: Any) -> str:
        """Return the unit as JSON; *how* as for `model_dump`."""
        view = self.model_dump(mode="json", **how)
        return json.dumps(
            view,
            indent=indent,
            ensure_ascii=False,
            separators=None if indent is not None else (",", ":"),
        )

    def snapshot(self) -> Any:
        """Return the unit as a frozen pydantic model (`replay.fold.report.models`).

        Cost: 50 us a unit that stands in it, and the time to load pydantic once.
        """
        from replay.fold.report import models

        kinds: dict[str, Any] = {
            "step": models.StepSnapshot,
            "file": models.FileSnapshot,
            "pipeline": models.PipelineSnapshot,
        }
        kind = kinds.get(self.state.kind, models.UnitSnapshot)
        return kind.model_validate(self.model_dump(mode="json"))

    def settle(self) -> None:
        """Record what was changed inside values: the run ends."""
        with self.lock:
            self.compare_all()

    def json_of(self, *, indent: bool = True) -> list[bytes]:
        """Return the unit's JSON, in pieces."""
        with self.lock:
            self.compare_all()
            return list(json_chunks(self.state, self.now_us(), indent=indent))

    @classmethod
    def model_validate(cls, view: Any) -> Self:
        """Return a report as it was dumped: nothing starts, and no file is looked at again.

        Where an observer is current it is recorded, as one that is made there is.

        Args:
            view: What `model_dump` returned, or a report.

        Raises:
            ValueError: It is no such thing; says why.
        """
        if isinstance(view, LiveUnit):
            view = view.model_dump(mode="json")
        if not isinstance(view, Mapping):
            raise ValueError(f"got {type(view).__name__}, want the dump of a report")  # noqa: TRY004 - bad data
        plain = PLAIN.strict({k: as_json(v) for k, v in view.items()})
        return cls._of_view(plain).record_if_observed()

    @classmethod
    def model_validate_json(cls, text: str | bytes) -> Self:
        """Return a report as it was dumped to JSON.

        Raises:
            ValueError: It is no such thing; says why.
        """
        return cls.model_validate(orjson.loads(text))

    @classmethod
    def _of_view(cls, view: Mapping[str, Any]) -> Self:
        raise NotImplementedError

    @classmethod
    def over(cls, state: states.ReportBase, parent: "LiveUnit | None" = None) -> Self:
        """Return a handle over a state that is in no trace."""
        self = cls.__new__(cls)
        self.state, self.parent, self.observer = state, parent, None
        self.derived = self.warned = False
        self._know()
        self._wrap()
        return self

    def recorded_by(self, observer: "ExecutionObserver | None") -> Self:
        """Return this unit, which and all in which *observer* records already."""
        self.observer = observer
        for child in self.all_children():
            child.recorded_by(observer)
        return self

    def _wrap(self) -> None:
        """Make the handles of what stands in the state."""

    def record_if_observed(self) -> Self:
        """Let the observer that is current record it from now on, if none does any more."""
        if not self.is_recorded:
            observer = context.current_observer()
            if observer is not None:
                self.adopt(observer)
        return self

    def __reduce__(self) -> Any:
        # What travels to another process is what it says, not the trace that it is in.
        return _revive, (type(self), self.model_dump_json())

    def __repr__(self) -> str:
        state = self.state
        return (
            f"<{type(self).__name__} {getattr(state, 'name', '') or state.label!r} {self.status}>"
        )

    @property
    def status(self) -> Status:
        """How it stands."""
        return Status(self.state.status)


def _has_nested(event: Any) -> bool:
    """Return whether what goes into metadata may hold something that is changed without a call."""
    if getattr(event, "lines", None) is not None:
        return True
    patch = getattr(event, "patch", None) or {}
    return any(type(value) is dict or type(value) is list for value in patch.values())


def _revive(kind: type[LiveUnit], text: str) -> LiveUnit:
    # A copy is no other unit of the run: it is recorded when it is attached, bound or worked on.
    return kind._of_view(orjson.loads(text))  # noqa: SLF001 - of this module


def _json_or_none(value: Any) -> bytes | None:
    try:
        return orjson.dumps(value)
    except TypeError:
        return None
