"""The report of a run for a terminal: how it went, its nodes with what failed first, its outputs.

Long lists are cut, and the line that stands for what was left out says how many and how to see
them.
"""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from replay.fold.nodes import nodes_of
from replay.fold.run import duration_seconds
from replay.fold.run_report import RunReport
from replay.fold.run_report_views import node_view, run_output_view, slowest_first
from replay.fold.runs import Standing
from replay.show.batches import batch_lines, count_lines, review_text
from replay.show.environment import environment_lines
from replay.show.line import harmless
from replay.show.node_steps import batch_of, lone_nodes
from replay.show.page.units import checks_fact, review_of
from replay.show.resources import used_text
from replay.show.text import (
    STYLE_OF,
    Line,
    Piece,
    cells,
    count_text,
    fit,
    fit_line,
    pad,
    second_text,
    seconds_text,
    size_text,
)

# As many as stand on a screen or two; more are counted.
_MOST_FAILED: Final = 20
_MOST_OTHERS: Final = 20
_MOST_OUTPUTS: Final = 10
_MOST_MESSAGES: Final = 10
_MOST_OF_A_NODE: Final = 3  # warnings and errors; `--failed` and `--json` have all
_MOST_PRINTED: Final = 10  # lines
_MOST_TRACEBACK: Final = 40  # lines
_WIDEST_NAME: Final = 48
_ORDER: Final = ("failed", "interrupted", "running", "skipped", "succeeded")
_STYLE_OF_LEVEL: Final = {"error": "red", "warning": "yellow"}  # the worst first
_OUTPUT_WORDS: Final = {"file": "", "directory": " (directory)"}


def render_report(
    state: RunReport, standing: Standing, *, columns: int | None = None, more: str = ""
) -> Iterator[Line]:
    """Yield the lines of a report.

    Args:
        state: The run.
        standing: Its status.
        columns: What the terminal has; None for no limit.
        more: A command that shows what is left out; never cut, since people copy it.
    """
    left_out: list[str] = []
    for line in _report(state, standing, left_out, columns):
        yield fit_line(line, columns)
    if left_out and more:
        yield []
        yield [Piece("all of them: ", "dim"), Piece(more)]


def render_failed(
    state: RunReport, standing: Standing, *, columns: int | None = None
) -> Iterator[Line]:
    """Yield the lines of a report of what failed only: all of it, with tracebacks."""
    for line in _failed(state, standing):
        yield fit_line(line, columns)


def render_slowest(
    state: RunReport, standing: Standing, *, columns: int | None = None, more: str = ""
) -> Iterator[Line]:
    """Yield the lines of a report of what took longest, the slowest node first.

    Args:
        state: The run.
        standing: Its status.
        columns: What the terminal has; None for no limit.
        more: A command that shows what is left out; never cut, since people copy it.
    """
    left_out: list[str] = []
    for line in _slowest(state, standing, left_out):
        yield fit_line(line, columns)
    if left_out and more:
        yield []
        yield [Piece("all of them: ", "dim"), Piece(more)]


def _report(
    state: RunReport, standing: Standing, left_out: list[str], columns: int | None
) -> Iterator[Line]:
    yield from _head(state, standing)
    yield from batch_lines(state, standing, left_out, columns=columns)
    by_status = _by_status(lone_nodes(state), standing)
    for status in _ORDER:
        nodes = by_status.get(status, [])
        if nodes:
            limit = _MOST_FAILED if status == "failed" else _MOST_OTHERS
            yield []
            yield [Piece(f"{status} ({len(nodes)})", STYLE_OF.get(status, ""))]
            views = [node_view(state, *node, standing) for node in nodes[:limit]]
            yield from _nodes(views, left_out)
            yield from _left_out(len(nodes) - limit, f"{status} node", left_out)
    yield from _messages(state, left_out)
    yield from _outputs(state, left_out)
    yield from environment_lines(state.environment)


def _failed(state: RunReport, standing: Standing) -> Iterator[Line]:
    yield from _head(state, standing)
    for line in _last_lines(state.traceback):
        yield [Piece(f"  {line}", "dim")]
    by_status = _by_status(nodes_of(state), standing)
    nodes = [*by_status.get("failed", []), *by_status.get("interrupted", [])]
    for node in nodes:
        yield []
        yield from _node_in_full(node_view(state, *node, standing), batch_of(state, node[1]))
    units = list(batch_lines(state, standing, [], failed_only=True))
    yield from units
    if not nodes and not units:
        yield []
        yield [Piece("No node failed.")]


def _slowest(state: RunReport, standing: Standing, left_out: list[str]) -> Iterator[Line]:
    yield from _head(state, standing)
    timed = slowest_first(state)
    if not timed:
        yield []
        yield [Piece("No node has a time.")]
        return
    yield []
    yield [Piece(f"slowest ({len(timed)})")]
    shown = timed[:_MOST_OTHERS]
    whole = duration_seconds(state)
    views = [node_view(state, node_id, node, standing) for _, node_id, node in shown]
    widest = min(max(cells(_name(view)) for view in views), _WIDEST_NAME)
    for (seconds, _, _), view in zip(shown, views, strict=True):
        share = f"{seconds / whole:4.0%}" if whole > 0 else ""
        yield from _node(view, widest, left_out, share=share)
    yield from _left_out(len(timed) - len(shown), "node", left_out)


def _by_status(
    nodes: Iterable[tuple[str | None, Any]], standing: Standing
) -> dict[str, list[tuple[str | None, Any]]]:
    found: dict[str, list[tuple[str | None, Any]]] = {}
    open_ones = "running" if standing.status == "running" else "interrupted"
    for node_id, node in nodes:
        status = open_ones if node.status == "running" else node.status
        found.setdefault(status, []).append((node_id, node))
    return found


# --- The run


def _head(state: RunReport, standing: Standing) -> Iterator[Line]:
    assumed = " (assumed)" if standing.liveness == "assumed" else ""
    style = STYLE_OF.get(standing.status, "")
    yield [
        Piece(harmless(state.workflow_id), "bold"),
        Piece("  "),
        Piece(standing.status + assumed, style),
        Piece(f"  {seconds_text(duration_seconds(state))}"),
    ]
    yield [
        Piece(f"run {harmless(state.run_id)}, step {harmless(state.step_number)}"),
        Piece(f", started {second_text(state.start)} UTC, pid {state.pid}"),
    ]
    units = list(count_lines(state, standing))
    if state.nodes_seen or state.total_nodes is not None or not units:
        yield [Piece("nodes: " + ", ".join(_counts(state, standing)))]
    yield from units
    said = [
        *([f"cost ${_money(state.cumulative_cost_usd)}"] if state.cumulative_cost_usd else []),
        *([count_text(state.warnings, "warning")] if state.warnings else []),
        *([count_text(state.errors, "error message")] if state.errors else []),
        *([count_text(state.dropped, "event") + " not recorded"] if state.dropped else []),
    ]
    if said:
        yield [Piece(", ".join(said), "yellow")]
    if state.error is not None:
        yield [Piece("error: ", "red"), Piece(_error_text(state.error, state.error_type))]


def _counts(state: RunReport, standing: Standing) -> list[str]:
    done = state.nodes_completed + state.nodes_failed + state.nodes_skipped
    unfinished = state.nodes_seen - done
    total = "" if state.total_nodes is None else f" of {state.total_nodes}"
    not_begun = 0 if state.total_nodes is None else max(0, state.total_nodes - state.nodes_seen)
    how = "running" if standing.status == "running" else "interrupted"
    return [
        f"{state.nodes_completed}{total} succeeded",
        *([f"{state.nodes_failed} failed"] if state.nodes_failed else []),
        *([f"{state.nodes_skipped} skipped"] if state.nodes_skipped else []),
        *([f"{unfinished} {how}"] if unfinished else []),
        *([f"{not_begun} not begun"] if not_begun else []),
    ]


def _money(cost: float | str) -> str:
    return harmless(cost) if isinstance(cost, str) else f"{cost:.4f}"


def _error_text(error: str, error_type: str | None) -> str:
    return harmless(f"{error_type}: {error}" if error_type else error)


# --- Nodes


def _nodes(views: Sequence[dict[str, Any]], left_out: list[str]) -> Iterator[Line]:
    widest = min(max(cells(_name(view)) for view in views), _WIDEST_NAME)
    for view in views:
        yield from _node(view, widest, left_out)


def _name(view: dict[str, Any]) -> str:
    index = "" if view["node_index"] is None else f" #{view['node_index']}"
    return harmless(f"{view['node_id']}{index}")


def _node(
    view: dict[str, Any], width: int, left_out: list[str], *, share: str = ""
) -> Iterator[Line]:
    attempts, retries = len(view["attempts"]), len(view["retries"])
    facts = [
        *([f"attempt {attempts}"] if attempts > 1 else []),
        *([f"{retries} {'retry' if retries == 1 else 'retries'}"] if retries else []),
        *(["ended twice"] if view["reopened"] else []),
        *([harmless(view["reason"])] if view["reason"] else []),
        *checks_fact(view),
        *_output_facts(view["outputs"]),
    ]
    yield [
        Piece("  " + pad(fit(_name(view), width), width)),
        Piece(f"  {seconds_text(view['duration_seconds']):>10}{share and '  '}{share}", "dim"),
        Piece("  " + ", ".join(facts) if facts else ""),
    ]
    if view["error"] is not None:
        error_type = view["attempts"][-1]["error_type"]
        yield [Piece("    " + _error_text(view["error"], error_type), "red")]
    serious = [
        said for level in _STYLE_OF_LEVEL for said in view["messages"] if said["level"] == level
    ]
    serious += [said for said in view["messages"] if "author" in said and said not in serious]
    for said in serious[:_MOST_OF_A_NODE]:
        yield _message(said, "    ")
    yield from _left_out(len(serious) - _MOST_OF_A_NODE, "message", left_out, indent="    ")
    bad = [check for check in view.get("checks", ()) if not check["ok"]]
    for check in bad[:_MOST_OF_A_NODE]:
        yield [Piece("    " + _check_text(check), "red")]
    yield from _left_out(len(bad) - _MOST_OF_A_NODE, "failed check", left_out, indent="    ")
    yield from _review(view, "    ")


def _check_text(check: dict[str, Any]) -> str:
    said = check["detail"] or ("ok" if check["ok"] else "failed")
    return harmless(f"check {check['name']}: {said}")


def _review(view: dict[str, Any], indent: str) -> Iterator[Line]:
    review = review_of(view)
    if review is not None:
        yield [Piece(indent + review_text(review), "magenta")]


def _message(said: dict[str, Any], indent: str) -> Line:
    """Return a message with who said it: a logger, or what raised a warning and where."""
    level, text = harmless(said["level"]), harmless(said["text"])
    by = [said[name] for name in ("author", "logger", "category", "place") if said.get(name)]
    return [
        Piece(f"{indent}{level}: ", _STYLE_OF_LEVEL.get(level, "")),
        Piece(text),
        Piece(f"  ({harmless(', '.join(by))})" if by else "", "dim"),
    ]


def _output_facts(outputs: Sequence[dict[str, Any]]) -> list[str]:
    if not outputs:
        return []
    first = f"-> {harmless(outputs[0]['path'])}"
    return [first if len(outputs) == 1 else f"{first} and {len(outputs) - 1} more"]


def _node_in_full(view: dict[str, Any], batch: str) -> Iterator[Line]:
    within = f"  in {harmless(batch)}" if batch else ""
    yield [
        Piece(_name(view), "bold"),
        Piece(f"  {seconds_text(view['duration_seconds'])}"),
        Piece(within, "dim"),
    ]
    for number, attempt in enumerate(view["attempts"], 1):
        status = attempt["status"]
        yield [
            Piece(f"  attempt {number}: "),
            Piece(status, STYLE_OF.get(status, "")),
            Piece(f"  {seconds_text(attempt['duration_seconds'])}", "dim"),
            Piece(f"  {used_text(attempt.get('resource'))}", "dim"),
        ]
        if "command" in attempt:
            yield [Piece(f"    $ {harmless(shlex.join(attempt['command']))}")]
        if attempt["error"] is not None:
            said = _error_text(attempt["error"], attempt["error_type"])
            yield [Piece(f"    {said}", "red")]
        for line in _last_lines(attempt["traceback"]):
            yield [Piece(f"    {line}", "dim")]
        yield from _printed(attempt.get("captured", ()))
    for said in view["messages"]:
        yield _message(said, "  ")
        for line in _last_lines(said.get("traceback")):
            yield [Piece(f"    {line}", "dim")]
    for check in view.get("checks", ()):
        yield [Piece(f"  {_check_text(check)}", "" if check["ok"] else "red")]
    yield from _review(view, "  ")


def _printed(captured: Sequence[dict[str, Any]]) -> Iterator[Line]:
    """Yield the last lines of what a program printed, and where the rest is."""
    for one in captured:
        tail = (one["tail"] or "").rstrip("\n")
        lines = [harmless(line.expandtabs()) for line in tail.split("\n")[-_MOST_PRINTED:]]
        where = harmless(one["path"] or "not kept")
        yield [Piece(f"    {harmless(one['stream'])}, {size_text(one['size'])}: {where}")]
        for line in lines if tail else ():
            yield [Piece(f"      {line}", "dim")]


def _last_lines(traceback: str | None) -> list[str]:
    if traceback is None:
        return []
    lines = [harmless(line) for line in traceback.rstrip("\n").split("\n")]
    if len(lines) <= _MOST_TRACEBACK:
        return lines
    left = len(lines) - _MOST_TRACEBACK
    return [f"... {count_text(left, 'line')} above", *lines[-_MOST_TRACEBACK:]]


# --- What the run left


def _messages(state: RunReport, left_out: list[str]) -> Iterator[Line]:
    if not state.messages:
        return
    yield []
    yield [Piece(f"messages ({len(state.messages)})")]
    for said in state.messages[:_MOST_MESSAGES]:
        yield _message(said, "  ")
    yield from _left_out(len(state.messages) - _MOST_MESSAGES, "message", left_out)


def _outputs(state: RunReport, left_out: list[str]) -> Iterator[Line]:
    if not state.outputs:
        return
    yield []
    yield [Piece(f"outputs ({len(state.outputs)})")]
    for output in map(run_output_view, state.outputs[:_MOST_OUTPUTS]):
        kind = _OUTPUT_WORDS.get(output["kind"], "")
        yield [
            Piece(f"  {harmless(output['path'])}{kind}"),
            Piece(f"  {size_text(output['size'])}", "dim"),
        ]
    yield from _left_out(len(state.outputs) - _MOST_OUTPUTS, "output", left_out)


def _left_out(count: int, what: str, left_out: list[str], *, indent: str = "  ") -> Iterator[Line]:
    if count > 0:
        left_out.append(what)
        yield [Piece(f"{indent}and {count_text(count, 'more ' + what)}", "dim")]
