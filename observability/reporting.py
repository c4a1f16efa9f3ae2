"""Live reports: batches, files and steps that a program changes while it works.

A report made while an observer is current is recorded in its trace; without one only the state
is kept.  What a change does is in `observability.units`, what it means in `replay.fold.units`; the
`with` blocks are in `observability.blocks`.
"""

import atexit
import inspect
import json
import os
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, ClassVar, Final, Literal, Self
from warnings import warn

from observability import context
from observability.attached import Attached, slug
from observability.dumps import Status
from observability.fields import (
    Field,
    Items,
    OwnField,
    a_path,
    a_path_or_none,
    a_percent,
    a_text,
    a_text_or_none,
    a_time,
)
from observability.files import write_beside
from observability.settings import current_settings, unknown_option
from observability.units import PROCESS, LiveUnit
from replay.fold import unit_views as views
from replay.fold.unit_views import SCHEMA_VERSION
from replay.fold.units import (
    FILE,
    PIPELINE,
    STEP,
    TERMINAL,
    Check,
    ReviewFlag,
    UnitState,
    failure_reasons,
    percent,
    rollup,
)
from replay.trace.events import (
    CheckMade,
    Message,
    ProgressSet,
    ReviewCleared,
    ReviewRequested,
    UnitAttached,
    UnitStatusSet,
)

__all__ = [
    "SCHEMA_VERSION",
    "Check",
    "FileReport",
    "PipelineReport",
    "ReportBase",
    "ReviewFlag",
    "Status",
    "StepReport",
    "atomic_write_json",
    "dump_report",
    "now_central",
    "now_eastern",
    "now_mountain",
    "now_pacific",
    "now_utc",
]

REPORT_KINDS: Final = ("validation", "process", "test")
DEFAULT_OUTPUT: Final = Path("reports/progress.json")
MOST_STEPS: Final = 10_000
REFRESH_NS: Final = 1_000_000_000
SHARE: Final = 10  # of the time at most a tenth goes into refreshing a file
BURST_NS: Final = 250_000_000

# --- Clocks


def now_utc() -> datetime:
    """Return the time, with its zone: UTC."""
    return datetime.now(UTC)


def _now_in(zone: str) -> datetime:
    from zoneinfo import ZoneInfo

    return datetime.now(ZoneInfo(zone))


def now_eastern() -> datetime:
    """Return the time in New York, with its zone."""
    return _now_in("America/New_York")


def now_central() -> datetime:
    """Return the time in Chicago, with its zone."""
    return _now_in("America/Chicago")


def now_mountain() -> datetime:
    """Return the time in Denver, with its zone."""
    return _now_in("America/Denver")


def now_pacific() -> datetime:
    """Return the time in Los Angeles, with its zone."""
    return _now_in("America/Los_Angeles")


# --- Units with a lifecycle


class ReportBase(LiveUnit):
    """A unit that begins and ends; the base of report types of one's own.

    A subclass declares its fields as annotations, with defaults, and may say by `ok` when it
    has succeeded:

    >>> class TrainingReport(ReportBase):
    ...     accuracy: float = 0.0
    ...
    ...     @property
    ...     def ok(self) -> bool:
    ...         return super().ok and self.accuracy > 0.9
    >>> report = TrainingReport("Train", accuracy=0.95)
    >>> report.end().status
    <Status.SUCCEEDED: 'succeeded'>

    Args:
        label: Its name for people.
        id: Its name among its siblings; made of the label if None.
        metadata: JSON values.
        defer_start: It is pending until `start`.
        fields: Of a subclass.

    Raises:
        TypeError: A field is none; names the nearest.
    """

    __slots__ = ()

    FIELDS: ClassVar[dict[str, Any]] = {}
    KIND: ClassVar[str] = "report"

    percent = Field[int](write=a_percent)
    started_at = Field["datetime | None"](views.instant, a_time)
    finished_at = Field["datetime | None"](views.instant, a_time)
    label = Field[str](write=a_text)
    notes = Items()
    warnings = Items()
    errors = Items()

    def __init_subclass__(cls, **how: Any) -> None:
        super().__init_subclass__(**how)
        own = {
            name: cls.__dict__.get(name)
            for name in inspect.get_annotations(cls)
            if not name.startswith("_") and name not in {"FIELDS", "KIND"}
        }
        taken = sorted(name for name in own if hasattr(ReportBase, name))
        if taken:
            raise TypeError(f"{cls.__name__}: {', '.join(taken)}: every report has that already")
        cls.FIELDS = {**cls.FIELDS, **own}
        if "KIND" not in cls.__dict__ and cls.KIND == "report":
            cls.KIND = cls.__name__
        for name in own:
            setattr(cls, name, OwnField(name))

    def __init__(
        self,
        label: str = "",
        *,
        id: str | None = None,  # noqa: A002 - the name of the field
        metadata: Mapping[str, Any] | None = None,
        defer_start: bool = False,
        **fields: Any,
    ) -> None:
        for name in fields:
            if name not in self.FIELDS:
                raise unknown_option(
                    type(self).__name__, name, ["label", "id", "metadata", *self.FIELDS]
                )
        self.observer = context.current_observer()
        payload = self._head(label, metadata, defer_start=defer_start)
        payload["kind"] = self.KIND
        payload["id"] = id or slug(payload["label"]) or None
        own = {**self.FIELDS, **fields}
        if own:
            payload["fields"] = self.clean_values(own)
        with self.lock:
            self.begin_in(None, payload, derived=not id)

    def _head(
        self, label: str, metadata: Mapping[str, Any] | None, *, defer_start: bool
    ) -> dict[str, Any]:
        """Return what every `unit_begin` has; cleaned by the observer that will record it."""
        if not isinstance(label, str):
            raise TypeError(f"label: got {type(label).__name__}, want str")
        payload: dict[str, Any] = {"label": self.clean_text(label)}
        if metadata:
            payload["metadata"] = self.clean_values(metadata)
        if defer_start:
            payload["status"] = "pending"
        return payload

    @classmethod
    def begin(cls, *args: Any, **how: Any) -> Self:
        """Begin a unit; as the constructor."""
        return cls(*args, **how)

    # --- Status

    @property
    def id(self) -> Any:
        """Its name among its siblings."""
        return self.state.id

    @property
    def ok(self) -> bool:
        """Whether it would succeed if it ended now; asking changes nothing."""
        return bool(self.state.ok)

    @property
    def duration_ms(self) -> float | None:
        """How long it took, or has taken up to the last event, in milliseconds."""
        return views.duration_ms(self.state, self.now_us())

    @property
    def reopened(self) -> bool:
        """Whether it went on, or was ended again, after its end."""
        return bool(self.state.reopened)

    @property
    def report_version(self) -> str:
        """Of its JSON."""
        return SCHEMA_VERSION

    def start(self) -> Self:
        """Begin, or go on."""
        self.set_status("running")
        return self

    def succeed(self) -> Self:
        """End well."""
        self.set_status("succeeded")
        return self

    def fail(self, message: object = None) -> Self:
        """End by a failure; *message* becomes an error."""
        with self.lock:
            if message:
                self.error(message)
            self.set_status("failed")
        return self

    def skip(self, reason: object = None) -> Self:
        """End without having been done; the reason becomes a note."""
        with self.lock:
            if reason:
                self.note(f"Skipped: {reason}")
            self.set_status("skipped")
        return self

    def end(self) -> Self:
        """End by what is known: well if `ok`, else failed; one that has ended stays as it is.

        What it failed of becomes an error, once.
        """
        with self.lock:
            if self.state.status in TERMINAL:
                return self
            if self.ok:
                self.set_status("succeeded", "inferred")
                return self
            for reason in failure_reasons(self.state):
                self.error(reason)
            self.set_status("failed", "inferred")
        return self

    def set_status(self, status: str, cause: str = "explicit") -> None:
        """Record another status.

        Raises:
            RuntimeError: It has ended, and `refuse_reopening` is set.
        """
        if self.state.status in TERMINAL and current_settings().refuse_reopening:
            raise RuntimeError(f"{self!r} has ended: refuse_reopening is set")
        payload: dict[str, Any] = {"status": status, "cause": cause}
        if isinstance(self.parent, FileReport):
            payload["inside"] = True
        self.record(UnitStatusSet, payload)
        if isinstance(self.parent, PipelineReport) and status in TERMINAL:
            self.parent.has_ended(self)

    # --- What is said about it

    def note(self, text: object) -> Self:
        """Add a note."""
        self.record(Message, {"level": "note", "text": self.clean_text(text)})
        return self

    def warn(self, text: object) -> Self:
        """Add a warning."""
        self.record(Message, {"level": "warning", "text": self.clean_text(text)})
        return self

    def error(self, text: object) -> Self:
        """Add an error; the unit will not end well."""
        self.record(Message, {"level": "error", "text": self.clean_text(text)})
        return self

    # --- Review

    @property
    def review(self) -> ReviewFlag:
        """Whether somebody should look at it, and why."""
        flag: ReviewFlag = self.state.review
        return flag

    @review.setter
    def review(self, flag: ReviewFlag) -> None:
        if not isinstance(flag, ReviewFlag):
            raise TypeError(f"review: got {type(flag).__name__}, want a ReviewFlag")
        if flag.flagged:
            self.request_review(flag.reason)
        else:
            self.clear_review()

    @property
    def requires_human_review(self) -> bool:
        """Whether it, or a step of it, is flagged."""
        return views.needs_review(self.state)

    def request_review(self, reason: object = None) -> Self:
        """Ask somebody to look at it."""
        self.record(ReviewRequested, {"reason": self.clean_text_or_none(reason)})
        return self

    def clear_review(self) -> Self:
        """Ask nobody any more."""
        self.record(ReviewCleared, {})
        return self

    @classmethod
    def _of_view(cls, view: Mapping[str, Any]) -> Self:
        state = views.step_of(view, PROCESS.new_unit)
        own = UnitState(
            **{
                name: getattr(state, name)
                for name in UnitState.__struct_fields__
                if name not in {"kind", "fields"}
            },
            kind=cls.KIND,
            fields={name: view.get(name, default) for name, default in cls.FIELDS.items()} or None,
        )
        return cls.over(own).record_if_observed()


class StepReport(ReportBase):
    """One step of a batch or a file.

    Args:
        label: Its name for people.
        id: Its name among its siblings; made of the label if None.
        metadata: JSON values.
        defer_start: It is pending until `start`.
        first: What it has from the beginning: notes, warnings, errors, checks, review, percent
            or status.
    """

    __slots__ = ()

    KIND = STEP

    checks = Items()
    id = Field["str | None"](write=a_text_or_none)

    def __init__(
        self,
        label: str,
        *,
        id: str | None = None,  # noqa: A002 - the name of the field
        metadata: Mapping[str, Any] | None = None,
        defer_start: bool = False,
        **first: Any,
    ) -> None:
        _check_first(self, first, _FIRST | {"checks"})
        self._begin_step(None, label, name=id, metadata=metadata, defer_start=defer_start)
        _set_first(self, first)

    @classmethod
    def begin(
        cls,
        label_or_id: str | None = None,
        *,
        label: str | None = None,
        id: str | None = None,  # noqa: A002 - the name of the field
        metadata: Mapping[str, Any] | None = None,
    ) -> Self:
        """Begin a step: `begin("load", label="Load inputs")` or `begin("Load inputs", id="load")`.

        Raises:
            TypeError: There is no label, or two ids.
        """
        label, name = label_and_id("StepReport.begin", label_or_id, label, id)
        return cls(label, id=name, metadata=metadata)

    @classmethod
    def begin_within(
        cls,
        parent: "FileReport | PipelineReport",
        label: str,
        *,
        id: str | None = None,  # noqa: A002 - the name of the field
        metadata: Mapping[str, Any] | None = None,
    ) -> Self:
        """Begin a step that stands in *parent* from now on."""
        self = cls.__new__(cls)
        with parent.lock:
            self._begin_step(parent, label, name=id, metadata=metadata)
        return self

    def _begin_step(
        self,
        parent: "FileReport | PipelineReport | None",
        label: str,
        *,
        name: str | None,
        metadata: Mapping[str, Any] | None = None,
        defer_start: bool = False,
    ) -> None:
        self.observer = context.current_observer() if parent is None else parent.observer
        payload = self._head(label, metadata, defer_start=defer_start)
        given = a_text_or_none(self, name) or None
        wanted = given or slug(payload["label"]) or "step"
        if parent is not None:
            wanted = parent.steps.free(wanted, first=1 if given else 2)
        payload["kind"] = STEP
        payload["id"] = wanted
        self.begin_in(parent, payload, derived=given is None)

    def add_check(self, name: str, ok: bool, detail: str | None = None) -> None:  # noqa: FBT001 - S0's form
        """Record that something was checked; one that is not ok makes `end` fail the step."""
        self.record(
            CheckMade,
            {
                "name": self.clean_text(name),
                "ok": bool(ok),
                "detail": self.clean_text_or_none(detail),
            },
        )

    @classmethod
    def _of_view(cls, view: Mapping[str, Any]) -> Self:
        return cls.over(views.step_of(view, PROCESS.new_unit)).record_if_observed()


class _WithSteps(LiveUnit):
    """What batches and files share: steps that stand in them."""

    __slots__ = ("_steps",)

    _steps: Attached

    def _add_step(
        self,
        label: str,
        status: Literal["succeeded", "failed", "skipped"],
        *,
        text: object,
        metadata: Mapping[str, Any] | None,
        name: str | None,
        review: object = None,
        flag: bool = False,
    ) -> StepReport:
        with self.lock:
            parent: Any = self
            step = StepReport.begin_within(parent, label, id=name, metadata=metadata)
            if flag:
                step.request_review(review)
                self._was_flagged(step)
            if status == "failed":
                step.fail(text)
            elif status == "skipped":
                step.skip(text)
            else:
                if text:
                    step.note(text)
                step.succeed()
        return step

    def _was_flagged(self, step: ReportBase) -> None:
        """Say so of a file whose step somebody should look at."""

    def _attach(self, unit: Any, kind: type[ReportBase]) -> None:
        """Let *unit* stand here, under an id that is free, and end it."""
        if not isinstance(unit, kind):
            raise TypeError(f"got {type(unit).__name__}, want a {kind.__name__}")
        if unit.parent is self:
            unit.end()
            return
        if unit.parent is not None:
            raise ValueError(f"{unit!r} stands in {unit.parent!r} already")
        joint = unit.observer
        if self.observer is None and joint is not None and joint.is_open:
            self.root.adopt(joint)
        with self.lock, unit.lock:
            unit.end()
            attached = self.children_like(unit)
            name = unit.state.id
            if not isinstance(unit, FileReport):
                name = attached.free(name or "step", first=2 if unit.derived else 1)
            if unit.observer is self.observer:
                self._join(unit, name)
            else:
                unit.state.id = name
                unit.begin_again(self.observer, self)
                unit.parent = self
            attached.add(unit)
            if joint is not None:
                joint.reports.discard(unit)
        if unit.requires_human_review:
            self._was_flagged(unit)

    def _join(self, unit: ReportBase, name: str | None) -> None:
        payload: dict[str, Any] = {"parent": self.state.unit, "id": name}
        if isinstance(self, FileReport):
            payload["inside"] = True
        unit.parent = self
        try:
            unit.record(UnitAttached, payload)
        except BaseException:
            unit.parent = None
            raise

    def iter_steps(self, status: str | None = None) -> Iterator[StepReport]:
        """Yield the steps, or those of one status, in the order in which they began."""
        return (step for step in list(self._steps) if status is None or step.status == status)

    def last_step(self) -> StepReport | None:
        """Return the step that began last, None if there is none."""
        return self._steps[-1] if self._steps else None


class FileReport(ReportBase, _WithSteps):
    """One file and its steps.

    Args:
        path: The file; size and MIME type are those of this moment.
        file_id: The program's own name for it.
        name: Its name for people; the last part of the path if None.
        metadata: JSON values.
        n_steps: How many steps there will be, for `percent`.
        defer_start: It is pending until `start`.
        first: What it has from the beginning: notes, warnings, errors, review, percent or status.

    Raises:
        TypeError: *path* is neither str nor Path.
    """

    __slots__ = ()

    KIND = FILE

    path = Field[Path](Path, a_path)
    name = Field[str](write=a_text)
    file_id = Field["str | None"](write=a_text_or_none)
    size_bytes = Field["int | None"]()
    mime_type = Field["str | None"]()

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        file_id: str | None = None,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        n_steps: int | None = None,
        defer_start: bool = False,
        **first: Any,
    ) -> None:
        _check_first(self, first, _FIRST)
        self._begin_file(
            None,
            path,
            file_id=file_id,
            name=name,
            metadata=metadata,
            n_steps=n_steps,
            defer_start=defer_start,
        )
        _set_first(self, first)

    @classmethod
    def begin(
        cls,
        path: str | os.PathLike[str],
        file_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        n_steps: int | None = None,
    ) -> Self:
        """Begin a file; as the constructor."""
        return cls(path, file_id=file_id, name=name, metadata=metadata, n_steps=n_steps)

    @classmethod
    def begin_within(
        cls, parent: "PipelineReport", path: str | os.PathLike[str], **how: Any
    ) -> Self:
        """Begin a file that stands in *parent* from now on."""
        self = cls.__new__(cls)
        with parent.lock:
            self._begin_file(parent, path, **how)
        return self

    def _begin_file(
        self,
        parent: "PipelineReport | None",
        path: str | os.PathLike[str],
        *,
        file_id: str | None = None,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        n_steps: int | None = None,
        defer_start: bool = False,
    ) -> None:
        self.observer = context.current_observer() if parent is None else parent.observer
        self._steps = Attached(self)
        text = a_path(self, path)
        called = a_text_or_none(self, name) or PurePath(text).name
        payload = self._head(called, metadata, defer_start=defer_start)
        if n_steps is not None:
            if isinstance(n_steps, bool) or not isinstance(n_steps, int):
                raise TypeError(f"n_steps: got {type(n_steps).__name__}, want int")
            payload["n_steps"] = max(n_steps, 0)
        payload |= {"kind": FILE, "path": text, "name": payload.pop("label")}
        if file_id is not None:
            payload["file_id"] = a_text(self, file_id)
        payload |= _probe(path)
        self.begin_in(parent, payload)

    @property
    def label(self) -> str:  # type: ignore[override]
        """Its name for people."""
        return self.name

    @property
    def id(self) -> str | None:
        """The program's own name for it."""
        return self.file_id

    @property
    def steps(self) -> Attached:
        """Its steps, in the order in which they began."""
        return self._steps

    @steps.setter
    def steps(self, units: Any) -> None:
        _only_added(self._steps, units)

    @property
    def n_steps(self) -> int:
        """How many steps there are."""
        return len(self.state.steps)

    @property
    def percent(self) -> int:
        """How far it is: finished steps of those planned, or of those there are."""
        return percent(self.state)

    @percent.setter
    def percent(self, value: float) -> None:
        self.edit("percent", a_percent(self, value))

    @property
    def human_review_reason(self) -> str | None:
        """Why somebody should look at it: its own reason and those of its steps."""
        return views.review_reason(self.state)

    @property
    def pipeline(self) -> "PipelineReport | None":
        """The report that it stands in."""
        return self.parent if isinstance(self.parent, PipelineReport) else None

    def append_step(self, step: StepReport, max_steps: int = MOST_STEPS) -> Self:
        """End a step and let it stand here, under an id that is free.

        Raises:
            ValueError: There are *max_steps* already, or it stands elsewhere.
            TypeError: It is no step.
        """
        if len(self._steps) >= max_steps and getattr(step, "parent", None) is not self:
            raise ValueError(f"Reached maximum number of steps: {max_steps}")
        self._attach(step, ReportBase)
        return self

    def add_completed_step(
        self,
        label: str,
        note: object = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the name of the field
    ) -> Self:
        """Add a step that succeeded."""
        self._add_step(label, "succeeded", text=note, metadata=metadata, name=id)
        return self

    def add_failed_step(
        self,
        label: str,
        reason: object = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the name of the field
    ) -> Self:
        """Add a step that failed; the reason is its error."""
        self._add_step(label, "failed", text=reason, metadata=metadata, name=id)
        return self

    def add_skipped_step(
        self,
        label: str,
        reason: object = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the name of the field
    ) -> Self:
        """Add a step that was not done; the reason is a note."""
        self._add_step(label, "skipped", text=reason, metadata=metadata, name=id)
        return self

    def add_review_step(
        self,
        label: str,
        reason: object = None,
        metadata: Mapping[str, Any] | None = None,
        mark_success: bool = True,  # noqa: FBT001, FBT002 - S0's form
        *,
        id: str | None = None,  # noqa: A002 - the name of the field
    ) -> Self:
        """Add a step that somebody should look at; without *mark_success* it goes on running."""
        _add_review(self, label, reason, metadata, mark_success=mark_success, name=id)
        return self

    def children_like(self, child: LiveUnit) -> Attached:  # noqa: ARG002 - a file has only steps
        """Return the steps."""
        return self._steps

    def all_children(self) -> Iterable[LiveUnit]:
        """Return the steps."""
        return list(self._steps)

    def _was_flagged(self, step: ReportBase) -> None:
        if not self.state.review.flagged:
            reason = step.state.review.reason
            self.request_review(reason or f"Step '{step.state.id}' requested review")

    def _wrap(self) -> None:
        self._steps = Attached(self)
        for state in self.state.steps:
            self._steps.add(StepReport.over(state, self))

    @classmethod
    def _of_view(cls, view: Mapping[str, Any]) -> Self:
        return cls.over(views.file_of(view, PROCESS.new_unit)).record_if_observed()


class PipelineReport(_WithSteps):
    """One batch: a banner, steps and files.

    Args:
        label: Its name for people; `Batch <batch_id>` if None.
        batch_id: The program's own name for it.
        kind: `validation`, `process` or `test`.
        output_path: Where `save` writes, and where each file's end is shown, at most once a
            second.
        stage: Of the banner.
        percent: Of the banner.
        message: Of the banner.
        keep_finished: False: steps and files that have ended are let go, so that memory does not
            grow with them; the trace has them all.

    Raises:
        TypeError: There is neither label nor batch id, or an argument has the wrong type.
        ValueError: *kind* is none.
    """

    __slots__ = (
        "_files",
        "_keep_finished",
        "_open_blocks",
        "_saved_at_exception_ns",
        "_saved_ns",
        "_spent_ns",
        "_unsaved",
        "_wait_ns",
    )

    label = Field[str](write=a_text)
    stage = Field[str](write=a_text)
    message = Field[str](write=a_text)
    percent = Field[int](write=a_percent)
    output_path = Field["Path | None"](Path, a_path_or_none)
    updated_at = Field["datetime | None"](views.instant)
    batch_id = Field["int | str | None"](write=lambda _, value: _batch_id(value))
    kind = Field[str](write=lambda _, value: _report_kind(value), name="report_kind")

    def __init__(
        self,
        label: str | None = None,
        *,
        batch_id: int | str | None = None,
        kind: str = "process",
        output_path: str | os.PathLike[str] | None = None,
        stage: str = "",
        percent: int = 0,
        message: str = "",
        keep_finished: bool = True,
        **unknown: Any,
    ) -> None:
        for name in unknown:
            raise unknown_option("PipelineReport", name, _PIPELINE_OPTIONS)
        if label is None and batch_id is None:
            raise TypeError("PipelineReport: want a label or a batch_id")
        batch_id = _batch_id(batch_id)
        self._lay_out(keep_finished=keep_finished)
        self.observer = context.current_observer()
        payload = {
            "kind": PIPELINE,
            "label": a_text(self, f"Batch {batch_id}" if label is None else label),
            "batch_id": a_text(self, batch_id) if isinstance(batch_id, str) else batch_id,
            "report_kind": _report_kind(kind),
            "output_path": a_path_or_none(self, output_path),
        }
        self.begin_in(None, payload)
        if stage or percent or message:
            self.set_progress(stage, percent, message)

    def _lay_out(self, *, keep_finished: bool = True) -> None:
        self._steps, self._files = Attached(self), Attached(self)
        self._keep_finished = keep_finished
        self._saved_ns: int | None = None
        self._saved_at_exception_ns: int | None = None
        self._wait_ns = REFRESH_NS
        self._spent_ns = self._open_blocks = 0
        self._unsaved = False

    @property
    def status(self) -> Status:
        """That of its steps and files together."""
        return Status(rollup(self.state))

    @property
    def report_version(self) -> str:
        """Of its JSON."""
        return SCHEMA_VERSION

    @property
    def steps(self) -> Attached:
        """The batch's own steps, in the order in which they began."""
        return self._steps

    @steps.setter
    def steps(self, units: Any) -> None:
        _only_added(self._steps, units)

    @property
    def files(self) -> Attached:
        """Its files, in the order in which they began."""
        return self._files

    @files.setter
    def files(self, units: Any) -> None:
        _only_added(self._files, units)

    # --- The banner

    def set_progress(self, stage: str, percent: float, message: str = "") -> None:
        """Say how far it is; the message is set to what is given, nothing included."""
        self.record(
            ProgressSet,
            {
                "stage": self.clean_text(stage),
                "percent": a_percent(self, percent),
                "text": self.clean_text(message),
            },
        )

    def recompute_overall_from_steps(self) -> None:
        """Set the percentage to the mean of the batch's own steps; nothing if there is none."""
        with self.lock:
            steps = self.state.steps
            if steps:
                mean = round(sum(percent(step) for step in steps) / len(steps))
                self.set_progress(self.stage or "steps", mean, self.message)

    # --- Steps and files

    def append_step(self, step: StepReport) -> Self:
        """End a step and let it stand here, under an id that is free.

        Raises:
            ValueError: It stands elsewhere.
            TypeError: It is no step.
        """
        if getattr(step, "KIND", None) == FILE:
            raise TypeError("append_step: got a FileReport; want append_file")
        self._attach(step, ReportBase)
        self._let_go(step)
        return self

    def append_file(self, file: FileReport) -> Self:
        """End a file and let it stand here.

        Raises:
            ValueError: It stands elsewhere.
            TypeError: It is no file.
        """
        was_here = getattr(file, "parent", None) is self
        self._attach(file, FileReport)
        if not was_here:
            self.has_ended(file)
        return self

    def add_completed_step(
        self,
        label: str,
        note: object = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the name of the field
    ) -> StepReport:
        """Add a step that succeeded, and return it."""
        return self._add_step(label, "succeeded", text=note, metadata=metadata, name=id)

    def add_failed_step(
        self,
        label: str,
        reason: object = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the name of the field
    ) -> StepReport:
        """Add a step that failed, and return it."""
        return self._add_step(label, "failed", text=reason, metadata=metadata, name=id)

    def add_skipped_step(
        self,
        label: str,
        reason: object = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the name of the field
    ) -> StepReport:
        """Add a step that was not done, and return it."""
        return self._add_step(label, "skipped", text=reason, metadata=metadata, name=id)

    def add_review_step(
        self,
        label: str,
        reason: object = None,
        metadata: Mapping[str, Any] | None = None,
        mark_success: bool = True,  # noqa: FBT001, FBT002 - S0's form
        *,
        id: str | None = None,  # noqa: A002 - the name of the field
    ) -> StepReport:
        """Add a step that somebody should look at, and return it."""
        return _add_review(self, label, reason, metadata, mark_success=mark_success, name=id)

    def children_like(self, child: LiveUnit) -> Attached:
        """Return the files for a file, else the steps."""
        return self._files if isinstance(child, FileReport) else self._steps

    def all_children(self) -> Iterable[LiveUnit]:
        """Return steps and files."""
        return [*self._steps, *self._files]

    def has_ended(self, unit: ReportBase) -> None:
        """Take in that a step or file has ended."""
        if isinstance(unit, FileReport):
            self._refresh()
        self._let_go(unit)

    def _let_go(self, unit: ReportBase) -> None:
        if not self._keep_finished:
            attached = self.children_like(unit)
            attached.drop(unit)
            states = self.state.files if attached is self._files else self.state.steps
            for n, state in enumerate(states):
                if state is unit.state:
                    del states[n]
                    break

    # --- Looking files up

    def files_for(self, key: str | os.PathLike[str]) -> list[FileReport]:
        """Return the files that *key* names: by id, else by path, else by name; case counts."""
        with self.lock:
            return [self._files[n] for n in views.files_for(self.state, os.fspath(key))]

    def get_file(self, key: str | os.PathLike[str]) -> FileReport | None:
        """Return the file that *key* names, None if there is none.

        Raises:
            ValueError: It names several that have different paths.
        """
        found = self.files_for(key)
        paths = sorted({str(file.path) for file in found})
        if len(paths) > 1:
            raise ValueError(f"{key} names several files: {', '.join(paths)}")
        return found[0] if found else None

    def file_seen(self, key: str | os.PathLike[str]) -> bool:
        """Return whether *key* names a file."""
        return bool(self.files_for(key))

    def file_processed(self, key: str | os.PathLike[str], require_success: bool = False) -> bool:  # noqa: FBT001, FBT002 - S0's form
        """Return whether every file that *key* names has ended, or ended well."""
        found = self.files_for(key)
        return bool(found) and all(
            views.is_processed(file.state, require_success=require_success) for file in found
        )

    def unseen_expected(self, expected: Iterable[str | os.PathLike[str]]) -> list[str]:
        """Return what of *expected* names no file."""
        return [os.fspath(key) for key in expected if not self.file_seen(key)]

    def table_rows_for_files_map(self, expected: Any) -> list[dict[str, Any]]:
        """Return a row for each expected file, for a template.

        Args:
            expected: File names; of a mapping the values are the rows' `other`.
        """
        others = expected if isinstance(expected, Mapping) else dict.fromkeys(expected)
        return [self._row(os.fspath(key), other) for key, other in others.items()]

    def _row(self, key: str, other: Any) -> dict[str, Any]:
        found = self.files_for(key)
        file = found[-1] if found else None
        return {
            "filename": key,
            "seen": file is not None,
            "status": "MISSING" if file is None else str(file.status),
            "percent": 0 if file is None else file.percent,
            "flagged_human_review": file is not None and file.requires_human_review,
            "human_review_reason": None if file is None else file.human_review_reason,
            "file_id": None if file is None else file.file_id,
            "path": None if file is None else str(file.path),
            "other": other,
        }

    # --- Saving

    def save(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        ensure_dir: bool = True,
        indent: int | None = 2,
        encoding: str = "utf-8",
    ) -> None:
        """Write the report as JSON: beside its place, synced, renamed; mode 0644.

        Args:
            path: Where; `output_path` if None, and `reports/progress.json` without one.
            ensure_dir: Make folders that are missing.
            indent: As for `json.dumps`.
            encoding: Of the file.

        Raises:
            OSError: It could not be written; what stood there stands there still.
        """
        target = path or self.output_path or DEFAULT_OUTPUT
        _write(target, self, ensure_dir=ensure_dir, indent=indent, encoding=encoding)

    def enter(self) -> None:
        """Note that a block of this report begins."""
        with self.lock:
            self._open_blocks += 1

    def leave(self, *, bound: bool = False) -> None:
        """Note that one ends, and save behind the outermost.

        A binding always saves.  Of other blocks, which may follow each other by thousands, all
        do until that has taken `BURST_NS`, and then as many as take a tenth of the time; what is
        left out is saved with the next, by the end of the observer, or of the program.

        Raises:
            OSError: It could not be written (by a binding).
        """
        with self.lock:
            self._open_blocks -= 1
            if self.state.output_path is None or self._open_blocks:
                return
            if bound and self.observer is None:
                self.save_now()
            elif self._unsaved and self._may_save(self.observer is None):
                self._save_or_warn()

    def settle(self) -> None:
        """Record what was changed inside values, and save what was left out."""
        with self.lock:
            self.compare_all()
            if self._unsaved:
                self._save_or_warn()

    def _refresh(self) -> None:
        """Show a file's end where the report is saved, at most once a second."""
        if self.state.output_path is None:
            return
        self._unsaved = True
        _unsaved.add(self)
        if self._may_save(burst=False):
            self._save_or_warn()

    def _may_save(self, burst: bool) -> bool:  # noqa: FBT001 - of this class alone
        now = time.monotonic_ns()
        if self._saved_ns is None or now - self._saved_ns >= self._wait_ns:
            return True
        return burst and self._spent_ns < BURST_NS

    def _save_or_warn(self) -> None:
        try:
            self.save_now()
        except OSError as error:
            self._spent_ns = BURST_NS  # one warning a second is enough
            warn(f"pipeline autosave failed: {error!r}", RuntimeWarning, stacklevel=4)

    def save_at_exception(
        self, override: str | os.PathLike[str] | None, *, wait_s: float = 0.0
    ) -> None:
        """Save to `output_path`, and to *override* where that is another one.

        Args:
            override: Another place, or None.
            wait_s: Leave it out that many seconds after the last one.

        Raises:
            OSError: It could not be written.
        """
        with self.lock:
            now = time.monotonic_ns()
            last = self._saved_at_exception_ns
            if last is not None and now - last < wait_s * 1e9:
                return
            self._saved_at_exception_ns = now
            if override is not None and self.output_path != Path(override):
                self.save(override)
            self.save_now()

    def save_now(self) -> None:
        """Save to `output_path`, if there is one, and wait with the next refresh.

        Raises:
            OSError: It could not be written.
        """
        if self.state.output_path is None:
            return
        begin = time.monotonic_ns()
        try:
            self.save()
            self._unsaved = False
            _unsaved.discard(self)
        finally:
            self._saved_ns = time.monotonic_ns()
            took = self._saved_ns - begin
            self._spent_ns += took
            self._wait_ns = max(REFRESH_NS, SHARE * took)

    def _wrap(self) -> None:
        self._lay_out()
        for state in self.state.steps:
            self._steps.add(StepReport.over(state, self))
        for state in self.state.files:
            self._files.add(FileReport.over(state, self))

    @classmethod
    def _of_view(cls, view: Mapping[str, Any]) -> Self:
        return cls.over(views.pipeline_of(view, PROCESS.new_unit)).record_if_observed()


# --- Arguments

_FIRST: Final = frozenset({"notes", "warnings", "errors", "review", "percent", "status"})
_PIPELINE_OPTIONS: Final = (
    "label",
    "batch_id",
    "kind",
    "output_path",
    "stage",
    "percent",
    "message",
    "keep_finished",
)


def label_and_id(
    call: str, label_or_id: str | None, label: str | None, name: str | None
) -> tuple[str, str | None]:
    """Return (label, id) of a call in either form: id first with a label, or the label alone.

    Raises:
        TypeError: There is no label, or two ids.
    """
    if label_or_id is None:
        if label is None:
            raise TypeError(f"{call}: want a label")
        return label, name
    if label is None:
        return label_or_id, name
    if name is not None:
        raise TypeError(f"{call}: got two ids, {label_or_id!r} and {name!r}")
    return label, label_or_id


def _only_added(attached: Attached, units: Any) -> None:
    # `report.files += [...]` sets what it has changed already.
    if units is not attached:
        attached.clear()


def _add_review(
    unit: Any,
    label: str,
    reason: object,
    metadata: Mapping[str, Any] | None,
    *,
    mark_success: bool,
    name: str | None,
) -> StepReport:
    if mark_success:
        added: StepReport = unit._add_step(  # noqa: SLF001 - of this module
            label, "succeeded", text=None, metadata=metadata, name=name, review=reason, flag=True
        )
        return added
    with unit.lock:
        step = StepReport.begin_within(unit, label, id=name, metadata=metadata)
        step.request_review(reason)
        unit._was_flagged(step)  # noqa: SLF001 - of this module
    return step


def _check_first(unit: ReportBase, first: Mapping[str, Any], known: Iterable[str]) -> None:
    for name in first:
        if name not in known:
            raise unknown_option(type(unit).__name__, name, [*known, "label", "id", "metadata"])


def _set_first(unit: ReportBase, first: Mapping[str, Any]) -> None:
    for name, value in first.items():
        if name == "status":
            unit.set_status(Status(value))
        elif value is not None:
            setattr(unit, name, value)


def _batch_id(value: Any) -> int | str | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | str)):
        raise TypeError(f"batch_id: got {type(value).__name__}, want int, str or None")
    return value


def _report_kind(value: Any) -> str:
    if value not in REPORT_KINDS:
        raise ValueError(f"kind {value!r}: want {', '.join(REPORT_KINDS)}")
    return str(value)


def _probe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return size and MIME type of a file, as far as they can be told now."""
    from mimetypes import guess_type

    found: dict[str, Any] = {}
    try:
        found["size_bytes"] = os.stat(path).st_size
    except (OSError, ValueError):
        found["size_bytes"] = None
    found["mime_type"] = guess_type(os.fspath(path))[0]
    return found


# --- Files

# Reports that have changed since they were saved.
_unsaved: Final["weakref.WeakSet[PipelineReport]"] = weakref.WeakSet()


def _at_exit() -> None:
    for report in list(_unsaved):
        report.settle()


atexit.register(_at_exit)
# A child's copy of a report is not the one that the parent saves.
os.register_at_fork(after_in_child=_unsaved.clear)


def dump_report(path: str | os.PathLike[str], report: LiveUnit) -> None:
    """Write a report of any kind as JSON: beside its place, synced, renamed; mode 0644.

    Folders that are missing are made.

    Raises:
        OSError: It could not be written; what stood there stands there still.
    """
    _write(path, report, ensure_dir=True, indent=2, encoding="utf-8")


def _write(
    path: str | os.PathLike[str],
    report: LiveUnit,
    *,
    ensure_dir: bool,
    indent: int | None,
    encoding: str,
) -> None:
    if not isinstance(report, LiveUnit):
        raise TypeError(f"got {type(report).__name__}, want a report")
    if indent in {None, 2}:
        chunks = report.json_of(indent=indent is not None)
    else:
        chunks = [report.model_dump_json(indent=indent).encode()]
    if encoding.lower().replace("-", "").replace("_", "") != "utf8":
        chunks = [b"".join(chunks).decode().encode(encoding)]
    _put(path, chunks, ensure_dir=ensure_dir)


def atomic_write_json(
    path: str | os.PathLike[str],
    data: Any,
    *,
    ensure_dir: bool = True,
    indent: int | None = 2,
    encoding: str = "utf-8",
) -> None:
    """Write *data* as JSON: beside its place, synced, renamed; mode 0644.

    What JSON does not have is written as `str` says it.

    Raises:
        ValueError: A number is not finite.
        OSError: It could not be written; what stood there stands there still.
    """
    text = json.dumps(data, ensure_ascii=False, indent=indent, default=str, allow_nan=False)
    _put(path, [text.encode(encoding)], ensure_dir=ensure_dir)


def _put(path: str | os.PathLike[str], chunks: list[bytes], *, ensure_dir: bool) -> None:
    folder = os.path.dirname(os.fspath(path))
    if ensure_dir and folder:
        os.makedirs(folder, exist_ok=True)
    write_beside(path, chunks)
