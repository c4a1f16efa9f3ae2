"""A program that is killed while a node is a step: what the trace says of the batch then."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from replay.fold import read_report

# Before the second file the batch is saved, as a page that polls a file would see it last.
BATCH = """
import os, signal, sys
from observability import (
    ExecutionObserver, PipelineReport, bind_pipeline, file_step, pipeline_file
)
def killed():
    os.kill(os.getpid(), signal.SIGKILL)
with ExecutionObserver("step_06_batch", sys.argv[1]) as observer:
    report = PipelineReport(batch_id=1)
    with bind_pipeline(report):
        with observer.node("fetch") as node:
            node.check("reachable", ok=True)
        with pipeline_file(None, "a.csv") as file:
            with file_step(file, "parse"):
                pass
            with observer.node("load", 0):
                pass
        report.save(sys.argv[2])
        with pipeline_file(None, "b.csv") as file:
            with file_step(file, "parse"):
                pass
            with observer.node("load", 1) as node:
                node.note("half way")
                node.request_review("look")
                MOMENT
"""
MOMENTS = {
    "by SIGKILL": "killed()",
    "in a step of the file": 'file_step(file, "store").__enter__(); killed()',
    "in a fork, which ends first": "os.fork() or os._exit(0); os.wait(); killed()",
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_crash_in_the_second_file_leaves_the_first_and_fails_to_succeed(
    tmp_path: Path, moment: str
) -> None:
    saved = tmp_path / "saved.json"
    program = BATCH.replace("MOMENT", moment)
    done = subprocess.run([sys.executable, "-c", program, tmp_path, saved], check=False)
    assert done.returncode == -signal.SIGKILL

    said = read_report(tmp_path)

    assert said["status"] == "interrupted"
    assert [head["status"] for head in said["reports"]] == ["interrupted"]
    first, second = said["files"]
    before = json.loads(saved.read_text())
    assert [without_place(first)] == before["files"]
    assert (second["name"], second["status"]) == ("b.csv", "interrupted")
    assert second["steps"][0]["status"] == "succeeded"
    statuses = {(step["node_id"], step["node_index"]): step["status"] for step in said["steps"]}
    assert statuses == {
        ("fetch", None): "succeeded",
        ("load", 0): "succeeded",
        ("load", 1): "interrupted",
    }
    assert [without_place(step) for step in said["steps"][:2]] == before["steps"]
    open_step = said["steps"][2]
    assert open_step["notes"] == ["half way"]
    assert open_step["review"] == {"flagged": True, "reason": "look"}
    assert [node["status"] for node in said["nodes"]] == ["succeeded", "succeeded", "interrupted"]


def without_place(view: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in view.items() if name not in {"unit", "report"}}
