"""A unit with what stands in it begins again: in a trace, in another one, or in another unit."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from observability.reporting.fitting import EventParts, split_beginning
from observability.reporting.interruption import change
from observability.reporting.process import PLAIN, PROCESS
from replay.fold.report.beginning import begun, place
from replay.fold.report.handlers import HANDLERS
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

    Raises:
        EventTooLongError: A value in it is longer than a line; nothing was written.
    """
    copies = list(_copies(unit, observer, None if parent is None else parent.state.unit))
    before = [(one, one.state, one.state.unit, one.observer) for one, _ in copies]

    def begin() -> None:
        try:
            if observer is not None:
                observer.reports.add(unit)
            for one, ((_, payload), *_) in copies:
                one.observer, one.state.unit = observer, payload["unit"]
            events = [[unit.emit_event(*part) for part in parts] for _, parts in copies]
        except BaseException:
            # Before `change` folds what was written, which is not all there is.
            _leave(before, observer)
            raise
        _apply_copies(unit, [one for one, _ in copies], events, parent)

    if observer is None:
        begin()
        return
    try:
        with observer.lock:
            change(observer, unit, begin)
    except BaseException:
        _leave(before, observer)
        raise


def _leave(
    before: list[tuple["LiveUnit", Any, str, "ExecutionObserver | None"]],
    observer: "ExecutionObserver | None",
) -> None:
    """Leave a unit, the first, with what stands in it where it was, unless it has begun by now."""
    unit, held, known, _ = before[0]
    if unit.state is not held or held.unit == known:
        return
    if observer is not None:
        observer.doubtful = True  # however often this is interrupted
    for one, state, name, former in reversed(before):
        one.observer, state.unit = former, name
    if observer is not None:
        observer.reports.discard(unit)


def _copies(
    unit: "LiveUnit", observer: "ExecutionObserver | None", parent: str | None
) -> Iterator[tuple["LiveUnit", list[EventParts]]]:
    """Yield *unit* and those in it, with the events by which each of them begins again."""
    gate = PLAIN if observer is None else observer.gate
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
    is_written = observer is not None and observer.is_open
    later = split_beginning(payload, repr(unit)) if is_written else []
    yield unit, [(UnitBegun, payload), *later]
    for child in unit.all_children():
        yield from _copies(child, observer, payload["unit"])


def _apply_copies(
    unit: "LiveUnit",
    copied: list["LiveUnit"],
    events: list[list[Any]],
    parent: "LiveUnit | None",
) -> None:
    """Let units begin by events that are all written."""
    for one, (event, *later) in zip(copied, events, strict=True):
        state = begun(event)
        for more in later:
            HANDLERS[type(more)](state, more, None)
        above = parent if one is unit else one.parent
        one.take_over(state, above)
        if above is not None:
            place(above.state, one.state, event)
    if parent is not None:
        parent.children_like(unit).add(unit)
        if unit.observer is not None:
            unit.observer.reports.discard(unit)
