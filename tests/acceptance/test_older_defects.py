"""What users of the older observer ran into, one test a defect: here it is not so.

Each docstring says what they saw there.  Bars and their lines in the log are in
tests/writing/test_progress.py, odd values in test_values.py, secrets in test_redact.py; what
the runner around the observer did (resume, checkpoints) is no part of this one.
"""

import os
import signal
import subprocess
import sys
import threading
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from observability import ExecutionObserver, Journal
from replay.audit.audit import audit
from replay.findings import Verdict
from replay.fold.files import sources_of
from replay.fold.runs import fold
from replay.trace.folder import locate
from replay.trace.host import Hosts
from tests.writing.clock import ManualClock

STEP = "audit/step_04"


def events(out: Path, *types: str) -> list[dict[str, Any]]:
    found = [
        orjson.loads(line)
        for path in sorted((out / STEP).glob("trace_04*.jsonl"))
        if not path.is_symlink()
        for line in path.read_bytes().split(b"\n")[:-1]
    ]
    return [event for event in found if not types or event["event_type"] in types]


def metadata(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads((out / STEP / "metadata_04.json").read_bytes())
    return found


def run(out: Path, workflow: str = "step_04_run", nodes: int = 2) -> ExecutionObserver:
    with ExecutionObserver(workflow, out, nodes) as obs:
        for n in range(nodes):
            with obs.node("n", n):
                pass
    return obs


def statuses(out: Path) -> list[str]:
    folded = fold(sources_of(locate(str(out))))
    hosts = Hosts()
    return [folded.standing(state, hosts).status for state in folded.runs()]


# --- The trace


def test_the_trace_of_a_run_that_succeeded_is_there_and_is_what_metadata_name(
    tmp_path: Path,
) -> None:
    """After success the trace was deleted, and its name led to another logger's file."""
    run(tmp_path)

    named = tmp_path / metadata(tmp_path)["trace_file"]
    assert named.is_file()
    assert not named.is_symlink()
    assert len(events(tmp_path, "node_start", "node_success")) == 4
    assert audit(str(tmp_path)).verdict is Verdict.COMPLETE


@pytest.mark.parametrize("name", ["trace_04.jsonl", "log_04.log"])
def test_nothing_is_appended_through_a_link(tmp_path: Path, name: str) -> None:
    """The next run wrote through the runner's symlink into a file of the run before."""
    other = tmp_path / "other"
    other.write_text("of another run\n")
    (tmp_path / "out" / STEP).mkdir(parents=True)
    (tmp_path / "out" / STEP / name).symlink_to(other)
    obs = ExecutionObserver("step_04_run", tmp_path / "out", on_error="warn")
    with obs.node("n"):
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # it may say that a link is in the way
        obs.workflow_complete()

    assert other.read_text() == "of another run\n"
    assert [e["node_id"] for e in events(tmp_path / "out", "node_success")] == ["n"]


def test_runs_of_a_step_are_told_apart_and_each_keeps_its_copies(tmp_path: Path) -> None:
    """Runs shared one trace without an id, in one second also the copies; metadata were mixed."""
    clock = ManualClock()
    first = ExecutionObserver("step_04_run", tmp_path, clock=clock)
    second = ExecutionObserver("step_04_other", tmp_path, clock=clock)
    for obs in (first, second):
        clock.forward(0.1)
        with obs.node(f"of {obs.workflow_id}"):
            pass
        obs.workflow_complete()

    by_run = {(e["run_id"], e["node_id"]) for e in events(tmp_path, "node_success")}
    assert by_run == {(obs.run_id, f"of {obs.workflow_id}") for obs in (first, second)}
    assert len({first.trace_file, second.trace_file, first.log_file, second.log_file}) == 4
    for obs in (first, second):
        assert obs.run_id in obs.trace_file.read_text()
        assert obs.workflow_id in obs.log_file.read_text()
    assert metadata(tmp_path)["run_id"] == second.run_id


def test_workflows_without_a_step_in_their_name_are_told_apart_too(tmp_path: Path) -> None:
    """All of them were step 00, and one."""
    for name in ("load", "clean"):
        with ExecutionObserver(name, tmp_path) as obs, obs.node(name):
            pass

    folded = fold(sources_of(locate(str(tmp_path))))
    assert [(s.workflow_id, s.nodes_completed) for s in folded.runs()] == [
        ("load", 1),
        ("clean", 1),
    ]


def test_a_crash_is_told_from_a_run_and_from_a_success(tmp_path: Path) -> None:
    """A crash left no metadata, and nothing told it from a program that was still at work."""
    program = """
import sys, time
from observability import ExecutionObserver
obs = ExecutionObserver("step_04_run", sys.argv[1])
with obs.node("n"):
    print("begun", flush=True)
    time.sleep(600)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while process.stdout.readline() != b"begun\n":
            pass
        running = statuses(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
    replay = [sys.executable, "-m", "observability", "replay", str(tmp_path)]
    subprocess.run(replay, check=True, capture_output=True)

    assert running == ["running"]
    assert statuses(tmp_path) == ["interrupted"]
    assert metadata(tmp_path)["status"] == "interrupted"


def test_metadata_are_those_of_before_until_they_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were written in place: an error in the middle left half a JSON object."""
    run(tmp_path)
    before = metadata(tmp_path)

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    obs = ExecutionObserver("step_04_run", tmp_path, on_error="warn")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.warns(RuntimeWarning, match="No space left"):
        obs.workflow_complete()

    assert metadata(tmp_path) == before


def test_an_event_is_one_write_and_nothing_is_opened_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four files were opened and written an event: a disk full at the second left two stories."""
    obs = ExecutionObserver("step_04_run", tmp_path)
    write = os.write
    written: list[int] = []

    def count(fd: int, data: bytes) -> int:
        if data.startswith(b'{"v":1'):
            written.append(data.count(b"\n"))
        return write(fd, data)

    def refuse(*_: object, **__: object) -> int:
        raise AssertionError("opened")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", count)
        patch.setattr(os, "open", refuse)
        obs.node_start("n", 0)
        obs.node_success("n", 0.5)
    obs.workflow_complete()

    assert written == [1, 1]


def test_a_refused_value_moves_no_counter_and_a_broken_stdout_ends_no_program(
    tmp_path: Path,
) -> None:
    """A TypeError left a node counted that no event had; a closed pipe killed the workflow."""
    program = """
import sys
from observability import ExecutionObserver
obs = ExecutionObserver("step_04_run", sys.argv[1], 2, use_tqdm=False)
obs.node_start("n", 0)
try:
    obs.node_success("n", 1.0, output_summary=object())
except TypeError:
    assert obs.nodes_completed == 0
obs.node_success("n", 1.0)
sys.stdin.readline()
for n in range(1000):
    obs.node_start("m", n)
    obs.node_success("m", 1.0)
obs.workflow_complete()
assert obs.nodes_completed == 1001
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stderr is not None
        process.stderr.read()
        process.wait()

    # CPython itself complains of a stdout that it cannot flush at the end, with 120.
    assert process.returncode in {0, 120}
    assert metadata(tmp_path)["nodes_completed"] == 1001
    assert len(events(tmp_path, "node_success")) == 1001


# --- What an event says


def test_index_0_is_written_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The runner counts from 0, and the first node never had an index."""
    obs = ExecutionObserver("step_04_run", tmp_path, 2, use_tqdm=False)
    obs.node_start("n", 0)
    obs.node_success("n", 0.5)
    obs.workflow_complete()

    assert events(tmp_path, "node_start")[0]["node_index"] == 0
    assert " [0/2] n..." in capsys.readouterr().out


@pytest.mark.parametrize(
    "key", ["timestamp", "epoch_seconds", "event_type", "pid", "seq", "hash", "run_id", "node_id"]
)
def test_a_payload_cannot_overwrite_the_envelope(tmp_path: Path, key: str) -> None:
    """Any key of the details won: an event could lie about its time, type and process."""
    journal = Journal(tmp_path, "step_04_run")
    with pytest.raises(ValueError, match=f"{key}: a name of the envelope"):
        journal.append("tick", {key: 1})
    journal.append("tick", {"n": 1})
    journal.close()

    assert [event["n"] for event in events(tmp_path, "tick")] == [1]


def test_times_are_utc_and_durations_of_a_clock_that_nobody_sets(tmp_path: Path) -> None:
    """Local times without a zone, and durations of the wall clock, were wrong twice a year."""
    clock = ManualClock()
    obs = ExecutionObserver("step_04_run", tmp_path, clock=clock)
    with obs.node("n"):
        clock.forward(2)
        clock.now_ns -= 3_600 * 1_000_000_000
    obs.workflow_complete()

    (ended,) = events(tmp_path, "node_success")
    (completed,) = events(tmp_path, "workflow_complete")
    assert ended["duration_seconds"] == 2
    assert completed["total_time_seconds"] == 2
    zone = datetime.fromisoformat(ended["timestamp"]).utcoffset()
    assert ended["timestamp"].endswith("Z")
    assert zone is not None
    assert zone.total_seconds() == 0


def test_a_fork_says_its_own_pid(tmp_path: Path) -> None:
    """The pid was asked once: a child spoke with its parent's."""
    obs = ExecutionObserver("step_04_run", tmp_path)
    child = os.fork()
    if child == 0:
        with obs.node("in the child"):
            pass
        obs.close()
        os._exit(0)
    os.waitpid(child, 0)
    with obs.node("in the parent"):
        pass
    obs.workflow_complete()

    pids = {e["node_id"]: e["pid"] for e in events(tmp_path, "node_success")}
    assert pids == {"in the child": child, "in the parent": os.getpid()}


def test_a_run_ends_once_and_counts_a_node_once(tmp_path: Path) -> None:
    """Events came behind the end, an error behind a success, 3 of 2 nodes were completed."""
    obs = ExecutionObserver("step_04_run", tmp_path, 2)
    for seconds in (1.0, 2.0, 3.0):
        obs.node_start("n", 0)
        obs.node_success("n", seconds)
    obs.workflow_complete()
    with pytest.raises(RuntimeError, match="has ended"):
        obs.node_start("m")
    with pytest.warns(RuntimeWarning, match="has ended already"):
        obs.workflow_error("too late")

    assert len(events(tmp_path, "workflow_complete", "workflow_error")) == 1
    assert metadata(tmp_path)["nodes_completed"] == 1
    assert metadata(tmp_path)["node_times"] == {"n": 3.0}
    assert [e["duration_seconds"] for e in events(tmp_path, "node_success")] == [1.0, 2.0, 3.0]


def test_a_skipped_node_is_no_success(tmp_path: Path) -> None:
    """It was recorded as a success of 0 seconds."""
    with ExecutionObserver("step_04_run", tmp_path, 1) as obs:
        obs.node_skipped("n", "nothing new")

    assert metadata(tmp_path)["nodes_completed"] == 0
    assert [e["reason"] for e in events(tmp_path, "node_skipped")] == ["nothing new"]
    assert events(tmp_path, "node_success") == []


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
def test_a_duration_that_is_no_number_leaves_lines_that_everybody_reads(
    tmp_path: Path, seconds: float
) -> None:
    """`NaN` is no JSON: strict readers refused the line."""
    obs = ExecutionObserver("step_04_run", tmp_path)
    obs.node_start("n")
    obs.node_success("n", seconds)
    obs.workflow_complete()

    assert events(tmp_path, "node_success")[0]["coerced"] == ["duration_seconds"]
    assert audit(str(tmp_path)).verdict is Verdict.COMPLETE


@pytest.mark.parametrize("forged", ["\n", "\r\n", "\x85", "\u2028", "\v"])
def test_a_line_break_in_a_text_forges_no_line_of_the_log(tmp_path: Path, forged: str) -> None:
    """An error text with a line break in it wrote a `WORKFLOW_COMPLETE` of its own."""
    obs = ExecutionObserver("step_04_run", tmp_path)
    obs.node_start(f"n{forged}[2026-01-01T00:00:00Z] WORKFLOW_COMPLETE")
    obs.workflow_error(f"bad{forged}[2026-01-01T00:00:00Z] WORKFLOW_COMPLETE")

    text = (tmp_path / STEP / "log_04.log").read_text()
    assert not [line for line in text.splitlines() if line.startswith("[2026-01-01")]


# --- Names and places


@pytest.mark.parametrize(
    ("workflow", "number"),
    [
        ("step_04_x", "04"),
        ("step_4", "4"),
        ("step_123", "123"),
        ("my_step_07", "07"),
        ("phase_3", "00"),
        ("step_01_step_02", "01"),
    ],
)
def test_one_rule_says_which_step_it_is(tmp_path: Path, workflow: str, number: str) -> None:
    """Observer and runner had a rule each, and wrote to two folders and two metadata files."""
    run(tmp_path, workflow)

    assert [path.name for path in (tmp_path / "audit").glob("step_*")] == [f"step_{number}"]
    found = sorted(path.name for path in tmp_path.rglob("metadata*"))
    assert found == [f"metadata_{number}.json"]
    assert sources_of(locate(str(tmp_path / "audit" / f"step_{number}")))


def test_a_report_knows_how_long_how_it_ended_and_how_much(tmp_path: Path) -> None:
    """The report asked for events that nothing emitted: all of it was unknown, always."""
    run(tmp_path)

    report = orjson.loads((tmp_path / STEP / "report_04.json").read_bytes())
    assert report["status"] == "succeeded"
    assert report["duration_seconds"] > 0
    assert report["nodes_completed"] == len(report["nodes"]) == 2


@pytest.mark.parametrize("workflow", ["a/b", "a\nb", "..", "", "a\x00b", "x" * 201])
def test_an_id_that_cannot_name_a_file_is_refused_before_one_is_made(
    tmp_path: Path, workflow: str
) -> None:
    """A slash was a FileNotFoundError behind half of the files, a line break a strange name."""
    with pytest.raises(ValueError, match="workflow_id"):
        ExecutionObserver(workflow, tmp_path / "out")

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", [".", "", "out", "./out", "x/../out"])
def test_a_program_may_change_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """A relative output folder was looked for again in the new one."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    obs = ExecutionObserver("step_04_run", form)
    monkeypatch.chdir(tmp_path / "elsewhere")
    with obs.node("n"):
        pass
    obs.workflow_complete()

    assert metadata(Path(os.path.normpath(tmp_path / form)))["nodes_completed"] == 1
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_files_are_utf_8_whatever_the_locale_is(tmp_path: Path) -> None:
    """Under a locale of ASCII the first text of another language ended the program."""
    program = """
import sys
from observability import ExecutionObserver
with ExecutionObserver("step_04_\\u00fcbung", sys.argv[1], 1, use_tqdm=False) as obs:
    with obs.node("\\u8a9e \\U0001f600", 0) as node:
        node.result("\\u00e9")
"""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONUTF8": "0"}
    environment["PYTHONCOERCECLOCALE"] = "0"
    command = [sys.executable, "-c", program, str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, env=environment)

    assert [e["node_id"] for e in events(tmp_path, "node_success")] == ["語 😀"]
    assert "語 😀" in (tmp_path / STEP / "log_04.log").read_text("utf-8")


def test_nodes_of_several_threads_keep_their_times_apart(tmp_path: Path) -> None:
    """One `current_node_id` and one start time were shared by all threads."""
    clock = ManualClock()
    obs = ExecutionObserver("step_04_run", tmp_path, clock=clock)
    begun, go_on = threading.Event(), threading.Event()

    def long() -> None:
        with obs.node("long"):
            begun.set()
            assert go_on.wait(60)

    thread = threading.Thread(target=long)
    thread.start()
    assert begun.wait(60)
    clock.forward(5)
    with obs.node("short"):
        clock.forward(1)
    go_on.set()
    thread.join()
    obs.workflow_complete()

    assert metadata(tmp_path)["node_times"] == {"short": 1.0, "long": 6.0}
