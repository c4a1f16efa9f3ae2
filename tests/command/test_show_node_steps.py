"""Screens of a run whose nodes are steps: each node stands in one place."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from replay.fold import read_report
from replay.show.page.units import tree_of
from tests.command.running import auditfold, environment
from tests.command.test_show_batches import words

PROGRAM = """
import logging
from contextlib import suppress
from observability import AuditHandler, ExecutionObserver, PipelineReport, bind_pipeline
log = logging.getLogger("prog")
log.addHandler(AuditHandler())
with ExecutionObserver("step_04_x", "out", total_nodes=7, use_tqdm=False) as observer:
    with bind_pipeline(PipelineReport(batch_id=42)):
        with observer.node("load", 0) as node:
            node.warn("careful")
            node.check("rows", True)
            node.check("columns", False, "3 of 4")
            node.request_review("odd columns")
            log.error("from the log")
            open("out/x.txt", "w").write("x")
            node.output("out/x.txt")
        for attempt in range(2):
            with suppress(ValueError), observer.node("load", 1):
                if not attempt:
                    raise ValueError("at first")
        with suppress(ValueError), observer.node("bad", 2):
            raise ValueError("no rows")
        observer.node_skipped("leftover", "no rows")
    with observer.node("lone"):
        pass
"""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steps")
    subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        env=environment(),
        check=True,
        capture_output=True,
    )
    return folder / "out"


def shown(out: Path, *arguments: str) -> list[str]:
    return words(auditfold("show", *arguments, out).stdout.decode().split("\n"))


def test_the_tree_has_them_under_their_batch_with_what_nodes_have(out: Path) -> None:
    lines = shown(out)
    begin = lines.index("Batch 42 failed")

    assert lines[begin + 1 : begin + 12] == [
        " failed bad #2",
        " ValueError: no rows",
        " skipped leftover - no rows; 1 note",
        " succeeded load #0 1 of 2 checks ok; 1 error; 1 warning; -> x.txt",
        " warning: careful",
        " check columns: 3 of 4",
        " error: from the log",
        " awaits review: odd columns",
        " succeeded load #1 2 attempts; 1 warning",
        " warning: ValueError: at first",
        "",
    ]
    assert lines[begin + 12 : begin + 14] == ["succeeded (1)", " lone"]
    assert "nodes: 3 of 7 succeeded, 1 failed, 1 skipped, 2 not begun" in lines
    for name in ("load #0", "load #1", "bad #2", "leftover", "lone"):
        assert sum(name in line for line in lines[: lines.index("environment")]) == 1, name


def test_failed_tells_a_node_in_full_and_where_it_stands(out: Path) -> None:
    lines = shown(out, "--failed")

    assert "bad #2 in Batch 42" in lines
    assert " attempt 1: failed" in lines
    assert sum("bad #2" in line for line in lines) == 1


def test_pages_and_markdown_have_each_node_once(out: Path) -> None:
    page = auditfold("report", out, "--no-audit").stdout.decode()
    markdown = auditfold("report", out, "--no-audit", "--format", "md").stdout.decode()

    rows = re.findall(r'<tr id="(\w)\d+">.*?<bdi>(.*?)</bdi>', page)
    assert rows == [
        *(("s", name) for name in ("load #0", "load #1", "bad #2", "leftover")),
        ("n", "lone"),
    ]
    assert "2 nodes not begun" in page
    assert "x.txt" in page[page.index('id="s1"') : page.index('id="s2"')]
    assert page.count("<bdi>odd columns</bdi>") == 3  # above, in the row, and in its details
    assert markdown.count("`load #0`") == 2  # what awaits review, and its row
    assert markdown[markdown.index("## Nodes (1)") :].count("| `lone` |") == 1
    awaited = markdown[markdown.index("## What awaits review") :].split("\n")[2]
    assert awaited == "- `load #0`: `odd columns`"


def test_a_whole_report_makes_the_same_units_as_the_page(out: Path) -> None:
    tree = tree_of(read_report(out))

    assert [unit.name for unit in tree.of("step")] == ["load #0", "load #1", "bad #2", "leftover"]
    assert [unit.name for unit in tree.of("node")] == ["lone"]
    assert [len(unit.view.get("attempts", ())) for unit in tree.of("step")] == [1, 2, 1, 0]


def test_a_template_gets_the_report_as_json_has_it(out: Path, tmp_path: Path) -> None:
    template = tmp_path / "mine.html.j2"
    template.write_text("{{ report.nodes|length }} {{ report.steps|length }}")

    done = auditfold("report", out, "--no-audit", "--template", template)

    assert done.stdout == b"5 4"


def test_the_summary_has_them_as_steps(out: Path) -> None:
    lines = words(auditfold("report-summary", out).stdout.decode().split("\n"))

    assert (
        "Batch 42: 4 steps (1 failed, 1 skipped, 2 succeeded), 0 files, 0 steps of files" in lines
    )
    assert "pipeline-step load-2 load succeeded yes" in lines
