"""Reports, files and steps as states: what the events of each add up to.

>>> from replay.fold.report import FileReport, PipelineReport, StepReport, apply

A state has fields and what follows from them, and `apply(state, event)` changes it; nothing here
reads a clock or a disk.  The live classes of the same names are in `observability.reporting`, the
report of a whole run is `replay.fold.run_report`.  Names load on first use (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replay.fold.report.base import ReportBase
    from replay.fold.report.file import FileReport
    from replay.fold.report.handlers import apply
    from replay.fold.report.pipeline import PipelineReport
    from replay.fold.report.step import Check, StepReport
    from replay.fold.reviews import ReviewFlag

_HOMES = {
    "Check": "replay.fold.report.step",
    "FileReport": "replay.fold.report.file",
    "PipelineReport": "replay.fold.report.pipeline",
    "ReportBase": "replay.fold.report.base",
    "ReviewFlag": "replay.fold.reviews",
    "StepReport": "replay.fold.report.step",
    "apply": "replay.fold.report.handlers",
}

__all__ = [
    "Check",
    "FileReport",
    "PipelineReport",
    "ReportBase",
    "ReviewFlag",
    "StepReport",
    "apply",
]


if not TYPE_CHECKING:  # else every misspelt name would have a type: Any

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'replay.fold.report' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
