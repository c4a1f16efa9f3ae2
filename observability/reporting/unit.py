"""A live unit: what a program sees of a state, and how it is dumped.

Its lists and its metadata record how they are changed (`observability.reporting.recorder`).  The
units that programs use are in `observability.reporting`.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import msgspec
import orjson

from observability import context
from observability.reporting.adoption import adopt
from observability.reporting.dumps import Status, as_json, check_of, in_python, without_none
from observability.reporting.fitting import LEVELS, appended, check_length, n_that_fit
from observability.reporting.nested import known_values
from observability.reporting.process import PLAIN
from observability.reporting.recorder import Recorder
from observability.reporting.recording import RecordedDict, RecordedList
from observability.values import MAX_PAYLOAD, EventTooLongError, encode
from replay.fold import report as states
from replay.fold.report.views import json_chunks, unit_view
from replay.trace.events import CheckMade, Message, MetadataChanged


class LiveUnit(Recorder):
    """A handle over the state of one unit."""

    __slots__ = ()

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
            self.record(Message, {"level": LEVELS[name], "text": self.clean_text(item, name)})

    def record_list(self, name: str, change: Callable[[list[Any]], Any]) -> Any:
        """Record what *change* makes of a list."""
        with self.lock:
            items = list(self.recorded_list(name))
            result = change(items)
            if name == "checks":
                value: list[Any] = [msgspec.to_builtins(check_of(item)) for item in items]
                value = self.clean_values({name: value})[name]
            else:
                value = [self.clean_text(item, name) for item in items]
            try:
                self.edit(name, value)
            except EventTooLongError:
                self._edit_in_parts(name, value)
        return result

    def _edit_in_parts(self, name: str, value: list[Any]) -> None:
        """Record a list that is longer than a line: its beginning, and then item by item."""
        unit = self.state.unit
        rest = n_that_fit(value, MAX_PAYLOAD - len(encode({"unit": unit, "field": name})) - 16)
        added = [appended(name, item) for item in value[rest:]]
        for _, payload in added:
            check_length({**payload, "unit": unit}, name)
        self.edit(name, value[:rest])
        for kind, payload in added:
            self.record(kind, payload)

    def record_metadata(self, deleted: list[str], patch: Mapping[str, Any]) -> None:
        """Record keys that go and keys that are set."""
        payload: dict[str, Any] = {}
        if deleted:
            payload["deleted"] = deleted
        if patch:
            payload["patch"] = self.clean_values(patch)
        self.record(MetadataChanged, payload)

    # --- Another state

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
        """Let nested values that were changed, and not recorded yet, be compared."""
        known = known_values(self.known)
        self.know()
        for name, values in known.items():
            new = getattr(self.state, name) or {}
            for key, value in (getattr(held, name) or {}).items():
                if key in values and key in new and new[key] == values[key]:
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

    def json_of(self, *, indent: bool = True, status: str | None = None) -> list[bytes]:
        """Return the unit's JSON, in pieces; *status*: of a batch, in the place of its own."""
        with self.lock:
            self.compare_all()
            return list(json_chunks(self.state, self.now_us(), indent=indent, status=status))

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
        self.know()
        self._wrap()
        return self

    def _wrap(self) -> None:
        """Make the handles of what stands in the state."""

    def record_if_observed(self) -> Self:
        """Let the observer that is current record it from now on, if none does any more."""
        if not self.is_recorded:
            observer = context.current_observer()
            if observer is not None:
                adopt(self, observer)
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


def _revive(kind: type[LiveUnit], text: str) -> LiveUnit:
    # A copy is no other unit of the run: it is recorded when it is attached, bound or worked on.
    return kind._of_view(orjson.loads(text))  # noqa: SLF001 - of this module
