"""Processes that give the same run id are one run: its files say so, whoever ends last."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from observability import ExecutionObserver
from replay.fold.run import RunState
from replay.fold.runs import fold
from tests.writing.oracle import assert_complete
from tests.writing.test_derived import sources_of_folder, states

STEP = "audit/step_04"
ROOT = Path(__file__).resolve().parents[2]


def part(
    out: Path, node: str, *, run_id: str | None = "make-1", named: bool = True
) -> ExecutionObserver:
    observer = ExecutionObserver(
        "step_04_x", out, run_id=run_id, only_node=node if named else None, quiet=True
    )
    observer.node_start(node)
    return observer


def end(observer: ExecutionObserver, node: str) -> None:
    observer.node_success(node, 0.0)
    observer.workflow_complete()


def runs_of(out: Path) -> list[RunState]:
    return list(fold(sources_of_folder(out)).runs())


def test_processes_one_after_the_other_and_at_the_same_time_are_one_run(tmp_path: Path) -> None:
    end(part(tmp_path, "earlier", run_id=None), "earlier")

    end(part(tmp_path, "a"), "a")
    b, c = part(tmp_path, "b"), part(tmp_path, "c")
    end(b, "b")
    during = json.loads((tmp_path / STEP / "metadata_04.json").read_bytes())
    end(c, "c")

    earlier, run = runs_of(tmp_path)
    assert (len(earlier.nodes), list(run.nodes)) == (1, ["a", "b", "c"])
    assert (run.run_id, run.starts, run.terminal) == ("make-1", 3, "workflow_complete")
    assert (during["status"], during["nodes_completed"]) == ("running", 2)
    assert json.loads((tmp_path / STEP / "metadata_04.json").read_bytes())["nodes_completed"] == 3
    assert set(states(tmp_path).values()) == {"same"}
    assert_complete(tmp_path)


def test_live_counts_are_those_of_the_process_and_the_run_has_all(tmp_path: Path) -> None:
    first = part(tmp_path, "a")
    end(first, "a")
    second = part(tmp_path, "b")
    end(second, "b")

    assert (first.nodes_completed, second.nodes_completed) == (1, 1)
    assert runs_of(tmp_path)[0].nodes_completed == 2


def test_a_process_that_was_killed_leaves_the_run_open_until_its_node_is_run_again(
    tmp_path: Path,
) -> None:
    program = (
        "import os, sys; from tests.writing.test_joining import part; from pathlib import Path\n"
        "part(Path(sys.argv[1]), 'a'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, cwd=ROOT)
    end(part(tmp_path, "b"), "b")
    assert runs_of(tmp_path)[0].terminal is None

    end(part(tmp_path, "a"), "a")

    (run,) = runs_of(tmp_path)
    assert (run.terminal, run.nodes_completed) == ("workflow_complete", 2)
    assert_complete(tmp_path)
    assert set(states(tmp_path).values()) == {"same"}


def test_a_run_has_one_step(tmp_path: Path) -> None:
    end(part(tmp_path, "a"), "a")

    with pytest.raises(ValueError, match="that is a run of step 04, got step 05"):
        ExecutionObserver("step_05_x", tmp_path, run_id="make-1", quiet=True)
    assert not (tmp_path / "audit" / "step_05").exists()


@pytest.mark.parametrize("run_id", ["", "a/b", "-a", "a b", "a\n", "x" * 65, "latest", "0412", "é"])
def test_an_id_that_nobody_could_ask_for_is_refused(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(ValueError, match="run_id"):
        ExecutionObserver("step_04_x", tmp_path, run_id=run_id)
    assert list(tmp_path.iterdir()) == []


def test_quiet_prints_nothing_and_the_log_has_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end(part(tmp_path, "a"), "a")

    assert capsys.readouterr() == ("", "")
    log = (tmp_path / STEP / "log_04.log").read_text()
    assert "[RUN] Executing: step_04_x" in log
    assert "Workflow completed" in log


def test_an_input_is_recorded_and_no_output(tmp_path: Path) -> None:
    (tmp_path / "given.csv").write_text("1\n")
    observer = ExecutionObserver("step_04_x", tmp_path, quiet=True)
    with observer, observer.node("a") as node:
        digest = node.input(tmp_path / "given.csv")
    (tmp_path / "given.csv").write_text("2\n")

    text = (tmp_path / STEP / "trace_04.jsonl").read_text()
    (read,) = (json.loads(line) for line in text.splitlines() if "artifact_read" in line)
    assert (read["path"], read["digest"], read["role"]) == ("given.csv", digest, "input")
    assert_complete(tmp_path)
