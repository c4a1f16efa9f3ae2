"""SIGKILL at any moment: nothing acknowledged is lost, and no crash is taken for an enemy."""

import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Final

import pytest

from observability.journal import Durability
from replay.findings import Verdict
from tests.reliability.conftest import Tell
from tests.reliability.tier import either, randomness
from tests.reliability.writing import (
    POLICIES,
    How,
    acknowledge,
    assert_kept,
    assert_only_appended,
    assert_torn_is_told,
    audited,
    emit,
    files_of,
    go_on,
    some_size,
)

CYCLES_A_FOLDER: Final = 3
LONGEST_S: Final = 0.04


def live(out: Path, how: How, pipe: int, name: str, rng: random.Random) -> None:
    """Live one writer's life after the other, each return of a call told through the pipe."""
    life, parent = 0, os.getppid()
    while os.getppid() == parent:
        life += 1
        journal = how.journal(out)
        for n in range(rng.randrange(20)):
            event = f"{name}.{life}.{n}"
            emit(journal, event, some_size(rng))
            acknowledge(pipe, event)
        journal.close()


def start(out: Path, how: How, pipe: int, name: str, rng: random.Random) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            live(out, how, pipe, name, rng)
        finally:
            os._exit(1)
    return pid


def kill_writers(out: Path, how: How, cycle: int, rng: random.Random) -> list[str]:
    """Let 1 to 8 writers write, kill each at some moment; return what was acknowledged."""
    tells, told = os.pipe()
    names = [f"{cycle}.{n}" for n in range(rng.choice([1, 1, 2, 3, 5, 8]))]
    pids = [start(out, how, told, name, random.Random(rng.random())) for name in names]
    os.close(told)
    moments = sorted((rng.random() * LONGEST_S, pid) for pid in pids)
    began = time.monotonic()
    for moment, pid in moments:
        time.sleep(max(0.0, began + moment - time.monotonic()))
        os.kill(pid, signal.SIGKILL)
    data = b""
    while block := os.read(tells, 1 << 16):
        data += block
    os.close(tells)
    assert {os.waitpid(pid, 0)[1] for pid in pids} == {signal.SIGKILL}
    return data.decode().split("\n")[:-1]


@pytest.mark.parametrize("durability", POLICIES)
def test_killed_writers_lose_nothing_acknowledged(
    memory: Path, durability: Durability, signing_key: Path | None, tell: Tell
) -> None:
    n_cycles = either(34, 3_334)
    how = How(durability=durability, signing_key=signing_key)
    rng = randomness("kill", durability)
    n_acknowledged = n_torn = 0
    acknowledged: list[str] = []
    for cycle in range(n_cycles):
        out = memory / str(cycle // CYCLES_A_FOLDER)
        before = files_of(out)
        acknowledged += kill_writers(out, how, cycle, rng)
        files = files_of(out)
        assert_only_appended(before, files)
        if files:
            n_torn += assert_torn_is_told(files, audited(out))
            assert files_of(out) == files
        assert_kept(acknowledged, files)
        if cycle % CYCLES_A_FOLDER == CYCLES_A_FOLDER - 1 or rng.random() < 0.5:
            go_on(out, how)
        if cycle % CYCLES_A_FOLDER == CYCLES_A_FOLDER - 1:
            assert_all_proven_in_the_end(out, how)
            n_acknowledged += len(acknowledged)
            acknowledged = []
            shutil.rmtree(out)
    tell(cycles=n_cycles, events_acknowledged=n_acknowledged, torn_tails=n_torn)
    assert n_acknowledged > n_cycles


def assert_all_proven_in_the_end(out: Path, how: How) -> None:
    """Assert that only writers that nobody follows are left open: those of further files."""
    go_on(out, how)
    report = audited(out)
    verdicts = {file.path: file.verdict for file in report.files}
    assert verdicts["audit/registry.jsonl"] is Verdict.COMPLETE
    codes = {finding.code for finding in report.findings}
    assert codes <= {"not_closed", "torn", "unregistered", "empty"}
