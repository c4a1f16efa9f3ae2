"""How fast is an audit, beside the bare chain: readline, SHA-256, comparison?"""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path

from benchmarks.measure import Row
from benchmarks.traces import write_trace
from replay.audit.audit import audit

RUNS = 300
NODES = 500
ROUNDS = 5

Case = Callable[[], int]


def run() -> list[Row]:
    """Return megabytes a second, and shares of the bare chain's speed."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "trace_04.jsonl"
        size = write_trace(path, runs=RUNS, nodes=NODES)
        whole = str(path)
        cases: dict[str, Case] = {
            "bare chain": lambda: bare_chain(path),
            "chain only, one core": lambda: audit(whole, chain_only=True, jobs=1).files[0].lines,
            "whole audit, one core": lambda: audit(whole, jobs=1).files[0].lines,
            "whole audit, two cores": lambda: audit(whole, jobs=2).files[0].lines,
        }
        seconds: dict[str, list[float]] = {what: [] for what in cases}
        for _ in range(ROUNDS):
            for what, case in cases.items():
                begin = time.perf_counter()
                case()
                seconds[what].append(time.perf_counter() - begin)

    def share(what: str, of: str) -> float:
        pairs = zip(seconds[of], seconds[what], strict=True)
        return statistics.median(bare / ours for bare, ours in pairs)

    def row(what: str, of: str, goal: float, words: str) -> Row:
        speed = size / 1e6 / statistics.median(seconds[what])
        return Row(what, speed, "MB/s", share(what, of), words, share(what, of) >= goal)

    return [
        Row("bare chain", size / 1e6 / statistics.median(seconds["bare chain"]), "MB/s", 1.0),
        row("chain only, one core", "bare chain", 0.65, "at least 0.65 x of the bare chain"),
        row("whole audit, one core", "bare chain", 0.4, "at least 0.4 x of the bare chain"),
        row("whole audit, two cores", "whole audit, one core", 1.6, "at least 1.6 x of one core"),
    ]


def bare_chain(path: Path) -> int:
    """Return the number of lines of *path*, each of which follows from the one before."""
    previous, lines = b"0" * 64, 0
    with path.open("rb", buffering=1 << 20) as file:
        for line in iter(partial(file.readline), b""):
            stored = line[-67:-3]
            if sha256(b"\0" + previous + line[:-76]).hexdigest().encode() != stored:
                raise ValueError(f"line {lines + 1}")
            previous = stored
            lines += 1
    return lines
