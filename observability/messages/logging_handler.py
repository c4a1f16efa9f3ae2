"""Records of the standard library's `logging` as messages of the current node.

See docs/logging.md.  The handler holds no lock: the journal has one, and a second one around it
could stop two threads for ever, one that logs and one whose event warns.
"""

import contextlib
import functools
import logging
from typing import TYPE_CHECKING, Any, Final

from observability.messages.message import extra_fields, say
from observability.payloads import describe, first_part, last_part
from observability.values import Gate
from replay.trace.line import utc_second

if TYPE_CHECKING:
    from observability.observer import ExecutionObserver

# What every record has; anything else came by `extra`.
_OWN: Final = frozenset(
    {
        *vars(logging.LogRecord("", 0, "", 0, "", (), None)),
        *("asctime", "message", "taskName"),
    }
)


class AuditHandler(logging.Handler):
    """Turns log records into `message` events of the node that is current where they were made.

    Args:
        level: Records below it are not taken.
        observer: Whose messages they are; None: those of the observer that is current.

    Attributes:
        dropped: Records that no trace has: no observer was current, its run had ended, they were
            made while another one was being recorded in the same thread, or writing failed.

    A record whose recording fails is reported as `logging` does it, on stderr (`handleError`);
    nothing is raised in the program.  A formatter is not used: time, level, logger and exception
    are fields of the event, and `logging.basicConfig` sets one without being asked.
    """

    def __init__(
        self, level: int | str = logging.NOTSET, *, observer: "ExecutionObserver | None" = None
    ) -> None:
        super().__init__(level)
        self.dropped = 0
        self._observer = observer

    def createLock(self) -> None:  # noqa: N802 - the name that logging calls
        """Make none: see the module."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> Any:
        """Emit *record* if the filters let it through; since Python 3.12 they may replace it."""
        passed: Any = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Append the message of *record*."""
        try:
            said = say(lambda gate: self._fields(record, gate), observer=self._observer)
        except Exception:  # noqa: BLE001 - a log call never fails the program
            said = False
            # It writes to stderr, which may be closed.
            with contextlib.suppress(OSError, ValueError):
                self.handleError(record)
        if not said:
            self.dropped += 1

    def _fields(self, record: logging.LogRecord, gate: Gate) -> dict[str, Any]:
        extra = {key: value for key, value in vars(record).items() if key not in _OWN}
        return {
            "level": level_of(record.levelno),
            "text": first_part(gate, "text", record.getMessage()),
            "logger": gate.name("logger", str(record.name)),
            "level_name": gate.name("level_name", str(record.levelname)),
            "occurred_at": _timestamp(record.created),
            **_exception_fields(record, gate),
            **extra_fields(gate, extra),
        }


def level_of(number: int) -> str:
    """Return `error` from ERROR on, `warning` from WARNING on, else `note`."""
    if number >= logging.ERROR:
        return "error"
    return "warning" if number >= logging.WARNING else "note"


def _exception_fields(record: logging.LogRecord, gate: Gate) -> dict[str, Any]:
    """Return what a record says of an exception, or where it was made (`stack_info`)."""
    info = record.exc_info
    error = info[1] if isinstance(info, tuple) else None
    if error is not None:
        return describe(error, gate)
    # What a queue has carried is text only.
    text = record.exc_text or record.stack_info
    return {"traceback": last_part(gate, "traceback", text)} if text else {}


def _timestamp(epoch_seconds: float) -> str | None:
    """Return a time as the envelope has it; None for one that no calendar has."""
    try:
        micros = int(epoch_seconds * 1e6)
        second = _second(micros // 1_000_000)
    except (ValueError, OverflowError, OSError):
        return None
    return f"{second}.{micros % 1_000_000:06d}Z"


@functools.lru_cache(maxsize=4)  # most records are of the second of the one before
def _second(epoch_seconds: int) -> str:
    return utc_second(epoch_seconds).decode()
