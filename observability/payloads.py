"""What a call gives, as the payload of its event: in range, redacted, cut to size.

What an event does not declare is refused here, before anything of it is written.
"""

import operator
from collections.abc import Mapping
from traceback import format_exception
from typing import Any, Final

import orjson

from observability.values import Gate
from replay.trace.events import Seconds

LARGEST_TEXT: Final = 64 * 1024  # characters of an error's text, and of its traceback
# Looked through for secrets before it is cut, so that none is cut in two and not known any more.
LOOKED_AT: Final = 16 * LARGEST_TEXT
LARGEST_VALUE: Final = 64 * 1024  # bytes of JSON: a value, or the list of a directory
_MOST_NODE_TIMES: Final = 10_000
_MOST_NODE_TIMES_BYTES: Final = 1 << 19  # half of a line

# What a value is behind the gate, and its name in messages; NaN has become a text there.
_NUMBER: Final[dict[type, str]] = {float: "a number", int: "an int", str: "a text of one"}
_NUMBER_OR_NONE: Final[dict[type, str]] = {float: "a number", int: "an int", type(None): "None"}
_TEXT: Final[dict[type, str]] = {str: "str", type(None): "None"}


# --- Ends of nodes and runs


def succeeded(
    gate: Gate, duration_seconds: float, output_hash: str | None, output_summary: Any
) -> dict[str, Any]:
    """Return the payload of a `node_success`, as `ExecutionObserver.node_success` has it."""
    payload, coerced = gate.lenient(
        {
            "duration_seconds": duration_seconds,
            "output_hash": output_hash,
            "output_summary": output_summary,
        }
    )
    if coerced:
        payload = {**payload, "coerced": coerced}
    _want(payload, "duration_seconds", _NUMBER)
    _want(payload, "output_hash", _TEXT)
    return payload


def failed(gate: Gate, error: object, duration_seconds: float) -> dict[str, Any]:
    """Return the payload of a `node_failure`."""
    said = error_fields(gate, error)
    return {**_number(gate, "duration_seconds", duration_seconds), **said}


def retried(
    gate: Gate,
    attempt: int,
    max_attempts: int | None,
    delay_seconds: float | None,
    error: object,
) -> dict[str, Any]:
    """Return the payload of a `node_retry`."""
    said = {} if error is None else error_fields(gate, error)
    payload = gate.strict(
        {
            "attempt": operator.index(attempt),
            "max_attempts": None if max_attempts is None else operator.index(max_attempts),
            "delay_seconds": delay_seconds,
            "error": said.get("error"),
        }
    )
    _want(payload, "delay_seconds", _NUMBER_OR_NONE)
    return payload


def cost(gate: Gate, cumulative_cost_usd: float) -> dict[str, Any]:
    """Return what a `workflow_complete` says of the cost."""
    return _number(gate, "cumulative_cost_usd", cumulative_cost_usd)


def _number(gate: Gate, key: str, number: float) -> dict[str, Any]:
    payload, coerced = gate.lenient({key: number})
    if coerced:
        payload = {**payload, "coerced": coerced}
    _want(payload, key, _NUMBER)
    return payload


def _want(payload: Mapping[str, Any], key: str, kinds: Mapping[type, str]) -> None:
    """Refuse a value that its event does not declare, before anything of it is written."""
    kind = type(payload[key])
    # A number that JSON does not hold has become a text, and only such a text is a number.
    odd = kind is str and kinds is _NUMBER and key not in payload.get("coerced", ())
    if odd or kind not in kinds:
        raise TypeError(f"{key}: got {kind.__name__}, want {' or '.join(kinds.values())}")


def that_fit(times: dict[str, Seconds]) -> dict[str, Seconds] | None:
    """Return *times* if they fit the line beside the rest; a fold has them all in any case."""
    fits = len(times) <= _MOST_NODE_TIMES and len(orjson.dumps(times)) <= _MOST_NODE_TIMES_BYTES
    return times if fits else None


# --- Errors and their texts


def error_fields(gate: Gate, error: object) -> dict[str, Any]:
    """Return an error as payload fields, redacted; an exception with type and traceback."""
    if isinstance(error, BaseException):
        return describe(error, gate)
    if not isinstance(error, str):
        raise TypeError(f"error: got {type(error).__name__}, want str or an exception")
    return {"error": gate.text("error", error)}


def describe(error: BaseException, gate: Gate) -> dict[str, Any]:
    """Return an exception as payload fields: text, type and traceback, redacted and cut."""
    try:
        text = str(error)
    except Exception as own:  # noqa: BLE001 - anybody's __str__
        text = f"no text: its __str__ raised {type(own).__name__}"
    return {
        "error": first_part(gate, "error", text) or type(error).__name__,
        "error_type": type(error).__name__,
        "traceback": last_part(gate, "traceback", "".join(format_exception(error))),
    }


def first_part(gate: Gate, key: str, text: str) -> str:
    """Return the first 64 Ki characters of *text* as they may be kept."""
    return gate.text(key, text[:LOOKED_AT])[:LARGEST_TEXT]


def last_part(gate: Gate, key: str, text: str) -> str:
    """Return the last 64 Ki characters of *text* as they may be kept."""
    return gate.text(key, text[-LOOKED_AT:])[-LARGEST_TEXT:]
