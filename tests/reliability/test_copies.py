"""Copies of a folder that are made while it is written.

A copy takes one file after the other, and files name each other: what was copied first may lack
what a later one names.  The audit says so, `cut` or `missing`, and it is true of the copy.  It says
nothing else, and a copy that is made again when the writers have gone has nothing to find.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from replay.audit.audit import audit
from tests.reliability.conftest import Tell
from tests.reliability.tier import either, randomness
from tests.reliability.writing import (
    How,
    assert_not_tampered,
    assert_only_appended,
    emit,
    files_of,
    names_in,
)

# What may be told of a copy: that it is a beginning, never that something is another thing.
BEGINNING: Final = {"cut", "missing", "torn", "not_closed", "unregistered", "empty", "live"}


@contextmanager
def writers(out: Path, n: int) -> Iterator[None]:
    """Let *n* processes write run after run, with forks, while the block runs."""
    pids = []
    ends, held = os.pipe()
    for number in range(n):
        pid = os.fork()
        if pid == 0:
            try:
                os.setpgid(0, 0)
                write(out, number)
            finally:
                os._exit(1)
        os.setpgid(pid, pid)
        pids.append(pid)
    os.close(held)
    try:
        yield
    finally:
        for pid in pids:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        assert os.read(ends, 1) == b""  # their forks are gone as well
        os.close(ends)


def write(out: Path, number: int) -> None:
    rng = randomness("copies", number)
    run, parent = 0, os.getppid()
    while os.getppid() == parent:
        run += 1
        journal = How(durability="none").journal(out)
        for n in range(rng.randrange(1, 9)):
            emit(journal, f"{number}.{run}.{n}", rng.randrange(3_000))
            time.sleep(0.002)
        if rng.random() < 0.2:
            pid = os.fork()
            if pid == 0:
                emit(journal, f"{number}.{run}.fork", 100)
                os._exit(0)
            os.waitpid(pid, 0)
        journal.close()


def by_cp(source: Path, target: Path) -> None:
    """Copy what is there; a file that goes meanwhile is no matter."""
    target.mkdir(exist_ok=True)
    subprocess.run(["cp", "-a", f"{source}/.", target], check=False, capture_output=True)


def by_rsync(source: Path, target: Path) -> None:
    subprocess.run(["rsync", "-a", f"{source}/", target], check=False, capture_output=True)


def by_rsync_twice(source: Path, target: Path) -> None:
    """Copy, and copy again what has grown."""
    for _ in range(2):
        by_rsync(source, target)


@pytest.mark.parametrize("copy", [by_cp, by_rsync, by_rsync_twice], ids=lambda f: f.__name__)
def test_a_copy_of_a_folder_that_is_written_is_a_beginning(
    memory: Path, copy: Callable[[Path, Path], None], tell: Tell
) -> None:
    if copy is not by_cp and shutil.which("rsync") is None:
        pytest.skip("rsync is not installed")
    n_rounds, n_copies = either(2, 6), either(8, 20)
    n_clean = n_events = 0
    for number in range(n_rounds):
        source = memory / f"out_{number}"
        targets = [memory / f"copy_{number}_{n}" for n in range(n_copies)]
        with writers(source, 2):
            while not list(source.glob("audit/step_04/trace_04.jsonl")):
                time.sleep(0.01)
            for target in targets:
                copy(source, target)

                report = audit(str(target))

                codes = {found.code for found in report.findings}
                assert codes <= BEGINNING, report.findings
                n_clean += report.exit_code() == 0
        now = files_of(source)
        for target in targets:
            assert_only_appended(files_of(target), now)
            n_events += names_in(files_of(target)).total()
        copy(source, targets[-1])
        assert files_of(targets[-1]) == now
        assert_not_tampered(audit(str(targets[-1])))
        for folder in (source, *targets):
            shutil.rmtree(folder)
    copies = n_rounds * n_copies
    tell(copies=copies, without_an_error=n_clean, events=n_events)
    assert n_events > copies
