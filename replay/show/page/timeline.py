"""When each unit ran, as bars: their places in per cent of the run's time.

Pure numbers: the template draws them, so they fit any width.  Up to `MOST_LANES` units have a
lane each; beyond that consecutive units share one, in which what went wrong is still marked.
"""

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from replay.show.page.units import BAD, Tree, Unit, View
from replay.show.page.wording import instant, short
from replay.show.text import seconds_text

MOST_LANES: Final = 200
_GROUPS: Final = 60
_MOST_MARKS: Final = 25  # in one lane
_TICKS: Final = 5
_THINNEST: Final = 0.15  # per cent
_LABEL: Final = 80  # characters
_LONGEST: Final = 1e9  # seconds
# Seconds; decimal below a minute, then as clocks divide.
_ROUND: Final = (
    *(digit * 10.0**power for power in range(-6, 1) for digit in (1, 2, 5)),
    *(10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0),
    *(3600.0 * hours for hours in (1, 2, 3, 6, 12, 24, 48, 168, 720, 8760)),
)


class Bar(NamedTuple):
    """From `x`, for `width`, in per cent; `said` is what a pointer on it is told."""

    x: float
    width: float
    status: str
    said: str


class Lane(NamedTuple):
    """One row; a lane of several units leads to no place on the page."""

    name: str
    anchor: str
    time: str
    bars: Sequence[Bar]


class Chart(NamedTuple):
    """The picture.

    Attributes:
        lanes: From above.
        ticks: (place in per cent, time since the beginning).
        units: How many units there are.
        together: How many of them share a lane; 1 if each has its own.
        seconds: What the whole width stands for.
    """

    lanes: Sequence[Lane]
    ticks: Sequence[tuple[float, str]]
    units: int
    together: int
    seconds: float


class Stretch(NamedTuple):
    """A unit while it ran, or one attempt of it: microseconds since 1970."""

    begin: int
    end: int
    status: str
    unit: Unit


def chart(tree: Tree) -> Chart | None:
    """Return the picture of all files, steps and nodes, None if none has begun."""
    found = [stretches for unit in tree.every() if (stretches := list(_stretches(unit)))]
    if not found:
        return None
    found.sort(key=lambda stretches: stretches[0].begin)
    # Not that of the first: a clock may have been set back before an attempt.
    begin = min(stretch.begin for stretches in found for stretch in stretches)
    end = max(stretch.end for stretches in found for stretch in stretches)
    scale = _Scale(begin, max(end - begin, 1))
    together = 1 if len(found) <= MOST_LANES else -(-len(found) // _GROUPS)
    if together == 1:
        lanes = [_lane(stretches, scale) for stretches in found]
    else:
        cuts = range(0, len(found), together)
        lanes = [_group(found[cut : cut + together], scale) for cut in cuts]
    return Chart(lanes, list(_ticks(scale.length / 1e6)), len(found), together, scale.length / 1e6)


class _Scale(NamedTuple):
    begin: int
    length: int

    def bar(self, begin: int, end: int, status: str, said: str) -> Bar:
        x = 100 * (begin - self.begin) / self.length
        width = max(100 * (max(end, begin) - begin) / self.length, _THINNEST)
        return Bar(round(min(x, 100 - _THINNEST), 3), round(width, 3), status, said)


def _stretches(unit: Unit) -> Iterator[Stretch]:
    """Yield when *unit* ran: once an attempt, where it has attempts."""
    parts: Sequence[View] = unit.view.get("attempts") or [unit.view]
    for part in parts:
        begin = instant(part.get("started_at"))
        if begin is None:
            continue
        end = instant(part.get("ended_at") or part.get("finished_at"))
        if end is None:
            end = begin + _length_us(part)
        yield Stretch(begin, end, str(part.get("status") or unit.status), unit)


def _length_us(part: View) -> int:
    """Return how long something open took; 0 for what is no time, as a program may say."""
    seconds = part.get("duration_seconds", 0.001 * (part.get("duration_ms") or 0))
    if isinstance(seconds, int | float) and 0 <= seconds <= _LONGEST:
        return round(1e6 * seconds)
    return 0


def _lane(stretches: Sequence[Stretch], scale: _Scale) -> Lane:
    unit = stretches[0].unit
    name = short(unit.name, _LABEL)
    time = seconds_text(unit.seconds)
    bars = [
        scale.bar(
            stretch.begin,
            stretch.end,
            stretch.status,
            f"{name}: {stretch.status}, {seconds_text((stretch.end - stretch.begin) / 1e6)}",
        )
        for stretch in stretches
    ]
    return Lane(name, unit.anchor, time, bars)


def _group(found: Sequence[Sequence[Stretch]], scale: _Scale) -> Lane:
    """Return one lane for several units: what they took together, and what went wrong."""
    begin = min(stretch.begin for stretches in found for stretch in stretches)
    end = max(stretch.end for stretches in found for stretch in stretches)
    names = [short(stretches[0].unit.name, _LABEL) for stretches in (found[0], found[-1])]
    last = [stretches[-1] for stretches in found]
    bad = [stretch for stretch in last if stretch.status in BAD]
    said = f"{len(found)}, {len(bad)} bad" if bad else f"{len(found)}"
    calm = {stretch.status for stretch in last} - BAD
    status = calm.pop() if len(calm) == 1 else "succeeded"
    whole = scale.bar(begin, end, f"{status} group", f"{names[0]} to {names[1]}: {said}")
    marks = [
        scale.bar(
            mark.begin,
            max(mark.end, mark.begin + scale.length // 250),
            mark.status,
            f"{short(mark.unit.name, _LABEL)}: {mark.status}",
        )
        for mark in sorted(bad, key=itemgetter(0))[:_MOST_MARKS]
    ]
    return Lane(names[0], "", said, [whole, *marks])


def _ticks(seconds: float) -> Iterator[tuple[float, str]]:
    """Yield about five places that are round numbers, the beginning first."""
    step = next((step for step in _ROUND if seconds / step <= _TICKS), _ROUND[-1])
    step = max(step, seconds / (4 * _TICKS))
    count = int(seconds / step + 1e-9)
    for place in range(count + 1):
        at = place * step
        yield round(100 * at / seconds, 3), "0" if not place else tick_text(at)


def tick_text(seconds: float) -> str:
    """Return a round number of seconds without the digits that say nothing.

    >>> tick_text(0.00002), tick_text(0.02), tick_text(1.5), tick_text(90), tick_text(7200)
    ('20 us', '20 ms', '1.5 s', '1 min 30 s', '2 h')
    """
    for unit, size in (("us", 1e-6), ("ms", 1e-3), ("s", 1.0)):
        if round(seconds / size, 9) < (60 if unit == "s" else 1000):
            return f"{seconds / size:.6g} {unit}"
    return seconds_text(seconds).removesuffix(" 00 s").removesuffix(" 00 min")
