"""Folders that the older observer and its runner left are read, whatever they did to them."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability import ExecutionObserver
from observability.log import AuditLog
from replay.audit.audit import audit
from replay.findings import Verdict
from replay.fold import fold_path, read_metadata, read_report
from replay.trace.evidence import TraceError
from replay.trace.schema import older_fields
from tests.command.running import auditfold, environment
from tests.elsewhere.older import (
    Clock,
    OlderObserver,
    OlderTraceLogger,
    link_audit_files,
    older_run,
)

COMMANDS = (["ls"], ["show"], ["tail"], ["replay", "--check"], ["audit"])
LINKS = pytest.mark.parametrize("how", ["relative", "absolute"])


@pytest.fixture
def clock() -> Clock:
    return Clock()


def listed(path: Path | str, *, env: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Return what `ls --json` says, and nothing on stderr."""
    done = auditfold("ls", "--json", path, env=env)
    assert done.stderr == b""
    return [json.loads(line) for line in done.stdout.splitlines()]


def linked(out: Path, clock: Clock, *, how: str = "relative", **run: Any) -> OlderTraceLogger:
    """Write a run that succeeded, and what the runner does behind it."""
    observer = older_run(out, clock=clock, **run)
    logger = OlderTraceLogger(out, clock=clock)
    logger.some_lines()
    link_audit_files(observer, logger, how=how)
    return logger


def no_traceback(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
    done = auditfold(*words)
    assert b"Traceback" not in done.stderr
    assert done.returncode in {0, 1, 3, 5}
    return done


# --- A folder as the observer leaves it


def test_every_run_of_a_step_is_listed_with_its_end(tmp_path: Path, clock: Clock) -> None:
    """All runs of a step shared one trace without a run id."""
    older_run(tmp_path, clock=clock)
    clock.wait(60)
    older_run(tmp_path, clock=clock, end="error")
    clock.wait(60)
    older_run(tmp_path, clock=clock, end="killed", pid=4712)
    clock.wait(60)
    older_run(tmp_path, clock=clock, workflow_id="nightly")

    runs = listed(tmp_path)

    assert [(run["step_number"], run["status"]) for run in runs] == [
        ("04", "failed"),
        ("04", "failed"),
        ("04", "interrupted"),
        ("00", "failed"),
    ]
    assert len({run["run_id"] for run in runs}) == 4


def test_a_run_that_succeeded_is_said_to_have(tmp_path: Path, clock: Clock) -> None:
    observer = OlderObserver("step_04_fine", tmp_path, 1, clock=clock)
    observer.node_start("only", 0)
    observer.node_success("only", 0.5)
    observer.workflow_complete()

    [run] = listed(tmp_path)

    assert (run["status"], run["nodes_completed"], run["nodes_failed"]) == ("succeeded", 1, 0)


def test_a_failed_node_that_did_not_move_the_bar_counts(tmp_path: Path, clock: Clock) -> None:
    older_run(tmp_path, clock=clock)
    report = read_report(tmp_path)

    assert [(node["node_id"], node["status"]) for node in report["nodes"]] == [
        ("load", "succeeded"),
        ("clean", "failed"),
        ("write", "succeeded"),
    ]
    assert report["error"] is None
    assert report["cumulative_cost_usd"] == 0.02


def test_index_0_that_was_dropped_and_ends_without_an_index_belong_to_their_node(
    tmp_path: Path, clock: Clock
) -> None:
    older_run(tmp_path, clock=clock)
    report = read_report(tmp_path)

    assert [node["node_index"] for node in report["nodes"]] == [None, 1, 2]
    assert [len(node["attempts"]) for node in report["nodes"]] == [1, 1, 1]


def test_nan_loses_neither_the_node_nor_the_end_of_the_run(tmp_path: Path, clock: Clock) -> None:
    """A duration that was NaN stood in two lines, one of them the end of the run."""
    observer = older_run(tmp_path, clock=clock)
    assert observer.audit_trace_file.read_bytes().count(b"NaN") == 2

    report = read_report(tmp_path)

    assert report["nodes"][2]["duration_seconds"] == "NaN"
    assert report["status"] == "failed"
    assert read_metadata(tmp_path)["node_times"] == {"load": 0.25, "clean": 0.5, "write": "NaN"}
    assert b"NaN" in auditfold("show", tmp_path).stdout
    assert auditfold("tail", "-n2", tmp_path).stdout.count(b'"NaN"') == 2


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_have_is_text(value: str) -> None:
    line = b'{"timestamp": "2025-03-01T09:00:00", "event_type": "x", "a": [{"b": %s}]}\n'

    assert older_fields(line % value.encode()) == {
        "timestamp": "2025-03-01T09:00:00",
        "event_type": "x",
        "a": [{"b": value}],
    }


def test_half_a_surrogate_pair_is_text_as_well(tmp_path: Path, clock: Clock) -> None:
    """A file name that is not UTF-8 has them, and an error message has the file name."""
    observer = OlderObserver("step_04_names", tmp_path, 1, clock=clock)
    observer.node_start("only", 0)
    observer.node_failure("only", "no such file: a\udcffb", 0.5)

    assert read_report(tmp_path)["nodes"][0]["error"] == "no such file: a\\udcffb"


@pytest.mark.parametrize("line", [b"NaN\n", b'{"v":1,"a":NaN}\n', b"[" * 100_000 + b"NaN\n"])
def test_what_is_no_older_line_is_none_with_nan_either(line: bytes) -> None:
    assert older_fields(line) is None


@given(st.binary())
def test_any_bytes_are_an_older_line_or_not(line: bytes) -> None:
    assert older_fields(line) is None or b"event_type" in line


@pytest.mark.parametrize("epoch", ["1e300", "-1e300", "1e18", "253402300800", "-5", "0", "NaN"])
def test_an_epoch_that_is_no_time_is_replaced_by_the_time_stamp(epoch: str, tmp_path: Path) -> None:
    """Such a line once ended every command with a traceback."""
    trace = tmp_path / "trace_04.jsonl"
    trace.write_text(
        '{"timestamp": "2025-03-01T09:00:00.001250", "event_type": "workflow_start", '
        f'"epoch_seconds": {epoch}, "pid": 1, "workflow_id": "step_04_x"}}\n'
    )

    for command in (["ls"], ["show"], ["tail"]):
        done = no_traceback(*command, trace)
        assert b"2025-03-01" in done.stdout


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00", "yesterday", "9999-12-31T23:59:59"])
def test_a_time_stamp_that_is_no_time_is_damage_or_a_time(stamp: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace_04.jsonl"
    trace.write_text(
        json.dumps({"timestamp": stamp, "event_type": "workflow_start", "workflow_id": "w"}) + "\n"
    )

    for command in COMMANDS:
        if command[0] != "replay":
            no_traceback(*command, trace)


def test_naive_local_time_stamps_are_taken_in_the_zone_of_the_reader(tmp_path: Path) -> None:
    """Without `epoch_seconds` nothing else is known; with it the zone does not matter."""
    lines = (
        b'{"timestamp": "2025-07-01T12:00:00", "event_type": "workflow_start", "pid": 1, '
        b'"workflow_id": "step_04_x"}\n'
    )
    trace = tmp_path / "trace_04.jsonl"
    trace.write_bytes(lines)
    [run] = listed(trace, env={"TZ": "EST5"})
    assert run["started_at"] == "2025-07-01T17:00:00.000000Z"

    trace.write_bytes(lines.replace(b'"pid"', b'"epoch_seconds": 1751364000.5, "pid"'))
    [run] = listed(trace, env={"TZ": "EST5"})
    assert run["started_at"] == "2025-07-01T10:00:00.500000Z"


def test_both_copies_of_a_run_say_the_same(tmp_path: Path, clock: Clock) -> None:
    observer = older_run(tmp_path, clock=clock)

    assert observer.trace_file.read_bytes() == observer.audit_trace_file.read_bytes()
    [copy], [run] = listed(observer.trace_file), listed(tmp_path)
    assert copy == run


def test_runs_of_one_step_at_once_are_told_apart_by_their_processes(
    tmp_path: Path, clock: Clock
) -> None:
    one = OlderObserver("step_04_x", tmp_path, 2, clock=clock, pid=1)
    two = OlderObserver("step_04_x", tmp_path, 2, clock=clock, pid=2)
    for index, observer in enumerate((one, two, two, one)):
        observer.node_start(f"n{index}", index)
        observer.node_success(f"n{index}", 0.1)
    one.workflow_complete()
    two.workflow_error("stopped")

    runs = {run["run_id"].rpartition("p")[2]: run for run in listed(tmp_path)}

    assert {pid: run["nodes_completed"] for pid, run in runs.items()} == {"1": 2, "2": 2}
    assert {pid: run["status"] for pid, run in runs.items()} == {"1": "succeeded", "2": "failed"}


def test_a_folder_of_the_older_layout_is_unchained_and_exits_3(
    tmp_path: Path, clock: Clock
) -> None:
    older_run(tmp_path, clock=clock)
    done = auditfold("audit", tmp_path)

    assert done.returncode == 3
    assert done.stdout.startswith(b"unchained ")


def test_a_torn_last_line_is_no_event(tmp_path: Path, clock: Clock) -> None:
    observer = older_run(tmp_path, clock=clock)
    whole = observer.audit_trace_file.read_bytes()
    observer.audit_trace_file.write_bytes(whole[:-20])

    [run] = listed(tmp_path)

    assert run["status"] == "interrupted"
    assert audit(str(tmp_path)).verdict is Verdict.UNCHAINED


def test_replay_leaves_the_copies_of_older_runs_alone(tmp_path: Path, clock: Clock) -> None:
    observer = older_run(tmp_path, clock=clock)
    before = {path: path.read_bytes() for path in (observer.trace_file, observer.log_file)}

    assert auditfold("replay", tmp_path).returncode == 0
    assert auditfold("replay", "--check", tmp_path).returncode == 0
    assert {path: path.read_bytes() for path in before} == before
    assert len(list((tmp_path / "traces").iterdir())) == 1


# --- Links that the runner left


@LINKS
def test_a_link_is_told_and_says_where_the_run_is(how: str, tmp_path: Path, clock: Clock) -> None:
    """After a run that succeeded the trace's name led to a log of other things."""
    linked(tmp_path, clock, how=how)
    copy = tmp_path / "traces" / "trace_step_04_20250301_090000.jsonl"

    for command in COMMANDS[:4]:
        done = no_traceback(*command, tmp_path)
        assert (done.returncode, done.stdout) == (5, b"")
        assert done.stderr.count(b"\n") == 1
        assert b"a symbolic link to " in done.stderr
        assert b": links are not followed; what was written may be in " in done.stderr
        named = done.stderr.split()[-1].decode()
        assert Path(named).resolve() == copy
    assert [run["status"] for run in listed(copy)] == ["failed"]


@LINKS
def test_the_audit_says_that_a_link_is_no_trace(how: str, tmp_path: Path, clock: Clock) -> None:
    linked(tmp_path, clock, how=how)

    done = no_traceback("audit", tmp_path)

    assert done.returncode == 3
    assert b"error not_a_trace  audit/step_04/trace_04.jsonl: a symbolic link to " in done.stdout


def test_other_steps_are_read_beside_a_link(tmp_path: Path, clock: Clock) -> None:
    """One link once made the runs of all steps unreadable."""
    linked(tmp_path, clock)
    older_run(tmp_path, clock=clock, workflow_id="step_05_more")

    done = auditfold("ls", "--json", tmp_path)
    assert done.returncode == 0
    assert [json.loads(line)["step_number"] for line in done.stdout.splitlines()] == ["05"]
    assert done.stderr.startswith(b"audit/step_04/trace_04.jsonl: a symbolic link to ")
    assert done.stderr.endswith(b"; left out\n")
    assert auditfold("show", tmp_path).stdout.startswith(b"step_05_more")
    assert b"step_05" in auditfold("tail", "--json", tmp_path).stdout
    assert [state.step_number for state in fold_path(tmp_path).runs()] == ["05"]

    assert auditfold("replay", tmp_path).returncode == 0
    done = auditfold("replay", "--check", tmp_path)
    assert (done.returncode, done.stdout) == (0, b"")


def test_a_program_is_told_of_a_link_by_an_exception(tmp_path: Path, clock: Clock) -> None:
    linked(tmp_path, clock)

    with pytest.raises(TraceError, match=r"no trace: audit/step_04/trace_04\.jsonl is a symbolic"):
        fold_path(tmp_path)


def test_nothing_outside_is_read_through_a_link(tmp_path: Path, clock: Clock) -> None:
    secret = older_run(tmp_path / "private", clock=clock, workflow_id="step_04_private")
    step = tmp_path / "out" / "audit" / "step_04"
    step.mkdir(parents=True)
    (step / "trace_04.jsonl").symlink_to(secret.audit_trace_file)

    for command in COMMANDS:
        done = no_traceback(*command, tmp_path / "out")
        assert b"step_04_private" not in done.stdout
        assert done.returncode in {3, 5}
        assert b"may be in" not in done.stderr


def test_a_link_to_nothing_or_to_itself_is_a_link(tmp_path: Path) -> None:
    for number, target in (("04", "nowhere"), ("05", "trace_05.jsonl"), ("06", "a\x1b[2J\nb")):
        step = tmp_path / "audit" / f"step_{number}"
        step.mkdir(parents=True)
        (step / f"trace_{number}.jsonl").symlink_to(target)

    for command in COMMANDS:
        done = no_traceback(*command, tmp_path)
        assert b"symbolic link" in done.stdout + done.stderr
        assert b"\x1b" not in done.stdout + done.stderr


def test_a_path_that_is_a_link_itself_says_where_it_leads(tmp_path: Path, clock: Clock) -> None:
    observer = older_run(tmp_path, clock=clock)
    link = tmp_path / "link.jsonl"
    link.symlink_to(observer.trace_file)

    done = auditfold("ls", link)

    assert done.returncode == 5
    assert b"want a regular file: links are not followed" in done.stderr
    assert bytes(observer.trace_file) in done.stderr


def test_the_next_run_that_was_appended_through_the_link_is_found_in_that_file(
    tmp_path: Path, clock: Clock
) -> None:
    """The next observer wrote into the other logger's file of the run before."""
    logger = linked(tmp_path, clock)
    clock.wait(60)
    older_run(tmp_path, clock=clock, end="error")

    done = auditfold("ls", "--json", logger.path)

    assert json.loads(done.stdout)["status"] == "failed"
    assert done.stderr.count(b"; left out") == 5


def test_the_file_of_the_other_logger_alone_is_no_trace(tmp_path: Path, clock: Clock) -> None:
    logger = linked(tmp_path, clock)

    for command in (["ls"], ["show"], ["tail"]):
        done = no_traceback(*command, logger.path)
        assert (done.returncode, done.stdout) == (5, b"")
        assert b"not a trace: no line is an event" in done.stderr
    assert auditfold("audit", logger.path).returncode == 3


def test_following_tells_a_link_once(tmp_path: Path, clock: Clock) -> None:
    from replay.trace.tail import Notice, Tail

    linked(tmp_path, clock)
    older_run(tmp_path, clock=clock, workflow_id="step_05_more")
    with Tail(str(tmp_path)) as tail:
        found = [*tail.last(1), *tail.look()[0], *tail.look()[0]]

    [notice] = [item for item in found if isinstance(item, Notice)]
    assert "links are not followed; what was written may be in" in notice.message


# --- A new observer in such a folder


def new_run(out: Path, workflow_id: str = "step_04_tables") -> ExecutionObserver:
    with ExecutionObserver(workflow_id, out, 1, use_tqdm=False) as observer:
        observer.node_start("new", 0)
        observer.node_success("new", 0.5)
    return observer


def test_old_and_new_runs_of_a_folder_are_listed_in_their_order(
    tmp_path: Path, clock: Clock
) -> None:
    older = older_run(tmp_path, clock=clock)
    before = older.audit_trace_file.read_bytes()
    new_run(tmp_path)

    assert [run["status"] for run in listed(tmp_path)] == ["failed", "succeeded"]
    assert older.audit_trace_file.read_bytes() == before
    assert auditfold("show", tmp_path).stdout.startswith(b"step_04_tables  succeeded")
    assert auditfold("show", "--run", "p4711", tmp_path).stdout.startswith(
        b"step_04_tables  failed"
    )
    done = auditfold("replay", "--check", tmp_path)
    assert (done.returncode, done.stdout) == (0, b"")


def test_the_new_file_names_all_bytes_of_the_older_one(tmp_path: Path, clock: Clock) -> None:
    """From then on a change of the older trace is found."""
    older = older_run(tmp_path, clock=clock)
    new_run(tmp_path)
    assert audit(str(tmp_path)).verdict is Verdict.UNCHAINED

    data = older.audit_trace_file.read_bytes()
    older.audit_trace_file.write_bytes(data.replace(b"no such column", b"no such colum_"))

    assert audit(str(tmp_path)).verdict is Verdict.TAMPERED


@LINKS
def test_a_new_run_beside_links_is_whole_and_touches_nothing_they_lead_to(
    how: str, tmp_path: Path, clock: Clock
) -> None:
    """It once raised at its end, because the log's name was a link, and left no derived files."""
    linked(tmp_path, clock, how=how)
    before = {
        path: path.read_bytes()
        for folder in ("logs", "traces")
        for path in (tmp_path / folder).iterdir()
    }
    observer = new_run(tmp_path)

    assert {path: path.read_bytes() for path in before} == before
    step = tmp_path / "audit" / "step_04"
    assert (step / "trace_04.jsonl").is_symlink()
    assert not (step / "log_04.log").is_symlink()
    assert "NODE_SUCCESS new" in (step / "log_04.log").read_text()
    assert Path(observer.trace_file).read_bytes().count(b"\n") == 6
    done = auditfold("ls", "--json", tmp_path)
    assert json.loads(done.stdout)["status"] == "succeeded"
    done = auditfold("replay", "--check", tmp_path)
    assert (done.returncode, done.stdout) == (0, b"")


def test_logs_that_are_opened_at_once_in_the_place_of_a_link_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "log_04.log"
    logs: list[AuditLog] = []
    for _ in range(20):
        path.unlink(missing_ok=True)
        path.symlink_to("elsewhere")
        logs.clear()
        threads = [threading.Thread(target=lambda: logs.append(AuditLog(path))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for log in logs:
            log.write(["a line"])
            log.close()

        assert path.read_text() == "a line\n" * 4
    assert not (tmp_path / "elsewhere").exists()


def test_a_new_run_in_another_step_leaves_the_links_alone(tmp_path: Path, clock: Clock) -> None:
    linked(tmp_path, clock)
    new_run(tmp_path, "step_05_more")

    assert (tmp_path / "audit" / "step_04" / "log_04.log").is_symlink()


@pytest.fixture
def moved(tmp_path: Path, clock: Clock) -> Path:
    """A folder of links that are absolute, moved: they lead to what is there no more."""
    linked(tmp_path / "before", clock, how="absolute")
    shutil.move(tmp_path / "before", tmp_path / "after")
    return tmp_path / "after"


def test_a_folder_that_was_moved_says_the_same(moved: Path) -> None:
    done = auditfold("ls", moved)

    assert done.returncode == 5
    named = done.stderr.split()[-1].decode()
    assert [run["status"] for run in listed(named)] == ["failed"]


def test_what_is_named_can_be_typed_where_one_stands(tmp_path: Path, clock: Clock) -> None:
    linked(tmp_path / "out", clock)
    named = auditfold("ls", "out", cwd=tmp_path).stderr.split()[-1].decode()
    assert named == "out/traces/trace_step_04_20250301_090000.jsonl"

    done = subprocess.run(
        [sys.executable, "-m", "observability", "ls", named],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0
