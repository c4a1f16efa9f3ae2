"""What a trace means: read it, fold it, audit it, show it.

This package opens evidence read-only and never imports `observability`, which writes it.
Names load on first use (PEP 562), so `import replay` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from replay.version import __version__

if TYPE_CHECKING:
    from replay.findings import Finding, Verdict
    from replay.trace.evidence import TraceError

_HOMES = {
    "Finding": "replay.findings",
    "Verdict": "replay.findings",
    "TraceError": "replay.trace.evidence",
}

__all__ = ["Finding", "TraceError", "Verdict", "__version__"]


if not TYPE_CHECKING:  # else every misspelt name would have a type: Any

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'replay' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
