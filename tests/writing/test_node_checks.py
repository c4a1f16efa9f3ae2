"""What a program says of a node beside its end: checks, and requests for a look."""

import itertools
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from observability import ExecutionObserver
from replay.fold import read_report
from replay.show.report_shape import Report
from tests.command.running import auditfold
from tests.reading.test_fold_derived import derived
from tests.reading.traces import TraceBuilder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    with ExecutionObserver("step_04_x", tmp_path) as observer:
        with observer.node("load", 0) as node:
            node.check("rows", True)
            node.check("columns", ok=False, detail="3 of 4\x1b[2J")
            node.request_review("first")
            node.request_review("odd columns")
        with observer.node("calm") as node:
            node.request_review()
            node.clear_review()
    return tmp_path


def nodes_of(out: Path) -> dict[str, Any]:
    return {node["node_id"]: node for node in read_report(out)["nodes"]}


def test_checks_and_review_stand_at_their_node_and_fail_nothing(out: Path) -> None:
    report = read_report(out)
    load, calm = report["nodes"]

    assert (report["status"], load["status"]) == ("succeeded", "succeeded")
    assert load["checks"] == [
        {"name": "rows", "ok": True, "detail": None},
        {"name": "columns", "ok": False, "detail": "3 of 4\x1b[2J"},
    ]
    assert load["review"] == {"flagged": True, "reason": "odd columns"}
    assert "checks" not in calm
    assert "review" not in calm
    msgspec.convert(report, Report)


def test_what_a_check_was_about_may_be_a_secret(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path) as observer, observer.node("n") as node:
        node.check("token", ok=False, detail="password=hunter2hunter2")

    assert "hunter2" not in str(nodes_of(tmp_path))
    assert b"hunter2" not in observer.audit_trace_file.read_bytes()


def test_the_tree_shows_failed_checks_and_who_awaits_review(out: Path) -> None:
    shown = auditfold("show", out)

    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.decode().split("\n")
    at = next(n for n, line in enumerate(lines) if "load #0" in line)
    assert lines[at].endswith("1 of 2 checks ok")
    assert lines[at + 1 : at + 3] == [
        "    check columns: 3 of 4\\x1b[2J",
        "    awaits review: odd columns",
    ]


def test_a_failed_node_shows_them_too(tmp_path: Path) -> None:
    observer = ExecutionObserver("w", tmp_path)
    with observer, suppress(KeyError), observer.node("bad") as node:
        node.check("there", ok=True)
        node.check("whole", ok=False)
        node.request_review("look")
        raise KeyError("x")

    said = auditfold("show", "--failed", tmp_path).stdout.decode()

    assert "  check there: ok\n  check whole: failed\n  awaits review: look\n" in said


def test_pages_say_what_awaits_review(out: Path) -> None:
    page = auditfold("report", out, "--no-audit").stdout.decode()
    markdown = auditfold("report", out, "--no-audit", "--format", "md").stdout.decode()

    assert "awaits review: <bdi>odd columns</bdi>" in page
    assert "1 of 2 checks ok" in page
    section = markdown[markdown.index("## What awaits review") :]
    assert section.split("\n")[2] == "- `load #0`: `odd columns`"


def reported(lines: list[bytes]) -> Any:
    """Return the nodes of the report of a trace that has these lines."""
    files = derived({"audit/step_04/trace_04.jsonl": b"".join(lines)})
    return orjson.loads(files["audit/step_04/report_04.json"])["nodes"]


def test_in_any_order_and_about_any_node_it_folds() -> None:
    def said(order: tuple[int, ...]) -> Any:
        trace = TraceBuilder()
        trace.open()
        trace.start()
        acts = (
            lambda: trace.write("node_start", node_id="a"),
            lambda: trace.write("check", node_id="a", name="c", ok=False),
            lambda: trace.write("review_requested", node_id="a", reason="r"),
            lambda: trace.write("check", node_id="nobody", name="c", ok=True),
            lambda: trace.write("review_cleared", unit="no unit"),
        )
        for act in order:
            acts[act]()
        return [reported(trace.lines[:cut]) for cut in range(3, len(trace.lines) + 1)][-1]

    for order in itertools.permutations(range(5)):
        (node,) = said(order)
        # What was said before the node began is about no node.
        assert len(node.get("checks", ())) == (order.index(1) > order.index(0)), order
        assert ("review" in node) == (order.index(2) > order.index(0)), order
        assert node["status"] == "interrupted"
