"""Events of structlog as messages of the current node: a processor, a plain function.

structlog itself is neither needed nor imported.  See docs/logging.md.
"""

import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from observability.messages.message import complain, extra_fields, say
from observability.payloads import describe, first_part, last_part
from observability.values import Gate

_LEVELS: Final = {
    "critical": "error",
    "error": "error",
    "exception": "error",
    "fatal": "error",
    "warn": "warning",
    "warning": "warning",
}
_NAMED: Final = frozenset({"event", "exc_info", "exception", "level", "logger"})


def structlog_processor(
    logger: Any, method_name: str, event_dict: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Record an event of structlog as a message, and hand it on as it is.

    It stands in the chain before the renderer.  With no observer the event is just handed on; if
    recording fails, stderr says so, and the program goes on.

    Args:
        logger: The wrapped logger; its `name`, if it has one, is the message's `logger`.
        method_name: Of the call, `info` or `exception`.
        event_dict: The event; keys that begin with `_` are not recorded.

    Returns:
        *event_dict*, unchanged.
    """
    try:
        say(lambda gate: _fields(logger, method_name, event_dict, gate))
    except Exception as error:  # noqa: BLE001 - a log call never fails the program
        complain(error)
    return event_dict


def _fields(logger: Any, method_name: str, event: Mapping[str, Any], gate: Gate) -> dict[str, Any]:
    level_name = event.get("level", method_name)
    name = event.get("logger", getattr(logger, "name", None))
    extra = {
        key: value
        for key, value in event.items()
        if key not in _NAMED and not str(key).startswith("_")
    }
    return {
        "level": _LEVELS.get(level_name, "note"),
        "text": first_part(gate, "text", str(event.get("event", ""))),
        **({"logger": gate.name("logger", name)} if isinstance(name, str) else {}),
        "level_name": gate.name("level_name", str(level_name).upper()),
        **_exception_fields(event, gate),
        **extra_fields(gate, extra),
    }


def _exception_fields(event: Mapping[str, Any], gate: Gate) -> dict[str, Any]:
    """Return what an event says of an exception, as object, tuple, True, or rendered text."""
    info = event.get("exc_info")
    if isinstance(info, tuple):
        info = info[1] if len(info) > 1 else None
    elif info and not isinstance(info, BaseException):
        info = sys.exc_info()[1]
    if isinstance(info, BaseException):
        return describe(info, gate)
    text = event.get("exception")
    return {"traceback": last_part(gate, "traceback", text)} if isinstance(text, str) else {}
