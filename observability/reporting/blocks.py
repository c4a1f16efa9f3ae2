"""The `with` blocks of reports: a step or file begins, is ended whatever happens, and is saved.

An `Exception` is recorded and goes no further, unless the settings say so
(`observability.settings`); what ends programs, tasks and generators always goes on.  Each block is
entered by `with` or by `async with`.
"""

import os
import traceback
import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

from observability import context
from observability.reporting.base import ReportBase
from observability.reporting.fields import a_percent
from observability.reporting.file import FileReport
from observability.reporting.gathering import ExceptionRecordedWarning, Gathering
from observability.reporting.pipeline import PipelineReport
from observability.reporting.saving import dump_report
from observability.reporting.step import StepReport, label_and_id
from observability.settings import (
    NAMES,
    WatcherSettings,
    current_settings,
    unknown_option,
    with_overrides,
)
from replay.fold.report.base import TERMINAL
from replay.trace.events import Captured, ExceptionRaised

U = TypeVar("U", bound=ReportBase)

LARGEST_TEXT: Final = 64 * 1024  # characters of an error's text, and of its traceback
_LONGEST_CHAIN: Final = 20


class bind_pipeline:  # noqa: N801 - the name that programs have
    """Binds a report: blocks inside that are given None take it, and nodes are steps of it.

    In an observer, a report that was made before is recorded from here on.  When the block ends
    the report is saved, if it has an `output_path`.

    Args:
        pr: The report.
    """

    def __init__(self, pr: PipelineReport) -> None:
        if not isinstance(pr, PipelineReport):
            raise TypeError(f"bind_pipeline: got {type(pr).__name__}, want a PipelineReport")
        self._report = pr
        self._binding: context.Binding | None = None

    def __enter__(self) -> PipelineReport:
        if self._binding is not None:
            raise RuntimeError("bind_pipeline: this block is open already; make another one")
        self._report.record_if_observed()
        self._binding = context.bind(self._report)
        self._report.enter(self)
        return self._report

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._binding is not None:
                context.unbind(self._binding)
                self._binding = None
        finally:
            with _NeverInstead(error):
                self._report.leave(self, bound=True)

    async def __aenter__(self) -> PipelineReport:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


class _NeverInstead:
    """What fails while a block ends is a note at the exception that goes through it."""

    def __init__(self, error: BaseException | None) -> None:
        self._error = error

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        late: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if self._error is None or not isinstance(late, OSError | RuntimeError | ValueError):
            return False
        self._error.add_note(f"auditfold: {late}")
        return True


class _Block(Generic[U]):
    """One unit while its block runs.

    Args:
        call: The name of the call, for messages.
        options: Settings that hold here.
        more: Names of the call's other options, for messages.
    """

    def __init__(self, call: str, options: Mapping[str, Any], more: tuple[str, ...]) -> None:
        for name in options:
            if name not in {*NAMES, "exception_save_path_override"}:
                raise unknown_option(call, name, [*more, *NAMES, "exception_save_path_override"])
        with_overrides(WatcherSettings(), **options)  # refuses what is given twice
        self._options = dict(options)
        self._settings = WatcherSettings()
        self._unit: U | None = None
        self._report: PipelineReport | None = None
        self._gathering: Gathering | None = None

    def _begin(self) -> U:
        """Begin the unit."""
        raise NotImplementedError

    def __enter__(self) -> U:
        if self._unit is not None:
            raise RuntimeError(f"{self._unit!r}: its block was entered before; make another one")
        self._settings = settings = with_overrides(current_settings(), **self._options)
        try:
            unit = self._unit = self._begin()
            if self._report is not None:
                self._report.enter(self)
            if settings.capture_streams or settings.capture_warnings:
                self._gathering = Gathering(
                    streams=settings.capture_streams, warned=settings.capture_warnings
                )
                self._gathering.begin()
        except BaseException as error:
            if self._unit is not None:
                self._end_interrupted(self._unit, error)
            raise
        return unit

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        unit = self._unit
        if unit is None:
            raise RuntimeError("the block was never entered")
        try:
            return self._end(unit, error)
        except BaseException as late:
            if late is not error and not isinstance(late, OSError | RuntimeError | ValueError):
                self._end_interrupted(unit, late)
            raise

    def _end(self, unit: U, error: BaseException | None) -> bool:
        """End the unit, and return whether *error* goes no further."""
        if self._gathering is not None:
            self._gathering.end()
        goes_on = error is not None and self._settings.should_raise(error)
        with _NeverInstead(error if goes_on else None):
            self._finish(unit, error, goes_on=goes_on)
        if error is None or goes_on:
            return False
        said = unit.clean_text(_text_of(error))
        warnings.warn(
            f"{unit!r} failed by {type(error).__name__}: {said}; recorded, and the program goes "
            "on (raise_on_exception=True lets it through)",
            ExceptionRecordedWarning,
            stacklevel=3,
        )
        return True

    def _end_interrupted(self, unit: U, late: BaseException) -> None:
        """End what the exception of a signal handler kept from beginning or ending."""
        if self._gathering is not None:
            self._gathering.end()
        with _NeverInstead(late), unit.lock:
            if unit.state.status not in TERMINAL:
                self._tell(unit, late, goes_on=True)
                unit.set_status("failed", "exception")
            if self._report is not None:
                self._report.leave(self)

    async def __aenter__(self) -> U:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        return self.__exit__(kind, error, trace)

    def _finish(self, unit: U, error: BaseException | None, *, goes_on: bool) -> None:
        try:
            with unit.lock:
                self._tell_what_was_kept(unit)
                if error is not None:
                    self._tell(unit, error, goes_on=goes_on)
                    unit.set_status("failed", "exception")
                else:
                    unit.end()
            self._ended(unit)
            if error is not None and self._settings.save_on_exception:
                self._save_at_exception(unit)
        finally:
            if self._report is not None:
                self._report.leave(self)

    def _ended(self, unit: U) -> None:
        """Do what follows the end of the unit."""

    def _tell_what_was_kept(self, unit: U) -> None:
        gathering = self._gathering
        if gathering is None:
            return
        for name, kept in gathering.kept.items():
            text, truncated = kept.text()
            unit.record(
                Captured,
                {"stream": name, "text": unit.clean_text(text), "truncated": truncated},
            )
        if gathering.warned:
            lines = [unit.clean_text(line) for line in gathering.warned]
            unit.record(Captured, {"stream": "warnings", "lines": lines})

    def _tell(self, unit: U, error: BaseException, *, goes_on: bool) -> None:
        settings = self._settings
        payload: dict[str, Any] = {
            "error": unit.clean_text(_text_of(error)),
            "error_type": type(error).__name__,
            "error_module": type(error).__module__,
            "suppressed": settings.suppression_breadcrumb(error) is not None,
            "reraised": goes_on,
        }
        chain = [unit.clean_text(said) for said in _chain(error)]
        if chain:
            payload["chain"] = chain
        if settings.store_traceback:
            lines = traceback.format_exception(error, limit=settings.traceback_limit)
            payload["traceback"] = unit.clean_text("".join(lines)[-LARGEST_TEXT:])
        unit.record(ExceptionRaised, payload)
        breadcrumb = settings.suppression_breadcrumb(error)
        if breadcrumb is not None:
            unit.warn(breadcrumb)

    def _save_at_exception(self, unit: U) -> None:
        report, override = self._report, self._settings.output_path_override
        if report is None:
            if unit.observer is None:
                unit.warn("auto-save skipped: file_report not attached to a pipeline")
            return
        if report.output_path is None and override is None:
            if unit.observer is None:
                unit.warn("auto-save skipped: no pipeline output path configured")
            return
        try:
            report.save_at_exception(
                override, wait_s=self._settings.min_seconds_between_exception_saves
            )
        except (OSError, ValueError) as failure:  # ValueError: no file system has such a name
            unit.warn(f"save failed: {failure!r}")


def _text_of(error: BaseException) -> str:
    try:
        return str(error)[:LARGEST_TEXT]
    except Exception as own:  # noqa: BLE001 - anybody's __str__
        return f"no text: its __str__ raised {type(own).__name__}"


def _chain(error: BaseException) -> list[str]:
    """Return the exceptions behind *error*, the nearest first."""
    found: list[str] = []
    seen = {id(error)}
    at: BaseException | None = error
    while at is not None and len(found) < _LONGEST_CHAIN:
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
        if at is None or id(at) in seen:
            break
        seen.add(id(at))
        found.append(f"{type(at).__name__}: {_text_of(at)}")
    return found


def _report_or_bound(call: str, report: PipelineReport | None) -> PipelineReport:
    found = context.bound() if report is None else report
    if found is None:
        raise RuntimeError(
            f"{call} requires a PipelineReport: pass `pr=` or call within `with bind_pipeline(pr):`"
        )
    if not isinstance(found, PipelineReport):
        raise TypeError(f"{call}: got {type(found).__name__}, want a PipelineReport")
    return found


class pipeline_step(_Block[StepReport]):  # noqa: N801 - the name that programs have
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
        report = self._report = _report_or_bound("pipeline_step", self._given)
        report.record_if_observed()
        return StepReport.begin_within(report, self._label, id=self._id, metadata=self._metadata)


class file_step(_Block[StepReport]):  # noqa: N801 - the name that programs have
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


class pipeline_file(_Block[FileReport]):  # noqa: N801 - the name that programs have
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
        report = self._report = _report_or_bound("pipeline_file", self._given)
        report.record_if_observed()
        file = self._unit = FileReport.begin_within(report, self._path, **self._how)
        if self._set_stage:
            report.set_progress(self._banner[0] or file.name, report.percent, report.message)
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
