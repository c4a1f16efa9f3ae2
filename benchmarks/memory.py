"""How much memory does a command need on a trace of 1 GB?"""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Row
from benchmarks.traces import write_trace

RUNS = 2_600
NODES = 500
MOST_MIB = 100.0

_COMMANDS = {
    "audit": ["audit"],
    "ls": ["ls"],
    "show, newest run": ["show", "--json"],
    "tail": ["tail", "-n", "10"],
    "replay, all derived files": ["replay", "--check"],
}


def run() -> list[Row]:
    """Return the peak resident memory of each command beyond that of `auditfold --version`."""
    with tempfile.TemporaryDirectory() as name:
        step = Path(name) / "audit" / "step_04"
        step.mkdir(parents=True)
        size = write_trace(step / "trace_04.jsonl", runs=RUNS, nodes=NODES)
        base = _peak_mib(["--version"])
        rows = [Row("size of the trace", size / 1e9, "GB"), Row("auditfold --version", base, "MiB")]
        for what, words in _COMMANDS.items():
            more = _peak_mib([*words[:1], name, *words[1:]]) - base
            goal = f"at most {MOST_MIB:.0f} MiB beyond the report"
            rows.append(Row(f"{what}, beyond that", more, "MiB", None, goal, more <= MOST_MIB))
        return rows


# A process counts the memory of the one that it was forked from: this one has little.
_MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def _peak_mib(words: list[str]) -> float:
    """Return the peak resident memory of `auditfold` *words*."""
    command = [sys.executable, "-c", _MEASURE, sys.executable, "-m", "observability", *words]
    done = subprocess.run(command, capture_output=True, check=True)
    return int(done.stdout) / (1024 if sys.platform != "darwin" else 1024**2)
