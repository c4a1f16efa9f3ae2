"""The observer: what programs call, and what stands in trace, log and state afterwards."""

import asyncio
import json
import os
import pickle
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from observability import ExecutionObserver, JournalError
from replay.fold import read_report
from replay.trace.line import check


def lines(path: Path) -> list[dict[str, Any]]:
    return [check(line + b"\n") for line in path.read_bytes().split(b"\n")[:-1]]


def events(observer: ExecutionObserver, *types: str) -> list[dict[str, Any]]:
    found = lines(observer.audit_dir / f"trace_{observer.step_num}.jsonl")
    return [line for line in found if not types or line["event_type"] in types]


@pytest.fixture
def observer(tmp_path: Path) -> Iterator[ExecutionObserver]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        made = ExecutionObserver("step_04_survey", tmp_path, 3, use_tqdm=False)
        yield made
        made.close()


def test_a_program_of_the_older_observer_runs_unchanged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    observer = ExecutionObserver("step_04_survey", str(tmp_path), 2, use_tqdm=False)
    observer.node_start("load", 0)
    observer.node_success("load", 1.5, observer.hash_output({"rows": 3}), {"rows": 3})
    observer.node_start("clean", 1)
    observer.node_failure("clean", "no such column", 0.25)
    observer.workflow_complete(cumulative_cost_usd=0.5)

    assert [e["event_type"] for e in events(observer)] == [
        "writer_opened",
        "workflow_start",
        "node_start",
        "node_success",
        "node_start",
        "node_failure",
        "workflow_complete",
        "writer_closed",
    ]
    success = events(observer, "node_success")[0]
    assert success["node_index"] == 0
    assert success["output_summary"] == {"rows": 3}
    assert success["output_hash"] == observer.hash_output({"rows": 3})
    end = events(observer, "workflow_complete")[0]
    assert end["nodes_completed"] == 1
    assert end["nodes_failed"] == 1
    assert end["cumulative_cost_usd"] == 0.5
    assert end["node_times"] == {"load": 1.5, "clean": 0.25}
    out = capsys.readouterr().out
    assert " [0/2] load...  (1.50s)\n" in out
    assert " [1/2] clean...  Error: no such column (0.25s)\n" in out
    assert "[RUN] Executing: step_04_survey" in out
    assert " Workflow completed: step_04_survey" in out


def test_the_attributes_programs_read_are_there(observer: ExecutionObserver) -> None:
    observer.node_start("a", 0)

    assert observer.current_node_id == "a"
    assert abs((observer.node_start_time or 0) - time.time()) < 60
    assert observer.pid == os.getpid()
    assert observer.step_num == "04"
    assert observer.total_nodes == 3
    assert observer.progress_bar is None
    assert observer.node_outputs == {}
    for folder in (observer.audit_dir, observer.logs_dir, observer.traces_dir):
        assert folder.is_dir()
    assert observer.audit_trace_file.is_file()
    assert observer.audit_log_file.is_file()
    assert not observer.log_file.exists()


def test_the_copies_appear_when_the_run_ends(tmp_path: Path) -> None:
    with ExecutionObserver("step_04_survey", tmp_path, use_tqdm=True) as observer:
        assert not observer.log_file.exists()
    assert observer.log_file.parent == tmp_path / "logs"
    assert observer.log_file.is_file()
    assert observer.trace_file.parent == tmp_path / "traces"
    assert len(lines_of_copy(observer.trace_file)) == 4
    assert (observer.audit_dir / "metadata_04.json").is_file()
    assert (observer.audit_dir / "report_04.json").is_file()


def lines_of_copy(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1]


def test_leaving_by_an_exception_ends_the_run_by_it(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        ExecutionObserver("w", tmp_path) as observer,
        observer.node("n", index=0),
    ):
        1 / 0  # noqa: B018

    failure = events(observer, "node_failure")[0]
    assert failure["error_type"] == "ZeroDivisionError"
    assert failure["error"] == "division by zero"
    assert "1 / 0" in failure["traceback"]
    assert events(observer, "workflow_error")[0]["error_type"] == "ZeroDivisionError"
    assert json.loads((observer.audit_dir / "metadata_00.json").read_bytes())["status"] == "failed"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_leaving_by_an_interruption_leaves_the_run_without_an_end(
    tmp_path: Path, stop: type[BaseException]
) -> None:
    with pytest.raises(stop), ExecutionObserver("w", tmp_path) as observer, observer.node("n"):
        raise stop

    assert [e["event_type"] for e in events(observer)][-1] == "writer_closed"
    assert not events(observer, "workflow_error", "workflow_complete")
    metadata = json.loads((observer.audit_dir / "metadata_00.json").read_bytes())
    assert metadata["status"] == "interrupted"


def test_a_second_end_warns_and_is_ignored(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path) as observer:
        observer.workflow_complete()
        with pytest.warns(RuntimeWarning, match="ended already"):
            observer.workflow_error("late")

    assert len(events(observer, "workflow_complete", "workflow_error")) == 1


def test_a_call_after_the_end_is_refused(tmp_path: Path) -> None:
    observer = ExecutionObserver("w", tmp_path)
    observer.workflow_complete()
    calls: list[Callable[[], None]] = [
        lambda: observer.node_start("a", 0),
        lambda: observer.node_success("a", 1.0),
        lambda: observer.node_failure("a", "x", 1.0),
        lambda: observer.node_skipped("a"),
        lambda: observer.node_retry("a", 1),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match="has ended"):
            call()


def test_a_node_that_never_started_is_recorded_with_a_warning(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path) as observer:
        with pytest.warns(RuntimeWarning, match="never started"):
            observer.node_success("ghost", 1.0)
        assert observer.nodes_completed == 1

    said = events(observer, "message")[0]
    assert said["level"] == "warning"
    assert said["node_id"] == "ghost"


def test_a_node_ended_twice_counts_once_by_its_last_end(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path) as observer:
        observer.node_start("a", 0)
        observer.node_success("a", 1.0)
        with pytest.warns(RuntimeWarning, match="ended already"):
            observer.node_failure("a", "after all", 2.0)

        assert (observer.nodes_completed, observer.nodes_failed) == (0, 1)
        assert observer.node_times == {"a": 2.0}
    assert events(observer, "node_failure")[0]["node_index"] == 0


def test_a_start_of_an_ended_node_is_its_next_attempt(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path) as observer:
        observer.node_start("a", 0)
        observer.node_failure("a", "flaky", 1.0)
        observer.node_start("a", 0)
        assert observer.nodes_failed == 0
        observer.node_success("a", 2.0)
        assert (observer.nodes_completed, observer.nodes_failed) == (1, 0)
    report = json.loads((observer.audit_dir / "report_00.json").read_bytes())
    assert [a["status"] for a in report["nodes"][0]["attempts"]] == ["failed", "succeeded"]


def test_an_end_closes_the_node_of_its_own_thread(tmp_path: Path) -> None:
    """Two threads run the same node id with different indexes; each ends its own."""
    observer = ExecutionObserver("w", tmp_path)
    both_open, first_ended = threading.Barrier(2), threading.Event()

    def work(index: int) -> None:
        observer.node_start("part", index)
        both_open.wait(10)
        if index == 0:
            observer.node_success("part", 0.0)
            first_ended.set()
        else:
            first_ended.wait(10)
            observer.node_failure("part", "x", 1.0)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, [0, 1]))
    observer.workflow_complete()

    assert events(observer, "node_success")[0]["node_index"] == 0
    assert events(observer, "node_failure")[0]["node_index"] == 1


def test_tasks_of_one_thread_end_their_own_nodes(tmp_path: Path) -> None:
    observer = ExecutionObserver("w", tmp_path)

    async def work(index: int, *, wait: float) -> None:
        observer.node_start("part", index)
        await asyncio.sleep(wait)
        observer.node_success("part", float(index))

    async def main() -> None:
        await asyncio.gather(work(0, wait=0.02), work(1, wait=0.01), work(2, wait=0.0))

    asyncio.run(main())
    observer.workflow_complete()

    ends = events(observer, "node_success")
    assert all(e["node_index"] == e["duration_seconds"] for e in ends)
    assert {e["node_index"] for e in ends} == {0, 1, 2}


def test_an_end_in_another_thread_closes_the_oldest(tmp_path: Path) -> None:
    observer = ExecutionObserver("w", tmp_path)
    observer.node_start("part", 0)
    observer.node_start("part", 1)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(observer.node_success, "part", 1.0).result()
    observer.node_success("part", 2.0)
    observer.workflow_complete()

    assert [e["node_index"] for e in events(observer, "node_success")] == [0, 1]


def test_traced_functions_are_nodes(tmp_path: Path) -> None:
    observer = ExecutionObserver("w", tmp_path)

    @observer.traced
    def double(x: int) -> int:
        return 2 * x

    @observer.traced(name="fetch")
    async def get() -> str:
        return "page"

    @observer.traced
    def count(n: int) -> Iterator[int]:
        yield from range(n)

    assert double(2) == 4
    assert double(3) == 6
    assert asyncio.run(get()) == "page"
    assert list(count(3)) == [0, 1, 2]
    assert double.__name__ == "double"
    observer.workflow_complete()
    started = [(e["node_id"], e["node_index"]) for e in events(observer, "node_start")]
    assert started == [("double", 0), ("double", 1), ("fetch", 0), ("count", 0)]

    with pytest.raises(TypeError, match="asynchronous generator"):

        @observer.traced
        async def stream() -> Any:
            yield 1


def test_outputs_and_results_stand_with_their_digests(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    table, folder = out / "table.csv", out / "parts"
    table.write_text("a,b\n")
    folder.mkdir()
    (folder / "x").write_text("x")
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("y")
    with ExecutionObserver("w", out) as observer, observer.node("n", index=0) as node:
        digest = node.output(table)
        node.output(folder)
        node.output(elsewhere)
        node.result({"rows": [1, 2.5, "x"]})
        node.result("x" * 70_000)
        with pytest.raises(OSError, match="nothing"):
            node.output(out / "nothing")
        with pytest.raises(ValueError, match="nan"):
            node.result(float("nan"))

    one, many, other = events(observer, "artifact_written")
    assert one["path"] == "table.csv"
    assert one["digest"] == digest
    assert one["size"] == 4
    assert many["kind"] == "directory"
    assert many["entries"][0][0] == "x"
    assert other["path"] == str(elsewhere)
    small, large = events(observer, "node_result")
    assert small["value"] == {"rows": [1, 2.5, "x"]}
    assert "value" not in large
    assert large["size"] == 70_002


def test_odd_values_of_older_programs_are_written_as_text(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path) as observer:
        observer.node_start("a", 0)
        odd = {1: float("inf"), "big": 10**20, "s": "\ud800"}
        observer.node_success("a", float("nan"), None, odd)

    event = events(observer, "node_success")[0]
    assert event["duration_seconds"] == "NaN"
    assert event["output_summary"] == {
        "1": "Infinity",
        "big": "100000000000000000000",
        "s": "\\ud800",
    }
    assert set(event["coerced"]) == {
        "duration_seconds",
        "output_summary.1",
        "output_summary.big",
        "output_summary.s",
    }


def test_a_refused_value_leaves_no_trace(tmp_path: Path) -> None:
    """The older observer counted a node whose summary it then could not write."""
    with ExecutionObserver("w", tmp_path) as observer:
        observer.node_start("a", 0)
        before = observer.audit_trace_file.read_bytes()
        with pytest.raises(TypeError, match=r"output_summary\.x"):
            observer.node_success("a", 1.0, None, {"x": {1, 2j}})

        assert observer.nodes_completed == 0
        assert observer.audit_trace_file.read_bytes() == before
        observer.node_success("a", 1.0)
        assert observer.nodes_completed == 1


def test_secrets_reach_neither_trace_nor_log_nor_console(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    with ExecutionObserver("w", tmp_path, use_tqdm=False) as observer:
        observer.node_start(f"load {secret}", 0)
        observer.node_failure(f"load {secret}", f"denied for {secret}", 1.0)
        with pytest.raises(ValueError, match="AKIA"), observer.node("b"):
            raise ValueError(secret)
        with observer.node("c") as node:
            node.note(f"key {secret}")

    for path in tmp_path.rglob("*"):
        assert path.is_dir() or secret.encode() not in path.read_bytes(), path
    assert secret not in capsys.readouterr().out


def test_redaction_can_be_switched_off_and_extended(tmp_path: Path) -> None:
    observer = ExecutionObserver("w", tmp_path / "a", redact=False)
    with observer, observer.node("n") as node:
        node.note("password: hunter2")
    assert events(observer, "message")[0]["text"] == "password: hunter2"

    rules = [("case-number", r"C-\d{4}")]
    observer = ExecutionObserver("w", tmp_path / "b", redact=rules)
    with observer, observer.node("n") as node:
        node.note("about C-1234")
    assert events(observer, "message")[0]["text"] == "about [REDACTED:case-number]"


def test_a_forged_line_break_forges_no_log_line(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path) as observer:
        observer.node_start("a\n[2026-01-01T00:00:00.000000Z] WORKFLOW_COMPLETE", 0)
        observer.node_failure("a\n[2026-01-01T00:00:00.000000Z] WORKFLOW_COMPLETE", "x\n\x1b[2J", 0)

    log = observer.audit_log_file.read_text()
    assert log.count("\n[2026-01-01") == 0
    assert "\x1b" not in log


def test_counts_of_a_fork_are_its_own(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path) as observer:
        with observer.node("before", index=0):
            pass
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                with observer.node("child", index=1):
                    pass
                code = 0 if observer.nodes_completed == 1 else 2
                observer.close()
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert observer.nodes_completed == 1

    report = json.loads((observer.audit_dir / "report_00.json").read_bytes())
    assert report["nodes_completed"] == 2
    assert len(list(observer.audit_dir.glob("trace_*.jsonl"))) == 2
    assert events(observer, "workflow_complete")[0]["nodes_completed"] == 1


def test_an_observer_that_was_not_ended_is_closed_at_exit(tmp_path: Path) -> None:
    program = (
        "import sys; from observability import ExecutionObserver\n"
        "obs = ExecutionObserver('w', sys.argv[1])\n"
        "obs.node_start('a', 0)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=60)

    found = lines(tmp_path / "audit/step_00/trace_00.jsonl")
    assert [e["event_type"] for e in found][-1] == "writer_closed"
    metadata = json.loads((tmp_path / "audit/step_00/metadata_00.json").read_bytes())
    assert metadata["status"] == "interrupted"


def test_pickling_is_refused_with_advice(observer: ExecutionObserver) -> None:
    with pytest.raises(TypeError, match="make an observer there"):
        pickle.dumps(observer)


def test_a_closed_stdout_does_not_end_the_program(tmp_path: Path) -> None:
    """A broken pipe on stdout killed the workflow of the older observer."""
    program = (
        "import sys; from observability import ExecutionObserver\n"
        "with ExecutionObserver('w', sys.argv[1], 1000, use_tqdm=False) as obs:\n"
        "    for i in range(1000):\n"
        "        with obs.node(f'n{i}', index=i): pass\n"
        "print(obs.nodes_completed, end='', file=sys.stderr, flush=True)\n"
        "import os; os._exit(0)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b"1000"


@pytest.mark.parametrize("bad", ["", "a/b", ".", "..", "a\nb", "x" * 201, "\ud800"])
def test_a_workflow_id_that_cannot_name_a_file_is_refused(tmp_path: Path, bad: str) -> None:
    with pytest.raises(ValueError, match="workflow_id"):
        ExecutionObserver(bad, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError) as caught:
        ExecutionObserver("w", tmp_path / "file" / "out")
    assert caught.value.errno
    assert "file" in str(caught.value.filename)


def test_the_users_exception_wins_over_ours(tmp_path: Path) -> None:
    observer = ExecutionObserver("w", tmp_path)

    def work() -> None:
        with observer, observer.node("n"):
            os.close(observer._live.journal._writer.file.fd)  # type: ignore[union-attr]
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        work()
    assert any("auditfold" in note for note in caught.value.__notes__)


def test_an_error_that_a_node_says_is_counted_and_fails_nothing(tmp_path: Path) -> None:
    with ExecutionObserver("step_01_said", tmp_path) as observer, observer.node("a") as node:
        node.error("one row was bad")

    report = read_report(tmp_path)

    assert (report["status"], report["errors"]) == ("succeeded", 1)
    assert [said["level"] for said in report["nodes"][0]["messages"]] == ["error"]
