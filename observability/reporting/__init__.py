"""Live reports: batches, files and steps that a program changes while it works.

>>> from observability.reporting import FileReport, PipelineReport, StepReport

A report made while an observer is current is recorded in its trace; without one only the state
is kept.  What a change does is in `observability.reporting.recorder`, what it means in
`replay.fold.report`, whose states have the same names; the `with` blocks are in
`observability.reporting.blocks`.  Names load on first use (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from observability.reporting.base import ReportBase
    from observability.reporting.clocks import (
        now_central,
        now_eastern,
        now_mountain,
        now_pacific,
        now_utc,
    )
    from observability.reporting.dumps import Status
    from observability.reporting.file import FileReport
    from observability.reporting.pipeline import PipelineReport
    from observability.reporting.saving import atomic_write_json, dump_report
    from observability.reporting.step import StepReport
    from replay.fold.report.base import SCHEMA_VERSION
    from replay.fold.report.step import Check
    from replay.fold.reviews import ReviewFlag

_HOMES = {
    "SCHEMA_VERSION": "replay.fold.report.base",
    "Check": "replay.fold.report.step",
    "FileReport": "observability.reporting.file",
    "PipelineReport": "observability.reporting.pipeline",
    "ReportBase": "observability.reporting.base",
    "ReviewFlag": "replay.fold.reviews",
    "Status": "observability.reporting.dumps",
    "StepReport": "observability.reporting.step",
    "atomic_write_json": "observability.reporting.saving",
    "dump_report": "observability.reporting.saving",
    "now_central": "observability.reporting.clocks",
    "now_eastern": "observability.reporting.clocks",
    "now_mountain": "observability.reporting.clocks",
    "now_pacific": "observability.reporting.clocks",
    "now_utc": "observability.reporting.clocks",
}

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


if not TYPE_CHECKING:  # else every misspelt name would have a type: Any

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'observability.reporting' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
