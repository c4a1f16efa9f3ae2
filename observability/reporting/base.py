"""A unit that begins and ends: what steps, files and kinds of a user's own share."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Final, Self

from observability import context
from observability.reporting.attached import slug
from observability.reporting.dumps import Status
from observability.reporting.fields import (
    Field,
    Items,
    a_percent,
    a_text,
    a_text_or_none,
    a_time,
)
from observability.reporting.fitting import shortened
from observability.reporting.own_fields import declared, filled
from observability.reporting.process import PROCESS
from observability.reporting.unit import LiveUnit
from observability.settings import current_settings, unknown_option
from replay.fold.report.base import FILE, SCHEMA_VERSION, instant
from replay.fold.report.loading import own_of
from replay.fold.reviews import ReviewFlag
from replay.fold.status import TERMINAL
from replay.trace.events import (
    Message,
    ReviewCleared,
    ReviewRequested,
    UnitStatusSet,
)

# What every unit may have from the beginning.
FIRST: Final = frozenset(
    {"notes", "warnings", "errors", "review", "percent", "status", "started_at", "finished_at"}
)


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
        TypeError: A field is none; names the nearest.  Of a subclass: see `own_fields.declared`.
    """

    __slots__ = ()

    FIELDS: ClassVar[dict[str, Any]] = {}
    KIND: ClassVar[str] = "report"

    percent = Field[int](write=a_percent)
    started_at = Field[datetime | None](instant, a_time)
    finished_at = Field[datetime | None](instant, a_time)
    label = Field[str](write=a_text)
    notes = Items()
    warnings = Items()
    errors = Items()

    def __init_subclass__(cls, **how: Any) -> None:
        super().__init_subclass__(**how)
        cls.FIELDS = declared(cls, cls.FIELDS)
        if "KIND" not in cls.__dict__ and cls.KIND == "report":
            cls.KIND = cls.__name__

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
        payload = self._head(label, metadata, fields, defer_start=defer_start)
        payload["kind"] = self.KIND
        payload["id"] = a_text_or_none(self, id, "id") or slug(payload["label"]) or None
        with self.lock:
            self.begin_in(None, payload, derived=not id)

    def _head(
        self,
        label: str,
        metadata: Mapping[str, Any] | None,
        fields: Mapping[str, Any] | None,
        *,
        defer_start: bool,
    ) -> dict[str, Any]:
        """Return what every `unit_begin` has; cleaned by the observer that will record it."""
        if not isinstance(label, str):
            raise TypeError(f"label: got {type(label).__name__}, want str")
        payload: dict[str, Any] = {"label": self.clean_text(label)}
        if metadata:
            payload["metadata"] = self.clean_values(metadata)
        if self.FIELDS:
            payload["fields"] = self.clean_values({**self.FIELDS, **(fields or {})})
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
        took: float | None = self.state.duration_ms(self.now_us())
        return took

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
            known = set(self.state.errors or ())
            for reason in map(shortened, self.state.failure_reasons()):
                if reason not in known:
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
        if _is(self.parent, FILE):
            payload["inside"] = True
        self.record(UnitStatusSet, payload)
        if status in TERMINAL and self.parent is not None:
            self.parent.has_ended(self)

    # --- What is said about it

    def note(self, text: object) -> Self:
        """Add a note; none if it is None."""
        if text is not None:
            self.record(Message, {"level": "note", "text": self.clean_text(text)})
        return self

    def warn(self, text: object) -> Self:
        """Add a warning; none if it is None."""
        if text is not None:
            self.record(Message, {"level": "warning", "text": self.clean_text(text)})
        return self

    def error(self, text: object) -> Self:
        """Add an error, so that the unit will not end well; none if it is None."""
        if text is not None:
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
        return bool(self.state.requires_human_review)

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
        return cls.over(filled(own_of(view, PROCESS.new_unit, cls.KIND), cls.FIELDS))


def _is(unit: LiveUnit | None, kind: str) -> bool:
    return unit is not None and unit.state.kind == kind


def split_first(
    unit: ReportBase, first: Mapping[str, Any], known: Iterable[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a unit has from the beginning: its own fields, and the rest.

    Raises:
        TypeError: It cannot have something of it; names the nearest.
    """
    own, rest = {}, {}
    for name, value in first.items():
        if name in unit.FIELDS:
            own[name] = value
        elif name in known:
            rest[name] = value
        else:
            wanted = [*known, *unit.FIELDS, "label", "id", "metadata"]
            raise unknown_option(type(unit).__name__, name, wanted)
    return own, rest


def set_first(unit: ReportBase, first: Mapping[str, Any]) -> None:
    """Set what a unit has from the beginning."""
    if "status" in first:  # before the times, which it sets as well
        unit.set_status(Status(first["status"]))
    for name, value in first.items():
        if name == "steps":
            unit.steps.extend(value)  # type: ignore[attr-defined]
        elif name != "status" and value is not None:
            setattr(unit, name, value)
