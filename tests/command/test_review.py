"""`auditfold review` and `auditfold note`: people answer what a program asked them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from observability.cli.errors import ExitCode
from tests.command.running import AUDITFOLD, auditfold, environment, on_terminal
from tests.reading.traces import older_lines

PROGRAM = r"""
import os, signal, sys
from observability import ExecutionObserver, FileReport, PipelineReport, StepReport

def wait(word):
    print(word, flush=True)
    assert sys.stdin.readline()

with ExecutionObserver(sys.argv[1], "out", quiet=True, use_tqdm=False) as observer:
    report = PipelineReport("Batch")
    with observer.node("train", 0):
        pass
    a = FileReport.begin(path="in/a.csv", file_id="f1")
    a.add_completed_step("Exists")
    a.add_review_step("Check balance", reason="two rows only")
    report.append_file(a)
    b = FileReport.begin(path="in/b.csv")
    b.request_review("odd name")
    report.append_file(b)
    if "wait" in sys.argv:
        wait("asked")
        b.warn("changed")
        wait("changed")
    if "clear" in sys.argv:
        b.clear_review()
    if "kill" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def run(folder: Path, *arguments: str, workflow: str = "step_06_batch") -> Path:
    subprocess.run(
        [sys.executable, "-c", PROGRAM, workflow, *arguments],
        cwd=folder,
        env=environment(),
        check="kill" not in arguments,
        timeout=60,
    )
    return folder / "out"


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the program that waits: for what was asked, and once more after a change."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "step_06_batch", "wait"],
        cwd=folder,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def review(out: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return auditfold("review", *arguments, "--path", out)


def done(out: Path, *arguments: str) -> str:
    """Run a command that records something and return what it says."""
    found = auditfold(*arguments, "--path", out)
    assert (found.returncode, found.stdout) == (0, b""), found.stderr
    return found.stderr.decode()


def refused(out: Path, *arguments: str) -> str:
    """Run a command that is to record nothing; return its one line."""
    before = contents(out)
    found = auditfold(*arguments, "--path", out)
    assert (found.returncode, found.stdout) == (ExitCode.USAGE, b""), found.stderr
    assert found.stderr.count(b"\n") == 1
    assert contents(out) == before
    return found.stderr.decode()


def contents(out: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def queue(out: Path, *options: str) -> list[dict[str, Any]]:
    found = review(out, "list", "--json", *options)
    requests = [json.loads(line) for line in found.stdout.splitlines()]
    is_open = any(one["open"] for one in requests)
    assert found.returncode == (ExitCode.BAD if is_open else ExitCode.DONE), found.stderr
    return requests


def report(out: Path, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(auditfold("show", "--json", *options, out).stdout)
    return found


def assert_sound(out: Path) -> None:
    """The evidence is whole, and the derived files are what `replay` writes, byte for byte."""
    audited = json.loads(auditfold("audit", "--json", out).stdout)
    # On a busy machine more than the 10 ms that an audit grants may lie between a program's look
    # at the clock and the stamp of its last event.
    codes = {found["code"] for found in audited["findings"]} - {"time_differs"}
    assert (audited["verdict"], codes) == ("complete", set())
    checked = auditfold("replay", "--check", out)
    assert checked.returncode == 0, checked.stdout
    before = contents(out)
    assert auditfold("replay", out).returncode == 0
    assert contents(out) == before


# --- The queue


def test_what_is_open_is_listed_until_it_is_decided(tmp_path: Path) -> None:
    out = run(tmp_path)
    assert [(one["file"], one["step"], one["reason"]) for one in queue(out)] == [
        ("in/a.csv", "Check balance", "two rows only"),
        ("in/b.csv", None, "odd name"),
    ]

    done(out, "review", "approve", "a.csv", "--by", "anna", "--reason", "two are right")
    assert [one["file"] for one in queue(out)] == ["in/b.csv"]
    done(out, "review", "reject", "b.csv", "--by", "bert")

    assert queue(out) == []
    assert review(out, "list").stderr == f"{out}: nothing awaits review\n".encode()
    decided = queue(out, "--all")
    assert [(one["decision"], one["reviewer"], one["note"]) for one in decided] == [
        ("approved", "anna", "two are right"),
        ("rejected", "bert", None),
    ]
    for one in decided:
        assert one["reviewed_digest"] == one["digest"]
        assert not one["stale"]
    assert_sound(out)


def listed(out: Path, columns: int) -> list[str]:
    shown, _ = on_terminal(
        "review", "list", "--all", "--path", out, columns=columns, env={"NO_COLOR": "1"}
    )
    return [line.rstrip() for line in shown.decode().splitlines()]


def test_a_narrow_terminal_shows_what_is_to_be_decided_and_why(tmp_path: Path) -> None:
    """On 80 columns there were ids and times, and of what and why at most the beginning."""
    out = run(tmp_path)
    done(out, "review", "approve", "b.csv", "--by", "anna")
    (ident, other) = (one["id"] for one in queue(out, "--all"))

    assert listed(out, 80) == [
        "ID            STATE             WHAT                    WHY",
        f"{ident}  open              in/a.csv:Check balance  two rows only",
        f"{other}  approved by anna  in/b.csv                odd name",
    ]
    assert listed(out, 30) == [
        "STATE         WHAT",
        "open          ...Check balance",
        "approved ...  in/b.csv",
    ]


def test_a_decision_stands_in_every_report(tmp_path: Path) -> None:
    out = run(tmp_path)
    said = done(out, "review", "approve", "balance", "--by", "anna", "--reason", "both are right")
    done(out, "note", "latest:a.csv:Exists", "looked at by hand", "--by", "anna")
    done(out, "note", "latest:train", "on the old machine", "--by", "bert")
    done(out, "note", "latest", "sent", "--by", "carla")

    assert said.startswith("approved: in/a.csv:Check balance (")
    found = report(out)
    file, other = found["files"]
    exists, balance = file["steps"]
    (remark,) = exists["remarks"]
    assert (remark["author"], remark["text"]) == ("anna", "looked at by hand")
    assert exists["notes"] == []
    assert (balance["review"]["decision"], balance["review"]["open"]) == ("approved", False)
    assert (file["requires_human_review"], file["human_review_reason"]) == (False, None)
    assert (other["requires_human_review"], other["review"]["flagged"]) == (True, True)
    assert [(one["author"], one["text"]) for one in found["messages"]] == [("carla", "sent")]
    node = found["nodes"][0]
    assert [(one["author"], one["text"]) for one in node["messages"]] == [
        ("bert", "on the old machine")
    ]
    tree = auditfold("show", out).stdout.decode()
    assert "review: approved by anna, " in tree
    assert "both are right" in tree
    assert "anna: looked at by hand" in tree
    assert "note: on the old machine  (bert)" in tree
    assert "awaits review: odd name" in tree
    page = tmp_path / "page"
    for form in ("html", "md"):
        auditfold("report", out, "-o", page, "--format", form)
        assert "approved by" in page.read_text()
        assert "anna" in page.read_text()
        assert "1 to review" in page.read_text() or form == "md"
    table = auditfold("report-summary", out, "--show-name", "--show-review").stdout.decode()
    assert "review: approved by anna" in table
    assert_sound(out)


def test_a_program_that_asks_twice_for_one_thing_has_one_place_in_the_queue(tmp_path: Path) -> None:
    """A file takes over the flag of its step: that is answered with the step's."""
    out = run(tmp_path)
    assert [one["step"] for one in queue(out) if one["file"] == "in/a.csv"] == ["Check balance"]

    done(out, "review", "approve", "Check balance", "--by", "anna")

    assert [one for one in queue(out) if one["file"] == "in/a.csv"] == []


def test_a_request_is_shown_with_what_it_is_about(tmp_path: Path) -> None:
    out = run(tmp_path)
    shown = review(out, "show", "b.csv")
    assert shown.returncode == ExitCode.BAD
    assert b"awaits review\nwhy: odd name\n" in shown.stdout
    found = json.loads(review(out, "show", "b.csv", "--json").stdout)
    assert found["unit"]["path"] == "in/b.csv"

    done(out, "review", "approve", "b.csv", "--by", "anna", "--digest", found["digest"])

    shown = review(out, "show", "b.csv")
    assert shown.returncode == ExitCode.DONE
    assert b"review: approved by anna" in shown.stdout


# --- What is refused


def test_what_cannot_be_decided_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    out = run(tmp_path, "clear")
    assert [one["file"] for one in queue(out)] == ["in/a.csv"]

    never = refused(out, "review", "approve", "Exists", "--by", "anna")
    assert "'Exists': no such name; there is " in never
    assert "(in/a.csv:Check balance in " in never
    cleared = refused(out, "review", "approve", "b.csv", "--by", "anna")
    assert "'b.csv': no such name" in cleared
    undecided = refused(out, "review", "reopen", "a.csv", "--by", "anna")
    assert "nothing was decided that could be reopened" in undecided

    done(out, "review", "reject", "a.csv", "--by", "anna")
    twice = refused(out, "review", "approve", "a.csv", "--by", "bert")
    assert "it was rejected by anna at 2" in twice
    assert "first: auditfold review reopen; nothing was recorded" in twice
    other = refused(out, "review", "reopen", "a.csv", "--by", "b", "--digest", "sha256:00")
    assert "want sha256:00: it is not what you looked at" in other
    nobody = refused(out, "review", "reopen", "a.csv", "--by", " ")
    assert "nobody is named: want --by WHO" in nobody
    done(out, "review", "reopen", "a.csv", "--by", "bert")
    assert [one["decision"] for one in queue(out)] == ["reopened"]
    done(out, "review", "approve", "a.csv", "--by", "bert")
    assert_sound(out)


def test_an_unclear_id_lists_what_it_could_mean(tmp_path: Path) -> None:
    out = run(tmp_path)

    message = refused(out, "review", "approve", "csv", "--by", "anna")

    ids = [one["id"] for one in queue(out)]
    assert "'csv': that is a part of 2: " in message
    assert all(f"{ident} (" in message for ident in ids)
    assert "List them: auditfold review list --all" in message


def test_an_unclear_target_of_a_note_lists_what_it_could_mean(tmp_path: Path) -> None:
    out = run(tmp_path)

    unclear = refused(out, "note", "latest:csv", "x", "--by", "a")
    assert "TARGET 'csv': that is a part of 4: in/a.csv, in/a.csv:Exists, " in unclear
    unknown = refused(out, "note", "latest:zzz", "x", "--by", "a")
    assert "'zzz': no such name; there is in/a.csv, in/a.csv:Exists" in unknown
    assert "no such run" in refused(out, "note", "qqqq:x", "x", "--by", "a")
    assert "TEXT is empty" in refused(out, "note", "latest", " ", "--by", "a")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("", "TARGET is empty, want RUN or RUN:FILE"),
        (" ", "TARGET is empty"),
        ("latest:", "TARGET latest:: nothing behind the colon; the run itself is latest"),
        ("latest: ", "nothing behind the colon"),
        (":b.csv", "TARGET :b.csv: no RUN before the colon"),
        ("latest:a.csv:", "TARGET 'a.csv:': no such name; there is "),
        ("latest::Check balance", "TARGET ':Check balance': no such name; there is "),
        ("zz:b.csv", "TARGET zz: no such run; want latest, a step number, or a part of a run id"),
        ("zz", "TARGET zz: no such run"),
    ],
)
def test_a_target_with_an_empty_part_or_without_a_run_is_wrong_usage(
    tmp_path: Path, target: str, said: str
) -> None:
    """With an empty variable behind the colon a note went to the run, or to another step."""
    assert said in refused(run(tmp_path), "note", target, "x", "--by", "anna")


def test_a_trace_of_the_older_layout_is_not_decided_about(tmp_path: Path) -> None:
    trace = tmp_path / "out" / "audit" / "step_04" / "trace_04.jsonl"
    trace.parent.mkdir(parents=True)
    trace.write_bytes(b"".join(older_lines()))

    listed = auditfold("review", "list", "--path", tmp_path / "out")
    assert (listed.returncode, listed.stdout) == (0, b"")
    message = refused(tmp_path / "out", "note", "latest", "x", "--by", "a")

    assert "is of the older layout, which nothing is appended to" in message


def test_a_trace_by_itself_or_packed_cannot_be_continued(tmp_path: Path) -> None:
    """A new trace beside a compressed one would hide it from every reader."""
    out = run(tmp_path)
    trace = out / "audit/step_06/trace_06.jsonl"
    alone = refused(trace, "note", "latest", "x", "--by", "a")
    assert "a trace by itself; want a folder that has audit/" in alone
    subprocess.run(["gzip", trace], check=True)

    message = refused(out, "review", "approve", "b.csv", "--by", "a")

    assert "trace_06.jsonl.gz: a compressed trace cannot be continued; first: gunzip it" in message


AS_NOBODY = """
import os, sys
import observability.cli.review, observability.review, replay.show.queue_table, traceback
from observability.cli.main import main
# What is imported late may stand where nobody else may read.
main(["review", "list", *sys.argv[-2:]])
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
sys.exit(main(sys.argv[1:]))
"""


def test_a_folder_that_may_not_be_written_is_one_message(tmp_path: Path) -> None:
    out = run(tmp_path)
    for path in [out, *out.parents[:-1]]:
        if path.stat().st_uid == os.geteuid() and not path.stat().st_mode & 0o005:
            path.chmod(path.stat().st_mode | 0o005)
    for path in out.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = contents(out)
    arguments = ["review", "approve", "b.csv", "--by", "anna", "--path", str(out)]

    found = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, *arguments],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=60,
    )

    for path in out.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert found.returncode == ExitCode.ENVIRONMENT, found.stderr
    assert found.stderr.count(b"\n") == 1
    assert b"ermission denied" in found.stderr
    assert contents(out) == before
    assert len(queue(out)) == 2


def test_a_derived_file_that_cannot_be_written_is_said_and_the_decision_kept(
    tmp_path: Path,
) -> None:
    out = run(tmp_path)
    path = out / "audit/step_06/report_06.json"
    path.unlink()
    path.mkdir()

    found = review(out, "approve", "b.csv", "--by", "anna")

    assert found.returncode == ExitCode.ENVIRONMENT
    assert b"report_06.json: " in found.stderr
    assert b"it is recorded in the trace. Run: auditfold replay" in found.stderr
    path.rmdir()
    assert [one["file"] for one in queue(out)] == ["in/a.csv"]
    assert auditfold("replay", out).returncode == 0
    assert_sound(out)


# --- The run that is decided about


def test_a_killed_run_stays_interrupted(tmp_path: Path) -> None:
    out = run(tmp_path, "kill")
    before = report(out)
    assert before["status"] == "interrupted"

    done(out, "review", "approve", "b.csv", "--by", "anna")
    done(out, "note", "latest", "killed by hand", "--by", "anna")

    after = report(out)
    for name in ("status", "liveness", "started_at", "ended_at", "duration_seconds", "reports"):
        assert after[name] == before[name], name
    assert after["files"][0] == before["files"][0]
    assert after["files"][1]["duration_ms"] == before["files"][1]["duration_ms"]
    cut = str(before["position"][0]["seq"])
    assert report(out, "--at", cut)["status"] == "interrupted"
    assert_sound(out)


def test_a_torn_trace_is_followed_by_a_file_with_the_decision(tmp_path: Path) -> None:
    out = run(tmp_path, "kill")
    with (out / "audit/step_06/trace_06.jsonl").open("ab") as trace:
        trace.write(b'{"v":1,"seq"')

    done(out, "review", "approve", "b.csv", "--by", "anna")

    assert len(list((out / "audit/step_06").glob("trace_06.*.jsonl"))) == 1
    assert report(out)["status"] == "interrupted"
    assert [one["file"] for one in queue(out)] == ["in/a.csv"]
    assert auditfold("replay", "--check", out).returncode == 0


def test_a_run_that_goes_on_is_decided_about_and_a_change_makes_that_stale(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        out = tmp_path / "out"
        assert said(process) == "asked"
        done(out, "review", "approve", "b.csv", "--by", "anna")
        done(out, "review", "approve", "a.csv", "--by", "anna")
        assert queue(out) == []
        assert report(out)["status"] == "running"
        # The file of the run is its writer's: each decision stands beside it.
        assert len(list((out / "audit/step_06").glob("trace_06.*.jsonl"))) == 2
        go_on(process)
        assert said(process) == "changed"

        (stale,) = queue(out)
        assert (stale["file"], stale["decision"], stale["stale"]) == ("in/b.csv", "approved", True)
        assert stale["reviewed_digest"] != stale["digest"]
        listed = review(out, "list").stdout.decode()
        assert "open: approved by anna, changed since" in listed
        assert "changed since, so open again" in auditfold("show", out).stdout.decode()
        done(out, "review", "reject", "b.csv", "--by", "bert")
        go_on(process)
        assert process.wait(60) == 0

    assert queue(out) == []
    found = report(out)
    assert found["status"] == "succeeded"
    assert found["files"][1]["review"]["decision"] == "rejected"
    assert not found["files"][1]["review"]["stale"]
    assert_sound(out)


def test_a_decision_about_an_older_run_does_not_make_it_the_newest(tmp_path: Path) -> None:
    out = run(tmp_path)
    run(tmp_path)
    older, newer = (json.loads(line) for line in auditfold("ls", "--json", out).stdout.splitlines())
    assert {one["run_id"] for one in queue(out)} == {older["run_id"], newer["run_id"]}
    unclear = refused(out, "review", "approve", "b.csv", "--by", "anna")
    assert older["run_id"] in unclear
    assert newer["run_id"] in unclear

    done(out, "review", "approve", "b.csv", "--by", "anna", "--run", older["run_id"])
    done(out, "note", f"{older['run_id']}:b.csv", "well", "--by", "anna")

    assert report(out)["run_id"] == newer["run_id"]
    derived = json.loads((out / "audit/step_06/metadata_06.json").read_bytes())
    assert derived["run_id"] == newer["run_id"]
    tail = auditfold("tail", "--run", "latest", "--json", "-n", "1", out)
    assert json.loads(tail.stdout)["run_id"] == newer["run_id"]
    assert [json.loads(line) for line in auditfold("ls", "--json", out).stdout.splitlines()] == [
        older,
        newer,
    ]
    assert len(queue(out, "--run", older["run_id"])) == 1
    assert_sound(out)


def test_a_run_after_a_decision_is_sound(tmp_path: Path) -> None:
    """The next writer of the file stands behind a reviewer's."""
    out = run(tmp_path)
    done(out, "review", "approve", "b.csv", "--by", "anna")
    run(tmp_path)
    run(tmp_path, "kill")
    done(out, "note", "latest", "killed", "--by", "anna")
    run(tmp_path)

    listed = map(json.loads, auditfold("ls", "--json", out).stdout.splitlines())
    statuses = [one["status"] for one in listed]
    assert statuses == ["succeeded", "succeeded", "interrupted", "succeeded"]
    assert_sound(out)


def test_steps_of_one_folder_have_one_queue(tmp_path: Path) -> None:
    out = run(tmp_path)
    run(tmp_path, workflow="step_07_next")

    assert len(queue(out)) == 4
    assert len(queue(out, "--run", "07")) == 2
    done(out, "review", "approve", "b.csv", "--by", "anna", "--run", "07")
    assert len(queue(out)) == 3
    assert len(queue(out / "audit/step_07")) == 1
    assert_sound(out)


def test_a_decision_stands_behind_what_it_is_about_whatever_the_clock_says(tmp_path: Path) -> None:
    """A trace from a machine whose clock is ahead: the decision must not sort before the run."""
    ahead = (
        "import time; time_ns = time.time_ns; time.time_ns = lambda: time_ns() + 7_200 * 10**9\n"
    )
    subprocess.run(
        [sys.executable, "-c", ahead + PROGRAM, "step_06_batch", "kill"],
        cwd=tmp_path,
        env=environment(),
        check=False,
        timeout=60,
    )
    out = tmp_path / "out"
    with (out / "audit/step_06/trace_06.jsonl").open("ab") as trace:
        trace.write(b"{")  # so that the decision stands in a file of its own
    before = report(out)

    done(out, "review", "approve", "b.csv", "--by", "anna")

    after = report(out)
    assert after["started_at"] == before["started_at"]
    assert after["files"][1]["review"]["decision"] == "approved"
    assert after["files"][1]["review"]["decided_at"] > before["files"][1]["finished_at"]


NODES = r"""
from observability import ExecutionObserver
with ExecutionObserver("step_01_n", "out", quiet=True, use_tqdm=False) as observer:
    for index in (0, 1):
        with observer.node("train", index) as node:
            node.check("loss", ok=True)
            node.request_review("odd loss")
"""


def test_a_node_is_decided_about_like_a_step(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", NODES], cwd=tmp_path, env=environment(), check=True, timeout=60
    )
    out = tmp_path / "out"
    assert [(one["node_id"], one["node_index"]) for one in queue(out)] == [
        ("train", 0),
        ("train", 1),
    ]
    assert "that is a part of 2" in refused(out, "review", "approve", "train", "--by", "a")
    assert b"check loss: ok" in review(out, "show", "train#1").stdout

    done(out, "review", "approve", "train#0", "--by", "anna", "--reason", "it is right")
    done(out, "note", "latest:train#1", "look here", "--by", "bert")

    assert [one["id"] for one in queue(out)] == ["train#1"]
    first, second = report(out)["nodes"]
    assert (first["review"]["decision"], first["review"]["open"]) == ("approved", False)
    assert second["review"] == {"flagged": True, "reason": "odd loss"}
    assert "review: approved by anna" in auditfold("show", out).stdout.decode()
    assert_sound(out)


# --- Several people, and what they say


def at_once(out: Path, *commands: tuple[str, ...]) -> list[tuple[int, str]]:
    """Run commands in processes of their own at the same time."""
    processes = [
        subprocess.Popen(
            [*AUDITFOLD, *command, "--path", str(out)],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    ended = [process.communicate(timeout=60)[1] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, ended, strict=True)]


def test_of_two_reviewers_at_once_one_decides_and_the_other_is_told(tmp_path: Path) -> None:
    out = run(tmp_path)

    ended = at_once(
        out,
        ("review", "approve", "b.csv", "--by", "anna"),
        ("review", "reject", "b.csv", "--by", "bert"),
        ("review", "approve", "a.csv", "--by", "carla"),
        ("note", "latest:b.csv", "look here", "--by", "dora"),
    )

    codes = [code for code, _ in ended]
    assert sorted(codes[:2]) == [0, ExitCode.USAGE]
    assert codes[2:] == [0, 0]
    loser = ended[codes.index(ExitCode.USAGE)][1]
    winner = "anna" if codes[0] == 0 else "bert"
    assert f"{'approved' if codes[0] == 0 else 'rejected'} by {winner} at " in loser
    decided = queue(out, "--all")
    assert [one["reviewer"] for one in decided] == ["carla", winner]
    lines = (out / "audit/step_06/trace_06.jsonl").read_bytes().splitlines()
    assert sum(b'"event_type":"review_resolved"' in line for line in lines) == 2
    assert_sound(out)


HOSTILE = r"""
from observability import ExecutionObserver, FileReport, PipelineReport
with ExecutionObserver("step_01_h", "out", quiet=True, use_tqdm=False):
    report = PipelineReport("Batch")
    for name in ["<script>alert(1)</script>.csv", "\x1b[2J\u202egnp.csv", "a:b:c.csv", "x" * 10000]:
        file = FileReport.begin(path=name)
        file.request_review("'\"\x1b[31m<b>")
        report.append_file(file)
"""


def test_hostile_names_and_texts_do_no_harm(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", HOSTILE], cwd=tmp_path, env=environment(), check=True, timeout=60
    )
    out = tmp_path / "out"
    hostile = "\x1b[2J\u202e<script>'\"\nsecond line"

    for part in ("<script>", "gnp", "a:b:c.csv", "xxxx"):
        done(out, "review", "approve", part, "--by", f"an{hostile}", "--reason", hostile)
    done(out, "note", "latest:a:b:c.csv", hostile, "--by", hostile)
    # Bytes that are no UTF-8, as a shell may hand them on.
    raw = subprocess.run(
        [*AUDITFOLD, "note", "latest", b"\xff\xfe", "--by", b"\xe9", "--path", str(out)],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert raw.returncode == 0, raw.stderr

    for command in (
        ("review", "list", "--all", "--path", out),
        ("review", "show", "a:b:c.csv", "--path", out),
        ("show", out),
        ("tail", "-n", "all", out),
    ):
        text, code = on_terminal(*command, env={"NO_COLOR": "1"})
        assert code == 0
        assert b"\x1b" not in text, command
        assert "\u202e" not in text.decode(), command
    page = tmp_path / "page.html"
    auditfold("report", out, "-o", page)
    assert "<script>'" not in page.read_text()
    assert "<script>alert" not in page.read_text()
    assert report(out)["files"][2]["review"]["reviewer"] == f"an{hostile}"
    assert_sound(out)


def test_secrets_in_what_people_say_are_redacted(tmp_path: Path) -> None:
    out = run(tmp_path)
    secret = "AKIAIOSFODNN7EXAMPLE"

    done(out, "review", "approve", "b.csv", "--by", f"anna {secret}", "--reason", f"see {secret}")
    done(out, "note", "latest:a.csv", f"the key is {secret}", "--by", secret)

    assert not any(secret.encode() in data for data in contents(out).values())
    assert "[REDACTED:" in report(out)["files"][1]["review"]["note"]
    assert_sound(out)


def test_who_decides_is_who_is_logged_in_if_nothing_else_is_said(tmp_path: Path) -> None:
    out = run(tmp_path)

    found = auditfold("review", "approve", "b.csv", "--path", out, env={"LOGNAME": "dora"})

    assert found.returncode == 0
    assert [one["reviewer"] for one in queue(out, "--all") if one.get("decision")] == ["dora"]


def test_json_says_what_was_recorded(tmp_path: Path) -> None:
    out = run(tmp_path)

    found = review(out, "reject", "b.csv", "--by", "anna", "--json")
    noted = auditfold("note", "latest", "x", "--by", "a", "--json", "--path", out)

    recorded = json.loads(found.stdout)
    assert found.stderr == b""
    assert (recorded["file"], recorded["decision"]) == ("in/b.csv", "rejected")
    assert recorded["decided_at"] == queue(out, "--all")[1]["decided_at"]
    assert json.loads(noted.stdout)["target"] == "latest"


def test_the_log_for_people_has_the_decision(tmp_path: Path) -> None:
    out = run(tmp_path)

    done(out, "review", "approve", "b.csv", "--by", "anna")

    log = (out / "audit/step_06/log_06.log").read_text()
    assert "REVIEW_RESOLVED: approved by anna: in/b.csv | " in log


def test_a_reviewer_who_is_killed_leaves_a_run_that_does_not_run(tmp_path: Path) -> None:
    out = run(tmp_path, "kill")
    code = (
        "import os, signal, sys, observability.review as r\n"
        "r.Journal.close = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from observability.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, "review", "approve", "b.csv", "--by", "a", "--path", str(out)],
        env=environment(),
        check=False,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL

    assert report(out)["status"] == "interrupted"
    assert [one["file"] for one in queue(out)] == ["in/a.csv"]
    done(out, "review", "approve", "a.csv", "--by", "anna")
    assert_sound(out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["review", "approve"], "missing argument 'ID'"),
        (["review", "decide", "x"], "no such command 'decide'"),
        (["note", "latest"], "missing argument 'TEXT'"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    found = auditfold(*arguments, cwd=tmp_path)

    assert found.returncode == ExitCode.USAGE
    assert message in found.stderr.decode().lower() or message in found.stderr.decode()
    assert found.stderr.count(b"\n") == 1
