"""Record what a program does: hash-chained events, clean logs, files that explain themselves.

>>> from observability import ExecutionObserver

Names load on first use (PEP 562), so `import observability` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from replay.version import __version__

if TYPE_CHECKING:
    from observability.capture import TqdmFileWrapper
    from observability.journal import Journal, JournalError
    from observability.logging_handler import AuditHandler
    from observability.nodes import Node
    from observability.observer import ExecutionObserver
    from observability.structlog_records import structlog_processor

_HOMES = {
    "AuditHandler": "observability.logging_handler",
    "ExecutionObserver": "observability.observer",
    "Journal": "observability.journal",
    "JournalError": "observability.journal",
    "Node": "observability.nodes",
    "TqdmFileWrapper": "observability.capture",
    "structlog_processor": "observability.structlog_records",
}

__all__ = [
    "AuditHandler",
    "ExecutionObserver",
    "Journal",
    "JournalError",
    "Node",
    "TqdmFileWrapper",
    "__version__",
    "structlog_processor",
]


if not TYPE_CHECKING:  # else every misspelt name would have a type: Any

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'observability' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
