"""What the `with` blocks of units share: a unit begins, is ended whatever happens, and is saved.

An `Exception` is recorded and goes no further, unless the settings say so
(`observability.settings`); what ends programs, tasks and generators always goes on.  Each block is
entered by `with` or by `async with`.
"""

import traceback
import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from observability.reporting.base import ReportBase
from observability.reporting.fitting import (
    LARGEST_NAME,
    first_lines,
    first_of,
    first_of_each,
    last_of,
    shortened,
)
from observability.reporting.gathering import ExceptionRecordedWarning, Gathering
from observability.settings import (
    NAMES,
    WatcherSettings,
    current_settings,
    unknown_option,
    with_overrides,
)
from replay.fold.status import TERMINAL
from replay.trace.events import Captured, ExceptionRaised

if TYPE_CHECKING:
    from observability.reporting.pipeline import PipelineReport

U = TypeVar("U", bound=ReportBase)

_LONGEST_CHAIN: Final = 20


class NeverInstead:
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
        if self._error is None or not isinstance(
            late, OSError | RuntimeError | ValueError | Warning
        ):
            return False
        self._error.add_note(f"auditfold: {late}")
        return True


class Block(Generic[U]):
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
                self._report.auto_saves.enter(self)
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
        with NeverInstead(error if goes_on else None):
            self._finish(unit, error, goes_on=goes_on)
        if error is None or goes_on:
            return False
        said = first_of(_text_of(error), unit.gate)
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
        with NeverInstead(late), unit.lock:
            if unit.state.status not in TERMINAL:
                self._tell(unit, late, goes_on=True)
                unit.set_status("failed", "exception")
            if self._report is not None:
                self._report.auto_saves.leave(self)

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
            if self._report is not None:
                self._report.auto_saves.ends(self)
            with NeverInstead(error), unit.lock:
                unit.compare()
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
                self._report.auto_saves.leave(self)

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
            lines = first_lines(gathering.warned, unit.gate)
            unit.record(Captured, {"stream": "warnings", "lines": lines})

    def _tell(self, unit: U, error: BaseException, *, goes_on: bool) -> None:
        settings = self._settings
        payload: dict[str, Any] = {
            "error": first_of(_text_of(error), unit.gate),
            "error_type": shortened(type(error).__name__, LARGEST_NAME),
            "error_module": shortened(str(type(error).__module__), LARGEST_NAME),
            "suppressed": settings.suppression_breadcrumb(error) is not None,
            "reraised": goes_on,
        }
        chain = _chain(error)
        if chain:
            payload["chain"] = first_of_each(chain, unit.gate)
        if settings.store_traceback:
            lines = traceback.format_exception(error, limit=settings.traceback_limit)
            payload["traceback"] = last_of("".join(lines), unit.gate)
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
            report.auto_saves.at_exception(
                override, wait_s=self._settings.min_seconds_between_exception_saves
            )
        except (OSError, ValueError) as failure:  # ValueError: no file system has such a name
            unit.warn(f"save failed: {failure!r}")


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
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
