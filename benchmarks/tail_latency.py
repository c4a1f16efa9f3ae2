"""How long from the write of an event until `auditfold tail -f` has shown it?"""

import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import orjson

from benchmarks.measure import Row
from observability.journal import Journal

EVENTS = 400
PAUSES_S = (0.005, 0.06)  # between two events
REST_S = 15.0
# How it learns of lines: options, and the goal.
WAYS = {
    "polling": (["--poll"], 150.0),
    "with watch": ([], 5.0),
}

T = TypeVar("T")


def run() -> list[Row]:
    """Return milliseconds from write to display, and what following costs."""
    return [row for way in WAYS for others in (0, 200) for row in _beside(others, way)]


def _beside(others: int, way: str) -> list[Row]:
    """Follow one file that grows, beside so many that do not."""
    options, goal_ms = WAYS[way]
    files = f"{way}, {others + 1} file{'s' if others else ''}"
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        open_beside = [_journal(out, n) for n in range(others)]
        with closing(_journal(out, others)) as journal:
            waits, busy, rest = _follow(out, journal, options)
        for journal in open_beside:
            journal.close()
    p99 = statistics.quantiles(waits, n=100)[98]
    goal, met = f"at most {goal_ms:.0f} ms", p99 <= goal_ms
    return [
        Row(f"{files}: write to display, p50", statistics.median(waits), "ms"),
        Row(f"{files}: write to display, p99", p99, "ms", goal=goal, met=met),
        Row(f"{files}: one core, 30 events a second", busy * 100, "%"),
        Row(f"{files}: one core, no event", rest * 100, "%"),
    ]


def _journal(out: Path, n: int) -> Journal:
    run_id = f"20261121-070312-{n:06}"
    return Journal(out, "step_04_latency", run_id=run_id, durability="none")


def _follow(out: Path, journal: Journal, options: list[str]) -> tuple[list[float], float, float]:
    """Return how long each event took, in ms, and the share of a core, busy and at rest."""
    shown: dict[int, int] = {}
    command = [sys.executable, "-m", "observability", "tail", "-f", "-n0", "--json", *options]
    with subprocess.Popen([*command, str(out)], stdout=subprocess.PIPE) as process:
        reader = threading.Thread(target=_note, args=(process, shown))
        reader.start()
        while not shown and process.poll() is None:
            journal.append("message", {"level": "note", "text": "does it follow?"})
            time.sleep(0.05)
        written, busy = _share(process.pid, lambda: _write(journal))
        _, rest = _share(process.pid, lambda: time.sleep(REST_S))
        process.kill()
        reader.join()
    return [(shown[seq] - at) / 1e6 for seq, at in written.items()], busy, rest


def _note(process: "subprocess.Popen[bytes]", shown: dict[int, int]) -> None:
    """Note when each line came out."""
    assert process.stdout is not None
    for line in process.stdout:
        shown[orjson.loads(line)["seq"]] = time.monotonic_ns()


def _write(journal: Journal) -> dict[int, int]:
    """Write events at random times; return when each one was about to be written."""
    chance = random.Random(4)
    written = {}
    for n in range(EVENTS):
        time.sleep(chance.uniform(*PAUSES_S))
        at = time.monotonic_ns()
        line = journal.append("node_start", {}, node_id="module.py", node_index=n)
        assert line is not None
        written[orjson.loads(line)["seq"]] = at
    return written


def _share(pid: int, work: Callable[[], T]) -> tuple[T, float]:
    """Do *work*; return what it returns, and the share of a core that process *pid* took."""
    began, cpu = time.monotonic(), _cpu_s(pid)
    done = work()
    return done, (_cpu_s(pid) - cpu) / (time.monotonic() - began)


def _cpu_s(pid: int) -> float:
    """Return the seconds of processor time of a process; 0 where there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return 0.0
    # proc(5), fields 14 and 15: ticks in user and in kernel mode.
    user, kernel = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(kernel)) / os.sysconf("SC_CLK_TCK")
