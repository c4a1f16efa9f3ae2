"""What does an observed node cost, beside an observer of four opens an event?"""

import contextlib
import io
import os
import pty
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Row, in_turn, ratio
from benchmarks.peers import SUMMARY, FourOpens
from observability import ExecutionObserver

NODES = 1_000
ROUNDS = 15


def run() -> list[Row]:
    """Return microseconds an event (two a node), and how many times faster the observer is."""
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        plain = _measure(Path(name), bar=False)
        with terminal_as_stderr():
            drawn = _measure(Path(name), bar=True)
    return [*_rows(plain, "without a bar", 7.0), *_rows(drawn, "with a bar", 14.0)]


def _measure(folder: Path, *, bar: bool) -> dict[str, list[float]]:
    total = NODES * (ROUNDS + 1)
    observer = ExecutionObserver("step_04_survey", folder / f"ours_{bar}", total, use_tqdm=bar)
    four = FourOpens(folder, sys.stderr if bar else None, total)

    def ours(nodes: int) -> None:
        for n in range(nodes):
            observer.node_start("module.py", n)
            observer.node_success("module.py", 0.123456, None, SUMMARY | {"n": n})

    def theirs(nodes: int) -> None:
        for n in range(nodes):
            four.node(n)

    times = in_turn({"observer": ours, "four opens": theirs}, n=NODES, rounds=ROUNDS)
    observer.workflow_complete()
    return {name: [us / 2 for us in figures] for name, figures in times.items()}


def _rows(times: dict[str, list[float]], how: str, goal: float) -> list[Row]:
    faster = ratio(times["four opens"], times["observer"])
    middle = {name: sorted(figures)[len(figures) // 2] for name, figures in times.items()}
    return [
        Row(f"four opens an event, {how}", middle["four opens"], "us"),
        Row(
            f"ExecutionObserver, {how}",
            middle["observer"],
            "us",
            faster,
            f"at least {goal:g} x faster",
            faster >= goal,
        ),
    ]


@contextlib.contextmanager
def terminal_as_stderr() -> Iterator[None]:
    """Make stderr a pseudo-terminal that somebody reads, as a bar meets it."""
    reading, writing = pty.openpty()
    done = threading.Event()

    def drain() -> None:
        while not done.is_set():
            with contextlib.suppress(OSError):
                os.read(reading, 65_536)

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    before, sys.stderr = sys.stderr, os.fdopen(writing, "w", encoding="utf-8")
    try:
        yield
    finally:
        sys.stderr.write("\n")
        sys.stderr.flush()
        done.set()
        sys.stderr.close()
        sys.stderr = before
