"""What does a bar cost a node, and a printed line that goes past it?"""

import contextlib
import os
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.emit import terminal_as_stderr
from benchmarks.measure import Case, Row, in_turn
from observability import ExecutionObserver
from observability.terminal.progress import Bar, bar_stream

NODES = 20_000
LINES = 500
ROUNDS = 15
_MOST_US = 1.0


def run() -> list[Row]:
    """Return microseconds a node (its start and its end), and microseconds a printed line."""
    with terminal_as_stderr():
        logged = Bar(10**9, "Executing", log=_nowhere, stream=None)
        drawn = Bar(10**9, "Executing", log=_nowhere, stream=bar_stream(always=False))
        cases = {"in the log alone": _nodes(logged), "drawn, ten redraws a second": _nodes(drawn)}
        nodes = in_turn(cases, n=NODES, rounds=ROUNDS)
        drawn.close()
    with tempfile.TemporaryDirectory() as folder, terminal_as_stderr():
        lines = in_turn({"print to stderr": _print}, n=LINES, rounds=ROUNDS)
        for use_tqdm in (False, True):
            what = "the same, captured, " + ("past a bar" if use_tqdm else "no bar")
            lines |= {what: _captured(Path(folder, str(use_tqdm)), use_tqdm=use_tqdm)}
    return [*map(_node_row, nodes.items()), *map(_line_row, lines.items())]


def _nodes(bar: Bar) -> Case:
    def case(n: int) -> None:
        for _ in range(n):
            bar.say("module.py")
            bar.move(bar.n + 1, failed=0)

    return case


def _captured(out: Path, *, use_tqdm: bool) -> list[float]:
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        observer = ExecutionObserver("step_04_bar", out, 10, use_tqdm)
        with observer.capture_progress(), observer.node("module.py"):
            figures = in_turn({"": _print}, n=LINES, rounds=ROUNDS)
        observer.workflow_complete()
    return figures[""]


def _print(n: int) -> None:
    for i in range(n):
        print(
            "a line of a program, eighty characters long, as they say what they do",
            i,
            file=sys.stderr,
        )


def _node_row(case: tuple[str, list[float]]) -> Row:
    us = statistics.median(case[1])
    return Row(f"a node, {case[0]}", us, "us", None, f"at most {_MOST_US:g} us", us <= _MOST_US)


def _line_row(case: tuple[str, list[float]]) -> Row:
    return Row(case[0], statistics.median(case[1]), "us")


def _nowhere(_line: str) -> None:
    pass
