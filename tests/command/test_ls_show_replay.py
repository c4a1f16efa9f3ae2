"""`auditfold ls`, `show` and `replay`, run as processes on real files."""

import gzip
import os
import re
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from observability import ExecutionObserver
from observability.cli.errors import ExitCode
from tests.command.running import auditfold, on_terminal
from tests.reading.traces import Clock, TraceBuilder, older_lines

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
COLOUR = re.compile("\x1b\\[[0-9;]*m")
HOSTILE = "\x1b[2J\x1b]0;owned\x07 \x9b31m \r\n\t\x7f \u202etxt.exe\u2028"
KEYS = [
    "run_id",
    "workflow_id",
    "step_number",
    "status",
    "liveness",
    "nodes_completed",
    "nodes_failed",
    "events_dropped",
    "started_at",
    "duration_seconds",
]
ELSEWHERE = {"host": "elsewhere", "pid": 1}


def built(
    name: str = "audit/step_04/trace_04.jsonl",
    *,
    run_id: str = "20261121-070312-aaaaaa",
    workflow_id: str = "step_04_survey",
    failed: int = 0,
    nodes: int = 3,
    clock: Clock | None = None,
    writer: str = "w1",
) -> TraceBuilder:
    """Return a closed trace of one run whose first nodes failed."""
    trace = TraceBuilder(name, run_id=run_id, workflow_id=workflow_id, clock=clock, writer=writer)
    trace.open()
    trace.start(nodes)
    for n in range(nodes):
        trace.node(f"n{n}", n, error="disk full" if n < failed else None)
    trace.complete(nodes - failed, failed)
    trace.close()
    return trace


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with three runs in two steps; the last one failed."""
    folder = tmp_path / "out"
    first = built()
    first.be(writer="w2", run_id="20261121-070312-bbbbbb")
    first.open()
    first.start(1)
    first.node("n0", 0)
    first.close()
    first.save(folder)
    built(
        "audit/step_05/trace_05.jsonl",
        run_id="20261121-070312-cccccc",
        workflow_id="step_05_sum",
        failed=1,
        clock=first.clock,
        writer="w3",
    ).save(folder)
    return folder


def rows(data: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in data.splitlines()]


# --- ls


def test_ls_lists_the_runs_in_the_order_in_which_they_began(out: Path) -> None:
    done = auditfold("ls", "--json", out)
    found = rows(done.stdout)

    assert (done.returncode, done.stderr) == (ExitCode.DONE, b"")
    assert [row["run_id"][-6:] for row in found] == ["aaaaaa", "bbbbbb", "cccccc"]
    assert [row["status"] for row in found] == ["succeeded", "interrupted", "failed"]
    assert all(list(row) == KEYS for row in found)


def test_ls_is_a_table_for_people(out: Path) -> None:
    lines = auditfold("ls", out).stdout.decode().splitlines()

    assert lines[0] == (
        "RUN                     STEP  STATUS       NODES          STARTED (UTC)        TIME   "
        " WORKFLOW"
    )
    assert lines[3] == (
        "20261121-070312-cccccc  05    failed       2/3, 1 failed  2026-11-21 07:03:12  23 ms  "
        " step_05_sum"
    )


@pytest.mark.parametrize("place", ["", "audit", "audit/step_04", "audit/step_04/trace_04.jsonl"])
def test_every_kind_of_path_is_read(out: Path, place: str) -> None:
    found = rows(auditfold("ls", "--json", out / place).stdout)

    assert len(found) == (3 if place in {"", "audit"} else 2)
    assert found == rows(
        auditfold("ls", "--json", cwd=out / place).stdout
        if (out / place).is_dir()
        else orjson.dumps(found[0]) + b"\n" + orjson.dumps(found[1])
    )


def test_standard_input_and_compressed_traces_are_read(out: Path) -> None:
    path = out / "audit/step_05/trace_05.jsonl"
    data = path.read_bytes()
    plain = auditfold("ls", "--json", path).stdout
    path.unlink()
    (path.parent / "trace_05.jsonl.gz").write_bytes(gzip.compress(data))

    assert auditfold("ls", "--json", "-", stdin=data).stdout == plain
    assert auditfold("ls", "--json", path.parent / "trace_05.jsonl.gz").stdout == plain
    assert len(rows(auditfold("ls", "--json", out).stdout)) == 3
    for command in ("show", "show --json", "show --at 3"):
        shown = [
            auditfold(*command.split(), *where, stdin=data)
            for where in (["-"], [path.parent / "trace_05.jsonl.gz"])
        ]
        assert shown[0].stderr == shown[1].stderr == b""
        assert shown[0].stdout.replace(b"trace_05.jsonl.gz", b"-")


def test_ls_lists_runs_of_the_older_layout(tmp_path: Path) -> None:
    path = tmp_path / "audit/step_04/trace_04.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(older_lines(failed=1)))
    (row,) = rows(auditfold("ls", "--json", tmp_path).stdout)

    assert (row["status"], row["nodes_completed"], row["nodes_failed"]) == ("failed", 1, 1)


def test_a_status_that_is_assumed_says_so(tmp_path: Path) -> None:
    trace = TraceBuilder()
    trace.open(ELSEWHERE)
    trace.save(tmp_path)

    assert b"interrupted?" in auditfold("ls", tmp_path).stdout
    assert rows(auditfold("ls", "--json", tmp_path).stdout)[0]["liveness"] == "assumed"
    assert b"interrupted (assumed)" in auditfold("show", tmp_path).stdout


# --- What cannot be read


@pytest.mark.parametrize("command", ["ls", "show", "replay"])
def test_no_trace_is_one_message(command: str, tmp_path: Path) -> None:
    done = auditfold(command, tmp_path)

    assert done.returncode == ExitCode.ENVIRONMENT
    assert done.stdout == b""
    assert b"found no trace, looked for" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("command", ["ls", "show", "replay"])
def test_a_registry_whose_traces_are_gone_is_damaged_evidence(command: str, tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit/registry.jsonl").write_bytes(b"{}\n")
    done = auditfold(command, tmp_path)

    assert done.returncode == ExitCode.EVIDENCE
    assert b"auditfold audit" in done.stderr


@pytest.mark.parametrize("command", ["ls", "show", "replay"])
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (os.urandom(1000).replace(b"\n", b"") + b"\n", ExitCode.ENVIRONMENT),
        (b"x" * 10_485_760 + b"\n", ExitCode.ENVIRONMENT),
        (b"[" * 10_000 + b"\n", ExitCode.ENVIRONMENT),
    ],
    ids=["binary", "10 MiB line", "nested"],
)
def test_what_is_no_trace_is_one_message(
    command: str, data: bytes, code: int, tmp_path: Path
) -> None:
    path = tmp_path / "audit/step_04/trace_04.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    done = auditfold(command, tmp_path)

    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert not CONTROL.search(done.stderr.decode())


def test_a_damaged_line_is_named_and_left_out(out: Path) -> None:
    path = out / "audit/step_05/trace_05.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"what\n", *lines[3:]]))
    done = auditfold("ls", out)

    assert done.returncode == ExitCode.DONE
    assert b"audit/step_05/trace_05.jsonl:4 (byte " in done.stderr
    assert len(done.stdout.splitlines()) == 4
    assert auditfold("ls", "--strict", out).returncode == ExitCode.EVIDENCE
    assert auditfold("show", "--strict", out).returncode == ExitCode.EVIDENCE
    assert auditfold("replay", "--strict", "--check", out).returncode == ExitCode.EVIDENCE


def test_a_torn_tail_is_no_damage(out: Path) -> None:
    path = out / "audit/step_05/trace_05.jsonl"
    with path.open("ab") as stream:
        stream.write(b'{"v":1,"se')
    done = auditfold("ls", "--strict", out)

    assert (done.returncode, done.stderr) == (ExitCode.DONE, b"")


def test_an_empty_trace_has_no_runs(tmp_path: Path) -> None:
    path = tmp_path / "audit/step_04/trace_04.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")

    assert auditfold("ls", tmp_path).returncode == ExitCode.DONE
    assert auditfold("ls", "--json", tmp_path).stdout == b""
    assert auditfold("show", tmp_path).returncode == ExitCode.ENVIRONMENT
    assert auditfold("replay", tmp_path).returncode == ExitCode.DONE


@pytest.mark.parametrize("command", [["ls"], ["show"], ["show", "--failed"], ["replay", "--check"]])
def test_hostile_text_does_a_terminal_no_harm(command: list[str], tmp_path: Path) -> None:
    trace = TraceBuilder(workflow_id=HOSTILE, run_id=HOSTILE)
    trace.open()
    trace.write("workflow_start", total_nodes=1, output_dir=HOSTILE)
    trace.write("node_start", node_id=HOSTILE, node_index=0)
    trace.write("message", node_id=HOSTILE, node_index=0, level=HOSTILE, text=HOSTILE)
    trace.write("message", level=HOSTILE, text=HOSTILE)
    trace.write(
        "artifact_written", role="output", path=HOSTILE, kind=HOSTILE, node_id=HOSTILE, node_index=0
    )
    trace.write(
        "node_failure",
        node_id=HOSTILE,
        node_index=0,
        duration_seconds=HOSTILE,
        error=HOSTILE,
        error_type=HOSTILE,
        traceback=HOSTILE,
    )
    trace.write("node_skipped", node_id="b", node_index=1, reason=HOSTILE)
    trace.fail(HOSTILE)
    trace.save(tmp_path)
    for extra in ([], ["--json"]):
        shown, _ = on_terminal(*command, *extra, tmp_path)

        assert not CONTROL.search(COLOUR.sub("", shown.decode()))
        assert b"Traceback (most" not in shown


def test_ids_that_lead_out_of_the_folder_name_no_file(tmp_path: Path) -> None:
    trace = TraceBuilder(workflow_id="../../escaped")
    trace.open()
    trace.complete(0)
    trace.save(tmp_path / "out")

    assert auditfold("replay", tmp_path / "out").returncode == ExitCode.DONE
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["audit"]


# --- show


def test_show_is_the_latest_run_and_exits_1_when_it_failed(out: Path) -> None:
    done = auditfold("show", out)

    assert done.returncode == ExitCode.BAD
    assert done.stdout.decode().splitlines() == [
        "step_05_sum  failed  23 ms",
        "run 20261121-070312-cccccc, step 05, started 2026-11-21 07:03:12 UTC, pid 100",
        "nodes: 2 of 3 succeeded, 1 failed",
        "",
        "failed (1)",
        "  n0 #0      1.0 ms",
        "    disk full",
        "",
        "succeeded (2)",
        "  n1 #1      1.0 ms",
        "  n2 #2      1.0 ms",
    ]


@pytest.mark.parametrize(
    ("run", "status", "code"),
    [
        ("latest", "failed", ExitCode.BAD),
        ("05", "failed", ExitCode.BAD),
        ("04", "interrupted", ExitCode.BAD),
        ("aaa", "succeeded", ExitCode.DONE),
    ],
)
def test_a_run_is_chosen(run: str, status: str, code: int, out: Path) -> None:
    done = auditfold("show", "--json", "--run", run, out)

    assert done.returncode == code
    assert orjson.loads(done.stdout)["status"] == status


@pytest.mark.parametrize("run", ["20261121", "zzz", ""])
def test_no_run_or_several_is_wrong_usage(run: str, out: Path) -> None:
    done = auditfold("show", "--run", run, out)

    assert done.returncode == ExitCode.USAGE
    assert done.stderr.count(b"\n") == 1
    assert (b"bbbbbb" in done.stderr) == (run == "20261121")


def test_show_failed_has_tracebacks_and_nothing_else(tmp_path: Path) -> None:
    with ExecutionObserver("step_04_x", tmp_path, 2, use_tqdm=False) as observer:
        with observer.node("good", 0):
            pass
        with pytest.raises(ZeroDivisionError), observer.node("bad", 1):
            1 / 0  # noqa: B018
    done = auditfold("show", "--failed", tmp_path)

    assert done.returncode == ExitCode.BAD
    assert b"good" not in done.stdout
    assert b"ZeroDivisionError: division by zero" in done.stdout
    assert b"Traceback (most recent call last)" in done.stdout
    shown = orjson.loads(auditfold("show", "--failed", "--json", tmp_path).stdout)
    assert [node["node_id"] for node in shown["nodes"]] == ["bad"]


def test_show_failed_has_the_traceback_of_the_run(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        ExecutionObserver("step_04_x", tmp_path, 2, use_tqdm=False),
    ):
        1 / 0  # noqa: B018
    lines = auditfold("show", "--failed", tmp_path).stdout.decode().splitlines()

    assert "error: ZeroDivisionError: division by zero" in lines
    assert "  Traceback (most recent call last):" in lines
    assert lines[-1] == "No node failed."


@pytest.mark.parametrize(
    ("at", "completed", "status"),
    [
        ("1", 0, "running"),
        ("3", 0, "running"),
        ("5", 1, "running"),
        ("8", 2, "failed"),
        ("2026-11-21T07:03:12.024Z", 2, "failed"),
        ("999999", 2, "failed"),
        ("1s", 2, "failed"),
    ],
)
def test_as_of_then(at: str, completed: int, status: str, out: Path) -> None:
    shown = orjson.loads(auditfold("show", "--json", "--run", "05", "--at", at, out).stdout)

    assert (shown["nodes_completed"], shown["status"]) == (completed, status)


def test_before_it_began_a_run_was_not_there(out: Path) -> None:
    done = auditfold("show", "--run", "05", "--at", "2026-11-21T07:03:00Z", out)

    assert done.returncode == ExitCode.USAGE
    assert b"began later" in done.stderr
    assert auditfold("show", "--at", "yesterday", out).returncode == ExitCode.USAGE


def test_long_lists_are_cut_and_say_so(tmp_path: Path) -> None:
    built(nodes=60, failed=30).save(tmp_path)
    text = auditfold("show", tmp_path).stdout.decode()

    assert "and 10 more failed nodes\n" in text
    assert "\nall of them: auditfold show --json --run" in text
    assert "and 10 more succeeded nodes" in text
    assert len(text.splitlines()) < 80
    assert auditfold("show", "--failed", tmp_path).stdout.count(b"disk full") == 30


# --- replay


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_replay_writes_what_the_observer_wrote(tmp_path: Path) -> None:
    """Byte for byte, from the evidence alone."""
    out = tmp_path / "out"
    for n in range(3):
        with ExecutionObserver("step_04_x", out, 2, use_tqdm=False) as observer:
            with observer.node("a", 0) as node:
                node.result({"n": n})
            observer.node_start("b", 1)
            observer.node_failure("b", "bad", 0.5)
    live = files_of(out)
    for folder in ("logs", "traces"):
        shutil.rmtree(out / folder)
    for path in out.glob("audit/step_04/*.json"):
        path.unlink()

    assert auditfold("replay", out).returncode == ExitCode.DONE
    assert files_of(out) == live
    assert auditfold("replay", "--check", out).returncode == ExitCode.DONE
    report = (out / "audit/step_04/report_04.json").read_bytes()
    assert auditfold("show", "--json", out).stdout == report


def test_check_names_what_differs_and_writes_nothing(out: Path) -> None:
    auditfold("replay", out)
    (out / "audit/step_04/metadata_04.json").write_bytes(b"{}")
    (out / "logs/execution_step_05_sum_20261121_070312.log").unlink()
    (out / "traces/trace_step_04_20261121_070312-7.jsonl").write_bytes(b"")
    (out / "traces/notes.txt").write_bytes(b"mine")
    before = files_of(out)
    done = auditfold("replay", "--check", out)

    assert done.returncode == ExitCode.BAD
    assert done.stdout.decode().splitlines() == [
        "differs: audit/step_04/metadata_04.json",
        "missing: logs/execution_step_05_sum_20261121_070312.log",
        "excess: traces/trace_step_04_20261121_070312-7.jsonl",
    ]
    assert files_of(out) == before
    states = orjson.loads(auditfold("replay", "--check", "--json", out).stdout)["files"]
    assert {"same", "differs", "missing", "excess"} == {file["state"] for file in states}


@pytest.mark.parametrize("to", ["metadata", "report", "logs", "traces"])
def test_only_what_was_asked_for_is_written(to: str, out: Path) -> None:
    before = set(files_of(out))
    done = auditfold("replay", "--to", to, out)
    new = set(files_of(out)) - before

    assert sorted(done.stdout.decode().splitlines()) == sorted(new)
    assert new
    assert all(to in path for path in new)
    assert auditfold("replay", "--check", "--to", to, out).returncode == ExitCode.DONE
    assert auditfold("replay", "--check", out).returncode == ExitCode.BAD


def test_a_trace_by_itself_has_no_place_for_derived_files(out: Path) -> None:
    done = auditfold("replay", out / "audit/step_04/trace_04.jsonl")

    assert done.returncode == ExitCode.USAGE


def test_a_step_is_replayed_alone(out: Path) -> None:
    auditfold("replay", out / "audit/step_05")

    assert (out / "audit/step_05/report_05.json").exists()
    assert not (out / "audit/step_04/report_04.json").exists()


def test_copies_that_an_older_program_made_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "audit/step_04/trace_04.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(older_lines()))
    (tmp_path / "logs").mkdir()
    theirs = tmp_path / "logs/execution_step_04_old_20261121_080312.log"
    theirs.write_bytes(b"theirs")

    assert auditfold("replay", tmp_path).returncode == ExitCode.DONE
    assert auditfold("replay", "--check", tmp_path).returncode == ExitCode.DONE
    assert theirs.read_bytes() == b"theirs"


def test_a_folder_that_cannot_be_written_is_one_message(out: Path) -> None:
    (out / "logs").write_bytes(b"no folder")
    done = auditfold("replay", out)

    assert done.returncode == ExitCode.ENVIRONMENT
    assert done.stderr.count(b"\n") == 1
