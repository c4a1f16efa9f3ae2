"""A report whose calls are interrupted by a handler that raises: `storm.py OUT COUNT`.

Prints its dump as JSON, and how many exceptions came.
"""

import json
import random
import signal
import sys
from typing import Any

from observability import ExecutionObserver, PipelineReport, StepReport


class StormError(BaseException):
    """Raised by the handler."""


class Storm:
    """When the handler raises, and how often it has."""

    armed = False
    count = 0


def strike(*_: Any) -> None:
    """Raise where the program is, if it is in a call of the report."""
    if Storm.armed:
        Storm.count += 1
        raise StormError


def main(out: str, wanted: int) -> None:
    """Say numbered things until enough of them were interrupted."""
    chosen = random.Random(7)
    signal.signal(signal.SIGALRM, strike)
    with ExecutionObserver("storm", out, durability="none"):
        report = PipelineReport("p")
        step = StepReport.begin_within(report, "s")
        n = 0
        while Storm.count < wanted and n < 200_000:
            n += 1
            signal.setitimer(signal.ITIMER_REAL, chosen.uniform(1e-6, 60e-6))
            try:
                Storm.armed = True
                step.note(str(n))
                Storm.armed = False
            except StormError:
                Storm.armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        step.end()
        sys.stderr.write(json.dumps([step.notes, Storm.count]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
