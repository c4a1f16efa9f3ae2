"""Live units after an interruption: as the trace says.

The exception of a signal handler may come between the writing of an event and its application,
or in the middle of the latter.  Nobody can tell then how much of it was applied, so the units are
folded again from the lines of this process, and their handles get the states of that fold.
"""

import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from replay.fold import report as states
from replay.fold.report.units import Units

if TYPE_CHECKING:
    from observability.observer import ExecutionObserver


def change(observer: "ExecutionObserver", unit: Any, write: Callable[[], None]) -> None:
    """Let *write* write events and apply them.

    The exception of a signal handler may come between any two instructions.  What was
    written then is what holds: the units are folded from the trace again.

    Args:
        observer: Whose lock is held.
        unit: What changes.
        write: Writes events of it, and applies them.
    """
    nested = observer.changing
    if nested:
        if _is_under_way(observer):
            # A handler or finaliser came in the middle of a change, and changes something
            # itself.  That one sets right in which order they are.
            observer.doubtful = True
        else:
            fold_again(observer)
            nested = False
    before = observer.latest
    observer.changing = True
    try:
        write()
        observer.changing = nested
    except BaseException:
        if nested:
            observer.doubtful = True
        elif observer.latest_settled() is not before or observer.doubtful:
            fold_again(observer, unit)
        else:
            observer.changing = False
        raise
    if observer.doubtful and not nested:
        fold_again(observer)


def settle_if_idle(observer: "ExecutionObserver") -> None:
    """Make good what was interrupted twice; not in the middle of a change."""
    if not _is_under_way(observer):
        fold_again(observer)


def _is_under_way(observer: "ExecutionObserver") -> bool:
    """Return whether this thread is in a `change` of *observer* further out than the caller."""
    frame = sys._getframe(2)  # noqa: SLF001 - nothing else tells a call that goes on
    at: Any = frame
    while at is not None:
        if at.f_code is change.__code__ and at.f_locals.get("observer") is observer:
            return True
        at = at.f_back
    return False


def fold_again(observer: "ExecutionObserver", *more: Any) -> None:
    """Give the live units of *observer* the states that a fold of the trace has.

    Not in a fork, whose units began in the trace of its parent, nor where events were dropped
    or the run has ended: then live units have what no trace has.

    Args:
        observer: Whose lock is held.
        more: Units that may have begun just now.
    """
    observer.changing = True  # until this is done: an interruption of it too is made good
    observer.latest_settled()
    whole = observer.is_open and not observer.dropped and not observer.queued
    if whole and os.getpid() == observer.pid:
        units = Units()
        for event in observer.events():
            if getattr(event, "unit", None) is not None:
                units.apply(event)
        handles = {}
        for root in [*observer.reports, *more]:
            for unit in _all(root):
                handles[unit.state.unit] = unit
        for state in list(units.roots()):
            if state.unit in handles:
                give(handles, state, None)
        for root in list(observer.reports):
            if root.state.unit not in units.states:
                # It was to begin again in this trace, and that failed.
                observer.reports.discard(root.recorded_by(None))
    observer.doubtful = bool(observer.queued)
    observer.changing = False


def give(handles: dict[str, Any], state: states.ReportBase, parent: Any) -> Any:
    """Give a state, and those in it, to their handles; make one where there is none."""
    unit = handles.get(state.unit)
    if unit is None:
        return parent.handle_of(state)
    unit.take_over(state, parent)
    if parent is not None:
        unit.observer.reports.discard(unit)
    unit.stand_in_again(lambda inner: give(handles, inner, unit))
    return unit


def _all(unit: Any) -> Iterator[Any]:
    if getattr(unit, "state", None) is not None:
        yield unit
        for child in unit.all_children():
            yield from _all(child)
