"""How the benchmarks measure: variants in turn in one process, medians, ratios of one run."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

Case = Callable[[int], None]  # does the thing that many times


class Row(NamedTuple):
    """One line of a result.

    Attributes:
        what: What was measured.
        value: The figure.
        unit: Of the figure.
        ratio: To the row it is compared with, or None.
        goal: What the design asks for, in words, or "".
        met: Whether the goal is met; None where there is none.
    """

    what: str
    value: float
    unit: str
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None


def in_turn(cases: Mapping[str, Case], *, n: int, rounds: int) -> dict[str, list[float]]:
    """Return microseconds a call for each case, one figure a round.

    The cases take turns within a round, so that a slow moment of the machine meets all of them.
    """
    times: dict[str, list[float]] = {name: [] for name in cases}
    for case in cases.values():
        case(n // 10 or 1)
    for _ in range(rounds):
        for name, case in cases.items():
            begin = time.perf_counter_ns()
            case(n)
            times[name].append((time.perf_counter_ns() - begin) / n / 1000)
    return times


def ratio(over: list[float], under: list[float]) -> float:
    """Return the median of the ratios round by round."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def rows(
    times: Mapping[str, list[float]], *, to: str, goals: Mapping[str, tuple[str, float]]
) -> list[Row]:
    """Return a row a case, with its ratio to the case *to*.

    Args:
        times: Of `in_turn`.
        to: The case that the others are compared with.
        goals: By case, the goal in words and the largest ratio that meets it.
    """
    found = []
    for name, figures in times.items():
        share = ratio(figures, times[to])
        words, most = goals.get(name, ("", 0.0))
        met = share <= most if words else None
        found.append(Row(name, statistics.median(figures), "us", share, words, met))
    return found
