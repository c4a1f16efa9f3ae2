"""A program whose writers are interrupted by a handler that raises: `storm.py OUT MODE SEED`.

`once`: 1,000 writers, a signal somewhere in the life of each.  `often`: writers under a timer
that goes on during recovery, until 500 signals have come.  Prints JSON: what was
acknowledged, what was begun, and how many exceptions came.
"""

import json
import random
import signal
import sys
import time
from types import FrameType
from typing import Any

from observability.journal import Journal

WORKFLOW = "step_04_storm"


class StormError(Exception):
    """Raised by the handler."""


class Storm:
    """Writers, and what they know of their events."""

    def __init__(self, out: str) -> None:
        self.out = out
        self.acknowledged: list[str] = []
        self.begun: list[str] = []
        self.interruptions = 0
        self.armed = False
        self.interval_s = 0.0  # to the next signal; 0: there is none
        self.unraisable: list[Any] = []
        # How long a life is, on this machine and now: signals are to fall into it.
        began = time.monotonic()
        for n in range(3):
            journal = self.open()
            for _ in range(60):
                journal.append("life", {"n": n})
            journal.close()
        self.life_s = (time.monotonic() - began) / 3

    def raise_(self, _signal: int, _frame: FrameType | None) -> None:
        if not self.armed:
            return
        # A little later each time: on a machine that has become slower an opening, or a
        # closing, would else never come to its end.
        self.interval_s *= 1.05
        signal.setitimer(signal.ITIMER_REAL, self.interval_s)
        self.interruptions += 1
        raise StormError

    def open(self) -> Journal:
        return Journal(self.out, WORKFLOW, durability="none")

    def tick(self, journal: Journal, name: str) -> None:
        self.begun.append(name)
        journal.append("tick", {"n": name})
        self.acknowledged.append(name)

    def once(self, number: int) -> None:
        """Live a writer's life with one signal in it, then close what there is."""
        journal = None
        try:
            signal.setitimer(signal.ITIMER_REAL, random.random() * self.life_s + 1e-6)
            journal = self.open()
            for n in range(60):
                self.tick(journal, f"{number}.{n}")
            journal.close()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            if journal is not None:
                journal.close()

    def often(self, number: int) -> None:
        """Live it with many signals, and try until it is closed."""
        journal = None
        self.interval_s = (0.3 + random.random()) * self.life_s
        signal.setitimer(signal.ITIMER_REAL, self.life_s)
        for n in range(100):
            try:
                if journal is None:
                    journal = self.open()
                self.tick(journal, f"{number}.{n}")
            except StormError:
                pass
        while journal is not None and not journal.closed:
            try:  # noqa: SIM105 - suppress() is a place more for the handler to raise in
                journal.close()
            except StormError:
                pass


def main(out: str, mode: str, seed: str) -> None:
    random.seed(int(seed))
    storm = Storm(out)
    # No Python function, in which the handler could raise again.
    sys.unraisablehook = storm.unraisable.append
    signal.signal(signal.SIGALRM, storm.raise_)
    live = getattr(storm, mode)
    number = 0
    while number < 1000 if mode == "once" else storm.interruptions < 500:
        number += 1
        try:
            storm.armed = True
            live(number)
            storm.armed = False
        except StormError:
            storm.armed = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    # What a constructor left behind is closed at exit, or by this one.
    Journal(out, WORKFLOW).close()
    json.dump(
        {
            "acknowledged": storm.acknowledged,
            "begun": storm.begun,
            "interruptions": storm.interruptions,
            "unraisable": [str(what.exc_value) for what in storm.unraisable],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
