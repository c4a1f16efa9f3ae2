"""What units of this process share without an observer: a lock, ids, and the time of events."""

import itertools
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from observability.values import Gate
from replay.trace.events import Event
from replay.trace.line import utc_second

if TYPE_CHECKING:
    from observability.reporting.unit import LiveUnit

PLAIN: Final = Gate(None)  # what the values of a unit without an observer go through


class _Process:
    """What belongs to this process: the lock of units without an observer, and unit ids."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin anew, as a fork does."""
        self.lock = threading.RLock()
        self.prefix = os.urandom(5).hex()
        self.count = itertools.count(1)

    def new_unit(self) -> str:
        """Return an id that no other process has."""
        return f"{self.prefix}-{next(self.count):x}"


PROCESS: Final = _Process()
# A fork may inherit a lock that a thread of the parent holds, and must not name units as it does.
os.register_at_fork(after_in_child=PROCESS.begin)


# What an event has that was never written.
_UNWRITTEN: Final[dict[str, Any]] = {
    "v": 1,
    "seq": 0,
    "epoch_seconds": 0.0,
    "pid": 0,
    "writer": "",
    "workflow_id": "",
    "step_number": "",
    "hash": "",
}


_templates: Final[dict[type[Event], Event]] = {}
_second: list[Any] = [0, ""]  # the last second that was asked for, and its text


def stamped(kind: type[Event], payload: Mapping[str, Any]) -> Event:
    """Return an event that is written nowhere, with the time of now.

    A copy with some fields set costs a third of a call with all of them, and half of that by
    way of the copy module.
    """
    template = _templates.get(kind)
    if template is None:
        template = _templates[kind] = _with_defaults(kind)
    event: Event = template.__copy__()  # type: ignore[attr-defined]
    second, micros = divmod(time.time_ns() // 1000, 1_000_000)
    known, text = _second
    if second != known:
        text = utc_second(second).decode()
        _second[:] = second, text
    event.timestamp = f"{text}.{micros:06d}Z"
    event.mono_us = time.monotonic_ns() // 1000
    for name, value in payload.items():
        setattr(event, name, value)
    return event


def _with_defaults(kind: type[Event]) -> Event:
    """Return an event in which what must be given is None."""
    needed = {field.name for field in msgspec.structs.fields(kind) if field.required}
    names: dict[str, Any] = dict.fromkeys(needed.difference(_UNWRITTEN))
    return kind(**_UNWRITTEN, **names)


@contextmanager
def locked(*units: "LiveUnit") -> Iterator[None]:
    """Hold the locks of *units* in one order: those of observers, then that of the process."""
    locks = {id(unit.lock): unit.lock for unit in units}
    with ExitStack() as held:
        for lock in sorted(locks.values(), key=lambda lock: (lock is PROCESS.lock, id(lock))):
            held.enter_context(lock)
        yield
