"""What does folding 1,000,000 node events cost, beside parsing them and no more?"""

import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import orjson

from benchmarks.measure import Row, ratio
from benchmarks.traces import write_trace
from replay.fold.files import Source
from replay.fold.metadata import metadata
from replay.fold.run_report import RunReport
from replay.fold.run_report_views import report_chunks
from replay.fold.runs import fold
from replay.fold.snapshot import from_snapshot, proceed, to_snapshot
from replay.trace.evidence import open_evidence
from replay.trace.host import Hosts

RUNS = 1_000
NODES = 500
ROUNDS = 5
GOALS = {
    "metadata of all runs": ("at most 1.3 x of orjson.loads", 1.3),
    "full report of all runs": ("at most 2.5 x of orjson.loads", 2.5),
}

Case = Callable[[], int]


def run() -> list[Row]:
    """Return CPU seconds of one core, and ratios to orjson.loads of every line."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "trace_04.jsonl"
        write_trace(path, runs=RUNS, nodes=NODES)
        sources = [Source("audit/step_04/trace_04.jsonl", partial(open_evidence, path))]
        snapshot = to_snapshot(fold(sources))
        cases: dict[str, Case] = {
            "orjson.loads of every line": lambda: parse(path),
            "metadata of all runs": lambda: fold_metadata(sources),
            "full report of all runs": lambda: len(fold(sources, kind=RunReport)),
            "the same, written as JSON": lambda: write_reports(sources),
            "going on from a snapshot, nothing new": lambda: len(
                proceed(from_snapshot(snapshot), sources)
            ),
        }
        seconds = in_turn(cases)
    base = seconds["orjson.loads of every line"]
    return [
        Row(what, statistics.median(taken), "s", ratio(taken, base), *_goal(what, taken, base))
        for what, taken in seconds.items()
    ]


def in_turn(cases: dict[str, Case]) -> dict[str, list[float]]:
    """Return the CPU seconds of each case, one figure a round; the cases take turns."""
    seconds: dict[str, list[float]] = {what: [] for what in cases}
    for _ in range(ROUNDS):
        for what, case in cases.items():
            gc.collect()
            begin = time.process_time()
            case()
            seconds[what].append(time.process_time() - begin)
    return seconds


def parse(path: Path) -> int:
    """Parse every line and keep nothing."""
    lines = 0
    with path.open("rb", buffering=1 << 20) as file:
        for line in file:
            orjson.loads(line)
            lines += 1
    return lines


def fold_metadata(sources: list[Source]) -> int:
    """Fold, and make the metadata of every run."""
    folded, hosts = fold(sources), Hosts()
    return sum(metadata(folded, state, hosts)["nodes_completed"] for state in folded.runs())


def write_reports(sources: list[Source]) -> int:
    """Fold, and make the bytes of every report."""
    folded, hosts = fold(sources, kind=RunReport), Hosts()
    return sum(
        len(chunk) for state in folded.runs() for chunk in report_chunks(folded, state, hosts)
    )


def _goal(what: str, taken: list[float], base: list[float]) -> tuple[str, bool | None]:
    if what not in GOALS:
        return "", None
    words, most = GOALS[what]
    return words, ratio(taken, base) <= most
