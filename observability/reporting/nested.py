"""Values nested in metadata, which are changed without a call: compared, and then recorded.

What cannot be recorded is put back to what was recorded last, and that is said once.
"""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from observability.reporting.fitting import shortened
from observability.values import EventTooLongError
from replay.trace.events import Captured, ExceptionRaised, Message, MetadataChanged

if TYPE_CHECKING:
    from observability.reporting.recorder import Recorder

# After these, metadata may hold something that is changed without a call.
FILL_METADATA: Final = frozenset({MetadataChanged, ExceptionRaised, Captured})

_LONGEST: Final = 1000  # characters of a warning; keys may be long


def has_nested(event: Any) -> bool:
    """Return whether what goes into metadata may hold something that is changed without a call."""
    if getattr(event, "lines", None) is not None:
        return True
    patch = getattr(event, "patch", None) or {}
    return any(type(value) is dict or type(value) is list for value in patch.values())


def known_of(metadata: Mapping[str, Any] | None) -> bytes | None:
    """Return what to compare metadata with; None if nothing in it is changed without a call."""
    nested = metadata and any(type(value) in {dict, list} for value in metadata.values())
    return orjson.dumps(metadata) if nested else None


def compare(unit: "Recorder") -> None:
    """Record what was changed inside values of the metadata; what cannot be is put back."""
    metadata, known = unit.state.metadata, unit.known
    if _json_or_none(metadata) == known:
        return
    before = orjson.loads(known or b"{}")
    changed = [
        key
        for key in metadata
        if key not in before or _json_or_none(metadata[key]) != orjson.dumps(before[key])
    ]
    unit.known = None
    try:
        if not _is_recorded(unit, changed):
            _record_each(unit, changed, before)
    except BaseException:
        if unit.known is None:
            unit.known = known  # what was not recorded is compared again
        raise


def _is_recorded(unit: "Recorder", changed: list[str]) -> bool:
    """Record values in one event, if that can be."""
    metadata = unit.state.metadata
    return _why_not(unit, {key: metadata[key] for key in changed}) is None


def _record_each(unit: "Recorder", changed: list[str], before: Mapping[str, Any]) -> None:
    """Record values one by one, and keep what was recorded before of those that cannot be."""
    left = {key: unit.state.metadata[key] for key in changed}
    said = []
    try:
        for key in changed:
            dict.__setitem__(unit.state.metadata, key, before.get(key))
        unit.know()
        for key in changed:
            why = _why_not(unit, {key: left[key]})
            del left[key]
            if why is not None:
                text = shortened(f"a change inside metadata was not kept: {why}", _LONGEST)
                # Once: a program may change it again and again.
                if text not in (unit.state.warnings or ()):
                    said.append(text)
                    unit.record(Message, {"level": "warning", "text": text})
    except BaseException:
        dict.update(unit.state.metadata, left)  # compared again
        raise
    # Last, because warnings may be errors.
    for text in said:
        warnings.warn(text, RuntimeWarning, stacklevel=5)


def _why_not(unit: "Recorder", values: Mapping[str, Any]) -> str | None:
    """Record values, and return None; or why they cannot be recorded, and nothing was."""
    try:
        clean = unit.clean_values(values)
    except (TypeError, ValueError) as error:
        return str(error)
    try:
        unit.record(MetadataChanged, {"patch": clean})
    except EventTooLongError as error:
        key = next(iter(values))
        return f"{key[:_LONGEST]}: longer than a line takes, {error.want} bytes"
    return None


def _json_or_none(value: Any) -> bytes | None:
    try:
        return orjson.dumps(value)
    except TypeError:
        return None
