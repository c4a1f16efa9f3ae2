"""Record what a program does: hash-chained events, clean logs, files that explain themselves.

>>> from observability import ExecutionObserver

Names load on first use (PEP 562), so `import observability` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from replay.version import __version__

if TYPE_CHECKING:
    from observability.journal import Journal, JournalError
    from observability.messages.logging_handler import AuditHandler
    from observability.messages.structlog_records import structlog_processor
    from observability.nodes import Node
    from observability.observer import ExecutionObserver
    from observability.reporting import (
        SCHEMA_VERSION,
        Check,
        FileReport,
        PipelineReport,
        ReportBase,
        ReviewFlag,
        Status,
        StepReport,
        atomic_write_json,
        dump_report,
        now_central,
        now_eastern,
        now_mountain,
        now_pacific,
        now_utc,
    )
    from observability.reporting.binding import bind_pipeline
    from observability.reporting.blocks import (
        file_step,
        pipeline_file,
        pipeline_step,
    )
    from observability.reporting.gathering import ExceptionRecordedWarning
    from observability.settings import (
        WatcherSettings,
        current_settings,
        set_global_settings,
        use_settings,
        with_overrides,
    )
    from observability.terminal.capture import TqdmFileWrapper

_HOMES = {
    "AuditHandler": "observability.messages.logging_handler",
    "Check": "observability.reporting",
    "ExceptionRecordedWarning": "observability.reporting.gathering",
    "ExecutionObserver": "observability.observer",
    "FileReport": "observability.reporting",
    "Journal": "observability.journal",
    "JournalError": "observability.journal",
    "Node": "observability.nodes",
    "PipelineReport": "observability.reporting",
    "ReportBase": "observability.reporting",
    "ReviewFlag": "observability.reporting",
    "SCHEMA_VERSION": "observability.reporting",
    "Status": "observability.reporting",
    "StepReport": "observability.reporting",
    "TqdmFileWrapper": "observability.terminal.capture",
    "WatcherSettings": "observability.settings",
    "atomic_write_json": "observability.reporting",
    "bind_pipeline": "observability.reporting.binding",
    "current_settings": "observability.settings",
    "dump_report": "observability.reporting",
    "file_step": "observability.reporting.blocks",
    "now_central": "observability.reporting",
    "now_eastern": "observability.reporting",
    "now_mountain": "observability.reporting",
    "now_pacific": "observability.reporting",
    "now_utc": "observability.reporting",
    "pipeline_file": "observability.reporting.blocks",
    "pipeline_step": "observability.reporting.blocks",
    "set_global_settings": "observability.settings",
    "structlog_processor": "observability.messages.structlog_records",
    "use_settings": "observability.settings",
    "with_overrides": "observability.settings",
}

__all__ = [
    "SCHEMA_VERSION",
    "AuditHandler",
    "Check",
    "ExceptionRecordedWarning",
    "ExecutionObserver",
    "FileReport",
    "Journal",
    "JournalError",
    "Node",
    "PipelineReport",
    "ReportBase",
    "ReviewFlag",
    "Status",
    "StepReport",
    "TqdmFileWrapper",
    "WatcherSettings",
    "__version__",
    "atomic_write_json",
    "bind_pipeline",
    "current_settings",
    "dump_report",
    "file_step",
    "now_central",
    "now_eastern",
    "now_mountain",
    "now_pacific",
    "now_utc",
    "pipeline_file",
    "pipeline_step",
    "set_global_settings",
    "structlog_processor",
    "use_settings",
    "with_overrides",
]


if not TYPE_CHECKING:  # else every misspelt name would have a type: Any

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'observability' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
