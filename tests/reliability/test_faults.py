"""System calls that fail at every moment of a run: an error is told, or retried rightly."""

import errno
import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import pytest

from observability.journal import Durability
from replay.findings import Verdict
from tests.command.running import environment
from tests.reliability.attacks import REGISTRY
from tests.reliability.conftest import Tell
from tests.reliability.evidence import in_fork
from tests.reliability.faulty import EVENTS
from tests.reliability.tier import SOAK, randomness
from tests.reliability.writing import How, assert_kept, audited, files_of, go_on

HERE: Final = Path(__file__).parent
# As faults.c numbers them.
ERROR, ONE_BYTE, HALF, ALL_BUT_ONE, KILL, KILL_BEHIND = range(1, 7)
ERRNOS: Final = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EINTR, errno.EAGAIN)
REFUSALS: Final = [(ERROR, number) for number in ERRNOS]
KILLS: Final = [(KILL, 0), (KILL_BEHIND, 0)]
FAULTS: Final[dict[str, list[tuple[int, int]]]] = {
    "write": [*REFUSALS, (ONE_BYTE, 0), (HALF, 0), (ALL_BUT_ONE, 0), *KILLS],
    "fdatasync": [*REFUSALS, *KILLS],
    "fsync": [*REFUSALS, *KILLS],
    "open": [*REFUSALS, *KILLS],
    "rename": [*REFUSALS, *KILLS],
    "close": [*REFUSALS, *KILLS],
}
# Retried or continued by the system's rules: no caller hears of it.
SILENT: Final = {(ERROR, errno.EINTR), (ONE_BYTE, 0), (HALF, 0), (ALL_BUT_ONE, 0)}


class Cell(NamedTuple):
    """One fault in one run."""

    call: str
    n: int
    fault: tuple[int, int]
    durability: Durability
    on_error: str
    into: str


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed: no system call can be made to fail")
    if sys.platform != "linux":
        pytest.skip("LD_PRELOAD is of Linux")
    library = tmp_path_factory.mktemp("shim") / "faults.so"
    source = HERE / "faults.c"
    options = ["-O1", "-Wall", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *options, "-o", library, source, "-ldl"], check=True)
    return library


class Faulty:
    """The program in which calls fail."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._n = 0

    def run(self, cell: Cell) -> tuple[Path, dict[str, Any]]:
        """Return where it wrote, and what came of it."""
        self._n += 1
        out = self._folder / str(self._n)
        out.mkdir()
        if cell.into == "torn":
            leave_torn(out)
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({**cell._asdict(), "out": str(out)}) + "\n")
        stdin.flush()
        return out, json.loads(stdout.readline())


@contextmanager
def faulty(shim: Path, folder: Path) -> Iterator[Faulty]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.reliability.faulty"],
        env={**environment(), "LD_PRELOAD": str(shim)},
        cwd=HERE.parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Faulty(process, folder)
    finally:
        process.communicate(timeout=30)


def leave_torn(out: Path) -> None:
    """Leave a trace and a registry that end inside a line: opening has more to do."""
    how = How(durability="none")
    in_fork(lambda: how.journal(out).close())
    for path in out.glob("audit/**/*.jsonl"):
        path.write_bytes(path.read_bytes()[:-40])


def assert_right(out: Path, cell: Cell, came: dict[str, Any]) -> None:
    """Assert that no event was lost in silence, and that the next writer can go on."""
    killed = cell.fault in KILLS and came["status"] != 0
    assert came["status"] == (signal.SIGKILL if killed else 0)
    files = files_of(out)
    assert_kept(came["acknowledged"], files)
    report = audited(out) if files else None
    if not killed:
        n_told = len(came["acknowledged"]) + len(came["errors"])
        assert n_told >= EVENTS
        assert came["done"]
        if not came["errors"]:
            # Nobody was told of anything, so all is there and proven, but what was torn before
            # where that could not be read.
            assert came["closed"]
            assert len(came["acknowledged"]) == EVENTS
            assert report is not None
            if cell.into == "empty" or cell.fault in SILENT:
                assert report.verdict is Verdict.COMPLETE, report.findings
        if cell.fault in SILENT and cell.call in {"write", "open"}:
            assert came["errors"] == []
        if cell.on_error == "raise":
            # One fault costs one event at most: the next is written to a new file.
            assert len(came["errors"]) <= 1
        else:
            assert dropped_by(files) == len(came["errors"])
    go_on(out, How(durability="none"))
    assert_kept(came["acknowledged"], files_of(out))
    audited(out)


def dropped_by(files: dict[str, bytes]) -> int:
    """Return how many events the gaps in the traces say were dropped."""
    lines = b"".join(files[name] for name in files if name != REGISTRY).split(b"\n")
    gaps = [json.loads(line) for line in lines if b'"event_type":"gap"' in line]
    return sum(gap["dropped"] for gap in gaps)


def cells(n_of: dict[str, int], durability: Durability, on_error: str, into: str) -> list[Cell]:
    return [
        Cell(call, n, fault, durability, on_error, into)
        for call, n_calls in n_of.items()
        for fault in FAULTS[call]
        for n in range(1, n_calls + 1)
    ]


@pytest.mark.parametrize("into", ["empty", "torn"])
@pytest.mark.parametrize("policy", ["always-raise", "interval-raise", "always-warn"])
def test_a_call_that_fails_is_told_or_retried(
    shim: Path, memory: Path, policy: str, into: str, tell: Tell
) -> None:
    durability, on_error = cast("tuple[Durability, str]", tuple(policy.split("-")))
    n_came = n_told = n_killed = 0
    with faulty(shim, memory) as program:
        n_of = {call: calls_of(program, call, durability, into) for call in FAULTS}
        everything = cells(n_of, durability, on_error, into)
        rng = randomness("faults", durability, on_error, into)
        chosen = everything if SOAK else some(everything, rng)
        for cell in chosen:
            out, came = program.run(cell)
            try:
                assert_right(out, cell, came)
            except AssertionError as error:
                error.add_note(f"{cell} { ({**came, 'acknowledged': len(came['acknowledged'])}) }")
                raise
            n_killed += came["status"] != 0
            n_told += bool(came["errors"])
            n_came += came["done"] or came["status"] != 0
            shutil.rmtree(out)
    tell(
        cells=len(chosen),
        of=len(everything),
        calls=" ".join(f"{call}:{n}" for call, n in n_of.items()),
        told_to_the_caller=n_told,
        killed=n_killed,
    )
    assert n_came == len(chosen)


def some(everything: list[Cell], rng: random.Random) -> list[Cell]:
    """Return one of the cells of each fault in each call."""
    rng.shuffle(everything)
    return list({(cell.call, cell.fault): cell for cell in everything}.values())


def calls_of(program: Faulty, call: str, durability: Durability, into: str) -> int:
    """Return how often a run without a fault makes that call."""
    out, came = program.run(Cell(call, 0, (ERROR, 0), durability, "raise", into))
    assert (len(came["acknowledged"]), came["errors"]) == (EVENTS, [])
    shutil.rmtree(out)
    return int(came["seen"][0])
