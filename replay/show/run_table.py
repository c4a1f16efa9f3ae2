"""The runs under a PATH, one a line: what `auditfold ls` prints."""

from typing import Any, Final

from replay.fold.run import RunState, duration_seconds
from replay.fold.runs import Standing
from replay.show.line import harmless
from replay.show.table import Column
from replay.show.text import STYLE_OF, Piece, count_text, second_text, seconds_text

RUN_COLUMNS: Final = (
    Column("RUN", 1, readable=22, keeps_end=True),
    Column("STEP", 5),
    Column("STATUS", 0),
    Column("NODES", 2),
    Column("STARTED (UTC)", 6),
    Column("TIME", 4),
    Column("WORKFLOW", 3, readable=24),
)


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


def run_row(state: RunState, standing: Standing) -> tuple[Piece, ...]:
    """Return a run as the cells below `RUN_COLUMNS`."""
    total = state.nodes_seen if state.total_nodes is None else state.total_nodes
    failed = f", {state.nodes_failed} failed" if state.nodes_failed else ""
    lost = f", {count_text(state.dropped, 'event')} lost" if state.dropped else ""
    assumed = "?" if standing.liveness == "assumed" else ""
    return (
        Piece(harmless(state.run_id)),
        Piece(harmless(state.step_number)),
        Piece(standing.status + assumed, STYLE_OF.get(standing.status, "")),
        Piece(f"{state.nodes_completed}/{total}{failed}{lost}"),
        Piece(second_text(state.start)),
        Piece(seconds_text(duration_seconds(state))),
        Piece(harmless(state.workflow_id)),
    )
