"""A unit with what stands in it begins again: in a trace, in another one, or in another unit."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from observability.reporting.interruption import change
from observability.reporting.process import PLAIN, PROCESS
from observability.values import Gate
from replay.fold.report.beginning import begun, place
from replay.trace.events import UnitBegun

if TYPE_CHECKING:
    from observability.observer import ExecutionObserver
    from observability.reporting.unit import LiveUnit
    from replay.fold import report as states


def adopt(unit: "LiveUnit", observer: "ExecutionObserver") -> None:
    """Record *unit*, and all that stands in it, in the trace of *observer* from now on."""
    with observer.lock, PROCESS.lock:
        if not unit.is_recorded:
            unit.compare_all()
            begin_again(unit, observer, unit.parent)
            unit.warned = False


def begin_again(
    unit: "LiveUnit", observer: "ExecutionObserver | None", parent: "LiveUnit | None"
) -> None:
    """Let *unit* begin with what was there before: in another trace, or in another unit.

    What fails before all of it was written leaves it where it was; the trace then has a
    beginning under ids that nobody has.
    """
    gate = PLAIN if observer is None else observer.gate
    copies = list(_copies(unit, gate, None if parent is None else parent.state.unit))
    before = [(one, one.state, one.state.unit, one.observer) for one, _ in copies]
    try:
        if observer is not None:
            observer.reports.add(unit)  # however often this is interrupted
        for one, payload in copies:
            one.observer, one.state.unit = observer, payload["unit"]
        _tell_copies(unit, copies, parent)
    except BaseException:
        if observer is not None:
            doubtful, observer.doubtful = observer.doubtful, True
        if unit.state is before[0][1]:
            for one, state, name, former in before:
                one.observer, state.unit = former, name
            if observer is not None:
                observer.reports.discard(unit)
        if observer is not None:
            observer.doubtful = doubtful
        raise


def _copies(
    unit: "LiveUnit", gate: Gate, parent: str | None
) -> Iterator[tuple["LiveUnit", dict[str, Any]]]:
    """Yield *unit* and those in it, with what says how each of them begins again."""
    held: states.ReportBase = unit.state
    plain = msgspec.to_builtins(held)
    for name in ("unit", "kind", "steps", "files", "tally"):
        plain.pop(name, None)
    payload: dict[str, Any] = {
        "unit": PROCESS.new_unit(),
        "kind": held.kind,
        "label": gate.text("text", held.label),
        "state": gate.strict(plain),
    }
    if parent is not None:
        payload["parent"] = parent
    yield unit, payload
    for child in unit.all_children():
        yield from _copies(child, gate, payload["unit"])


def _tell_copies(
    unit: "LiveUnit",
    copies: list[tuple["LiveUnit", dict[str, Any]]],
    parent: "LiveUnit | None",
) -> None:
    """Write that units begin again, and let them; nothing is applied before all is written."""

    def begin() -> None:
        events = [unit.emit_event(UnitBegun, payload) for _, payload in copies]
        for (one, _), event in zip(copies, events, strict=True):
            above = parent if one is unit else one.parent
            one.take_over(begun(event), above)
            if above is not None:
                place(above.state, one.state, event)
        if parent is not None:
            parent.children_like(unit).add(unit)
            if observer is not None:
                observer.reports.discard(unit)

    observer = unit.observer
    if observer is None:
        begin()
        return
    with observer.lock:
        change(observer, unit, begin)
