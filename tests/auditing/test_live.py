"""An audit beside running writers: never a false word, while they open, write, fork and close."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from observability.journal import Journal
from replay.audit import audit as audit_module
from replay.audit.audit import audit
from replay.audit.judge import judge
from replay.audit.reading import read_trace
from tests.command.running import environment

WRITING = """
import os, sys
from observability.journal import Journal

out, kind = sys.argv[1:]
print("ready", flush=True)
n = 0
while os.getppid() != 1:
    journal = Journal(out, "step_04_live", run_id=f"20261121-070312-{n:06d}", durability="none")
    n += 1
    if kind == "long":
        while os.getppid() != 1:
            journal.append("message", {"level": "note", "text": "x" * (n % 3000)})
            n += 1
    for i in range(20):
        journal.append("message", {"level": "note", "text": "y" * 97 * i})
    if kind == "forks":
        pid = os.fork()
        if not pid:
            journal.append("message", {"level": "note", "text": "of the fork"})
            if n % 2:
                journal.close()
            os._exit(0)
        os.waitpid(pid, 0)
    journal.close()
"""


@contextmanager
def writers(out: Path, kind: str, *, n: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", WRITING, str(out), kind],
            env=environment(),
            stdout=subprocess.PIPE,
        )
        for _ in range(n)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            process.stdout.readline()
        yield running
    finally:
        for process in running:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("kind", ["long", "short", "forks"])
def test_an_audit_beside_writers_finds_nothing_wrong(tmp_path: Path, kind: str) -> None:
    seen = set()
    until = time.monotonic() + 2
    with writers(tmp_path, kind, n=2):
        while not (tmp_path / "audit/registry.jsonl").exists():
            time.sleep(0.01)
        while time.monotonic() < until:
            report = audit(str(tmp_path))
            errors = [found for found in report.findings if found.severity == "error"]
            assert errors == []
            assert report.exit_code() == 0
            seen.add(report.verdict)

    # Between two short runs nobody writes, and all is proven.
    assert seen == {"intact-prefix"} if kind == "long" else seen


def test_a_file_that_grows_at_every_look_is_read_once_where_nothing_is_suspect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An audit beside a writer in a hurry read 5 GB, of which 31 MB were there when it began."""
    journal = Journal(tmp_path, "step_04_live", durability="none")
    n_read = 0

    def look(*given: Any, **more: Any) -> Any:
        journal.append("message", {"level": "note", "text": "and more"})
        return judge(*given, **more)

    def read(*given: Any, **more: Any) -> Any:
        nonlocal n_read
        n_read += 1
        return read_trace(*given, **more)

    monkeypatch.setattr(audit_module, "judge", look)
    monkeypatch.setattr(audit_module, "read_trace", read)
    report = audit(str(tmp_path))

    assert {found.code for found in report.findings} == {"live"}
    assert n_read == 0
    journal.close()


@pytest.mark.parametrize("closes", [True, False], ids=["closes", "stays open"])
def test_a_folder_that_is_another_one_at_every_look_is_judged_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closes: bool
) -> None:
    """With many short runs and forks the audit found files that were not there yet, missing."""
    journal = Journal(tmp_path, "step_04_live", durability="none")
    n_looks = 0

    def live_on() -> None:
        nonlocal journal
        pid = os.fork()
        if not pid:
            journal.append("message", {"level": "note", "text": "of the fork"})
            os._exit(0)
        os.waitpid(pid, 0)
        journal.append("message", {"level": "note", "text": "behind it"})
        if closes:
            journal.close()
            journal = Journal(tmp_path, "step_04_live", durability="none")

    def look(*given: Any, **more: Any) -> Any:
        nonlocal n_looks
        n_looks += 1
        judged = judge(*given, **more)
        live_on()
        live_on()
        return judged

    def read(*given: Any, **more: Any) -> Any:
        live_on()
        return read_trace(*given, **more)

    monkeypatch.setattr(audit_module, "judge", look)
    monkeypatch.setattr(audit_module, "read_trace", read)
    live_on()
    report = audit(str(tmp_path))

    assert [found for found in report.findings if found.severity == "error"] == []
    assert report.exit_code() == 0
    assert n_looks > 4
    journal.close()


@pytest.mark.parametrize("moment", range(5))
def test_after_a_kill_nothing_is_tampered(tmp_path: Path, moment: int) -> None:
    with writers(tmp_path, "short", n=1) as (process,):
        while not (tmp_path / "audit/registry.jsonl").exists():
            time.sleep(0.001)
        time.sleep(0.011 * moment)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

        report = audit(str(tmp_path))

    assert report.verdict in {"complete", "intact-prefix"}
    assert {found.code for found in report.findings} <= {
        "empty",
        "torn",
        "not_closed",
        "unregistered",
    }
