"""The report of a run as JSON: `report_XX.json`, `show --json`, and what other screens take of it.

What the events of a run add up to is `replay.fold.run_report`; nothing here changes a state.  The
object is in docs/reading.md, "Report".
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

import msgspec
import orjson

from replay.fold import commands
from replay.fold.instant import seconds_between
from replay.fold.metadata import position
from replay.fold.names import log_path
from replay.fold.nodes import nodes_of
from replay.fold.report.step import check_view
from replay.fold.reviews import NO_REVIEW, review_view, said_digest
from replay.fold.run import RunState, duration_seconds
from replay.fold.run_report import Attempt, Extras, NodeReport, Output, RunReport, parsed
from replay.fold.run_units import file_views, other_views, report_heads, step_views
from replay.fold.runs import Fold, Standing
from replay.fold.status import INTERRUPTED, RUNNING
from replay.trace.events import (
    ResourceUsage,
    Seconds,
)
from replay.trace.host import Hosts

_EMPTY: Final = b"[]"


def report(fold: Fold[Any], state: RunReport, hosts: Hosts) -> dict[str, Any]:
    """Return the report of a run, as `report_XX.json` and `show --json` have it.

    Args:
        fold: Where the run was folded.
        state: The run.
        hosts: Who tells which processes live.
    """
    standing = fold.standing(state, hosts)
    found = report_head(state, standing)
    for name, many in _lists(state, standing).items():
        found[name] = list(many)
    return found


def report_chunks(
    fold: Fold[Any],
    state: RunReport,
    hosts: Hosts,
    *,
    statuses: Collection[str] | None = None,
    nodes: Iterable[tuple[str | None, NodeReport]] | None = None,
) -> Iterator[bytes]:
    """Yield the same report as the file holds it, in pieces, a node at a time.

    Args:
        fold: Where the run was folded.
        state: The run.
        hosts: Who tells which processes live.
        statuses: Leave nodes, files and steps out that have none of these; none if None.
        nodes: Which nodes, in which order; all, in the order they came, if None.
    """
    standing = fold.standing(state, hosts)
    rest = orjson.dumps(report_head(state, standing), option=orjson.OPT_INDENT_2)
    many = _lists(state, standing)
    if nodes is not None:
        many["nodes"] = (node_view(state, node_id, node, standing) for node_id, node in nodes)
    pieces = []
    for _ in many:
        # The lists are the last values of the head.
        rest, _, behind = rest.rpartition(_EMPTY)
        pieces.append(behind)
    yield rest
    for name in many:
        yield from _array(many[name], statuses)
        yield pieces.pop()
    yield b"\n"


def _lists(state: RunReport, standing: Standing) -> dict[str, Iterator[dict[str, Any]]]:
    """Return what a report has many of, in the order in which it has them."""
    now_us = state.last.mono_us
    return {
        "steps": step_views(state.units, standing.status, now_us),
        "files": file_views(state.units, standing.status, now_us),
        "nodes": node_views(state, standing),
    }


def _array(many: Iterator[dict[str, Any]], statuses: Collection[str] | None) -> Iterator[bytes]:
    separator = b"[\n    "
    for view in many:
        if statuses is not None and view["status"] not in statuses:
            continue
        text = orjson.dumps(view, option=orjson.OPT_INDENT_2)
        # A newline in JSON as orjson writes it stands between values, never in a text.
        yield separator + text.replace(b"\n", b"\n    ")
        separator = b",\n    "
    yield b"\n  ]" if separator[:1] == b"," else _EMPTY


def report_head(state: RunReport, standing: Standing) -> dict[str, Any]:
    """Return a report without what it has many of: those lists are there, and empty, at the end."""
    ended = state.ended
    done = state.nodes_completed + state.nodes_failed + state.nodes_skipped
    return {
        "run_id": state.run_id,
        "status": standing.status,
        "liveness": standing.liveness,
        "workflow_id": state.workflow_id,
        "step_number": state.step_number,
        "started_at": state.start,
        "ended_at": None if ended is None else ended.timestamp,
        "duration_seconds": duration_seconds(state),
        "pid": state.pid,
        "total_nodes": state.total_nodes,
        "nodes_completed": state.nodes_completed,
        "nodes_failed": state.nodes_failed,
        "nodes_skipped": state.nodes_skipped,
        "nodes_unfinished": state.nodes_seen - done,
        "error": state.error,
        "error_type": state.error_type,
        "traceback": state.traceback,
        "cumulative_cost_usd": state.cumulative_cost_usd,
        "warnings": state.warnings,
        "errors": state.errors,
        "events_dropped": state.dropped,
        **({} if state.environment is None else {"environment": state.environment}),
        "log_file": log_path(state),
        "trace_file": state.begun_in,
        "position": position(state),
        "messages": state.messages,
        "outputs": [run_output_view(output) for output in state.outputs],
        "results": [result_view(result) for result in state.results],
        "reports": report_heads(state.units, standing.status),
        "units": other_views(state.units, standing.status, state.last.mono_us),
        "steps": [],
        "files": [],
        "nodes": [],
    }


def node_views(state: RunReport, standing: Standing) -> Iterator[dict[str, Any]]:
    """Yield each node as a report has it, in the order in which they came."""
    for node_id, node in nodes_of(state):
        yield node_view(state, node_id, node, standing)


def node_view(
    state: RunReport, node_id: str | None, node: NodeReport, standing: Standing
) -> dict[str, Any]:
    """Return a node as a report has it."""
    extras = _NONE if node.extras is None else node.extras
    attempts = [*extras.earlier, *([] if node.attempt is None else [node.attempt])]
    views = [attempt_view(state, attempt, standing) for attempt in attempts]
    last = views[-1] if views else _NO_ATTEMPT
    return {
        "node_id": node_id,
        "node_index": node.index,
        "status": in_the_end(node.status, standing),
        "started_at": views[0]["started_at"] if views else None,
        "ended_at": last["ended_at"],
        "duration_seconds": last["duration_seconds"],
        "error": last["error"],
        "reason": node.reason,
        "reopened": node.reopened,
        "output_hash": node.output_hash,
        "output_summary": parsed(node.output_summary) if node.output_summary else None,
        **({"resource": last["resource"]} if "resource" in last else {}),
        "attempts": views,
        "outputs": [output_view(output) for output in extras.outputs],
        "results": [result_view(result) for result in extras.results],
        "messages": extras.messages,
        "retries": extras.retries,
        **_said_of(node_id, node, extras),
        **_step_of(state, extras),
    }


def _step_of(state: RunReport, extras: Extras) -> dict[str, Any]:
    """Return which step of which batch the node is; nothing where it is none."""
    if extras.unit is None:
        return {}
    parent = state.units.parents.get(extras.unit)
    return {"unit": extras.unit, "report": None if parent is None else parent.unit}


def _said_of(node_id: str | None, node: NodeReport, extras: Extras) -> dict[str, Any]:
    """Return checks and a request for review; nothing where there is none."""
    found: dict[str, Any] = {}
    if extras.checks:
        found["checks"] = [check_view(check) for check in extras.checks]
    decided = extras.reviewing is not None and extras.reviewing.decision is not None
    if decided or extras.review != NO_REVIEW:
        found["review"] = review_view(
            extras.review, extras.reviewing, lambda: node_digest(node_id, node)
        )
    return found


def node_digest(node_id: str | None, node: NodeReport) -> str:
    """Return the digest of a node as somebody looks at it: without what decisions change.

    It covers how its last attempt ended, what it made and what the program says of it, and not
    times.  Empty where the trace holds what no JSON of this format has.
    """
    extras = _NONE if node.extras is None else node.extras
    attempt = node.attempt
    asked = None if extras.reviewing is None else extras.reviewing.requested_at
    view = {
        "node_id": node_id,
        "node_index": node.index,
        "status": node.status,
        "error": None if attempt is None else attempt.error,
        "error_type": None if attempt is None else attempt.error_type,
        "reason": node.reason,
        "output_hash": node.output_hash,
        "output_summary": parsed(node.output_summary) if node.output_summary else None,
        "outputs": [output_view(output) for output in extras.outputs],
        "results": [result_view(result) for result in extras.results],
        "messages": [said for said in extras.messages if "author" not in said],
        "checks": [check_view(check) for check in extras.checks],
        "review": {**review_view(extras.review), "requested_at": asked},
    }
    return said_digest(view)


def node_of_step(state: RunReport, unit: str, node_id: str, index: int | None) -> NodeReport | None:
    """Return the node that a step is; None if its last attempt is no step, or another one."""
    node: Any = state.nodes.get(node_id)
    if node is not None and node.index != index:
        node = (node.others or {}).get(index)
    if node is None or node.extras is None or node.extras.unit != unit:
        return None
    found: NodeReport = node
    return found


def slowest_first(state: RunReport) -> list[tuple[float, str | None, NodeReport]]:
    """Return (seconds, node_id, node) of each node whose last attempt has a time, slowest first.

    Of an open attempt it is the time to the last event applied.
    """
    timed = []
    for node_id, node in nodes_of(state):
        seconds = None if node.attempt is None else _seconds_of(state, node.attempt)
        if isinstance(seconds, int | float):
            timed.append((float(seconds), node_id, node))
    return sorted(timed, key=lambda one: -one[0])


def attempt_view(state: RunState, attempt: Attempt, standing: Standing) -> dict[str, Any]:
    """Return an attempt; the duration of an open one runs to the last event applied."""
    return {
        "started_at": attempt.timestamp if attempt.begun else None,
        "ended_at": attempt.ended,
        "duration_seconds": _seconds_of(state, attempt),
        "status": in_the_end(attempt.status, standing),
        "error": attempt.error,
        "error_type": attempt.error_type,
        "traceback": attempt.traceback,
        "pid": attempt.pid,
        "writer": attempt.writer,
        **resource_view(attempt.resource),
        **commands.view(attempt.ran),
    }


def _seconds_of(state: RunState, attempt: Attempt) -> Seconds | None:
    """Return the duration of an attempt; of an open one to the last event applied."""
    if attempt.duration is None and attempt.ended is None and attempt.begun:
        return seconds_between(attempt, state.last)
    return attempt.duration


def resource_view(used: ResourceUsage | None) -> dict[str, Any]:
    """Return what an attempt used; nothing where that was not recorded."""
    return {} if used is None else {"resource": msgspec.to_builtins(used)}


def in_the_end(status: str, standing: Standing) -> str:
    """Return the status of something open: when its run runs no more it was interrupted."""
    return INTERRUPTED if status == RUNNING and standing.status != RUNNING else status


def output_view(output: Output) -> dict[str, Any]:
    """Return an output as its node has it."""
    return {
        "path": output.path,
        "size": output.size,
        "digest": output.digest,
        "kind": output.kind,
    }


def run_output_view(output: Output) -> dict[str, Any]:
    """Return an output as the run has it: with its node."""
    return {**output_view(output), "node_id": output.node_id, "node_index": output.node_index}


def result_view(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result with its value parsed, where the value is in the trace."""
    if "value" not in result:
        return result
    return {**result, "value": parsed(result["value"])}


_NONE: Final = Extras()
_NO_ATTEMPT: Final = {"started_at": None, "ended_at": None, "duration_seconds": None, "error": None}
