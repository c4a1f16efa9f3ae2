"""What the nodes of a run used, the hungriest first: what `auditfold show --by` prints.

A node is shown by its last attempt.  `-` is what its trace does not say; nodes of which it does
not say what they are sorted by come last.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, get_args

from replay.fold.nodes import nodes_of
from replay.fold.run_report import RunReport
from replay.fold.run_report_views import node_view
from replay.fold.runs import Standing
from replay.show.line import harmless
from replay.show.table import Column, table
from replay.show.text import (
    STYLE_OF,
    Line,
    Piece,
    count_text,
    fit,
    fit_line,
    seconds_text,
    size_text,
)

Key = Literal["cpu", "memory", "io"]
KEYS: Final[tuple[Key, ...]] = get_args(Key)

_MOST: Final = 20
_WIDEST_NAME: Final = 48
_HEADINGS: Final = ("TIME", "CPU", "PEAK", "GREW", "READ", "WRITTEN")
# What stands first is what a narrow terminal still shows.
_COLUMNS: Final[dict[Key, tuple[int, ...]]] = {
    "cpu": (1, 0, 2, 3, 4, 5),
    "memory": (3, 2, 0, 1, 4, 5),
    "io": (4, 5, 0, 1, 2, 3),
}


def render_resources(
    state: RunReport, standing: Standing, *, by: Key, columns: int | None = None
) -> Iterator[Line]:
    """Yield the lines of a table of the nodes that used most.

    Args:
        state: The run.
        standing: Its status.
        by: What they are sorted by: `cpu`; `memory`, by how much a node raised the peak
            of its process; `io`, what it read and wrote.
        columns: What the terminal has; None for no limit.
    """
    views = [node_view(state, node_id, node, standing) for node_id, node in nodes_of(state)]
    order = _ORDER[by]
    views.sort(key=lambda view: _largest_first(order(view)))
    yield from _table(views[:_MOST], _COLUMNS[by], columns)
    if len(views) > _MOST:
        left = count_text(len(views) - _MOST, "more node")
        yield fit_line([Piece(f"and {left}", "dim")], columns)


def used_text(used: Mapping[str, Any] | None) -> str:
    """Return what an attempt used in a few words, empty where nothing is known."""
    if used is None:
        return ""
    cpu, peak, moved = _cpu(used), used["max_rss_bytes"], _moved(used)
    return ", ".join(
        [
            *([f"CPU {seconds_text(cpu)}"] if cpu is not None else []),
            *([f"peak {size_text(peak)}"] if peak is not None else []),
            *([f"{size_text(moved)} read and written"] if moved else []),
        ]
    )


def _table(
    views: list[dict[str, Any]], order: tuple[int, ...], columns: int | None
) -> Iterator[Line]:
    rows = []
    for view in views:
        style = "" if view["status"] == "succeeded" else STYLE_OF.get(view["status"], "")
        used = _cells(view)
        texts = [fit(_name(view), _WIDEST_NAME), *(used[n] for n in order)]
        rows.append([Piece(text, style) for text in texts])
    # What they are sorted by is seen on any terminal.
    first, *others = order
    numbers = [
        Column(_HEADINGS[first], 0, is_right=True),
        *(Column(_HEADINGS[n], rank, is_right=True) for rank, n in enumerate(others, 2)),
    ]
    yield from table([Column("NODE", 1, readable=24), *numbers], rows, width=columns)


def _cells(view: Mapping[str, Any]) -> tuple[str, ...]:
    used = view.get("resource") or {}
    return (
        seconds_text(view["duration_seconds"]),
        seconds_text(_cpu(used)),
        size_text(used.get("max_rss_bytes")),
        size_text(used.get("max_rss_growth_bytes")),
        size_text(used.get("read_bytes")),
        size_text(used.get("write_bytes")),
    )


def _name(view: Mapping[str, Any]) -> str:
    index = "" if view["node_index"] is None else f" #{view['node_index']}"
    return harmless(f"{view['node_id']}{index}")


def _cpu(used: Mapping[str, Any]) -> float | None:
    parts = [used.get("cpu_user_seconds"), used.get("cpu_system_seconds")]
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def _moved(used: Mapping[str, Any]) -> int | None:
    parts = [used.get("read_bytes"), used.get("write_bytes")]
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def _memory(view: Mapping[str, Any]) -> tuple[float, float] | None:
    used = view.get("resource") or {}
    peak = used.get("max_rss_bytes")
    return None if peak is None else (used.get("max_rss_growth_bytes") or 0, peak)


_ORDER: Final[dict[Key, Callable[[Mapping[str, Any]], Any]]] = {
    "cpu": lambda view: _cpu(view.get("resource") or {}),
    "memory": _memory,
    "io": lambda view: _moved(view.get("resource") or {}),
}


def _largest_first(value: float | tuple[float, ...] | None) -> tuple[bool, tuple[float, ...]]:
    """Return a key for sorting; nodes that are equal stay in the order in which they came."""
    if value is None:
        return True, ()
    numbers = value if isinstance(value, tuple) else (value,)
    return False, tuple(-number for number in numbers)
