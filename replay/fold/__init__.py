"""Folds: events in, state out, pure.

>>> from replay.fold import fold_path, read_metadata, read_report

Names load on first use (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replay.fold.choice import RunChoiceError
    from replay.fold.path import NotYetError, fold_path, read_metadata, read_report
    from replay.fold.snapshot import from_snapshot, proceed, to_snapshot

_HOMES = {
    "NotYetError": "replay.fold.path",
    "RunChoiceError": "replay.fold.choice",
    "fold_path": "replay.fold.path",
    "from_snapshot": "replay.fold.snapshot",
    "proceed": "replay.fold.snapshot",
    "read_metadata": "replay.fold.path",
    "read_report": "replay.fold.path",
    "to_snapshot": "replay.fold.snapshot",
}

__all__ = [
    "NotYetError",
    "RunChoiceError",
    "fold_path",
    "from_snapshot",
    "proceed",
    "read_metadata",
    "read_report",
    "to_snapshot",
]


if not TYPE_CHECKING:  # else every misspelt name would have a type: Any

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'replay.fold' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
