"""The reports, files and steps of one run, as the run's report lists them.

Each is what `replay.fold.report.views` makes of it, with its `unit` and the `report` it stands in.
What runs in a run that runs no more was interrupted.
"""

from collections.abc import Iterator
from typing import Any

from replay.fold.report.base import FILE, PIPELINE, STEP
from replay.fold.report.file import FileReport
from replay.fold.report.pipeline import PipelineReport
from replay.fold.report.units import Units
from replay.fold.report.views import unit_view
from replay.fold.status import FAILED, RUNNING

INTERRUPTED = "interrupted"


def running_as(run_status: str) -> str:
    """Return the status of something open in a run of that status."""
    return RUNNING if run_status == RUNNING else INTERRUPTED


def report_heads(units: Units, run_status: str) -> list[dict[str, Any]]:
    """Return the reports without what stands in them.

    A report of a run that was interrupted never looks as if it were whole.
    """
    heads = []
    for state in units.roots():
        if isinstance(state, PipelineReport):
            head = state.head(running_as=running_as(run_status))
            if run_status == INTERRUPTED and head["status"] != FAILED:
                head["status"] = INTERRUPTED
            del head["steps"], head["files"]
            heads.append({"unit": state.unit, **head})
    return heads


def step_views(units: Units, run_status: str, now_us: int) -> Iterator[dict[str, Any]]:
    """Yield the batch steps, and the steps that stand in nothing."""
    for report in _reports(units):
        for state in report.steps:
            yield _view(state, report.unit, run_status, now_us)
    for state in units.roots():
        if state.kind == STEP:
            yield _view(state, None, run_status, now_us)


def file_views(units: Units, run_status: str, now_us: int) -> Iterator[dict[str, Any]]:
    """Yield the files with their steps."""
    for report in _reports(units):
        for state in report.files:
            yield _view(state, report.unit, run_status, now_us)
    for state in units.roots():
        if isinstance(state, FileReport):
            yield _view(state, None, run_status, now_us)


def other_views(units: Units, run_status: str, now_us: int) -> list[dict[str, Any]]:
    """Return the units of kinds of the user's own that stand in nothing."""
    others = (state for state in units.roots() if state.kind not in {STEP, FILE, PIPELINE})
    return [_view(state, None, run_status, now_us) for state in others]


def _reports(units: Units) -> Iterator[PipelineReport]:
    return (state for state in units.roots() if isinstance(state, PipelineReport))


def _view(state: Any, report: str | None, run_status: str, now_us: int) -> dict[str, Any]:
    view = unit_view(state, now_us, running_as=running_as(run_status))
    return {"unit": state.unit, "report": report, **view}
