"""What a program says elsewhere, as `message` events of the current node.

`logging_handler`, `structlog_records` and `captured_warnings` come here with what was said;
which observer and node are meant is in `observability.context`.  Nothing that goes wrong here is
raised in the code that said something: whoever calls decides how it is told.
"""

import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from observability.context import Scope, current, current_of
from observability.payloads import LARGEST_VALUE
from observability.values import Gate, encode

if TYPE_CHECKING:
    from observability.observer import ExecutionObserver


class _Thread(threading.local):
    """What one thread is doing: whether it is recording something that was said."""

    speaking = False


_thread: Final = _Thread()


def say(
    make: Callable[[Gate], Mapping[str, Any]], *, observer: "ExecutionObserver | None" = None
) -> bool:
    """Append a message about the current node.

    Args:
        make: Returns the event's fields, passed through the gate that it is given.  It is not
            called when there is nobody to tell.
        observer: Whose message it is; None: the current one's.

    Returns:
        Whether it stands in the trace.  False: no observer is current or it has ended, or the
        thread is in the middle of recording another message (a `redact` callable or a
        `__str__` that says something itself), which would never end.

    Raises:
        JournalError: The event could not be written (under `raise`).
        Exception: Whatever *make* raises.
    """
    if _thread.speaking:
        return False
    scope: Scope | None = current() if observer is None else current_of(observer)
    if scope is None or _is_over(scope):
        return False
    _thread.speaking = True
    try:
        fields = make(scope.observer.gate)
        scope.observer.record_clean("message", fields, scope.node_id, scope.node_index)
    except RuntimeError:
        if _is_over(scope):  # meanwhile, in another thread
            return False
        raise
    finally:
        _thread.speaking = False
    return True


def _is_over(scope: Scope) -> bool:
    return not scope.observer.is_open


def extra_fields(gate: Gate, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields for what was said beside the text.

    Values that have no JSON form, and what is beyond 64 KiB of JSON, are left out; `omitted`
    names them.  Nothing is written by its `repr`, which may hold anything.
    """
    if not extra:
        return {}
    kept: dict[str, Any] = {}
    coerced: list[str] = []
    omitted: list[str] = []
    room = LARGEST_VALUE
    for key, value in extra.items():
        try:
            clean, places = gate.lenient({"extra": {key: value}})
        except (TypeError, ValueError):
            omitted.append(gate.name("key", str(key)))
            continue
        size = len(encode(clean))
        if size > room:
            omitted.append(gate.name("key", str(key)))
            continue
        room -= size
        kept |= clean["extra"]
        coerced += places
    said = {"extra": kept, "coerced": coerced, "omitted": omitted}
    return {name: value for name, value in said.items() if value}


def complain(error: BaseException) -> None:
    """Say on stderr that something was not recorded; one that is gone or closed is none."""
    stream = sys.stderr
    if stream is None:
        return
    try:
        stream.write(f"auditfold: a message was not recorded: {type(error).__name__}: {error}\n")
    except (OSError, ValueError):
        return
