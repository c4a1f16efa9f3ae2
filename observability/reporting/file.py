"""Files and their steps."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any, Final, Self

from observability import context
from observability.reporting.attached import Attached
from observability.reporting.base import FIRST, ReportBase, set_first, split_first
from observability.reporting.fields import (
    Field,
    a_path,
    a_percent,
    a_text,
    a_text_or_none,
)
from observability.reporting.own_fields import filled
from observability.reporting.process import PROCESS
from observability.reporting.step import StepReport, WithSteps, add_review, only_added, over_step
from observability.reporting.unit import LiveUnit
from replay.fold.report.base import FILE
from replay.fold.report.loading import file_of

MOST_STEPS: Final = 10_000


class FileReport(ReportBase, WithSteps):
    """One file and its steps.

    Args:
        path: The file; size and MIME type are those of this moment.
        file_id: The program's own name for it.
        name: Its name for people; the last part of the path if None.
        metadata: JSON values.
        n_steps: How many steps there will be, for `percent`.
        defer_start: It is pending until `start`.
        first: What it has from the beginning: steps, notes, warnings, errors, review, percent,
            status, started_at or finished_at; fields of a subclass.

    Raises:
        TypeError: *path* is neither str nor Path.
    """

    __slots__ = ()

    KIND = FILE

    path = Field[Path](Path, a_path)
    name = Field[str](write=a_text)
    file_id = Field[str | None](write=a_text_or_none)
    size_bytes = Field[int | None]()
    mime_type = Field[str | None]()

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
        own, rest = split_first(self, first, FIRST | {"steps"})
        self._begin_file(
            None,
            path,
            file_id=file_id,
            name=name,
            metadata=metadata,
            n_steps=n_steps,
            defer_start=defer_start,
            own=own,
        )
        set_first(self, rest)

    @classmethod
    def begin(
        cls,
        path: str | os.PathLike[str],
        file_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        n_steps: int | None = None,
        **first: Any,
    ) -> Self:
        """Begin a file; as the constructor."""
        return cls(path, file_id=file_id, name=name, metadata=metadata, n_steps=n_steps, **first)

    @classmethod
    def begin_within(cls, parent: WithSteps, path: str | os.PathLike[str], **how: Any) -> Self:
        """Begin a file that stands in *parent* from now on."""
        self = cls.__new__(cls)
        with parent.lock:
            self._begin_file(parent, path, **how)
        return self

    def _begin_file(
        self,
        parent: WithSteps | None,
        path: str | os.PathLike[str],
        *,
        file_id: str | None = None,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        n_steps: int | None = None,
        defer_start: bool = False,
        own: Mapping[str, Any] | None = None,
    ) -> None:
        self.observer = context.current_observer() if parent is None else parent.observer
        self.own_steps = Attached(self, "append_step")
        text = a_path(self, path)
        called = a_text_or_none(self, name, "name") or PurePath(text).name
        payload = self._head(called, metadata, own, defer_start=defer_start)
        if n_steps is not None:
            if isinstance(n_steps, bool) or not isinstance(n_steps, int):
                raise TypeError(f"n_steps: got {type(n_steps).__name__}, want int")
            payload["n_steps"] = max(n_steps, 0)
        payload |= {"kind": FILE, "path": text, "name": payload.pop("label")}
        if file_id is not None:
            payload["file_id"] = a_text(self, file_id, "file_id")
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
        return self.own_steps

    @steps.setter
    def steps(self, units: Any) -> None:
        only_added(self.own_steps, units)

    @property
    def n_steps(self) -> int:
        """How many steps there are."""
        return len(self.state.steps)

    @property
    def percent(self) -> int:
        """How far it is: finished steps of those planned, or of those there are.

        What is set shows only while there are neither steps nor a planned number of them.
        """
        return int(self.state.progress)

    @percent.setter
    def percent(self, value: float) -> None:
        self.edit("percent", a_percent(self, value))

    @property
    def human_review_reason(self) -> str | None:
        """Why somebody should look at it: its own reason and those of its steps."""
        reason: str | None = self.state.human_review_reason
        return reason

    @property
    def pipeline(self) -> Any:
        """The report that it stands in."""
        return self.parent

    def append_step(self, step: StepReport, max_steps: int = MOST_STEPS) -> Self:
        """End a step and let it stand here, under an id that is free.

        Raises:
            ValueError: There are *max_steps* already, or it stands elsewhere.
            TypeError: It is neither a step nor of a kind of one's own; files stand in batches.
        """
        if len(self.own_steps) >= max_steps and getattr(step, "parent", None) is not self:
            raise ValueError(f"Reached maximum number of steps: {max_steps}")
        self.attach(step, ReportBase)
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
        self.add_step(label, "succeeded", text=note, metadata=metadata, name=id)
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
        self.add_step(label, "failed", text=reason, metadata=metadata, name=id)
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
        self.add_step(label, "skipped", text=reason, metadata=metadata, name=id)
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
        add_review(self, label, reason, metadata, mark_success=mark_success, name=id)
        return self

    def children_like(self, child: LiveUnit) -> Attached:  # noqa: ARG002 - a file has only steps
        """Return the steps."""
        return self.own_steps

    def all_children(self) -> Iterable[LiveUnit]:
        """Return the steps."""
        return list(self.own_steps)

    def has_ended(self, unit: ReportBase) -> None:  # noqa: ARG002 - a file keeps its steps
        """Take in that a step has ended: the batch may be saved with what it left out."""
        if self.pipeline is not None:
            self.pipeline.auto_saves.save_if_due()

    def was_flagged(self, step: ReportBase) -> None:
        """Flag the file too, unless it is."""
        if not self.state.review.flagged:
            reason = step.state.review.reason
            self.request_review(reason or f"Step '{step.state.id}' requested review")

    def _wrap(self) -> None:
        self.own_steps = Attached(self, "append_step")
        for state in self.state.steps:
            self.own_steps.add(over_step(state, self))

    @classmethod
    def _of_view(cls, view: Mapping[str, Any]) -> Self:
        return cls.over(filled(file_of(view, PROCESS.new_unit), cls.FIELDS))


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
