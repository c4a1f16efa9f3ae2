"""Batches: a banner, steps and files, and the file that shows them."""

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from observability import context
from observability.reporting.attached import Attached
from observability.reporting.auto_saves import AutoSaves
from observability.reporting.base import ReportBase
from observability.reporting.dumps import Status
from observability.reporting.fields import Field, a_percent, a_text, an_output_path
from observability.reporting.file import FileReport
from observability.reporting.own_fields import declared, filled
from observability.reporting.process import PROCESS
from observability.reporting.saving import put, report_json
from observability.reporting.step import StepReport, WithSteps, add_review, only_added, over_step
from observability.reporting.unit import LiveUnit
from observability.settings import unknown_option
from replay.fold import report as states
from replay.fold.report.base import FILE, PIPELINE, SCHEMA_VERSION, instant
from replay.fold.report.loading import pipeline_of
from replay.fold.status import TERMINAL
from replay.trace.events import ProgressSet

REPORT_KINDS: Final = ("validation", "process", "test")
DEFAULT_OUTPUT: Final = Path("reports/progress.json")
_PIPELINE_OPTIONS: Final = (
    "label",
    "batch_id",
    "kind",
    "output_path",
    "stage",
    "percent",
    "message",
    "keep_finished",
    "steps",
    "files",
)


class PipelineReport(WithSteps):
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
        steps: Steps to append.
        files: Files to append.
        fields: Of a subclass.

    Raises:
        TypeError: There is neither label nor batch id, or an argument has the wrong type.
        ValueError: *kind* is none, or *output_path* is empty.
    """

    __slots__ = ("_files", "_keep_finished", "auto_saves")

    state: states.PipelineReport

    FIELDS: ClassVar[dict[str, Any]] = {}

    label = Field[str](write=a_text)
    stage = Field[str](write=a_text)
    message = Field[str](write=a_text)
    percent = Field[int](write=a_percent)
    output_path = Field[Path | None](Path, an_output_path)
    updated_at = Field[datetime | None](instant)
    batch_id = Field[int | str | None](write=lambda _, value: _batch_id(value))
    kind = Field[str](write=lambda _, value: _report_kind(value), name="report_kind")

    def __init_subclass__(cls, **how: Any) -> None:
        super().__init_subclass__(**how)
        cls.FIELDS = declared(cls, cls.FIELDS)

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
        steps: Iterable[StepReport] = (),
        files: Iterable[FileReport] = (),
        **fields: Any,
    ) -> None:
        for name in fields:
            if name not in self.FIELDS:
                known = [*_PIPELINE_OPTIONS, *self.FIELDS]
                raise unknown_option(type(self).__name__, name, known)
        if label is None and batch_id is None:
            raise TypeError("PipelineReport: want a label or a batch_id")
        batch_id = _batch_id(batch_id)
        self._lay_out(keep_finished=keep_finished)
        self.observer = context.current_observer()
        payload: dict[str, Any] = {
            "kind": PIPELINE,
            "label": a_text(self, f"Batch {batch_id}" if label is None else label, "label"),
            "batch_id": a_text(self, batch_id) if isinstance(batch_id, str) else batch_id,
            "report_kind": _report_kind(kind),
            "output_path": an_output_path(self, output_path),
        }
        if self.FIELDS:
            payload["fields"] = self.clean_values({**self.FIELDS, **fields})
        self.begin_in(None, payload)
        if stage or percent or message:
            self.set_progress(stage, percent, message)
        self.own_steps.extend(steps)
        self._files.extend(files)

    def _lay_out(self, *, keep_finished: bool = True) -> None:
        self.own_steps = Attached(self, "append_step")
        self._files = Attached(self, "append_file")
        self._keep_finished = keep_finished
        self.auto_saves = AutoSaves(self)

    @property
    def status(self) -> Status:
        """That of its steps and files together."""
        return Status(self.state.rollup())

    @property
    def report_version(self) -> str:
        """Of its JSON."""
        return SCHEMA_VERSION

    @property
    def steps(self) -> Attached:
        """The batch's own steps, in the order in which they began."""
        return self.own_steps

    @steps.setter
    def steps(self, units: Any) -> None:
        only_added(self.own_steps, units)

    @property
    def files(self) -> Attached:
        """Its files, in the order in which they began."""
        return self._files

    @files.setter
    def files(self, units: Any) -> None:
        only_added(self._files, units)

    # --- The banner

    def set_progress(self, stage: str, percent: float, message: str | None = "") -> None:
        """Say how far it is; the message is set to what is given, nothing and None included."""
        self.record(
            ProgressSet,
            {
                "stage": self.clean_text(stage, "stage"),
                "percent": a_percent(self, percent),
                "text": "" if message is None else self.clean_text(message),
            },
        )

    def recompute_overall_from_steps(self) -> None:
        """Set the percentage to the mean of the batch's own steps; nothing if there is none."""
        with self.lock:
            steps = self.state.steps
            if steps:
                mean = round(sum(step.progress for step in steps) / len(steps))
                self.set_progress(self.stage or "steps", mean, self.message)

    # --- Steps and files

    def append_step(self, step: StepReport) -> Self:
        """End a step and let it stand here, under an id that is free.

        Raises:
            ValueError: It stands elsewhere.
            TypeError: It is neither a step nor of a kind of one's own.
        """
        self.attach(step, ReportBase)
        self._let_go(step)
        return self

    def append_file(self, file: FileReport) -> Self:
        """End a file and let it stand here.

        Raises:
            ValueError: It stands elsewhere.
            TypeError: It is no file.
        """
        was_here = getattr(file, "parent", None) is self
        self.attach(file, FileReport)
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
        return self.add_step(label, "succeeded", text=note, metadata=metadata, name=id)

    def add_failed_step(
        self,
        label: str,
        reason: object = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the name of the field
    ) -> StepReport:
        """Add a step that failed, and return it."""
        return self.add_step(label, "failed", text=reason, metadata=metadata, name=id)

    def add_skipped_step(
        self,
        label: str,
        reason: object = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the name of the field
    ) -> StepReport:
        """Add a step that was not done, and return it."""
        return self.add_step(label, "skipped", text=reason, metadata=metadata, name=id)

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
        return add_review(self, label, reason, metadata, mark_success=mark_success, name=id)

    def children_like(self, child: LiveUnit) -> Attached:
        """Return the files for a file, else the steps."""
        return self._files if isinstance(child, FileReport) else self.own_steps

    def stand_in_again(self, give: Callable[[states.ReportBase], Any]) -> None:
        """Let the units that stand in the state stand here; *give* returns the one of a state."""
        for attached, inside in (
            (self.own_steps, self.state.steps),
            (self._files, self.state.files),
        ):
            if not self._keep_finished:
                held = {unit.state.unit for unit in attached}
                inside[:] = [s for s in inside if s.unit in held or s.status not in TERMINAL]
            attached.refill([give(state) for state in inside])

    def handle_of(self, state: states.ReportBase) -> ReportBase:
        """Return a new handle of a state that stands here."""
        if state.kind == FILE:
            return FileReport.over(state, self).recorded_by(self.observer)
        return super().handle_of(state)

    def all_children(self) -> Iterable[LiveUnit]:
        """Return steps and files."""
        return [*self.own_steps, *self._files]

    def has_ended(self, unit: ReportBase) -> None:
        """Take in that a step or file has ended."""
        if isinstance(unit, FileReport):
            self.auto_saves.refresh()
        self._let_go(unit)

    def _let_go(self, unit: ReportBase) -> None:
        if not self._keep_finished:
            attached = self.children_like(unit)
            attached.drop(unit)
            inside = self.state.files if attached is self._files else self.state.steps
            for n, state in enumerate(inside):
                if state is unit.state:
                    del inside[n]
                    break

    # --- Looking files up

    def files_for(self, key: str | os.PathLike[str]) -> list[FileReport]:
        """Return the files that *key* names: by id, else by path, else by name; case counts."""
        with self.lock:
            return [self._files[n] for n in self.state.places_of(key)]

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
        with self.lock:
            return self.state.file_seen(key)

    def file_processed(self, key: str | os.PathLike[str], require_success: bool = False) -> bool:  # noqa: FBT001, FBT002 - S0's form
        """Return whether every file that *key* names has ended, or ended well."""
        with self.lock:
            return self.state.file_processed(key, require_success=require_success)

    def unseen_expected(self, expected: Iterable[str | os.PathLike[str]]) -> list[str]:
        """Return what of *expected* names no file."""
        keys = list(expected)
        with self.lock:
            return self.state.unseen_expected(keys)

    def table_rows_for_files_map(self, expected: Any) -> list[dict[str, Any]]:
        """Return a row for each expected file, for a template.

        Args:
            expected: File names; of a mapping the values are the rows' `other`.
        """
        others = expected if isinstance(expected, Mapping) else dict.fromkeys(expected)
        with self.lock:
            return self.state.table_rows_for_files_map(others)

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

        At `output_path` a batch of which a block is open is `running`, unless it has failed.

        Args:
            path: Where; `output_path` if None, and `reports/progress.json` without one.
            ensure_dir: Make folders that are missing.
            indent: As for `json.dumps`.
            encoding: Of the file.

        Raises:
            OSError: It could not be written; what stood there stands there still.
        """
        target = path or self.output_path or DEFAULT_OUTPUT
        if not self._is_output(target):
            chunks = report_json(self, indent=indent, encoding=encoding)
            put(target, chunks, ensure_dir=ensure_dir)
            return
        with self.lock:
            status = self.auto_saves.status()
            chunks = report_json(self, indent=indent, encoding=encoding, status=status)
            put(target, chunks, ensure_dir=ensure_dir)
            self.auto_saves.saved(status)

    def _is_output(self, target: str | os.PathLike[str]) -> bool:
        output = self.state.output_path
        return output is not None and os.path.abspath(target) == os.path.abspath(output)

    def settle(self) -> None:
        """Record what was changed inside values, and save what was left out."""
        with self.lock:
            self.compare_all()
            self.auto_saves.make_good()

    def _wrap(self) -> None:
        self._lay_out()
        for state in self.state.steps:
            self.own_steps.add(over_step(state, self))
        for state in self.state.files:
            self._files.add(FileReport.over(state, self))

    @classmethod
    def _of_view(cls, view: Mapping[str, Any]) -> Self:
        return cls.over(filled(pipeline_of(view, PROCESS.new_unit), cls.FIELDS))


def _batch_id(value: Any) -> int | str | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | str)):
        raise TypeError(f"batch_id: got {type(value).__name__}, want int, str or None")
    return value


def _report_kind(value: Any) -> str:
    if value not in REPORT_KINDS:
        raise ValueError(f"kind {value!r}: want {', '.join(REPORT_KINDS)}")
    return str(value)
