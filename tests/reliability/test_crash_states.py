"""Every state that a power cut may leave of recorded writes: audited, and continued."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from observability.journal import Durability, Journal
from tests.reliability.conftest import Tell
from tests.reliability.disk import Disk, put, record
from tests.reliability.tier import either, randomness
from tests.reliability.writing import (
    POLICIES,
    How,
    assert_kept,
    assert_only_appended,
    audited,
    emit,
    files_of,
    go_on,
)
from tests.writing.clock import ManualClock


class Program:
    """What writes, and what of it was promised to outlive a cut."""

    def __init__(self, out: Path, how: How) -> None:
        self.out = out
        self.how = how
        self.clock = ManualClock()
        self.told: list[tuple[Journal, int, str]] = []

    def open(self) -> Journal:
        return self.how.journal(self.out, clock=self.clock)

    def write(self, journal: Journal, n: int, size: int = 100) -> None:
        for _ in range(n):
            self.clock.forward(0.4)
            name = f"e{len(self.told)}"
            emit(journal, name, size)
            self.told.append((journal, self.clock.monotonic_ns(), name))

    def promised(self) -> list[str]:
        """Return the events that a cut may not take now."""
        if self.how.durability == "always":
            return [name for _, _, name in self.told]
        if self.how.durability == "none":
            return []
        # Of each writer what is a second older than its last emission.
        last = {journal: at for journal, at, _ in self.told}
        return [name for who, at, name in self.told if at <= last[who] - 1_000_000_000]


def one_run(program: Program) -> None:
    """Write a run."""
    journal = program.open()
    program.write(journal, 6)
    journal.close()


def three_runs(program: Program) -> None:
    """Continue a file twice."""
    for _ in range(3):
        one_run(program)


def long_lines(program: Program) -> None:
    """Write lines of several blocks."""
    journal = program.open()
    program.write(journal, 3, 20_000)
    journal.close()


def two_at_once(program: Program) -> None:
    """Write to two files at once; the one is closed before the other."""
    first, second = program.open(), program.open()
    for journal in (first, second, first, second):
        program.write(journal, 2)
    first.close()
    program.write(second, 1)
    second.close()


def behind_torn_files(program: Program) -> None:
    """Begin where a trace and a registry end inside a line: follow, and note a gap."""
    one_run(program)
    one_run(program)


STORIES: Final[list[Callable[[Program], None]]] = [
    one_run,
    three_runs,
    long_lines,
    two_at_once,
    behind_torn_files,
]


@pytest.mark.parametrize("durability", POLICIES)
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_what_a_cut_leaves_is_no_tampering_and_goes_on(
    memory: Path,
    story: Callable[[Program], None],
    durability: Durability,
    signing_key: Path | None,
    tell: Tell,
) -> None:
    out = memory / "out"
    out.mkdir()
    how = How(durability=durability, signing_key=signing_key)
    if story is behind_torn_files:
        how.journal(out).close()
        for path in out.glob("audit/**/*.jsonl"):
            path.write_bytes(path.read_bytes()[:-30])
    disk = Disk(out, n_inside=either(2, 40))
    look_over(out, disk)
    rng = randomness("states", story.__name__, durability)
    program = Program(out, how)
    points: list[tuple[dict[str, bytes | None], list[str]]] = []
    most = either(8, 300)

    def step() -> None:
        promised = program.promised()
        points.extend((state, promised) for state in disk.states(most, rng))

    with record(disk, step):
        story(program)
    seen = distinct(points, rng, either(120, 20_000))
    for n, (state, promised) in enumerate(seen):
        check(state, promised, memory / str(n), how)
    tell(states=len(seen), of=len(points), events=len(program.told))
    assert len(seen) > 20


def look_over(out: Path, disk: Disk) -> None:
    """Let *disk* know what is there, all of it durable."""
    for path in sorted(out.rglob("*")):
        if path.is_dir():
            disk.made(path)
        else:
            with path.open("rb") as stream:
                disk.opened(path, stream.fileno(), fresh=True)
    for folder in disk.pending:
        disk.durable[folder] = disk._view(folder, len(disk.pending[folder]))
        disk.pending[folder] = []


def distinct(
    points: list[tuple[dict[str, bytes | None], list[str]]], rng: random.Random, most: int
) -> list[tuple[dict[str, bytes | None], list[str]]]:
    """Return each state once, with the most that was promised then; a sample if there are many."""
    found: dict[object, tuple[dict[str, bytes | None], list[str]]] = {}
    for state, promised in points:
        found[tuple(sorted(state.items(), key=lambda item: item[0]))] = (state, promised)
    states = list(found.values())
    return states if len(states) <= most else rng.sample(states, most)


def check(state: dict[str, bytes | None], promised: list[str], out: Path, how: How) -> None:
    put(state, out)
    files = files_of(out)
    if files:
        audited(out)
    assert files_of(out) == files
    assert_kept(promised, files)

    go_on(out, how)

    assert_only_appended(files, files_of(out))
    assert_kept(promised, files_of(out))
    audited(out)
    shutil.rmtree(out)
