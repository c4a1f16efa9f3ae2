"""The runs under a PATH, one a line: what `auditfold ls` prints."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from replay.fold.run import RunState, duration_seconds
from replay.fold.runs import Standing
from replay.show.line import harmless
from replay.show.text import (
    STYLE_OF,
    Line,
    Piece,
    cells,
    count_text,
    fit_line,
    pad,
    second_text,
    seconds_text,
)

_HEADINGS: Final = ("RUN", "STEP", "STATUS", "NODES", "STARTED (UTC)", "TIME", "WORKFLOW")
_STATUS: Final = 2
# What a narrow terminal does without: a run id says when the run began, a workflow id its step.
_DISPENSABLE: Final = (4, 1)


def run_view(state: RunState, standing: Standing) -> dict[str, Any]:
    """Return a run as `ls --json` has it."""
    return {
        "run_id": state.run_id,
        "workflow_id": state.workflow_id,
        "step_number": state.step_number,
        "status": standing.status,
        "liveness": standing.liveness,
        "nodes_completed": state.nodes_completed,
        "nodes_failed": state.nodes_failed,
        "events_dropped": state.dropped,
        "started_at": state.start,
        "duration_seconds": duration_seconds(state),
    }


def run_row(state: RunState, standing: Standing) -> tuple[str, ...]:
    """Return a run as the cells of a row."""
    total = state.nodes_seen if state.total_nodes is None else state.total_nodes
    failed = f", {state.nodes_failed} failed" if state.nodes_failed else ""
    lost = f", {count_text(state.dropped, 'event')} lost" if state.dropped else ""
    assumed = "?" if standing.liveness == "assumed" else ""
    return (
        harmless(state.run_id),
        harmless(state.step_number),
        standing.status + assumed,
        f"{state.nodes_completed}/{total}{failed}{lost}",
        second_text(state.start),
        seconds_text(duration_seconds(state)),
        harmless(state.workflow_id),
    )


def table(rows: Sequence[Sequence[str]], *, columns: int | None) -> Iterator[Line]:
    """Yield the lines of a table: a heading, then a line a row.

    Args:
        rows: Of `run_row`.
        columns: What a terminal has; None for no limit.
    """
    if not rows:
        return
    widths = [max(map(cells, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    places = _places(widths, columns)
    heading = "  ".join(pad(_HEADINGS[place], widths[place]) for place in places).rstrip()
    yield fit_line([Piece(heading, "dim")], columns)
    for row in rows:
        style = STYLE_OF.get(row[_STATUS].rstrip("?"), "")
        line = [
            Piece(pad(row[place], widths[place]) + "  ", style if place == _STATUS else "")
            for place in places
        ]
        line[-1] = Piece(row[places[-1]])
        yield fit_line(line, columns)


def _places(widths: Sequence[int], columns: int | None) -> list[int]:
    """Return which columns are shown where the terminal has so many *columns*."""
    places = list(range(len(widths)))
    for place in _DISPENSABLE:
        if columns is None or sum(widths[p] + 2 for p in places) - 2 <= columns:
            break
        places.remove(place)
    return places
