"""How long does a command take from its start to its end on a small trace?"""

import contextlib
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Row
from observability import ExecutionObserver

ROUNDS = 20
# Command and arguments -> the goal in ms.
COMMANDS = {
    ("--help",): 80,
    ("--version",): 80,
    ("ls", "out"): 150,
    ("tail", "out"): 150,
    ("audit", "out"): 150,
    ("show", "out"): 300,
}


def run() -> list[Row]:
    """Return milliseconds of whole processes, and ratios to a bare interpreter."""
    bare = [sys.executable, "-c", "pass"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _record(folder / "out")
        times: dict[tuple[str, ...], list[float]] = {arguments: [] for arguments in COMMANDS}
        bare_times = []
        for _ in range(ROUNDS):
            # They take turns, so that a slow moment of the machine meets all of them.
            bare_times.append(_ms(bare, folder))
            for arguments, figures in times.items():
                figures.append(_ms([sys.executable, "-m", "observability", *arguments], folder))
    base = statistics.median(bare_times)
    rows = [Row("python -c pass", base, "ms", 1.0)]
    for arguments, goal in COMMANDS.items():
        figure = statistics.median(times[arguments])
        rows.append(
            Row(
                f"auditfold {' '.join(arguments)}",
                figure,
                "ms",
                figure / base,
                f"at most {goal} ms",
                figure <= goal,
            )
        )
    return rows


def _ms(command: Sequence[str], folder: Path) -> float:
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    figure = (time.perf_counter() - begin) * 1000
    assert done.returncode == 0, done.stderr
    return figure


def _record(out: Path) -> None:
    """Record one run of 20 nodes."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        ExecutionObserver("step_04_small", out, 20, use_tqdm=False) as observer,
    ):
        for n in range(20):
            observer.node_start(f"module_{n}.py", n)
            observer.node_success(f"module_{n}.py", 0.001)
