"""Batches, files and steps of a run for a terminal: what failed first, each with its steps.

Long lists are cut as in `replay.show.tree`, which prints these lines between its own.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from replay.fold.run_report import RunReport
from replay.fold.run_units import file_views, other_views, report_heads
from replay.fold.runs import Standing
from replay.show.line import harmless
from replay.show.node_steps import steps_with_nodes
from replay.show.page.units import BAD, Kind, Review, Unit, decision_text, remarks_of, units
from replay.show.text import STYLE_OF, Line, Piece, cells, count_text, fit, pad, seconds_text

_ORDER: Final = ("failed", "interrupted", "running", "pending", "skipped", "succeeded")
_PLURAL: Final[dict[Kind, str]] = {"file": "files", "step": "steps", "unit": "other units"}
_MOST_BAD: Final = 20
_MOST_OTHERS: Final = 20
_FEW: Final = 10  # files and steps of a batch of which all steps are shown
_MOST_STEPS: Final = 10  # of a file in which nothing went wrong
_MOST_REASONS: Final = 10  # lines of what a file or step says it failed of
_MOST_LOGGED: Final = 3  # warnings and errors of a node that is a step
_STYLE_OF_LEVEL: Final = {"error": "red", "warning": "yellow"}
_MOST_TRACEBACK: Final = 40  # lines
_WIDEST_NAME: Final = 44
_NARROWEST_NAME: Final = 12
_STATUS: Final = len("interrupted")
_BEFORE_NAME: Final = 2 + _STATUS + 2  # indent and status
_BESIDE_NAME: Final = _BEFORE_NAME + 2 + 9  # and time
_FACTS: Final = len("  12 of 12 checks ok")
_READABLE_NAME: Final = 24


def batch_lines(
    state: RunReport,
    standing: Standing,
    left_out: list[str],
    *,
    columns: int | None = None,
    failed_only: bool = False,
) -> Iterator[Line]:
    """Yield the lines; none for a run without files and steps.

    Args:
        state: The run.
        standing: Its status.
        left_out: Gets a word for each list that is cut.
        columns: What the terminal has; None for no limit.
        failed_only: All that failed, with tracebacks, and nothing else; without nodes.
    """
    groups = _groups(state, standing, keep_all=failed_only)
    longest = max((group.width() for group in groups.values()), default=0)
    width = _name_width(longest, columns)
    timed = columns is None or width + _BESIDE_NAME <= columns
    rows = _Rows(left_out, width=width, timed=timed, in_full=failed_only)
    for report in report_heads(state.units, standing.status):
        found = groups.pop(report["unit"], None)
        if found is None and failed_only:
            continue
        yield []
        yield _head(report)
        if found is not None:
            yield from found.lines(rows)
    for found in groups.values():
        yield from found.lines(rows)


def _name_width(longest: int, columns: int | None) -> int:
    """Return how many columns names get.

    Times fit on any but the narrowest terminals, facts where names stay readable.
    """
    if columns is None:
        return min(longest, _WIDEST_NAME)
    room = columns - _BESIDE_NAME
    if room < _NARROWEST_NAME:
        return max(0, columns - _BEFORE_NAME)
    width = min(longest, room, max(_WIDEST_NAME, columns // 2))
    if room - _FACTS >= _READABLE_NAME:
        width = min(width, room - _FACTS)
    return max(width, _NARROWEST_NAME)


def count_lines(state: RunReport, standing: Standing) -> Iterator[Line]:
    """Yield how many files and steps there are of each status, a line a kind."""
    counts: dict[Kind, Counter[str]] = {}
    for unit in _every(state, standing):
        counts.setdefault(unit.kind, Counter())[unit.status] += 1
    for kind, found in counts.items():
        said = (f"{found[status]} {status}" for status in _ORDER if found[status])
        yield [Piece(f"{_PLURAL[kind]}: {', '.join(said)}")]


def _every(state: RunReport, standing: Standing) -> Iterator[Unit]:
    status, now_us = standing.status, state.last.mono_us
    yield from units("step", steps_with_nodes(state, standing))
    yield from units("file", file_views(state.units, status, now_us))
    yield from units("unit", other_views(state.units, status, now_us))


def _groups(state: RunReport, standing: Standing, *, keep_all: bool) -> dict[str | None, "_Group"]:
    groups: dict[str | None, _Group] = {}
    for unit in _every(state, standing):
        # What failed of a node is told where nodes are told in full.
        if keep_all and (unit.status not in BAD or "attempts" in unit.view):
            continue
        group = groups.setdefault(unit.view.get("report"), _Group(keep_all=keep_all))
        group.add(unit)
    return groups


class _Group:
    """The files and steps of one batch: the first ones of each status, and how many there are."""

    def __init__(self, *, keep_all: bool) -> None:
        self._keep_all = keep_all
        self._kept: dict[tuple[Kind, str], list[Unit]] = {}
        self._counts: Counter[tuple[Kind, str]] = Counter()

    def add(self, unit: Unit) -> None:
        key = (unit.kind, unit.status)
        self._counts[key] += 1
        kept = self._kept.setdefault(key, [])
        if self._keep_all or len(kept) < _MOST_BAD:
            kept.append(unit)

    def width(self) -> int:
        """Return how many columns the longest name takes, with its indent."""
        kept = [unit for units in self._kept.values() for unit in units]
        names = [cells(unit.name) for unit in kept]
        return max(names + [2 + cells(step.name) for unit in kept for step in unit.steps])

    def lines(self, rows: "_Rows") -> Iterator[Line]:
        room = _MOST_OTHERS
        few = sum(self._counts.values()) <= _FEW
        for status in _ORDER:
            for kind in _PLURAL:
                kept = self._kept.get((kind, status), [])
                if status not in BAD:
                    kept = kept[:room]
                    room -= len(kept)
                for unit in kept:
                    yield from rows.unit(unit, with_steps=few or status in BAD)
                left = self._counts[kind, status] - len(kept)
                if left:
                    yield rows.left_out(left, f"{status} {kind}", "  ")


def _head(report: dict[str, Any]) -> Line:
    status = report["status"]
    stage = f"{report['stage']} {report['percent']} %" if report["stage"] else ""
    said = ": ".join(filter(None, (stage, report["message"])))
    return [
        Piece(harmless(report["label"]), "bold"),
        Piece("  "),
        Piece(status, STYLE_OF.get(status, "")),
        Piece(f"  {harmless(said)}" if said else "", "dim"),
    ]


class _Rows:
    """Files and steps as lines."""

    def __init__(self, left_out: list[str], *, width: int, timed: bool, in_full: bool) -> None:
        self._left_out, self._width, self._timed = left_out, width, timed
        self._in_full = in_full

    def unit(self, unit: Unit, *, with_steps: bool) -> Iterator[Line]:
        """Yield a file, and with it its steps, or a step."""
        steps = unit.steps
        bad = [step for step in steps if step.status in BAD]
        yield from self._row(unit, "  ")
        shown = bad if self._in_full else steps
        if not bad:
            shown = [step for step in steps if with_steps or step.reviews or remarks_of(step.view)][
                :_MOST_STEPS
            ]
        for step in shown:
            yield from self._row(step, "    ")
            if self._in_full:
                yield from _traceback(step, "      ")
        if self._in_full:
            yield from _traceback(unit, "    ")
        elif with_steps and len(shown) < len(steps):
            yield self.left_out(len(steps) - len(shown), "step", "    ")

    def left_out(self, count: int, what: str, indent: str) -> Line:
        """Return the line that stands for what is not shown."""
        self._left_out.append(what)
        return [Piece(f"{indent}and {count_text(count, 'more ' + what)}", "dim")]

    def _row(self, unit: Unit, indent: str) -> Iterator[Line]:
        width = self._width + 2 - len(indent)
        status = unit.status
        yield [
            Piece(f"{indent}{status:<{_STATUS}}", STYLE_OF.get(status, "")),
            Piece(f"  {pad(fit(unit.name, width), width)}"),
            Piece(f"  {seconds_text(unit.seconds):>9}" if self._timed else "", "dim"),
            Piece(f"  {unit.facts}" if self._timed and unit.facts else ""),
        ]
        below = f"{indent}  "
        # What its steps say stands at them.
        reasons = [text for reason in unit.own_reasons for text in reason.split("\n") if text]
        shown = reasons if self._in_full else reasons[:_MOST_REASONS]
        for text in shown:
            yield [Piece(f"{below}{harmless(text)}", "red")]
        if len(shown) < len(reasons):
            yield self.left_out(len(reasons) - len(shown), "line", below)
        for text in unit.view.get("warnings") or ():
            yield [Piece(f"{below}warning: {harmless(str(text))}", "yellow")]
        # Of a unit that failed they are what it failed of.
        bad = () if status in BAD else unit.view.get("checks") or ()
        for check in bad:
            if not check["ok"]:
                said = f"check {check['name']}: {check['detail'] or 'failed'}"
                yield [Piece(below + harmless(said), "red")]
        logged = unit.view.get("messages") or ()
        serious = [one for one in logged if one["level"] in _STYLE_OF_LEVEL]
        for one in serious[:_MOST_LOGGED]:
            said = f"{below}{one['level']}: {harmless(one['text'])}"
            yield [Piece(said, _STYLE_OF_LEVEL[one["level"]])]
        if len(serious) > _MOST_LOGGED:
            yield self.left_out(len(serious) - _MOST_LOGGED, "message", below)
        yield from answers(unit, below)


def answers(unit: Unit, indent: str) -> Iterator[Line]:
    """Yield what a unit asks, without what a file took over from a step, and what people said."""
    for one, review in unit.reviews:
        if one is unit:
            yield [Piece(indent + review_text(review), "magenta")]
            if review.note:
                yield [Piece(f"{indent}  {harmless(review.note)}")]
    for remark in remarks_of(unit.view):
        said = f"{remark['author']}: {remark['text']}"
        yield [Piece(f"{indent}{harmless(said)}")]


def review_text(review: Review) -> str:
    """Return a request for a look, and what became of it, as one line."""
    said = decision_text(review)
    return harmless(f"{said}: {review.reason}" if review.reason else said)


def _traceback(unit: Unit, indent: str) -> Iterator[Line]:
    lines = [harmless(line) for line in unit.own_traceback.rstrip("\n").split("\n") if line]
    left = len(lines) - _MOST_TRACEBACK
    if left > 0:
        yield [Piece(f"{indent}... {count_text(left, 'line')} above", "dim")]
    for line in lines[-_MOST_TRACEBACK:]:
        yield [Piece(f"{indent}{line}", "dim")]
