"""A process killed at any moment loses nothing that was acknowledged."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

from observability.journal import Durability, Journal
from replay.trace.reader import EventReader
from tests.writing.oracle import (
    assert_complete,
    assert_one_writer_at_a_time,
    count,
    judge,
    traces,
)

WORKFLOW = "step_04_kill"


def write_until_killed(out: Path, acknowledge: int, prefix: str) -> NoReturn:
    """Live one writer's life after the other, each return of a call told through a pipe."""
    modes: tuple[Durability, ...] = ("interval", "always", "none")
    life = 0
    while True:
        life += 1
        journal = Journal(out, WORKFLOW, durability=modes[life % 3])
        for n in range(random.randrange(20)):
            name = f"{prefix}.{life}.{n}"
            # Long lines fill many pages, between which the system may stop a write.
            journal.append("tick", {"n": name, "text": "x" * random.choice([10, 4_000, 300_000])})
            os.write(acknowledge, name.encode() + b"\n")
        journal.close()


@contextmanager
def child(work: Callable[[int], NoReturn]) -> Iterator[tuple[int, int]]:
    """Run *work* in a fork; yields its pid and what it tells through a pipe."""
    tells, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(tells)
            random.seed(os.getpid())
            work(told)
        finally:
            os._exit(1)
    os.close(told)
    try:
        yield pid, tells
    finally:
        os.close(tells)


def kill_after(seconds: float, out: Path, prefix: str) -> list[str]:
    """Let a child write for so long, kill it, and return what was acknowledged."""
    with child(lambda pipe: write_until_killed(out, pipe, prefix)) as (pid, pipe):
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        told = b"".join(iter(lambda: os.read(pipe, 65536), b""))
    return told.decode().split("\n")[:-1]


def longest_life(memory: Path) -> float:
    """Return the seconds in which a child is killed, so that on a slow machine too it has begun."""
    began = time.monotonic()
    with child(lambda pipe: write_until_killed(memory / "pace", pipe, "p")) as (pid, pipe):
        told = b""
        while told.count(b"\n") < 20:
            told += os.read(pipe, 65536)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return max(0.03, time.monotonic() - began)


def contents(out: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(out.glob("audit/**/*.jsonl"))}


def assert_untouched(before: dict[Path, bytes], out: Path) -> None:
    """Assert that every file of before still begins with what it was."""
    after = contents(out)
    for path, data in before.items():
        assert after[path].startswith(data), path


def test_100_killed_runs_are_intact_prefixes_and_the_next_run_proves_their_end(
    memory: Path,
) -> None:
    rng = random.Random(4)
    longest = longest_life(memory)
    seen = 0
    for n in range(100):
        out = memory / str(n)
        acknowledged = kill_after(rng.random() * longest, out, "a")
        before = contents(out)
        judged = judge(out) if before else {}

        assert {found.verdict for found in judged.values()} <= {"complete", "intact-prefix"}
        assert set(acknowledged) <= set(count(out))
        assert contents(out) == before
        seen += bool(judged)
        assert_torn_is_located(out)

        Journal(out, WORKFLOW).close()

        assert_untouched(before, out)
        assert_complete(out)
        found = count(out)
        assert max(found.values(), default=1) == 1
        assert set(acknowledged) <= set(found)
    assert seen > 20


def assert_torn_is_located(out: Path) -> None:
    """Assert that reader and verifier agree on where the bytes behind the last line are."""
    for path in out.glob("audit/step_*/*.jsonl"):
        data = path.read_bytes()
        with path.open("rb") as stream:
            reader = EventReader(stream, path.name)
            whole = list(reader)
        assert reader.damage == []
        assert reader.offset == data.rfind(b"\n") + 1
        assert reader.torn == len(data) - reader.offset
        assert reader.lines == len(whole)
        if reader.torn and reader.lines:
            found = judge(out)[path.relative_to(out).as_posix()]
            assert "torn" in found.codes


def test_100_killed_runs_of_one_step_lose_nothing_and_make_few_files(memory: Path) -> None:
    """Each run goes on where the last one was killed; a torn file is followed, once."""
    rng = random.Random(5)
    longest = longest_life(memory)
    memory = memory / "out"
    acknowledged: list[str] = []
    torn: set[tuple[str, int]] = set()
    for n in range(100):
        before = contents(memory)
        acknowledged += kill_after(rng.random() * longest, memory, str(n))
        assert_untouched(before, memory)
        for path, data in contents(memory).items():
            if path.name != "registry.jsonl" and not data.endswith(b"\n"):
                torn.add((path.name, len(data)))
    Journal(memory, WORKFLOW).close()

    assert_complete(memory)
    assert_one_writer_at_a_time(memory)
    found = count(memory)
    assert max(found.values()) == 1
    assert set(acknowledged) <= set(found)
    assert len(acknowledged) > 20
    # A file more for each that ends in a part of a line; an empty one is not torn.
    ends = {(name, size) for name, size in torn if size}
    assert len(traces(memory)) <= 1 + len(ends)


def test_a_torn_file_is_named_with_its_fragment(memory: Path) -> None:
    for _ in range(200):
        kill_after(0.02, memory, "x")
        torn = [
            (path, data)
            for path, data in contents(memory).items()
            if data and not data.endswith(b"\n") and path.name != "registry.jsonl"
        ]
        if torn:
            break
    else:
        return  # this system ends no write between two pages
    path, data = torn[-1]
    offset = data.rfind(b"\n") + 1
    Journal(memory, WORKFLOW).close()

    followers = [
        lines[0]["follows"]
        for lines in traces(memory).values()
        if lines and lines[0].get("follows", {}).get("path", "").endswith(path.name)
    ]
    assert [follows["fragment"] for follows in followers] == [
        {
            "offset": offset,
            "length": len(data) - offset,
            "sha256": sha256(data[offset:]).hexdigest(),
        }
    ]
    assert_complete(memory)
