"""Live reports: batches, files and steps that a program changes while it works.

A report made while an observer is current is recorded in its trace; without one only the state
is kept.  What a change does is in `observability.units`, what it means in `replay.fold.report`; the
`with` blocks are in `observability.blocks`.
"""

from observability.clocks import now_central, now_eastern, now_mountain, now_pacific, now_utc
from observability.dumps import Status
from observability.file_report import FileReport
from observability.pipeline_report import PipelineReport
from observability.report_base import ReportBase
from observability.saving import atomic_write_json, dump_report
from observability.step_report import StepReport
from replay.fold.report.base import SCHEMA_VERSION
from replay.fold.report.step import Check
from replay.fold.reviews import ReviewFlag

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
