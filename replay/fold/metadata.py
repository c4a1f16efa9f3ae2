"""Metadata of a run: what `metadata_XX.json` holds, recomputed from its events.

The keys are those of the observer that this one replaces, for a run that was completed and for
one that ended by an error, and behind them `status`, `run_id` and `position`.  See
docs/reading.md, "Metadata".
"""

from typing import Any

import orjson

from replay.fold.names import log_path
from replay.fold.nodes import node_times
from replay.fold.run import RunState, duration_seconds
from replay.fold.runs import Fold
from replay.fold.status import Status
from replay.trace.host import Hosts


def metadata(fold: Fold[Any], state: RunState, hosts: Hosts) -> dict[str, Any]:
    """Return the metadata of a run.

    Args:
        fold: Where the run was folded.
        state: The run.
        hosts: Who tells which processes live.
    """
    return metadata_of(state, status=fold.standing(state, hosts).status)


def metadata_of(state: RunState, *, status: Status) -> dict[str, Any]:
    """Return the metadata of a run whose *status* is known.  Cost: 0.1 us a node."""
    ended = state.ended
    if state.terminal == "workflow_error":
        outcome: dict[str, Any] = {"error": state.error}
    else:
        outcome = {"cumulative_cost_usd": state.cumulative_cost_usd}
    return {
        "workflow_id": state.workflow_id,
        "step_number": state.step_number,
        "start_time": state.start,
        "end_time": None if ended is None else ended.timestamp,
        "pid": state.pid,
        "total_nodes": state.total_nodes,
        "nodes_completed": state.nodes_completed,
        "nodes_failed": state.nodes_failed,
        "total_time_seconds": duration_seconds(state),
        **outcome,
        "node_times": node_times(state),
        "log_file": log_path(state),
        "trace_file": state.begun_in,
        "status": status,
        "run_id": state.run_id,
        "position": position(state),
    }


def position(state: RunState) -> list[dict[str, Any]]:
    """Return how far each file was read for the run, by path."""
    return [
        {"path": path, "seq": end.seq, "hash": end.hash} for path, end in sorted(state.ends.items())
    ]


def metadata_bytes(found: dict[str, Any]) -> bytes:
    """Return metadata as the file holds it: keys in order, no newline at its end."""
    return orjson.dumps(found, option=orjson.OPT_INDENT_2)
