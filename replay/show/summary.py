"""The blocks at the beginning and the end of a run's log, as lists of lines.

The live observer prints them and writes them to the log under `audit/`; the copies under `logs/`
are rendered with the same functions.  Their form is that of the observer this one replaces.
"""

import os
import re
from typing import Final

from replay.fold.names import copies, is_nameable
from replay.fold.run import RunState, duration_seconds

_RULE: Final = "=" * 80
_STAMP: Final = re.compile(r"(\S{10})T(\S{8})\..*", re.DOTALL)


def header(state: RunState, output_dir: str | os.PathLike[str] | None = None) -> list[str]:
    """Return what stands at the beginning.

    Args:
        state: A run that has begun.
        output_dir: OUT; what the run said of it if None.  The line is left out if it said
            nothing.
    """
    began = _STAMP.sub(r"\1 \2 UTC", state.start)
    where = state.output_dir if output_dir is None else os.fspath(output_dir)
    return [
        "",
        _RULE,
        f"[RUN] Executing: {state.workflow_id}",
        *([] if where is None else [f"[DIR] Output: {where}"]),
        f" PID: {state.pid}",
        f" Started: {began}",
        _RULE,
        "",
    ]


def summary(
    state: RunState,
    *,
    trace_file: str | None = None,
    log_file: str | None = None,
    unsaid: int = 0,
) -> list[str]:
    """Return what stands at the end of a run that was completed.

    Args:
        state: The run, its end applied or not.
        trace_file: What to call the copy of the trace; as it will be called, unless another run
            of the step began in the same second, if None.
        log_file: Likewise for the log.
        unsaid: Events that were lost and of which no `gap` in the trace speaks.
    """
    seconds = duration_seconds(state)
    total = "" if state.total_nodes is None else f"/{state.total_nodes}"
    cost = state.cumulative_cost_usd
    paid = f"{cost:.4f}" if isinstance(cost, float | int) else cost
    log, trace = _names(state)
    return [
        "",
        _RULE,
        f" Workflow completed: {state.workflow_id}",
        f" Nodes executed: {state.nodes_completed}{total}",
        *([f" Nodes failed: {state.nodes_failed}"] if state.nodes_failed else []),
        *([f" Nodes skipped: {state.nodes_skipped}"] if state.nodes_skipped else []),
        f" Total time: {seconds:.2f}s ({seconds / 60:.2f}m)",
        *([f" Cost: ${paid}"] if isinstance(cost, str) or cost > 0 else []),
        *_lost(state.dropped + unsaid),
        f" Trace file: {trace_file or trace}",
        f" Log file: {log_file or log}",
        _RULE,
        "",
    ]


def error_block(state: RunState, *, trace_file: str | None = None, unsaid: int = 0) -> list[str]:
    """Return what stands at the end of a run that ended by an error.

    Args:
        state: The run, its end applied.
        trace_file: As in `summary`.
        unsaid: As in `summary`.
    """
    return [
        "",
        _RULE,
        f" Workflow failed: {state.workflow_id}",
        f" Error: {state.error}",
        f" Time: {duration_seconds(state):.2f}s",
        *_lost(state.dropped + unsaid),
        f" Trace: {trace_file or _names(state)[1]}",
        _RULE,
        "",
    ]


def shown_in(state: RunState, path: str) -> str:
    """Return *path*, relative to OUT, as the blocks show it: relative to OUT's parent."""
    folder = os.path.basename(state.output_dir or "")
    return f"{folder}/{path}" if folder else path


def _names(state: RunState) -> tuple[str, str]:
    if not is_nameable(state):
        return "-", "-"
    names = copies(state)
    return shown_in(state, names.log), shown_in(state, names.trace)


def _lost(events: int) -> list[str]:
    return [f" Events lost: {events} (the trace could not be written)"] if events else []
