"""A program killed at any moment loses no event whose call had returned."""

import os
import random
import select
import signal
import time
from pathlib import Path
from typing import NamedTuple

from observability import ExecutionObserver
from replay.audit.audit import audit
from replay.findings import Verdict
from replay.trace.line import check

KILLS = 200
KILLS_A_FOLDER = 20


class Killed(NamedTuple):
    """What the parent knows of a program that was killed."""

    run_id: str
    acknowledged: int
    closed: bool


def run_and_kill(out: Path, after_s: float) -> Killed:
    """Run a program that says on a pipe which of its calls returned; kill it *after_s*."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            work(out, writing)
        finally:
            os._exit(0)
    os.close(writing)
    time.sleep(after_s)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    said = b""
    while select.select([reading], [], [], 5)[0] and (data := os.read(reading, 65_536)):
        said += data
    os.close(reading)
    words = said.decode().split()
    return Killed(
        run_id=words[0] if words else "",
        acknowledged=max(0, len(words) - 1 - ("closed" in words)),
        closed="closed" in words,
    )


def work(out: Path, acknowledge: int) -> None:
    """Emit until killed; now and then end in good order."""
    observer = ExecutionObserver("step_04_killed", out, use_tqdm=False)
    os.write(acknowledge, f"{observer.run_id}\n".encode())
    for n in range(400):
        observer.node_start("node", n)
        os.write(acknowledge, f"s{n}\n".encode())
        # Lines of many lengths: a kill may tear one between two pages.
        observer.node_success("node", 0.5, None, {"text": "x" * (n * 37 % 9000)})
        os.write(acknowledge, f"e{n}\n".encode())
    observer.workflow_complete()
    os.write(acknowledge, b"closed\n")
    time.sleep(10)


def whole_lines(out: Path) -> list[dict[str, object]]:
    return [
        check(line + b"\n")
        for path in sorted((out / "audit" / "step_04").glob("trace_04*.jsonl"))
        for line in path.read_bytes().split(b"\n")[:-1]
    ]


def snapshot(out: Path) -> dict[str, bytes]:
    audit_folder = out / "audit"
    return {str(path): path.read_bytes() for path in audit_folder.rglob("*.jsonl")}


def test_no_acknowledged_event_is_lost(tmp_path: Path) -> None:
    dice = random.Random(4)
    torn = complete = 0
    for kill in range(KILLS):
        out = tmp_path / str(kill // KILLS_A_FOLDER)
        before = snapshot(out) if out.exists() else {}
        killed = run_and_kill(out, dice.random() * 0.06)
        after = snapshot(out)
        if not after:
            continue  # killed before it had a file
        report = audit(str(out))

        # Nobody has changed, shortened or moved what stood there.
        assert snapshot(out) == after
        assert all(after[path].startswith(content) for path, content in before.items())
        # Every call that returned stands in the trace.
        mine = [line for line in whole_lines(out) if line.get("run_id") == killed.run_id]
        events = [e for e in mine if str(e["event_type"]) in {"node_start", "node_success"}]
        assert len(events) >= killed.acknowledged
        assert [e["node_index"] for e in events[: killed.acknowledged]] == [
            n // 2 for n in range(killed.acknowledged)
        ]
        # The verdict is never a false alarm, and a torn tail is found where it is.
        assert report.verdict in {Verdict.INTACT_PREFIX, Verdict.COMPLETE}, report.findings
        for path, content in after.items():
            tail = len(content) - (content.rfind(b"\n") + 1)
            at = [
                found.offset
                for found in report.findings
                if found.code == "torn" and path.endswith(found.path)
            ]
            named_later = any(content[-tail:] and b'"fragment"' in c for c in after.values())
            if tail and not named_later:
                assert at == [len(content) - tail]
                torn += 1
        complete += killed.closed and report.verdict is Verdict.COMPLETE
    # The next run goes on, and proves what the killed ones left.
    for folder in sorted(tmp_path.iterdir()):
        with ExecutionObserver("step_04_killed", folder, use_tqdm=True):
            pass
        assert audit(str(folder)).verdict is Verdict.COMPLETE
