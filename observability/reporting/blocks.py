"""The `with` blocks of programs: a step of a batch, a step of a file, a file of a batch.

What they share is `observability.reporting.block`.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

from observability.reporting.binding import report_or_bound
from observability.reporting.block import Block
from observability.reporting.fields import a_percent
from observability.reporting.file import FileReport
from observability.reporting.pipeline import PipelineReport
from observability.reporting.saving import dump_report
from observability.reporting.step import StepReport, label_and_id


class pipeline_step(Block[StepReport]):  # noqa: N801 - the name that programs have
    """A step of a batch: `pipeline_step(report, "validate", label="Validate batch")`.

    Args:
        pr: The report; None: the one that is bound.
        label_or_id: The id where a label is given, else the label.
        label: Its name for people.
        id: Its id, where the label comes first.
        metadata: JSON values.
        options: Settings that hold here.

    Raises:
        TypeError: An option is none; names the nearest.
        RuntimeError: On entering: no report is bound.
    """

    def __init__(
        self,
        pr: PipelineReport | None,
        label_or_id: str | None = None,
        *,
        label: str | None = None,
        id: str | None = None,  # noqa: A002 - the name of the field
        metadata: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__("pipeline_step", options, ("label", "id", "metadata"))
        self._label, self._id = label_and_id("pipeline_step", label_or_id, label, id)
        self._given, self._metadata = pr, metadata

    def _begin(self) -> StepReport:
        report = self._report = report_or_bound("pipeline_step", self._given)
        report.record_if_observed()
        return StepReport.begin_within(report, self._label, id=self._id, metadata=self._metadata)


class file_step(Block[StepReport]):  # noqa: N801 - the name that programs have
    """A step of a file: `file_step(fr, "parse", label="Parse")`; else as `pipeline_step`."""

    def __init__(
        self,
        fr: FileReport,
        label_or_id: str | None = None,
        *,
        label: str | None = None,
        id: str | None = None,  # noqa: A002 - the name of the field
        metadata: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__("file_step", options, ("label", "id", "metadata"))
        if not isinstance(fr, FileReport):
            raise TypeError(f"file_step: got {type(fr).__name__}, want a FileReport")
        self._label, self._id = label_and_id("file_step", label_or_id, label, id)
        self._file, self._metadata = fr, metadata

    def _begin(self) -> StepReport:
        self._report = self._file.pipeline
        self._file.root.record_if_observed()
        return StepReport.begin_within(
            self._file, self._label, id=self._id, metadata=self._metadata
        )


_FILE_OPTIONS: Final = (
    "path",
    "file_id",
    "name",
    "metadata",
    "n_steps",
    "file_save_to",
    "pipeline_save_to",
    "set_stage_on_enter",
    "banner_stage",
    "banner_percent_on_exit",
    "banner_message_on_exit",
)


class pipeline_file(Block[FileReport]):  # noqa: N801 - the name that programs have
    """A file of a batch: `pipeline_file(report, file_id="f1", path="inputs/a.docx")`.

    Args:
        pr: The report; None: the one that is bound.
        path: The file.
        file_id: The program's own name for it.
        name: Its name for people; the last part of the path if None.
        metadata: JSON values.
        n_steps: How many steps there will be, for `percent`.
        file_save_to: Write the file's own report there when it ends.
        pipeline_save_to: Write a copy of the batch's report there when it ends.
        set_stage_on_enter: Show the file, or *banner_stage*, in the banner.
        banner_stage: The banner's stage.
        banner_percent_on_exit: The banner's percentage when it ends.
        banner_message_on_exit: The banner's message when it ends; an empty one clears it.
        options: Settings that hold here.

    Raises:
        TypeError: An option is none, and names the nearest; or *path* is no path.
        RuntimeError: On entering: no report is bound.
    """

    def __init__(
        self,
        pr: PipelineReport | None,
        path: str | os.PathLike[str],
        *,
        file_id: str | None = None,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        n_steps: int | None = None,
        file_save_to: str | os.PathLike[str] | None = None,
        pipeline_save_to: str | os.PathLike[str] | None = None,
        set_stage_on_enter: bool = False,
        banner_stage: str | None = None,
        banner_percent_on_exit: float | None = None,
        banner_message_on_exit: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__("pipeline_file", options, _FILE_OPTIONS)
        for save_to in (file_save_to, pipeline_save_to):
            if save_to is not None:
                os.fspath(save_to)  # here, and not at the end of the work
        if banner_percent_on_exit is not None:
            a_percent(self, banner_percent_on_exit)
        self._given = pr
        self._path = path
        self._how = {"file_id": file_id, "name": name, "metadata": metadata, "n_steps": n_steps}
        self._file_save_to = file_save_to
        self._pipeline_save_to = pipeline_save_to
        self._set_stage = set_stage_on_enter
        self._banner = (banner_stage, banner_percent_on_exit, banner_message_on_exit)

    def _begin(self) -> FileReport:
        report = self._report = report_or_bound("pipeline_file", self._given)
        report.record_if_observed()
        file = self._unit = FileReport.begin_within(report, self._path, **self._how)
        if self._set_stage:
            report.set_progress(self._banner[0] or file.name, report.percent, report.message)
        report.auto_saves.refresh()
        return file

    def _ended(self, unit: FileReport) -> None:
        report = self._report
        if report is None:
            return
        if self._file_save_to is not None:
            self._copy(unit, self._file_save_to, unit, "file report save failed")
        stage, percent, message = self._banner
        if (stage, percent, message) != (None, None, None):
            report.set_progress(
                report.stage if stage is None else stage,
                report.percent if percent is None else percent,
                report.message if message is None else message,
            )
            report.auto_saves.changed()
        if self._pipeline_save_to is not None:
            self._copy(unit, self._pipeline_save_to, report, "pipeline save_to failed")

    @staticmethod
    def _copy(
        unit: FileReport,
        path: str | os.PathLike[str],
        what: FileReport | PipelineReport,
        failed: str,
    ) -> None:
        try:
            dump_report(path, what)
        except (OSError, ValueError) as error:  # ValueError: no file system has such a name
            unit.warn(f"{failed}: {error!r}")
