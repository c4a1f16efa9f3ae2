"""Values nested in metadata or in own fields, changed without a call: compared, then recorded.

What cannot be recorded is put back to what was recorded last, and that is said once.
"""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from observability.reporting.fitting import shortened
from observability.values import EventTooLongError
from replay.trace.events import Captured, ExceptionRaised, Message, MetadataChanged, UnitEdited

if TYPE_CHECKING:
    from observability.reporting.recorder import Recorder
    from replay.fold import report as states

NAMES: Final = ("metadata", "fields")
# After these, they may hold something that is changed without a call.
FILLING: Final = frozenset({MetadataChanged, ExceptionRaised, Captured, UnitEdited})

_Place = tuple[str, str]  # one of `NAMES`, and a key

_LONGEST: Final = 1000  # characters of a warning; keys may be long


def has_nested(event: Any) -> bool:
    """Return whether what an event sets may hold something that is changed without a call."""
    if getattr(event, "lines", None) is not None or _is_nested(getattr(event, "value", None)):
        return True
    return any(map(_is_nested, (getattr(event, "patch", None) or {}).values()))


def known_of(state: "states.ReportBase") -> bytes | None:
    """Return what to compare a state with; None if nothing in it is changed without a call."""
    metadata, fields = state.metadata, state.fields
    if (metadata and any(map(_is_nested, metadata.values()))) or (
        fields and any(map(_is_nested, fields.values()))
    ):
        return orjson.dumps((metadata, fields))
    return None


def known_values(known: bytes | None) -> dict[str, dict[str, Any]]:
    """Return the metadata, and the own fields, that *known* was made of."""
    values = (None, None) if known is None else orjson.loads(known)
    return {name: held or {} for name, held in zip(NAMES, values, strict=True)}


def compare(unit: "Recorder") -> None:
    """Record what was changed inside values; what cannot be is put back."""
    state, known = unit.state, unit.known
    if _json_or_none((state.metadata, state.fields)) == known:
        return
    before = known_values(known)
    changed = [
        (name, key)
        for name in NAMES
        for key, value in (getattr(state, name) or {}).items()
        if _json_or_none(value) != orjson.dumps(before[name].get(key))
    ]
    if not changed:
        return
    unit.known = None
    try:
        if not _is_recorded(unit, changed):
            _record_each(unit, changed, before)
    except BaseException:
        if unit.known is None:
            unit.known = known  # what was not recorded is compared again
        raise


def _is_recorded(unit: "Recorder", changed: list[_Place]) -> bool:
    """Record values in one event, if that can be."""
    (first, _), (last, _) = changed[0], changed[-1]
    if len(changed) > 1 and (first, last) != ("metadata", "metadata"):
        return False
    values = getattr(unit.state, first)
    held = {key: values[key] for _, key in changed}
    if _why_not(unit, first, held) is not None:
        return False
    for key, value in held.items():
        _hold(getattr(unit.state, first), key, value)
    return True


def _record_each(
    unit: "Recorder", changed: list[_Place], before: Mapping[str, Mapping[str, Any]]
) -> None:
    """Record values one by one, and keep what was recorded before of those that cannot be."""
    left = {(name, key): getattr(unit.state, name)[key] for name, key in changed}
    said = []
    try:
        for name, key in changed:
            dict.__setitem__(getattr(unit.state, name), key, before[name].get(key))
        unit.know()
        for name, key in changed:
            why = _why_not(unit, name, {key: left[name, key]})
            _hold(getattr(unit.state, name), key, left.pop((name, key)))
            if why is not None:
                text = shortened(f"a change inside {name} was not kept: {why}", _LONGEST)
                # Once: a program may change it again and again.
                if text not in (unit.state.warnings or ()):
                    said.append(text)
                    unit.record(Message, {"level": "warning", "text": text})
    except BaseException:
        for (name, key), value in left.items():
            dict.__setitem__(getattr(unit.state, name), key, value)  # compared again
        raise
    # Last, because warnings may be errors.
    for text in said:
        warnings.warn(text, RuntimeWarning, stacklevel=5)


def _why_not(unit: "Recorder", name: str, values: Mapping[str, Any]) -> str | None:
    """Record values, and return None; or why they cannot be recorded, and nothing was."""
    try:
        clean = unit.clean_values(values)
    except (TypeError, ValueError) as error:
        return str(error)
    try:
        if name == "metadata":
            unit.record(MetadataChanged, {"patch": clean})
        else:
            ((key, value),) = clean.items()
            unit.edit(f".{key}", value)
    except EventTooLongError as error:
        key = next(iter(values))
        return f"{key[:_LONGEST]}: longer than a line takes, {error.want} bytes"
    return None


def _hold(values: dict[str, Any], key: str, held: Any) -> None:
    """Let a list or dict that somebody holds go on being a value; it gets what is in that one."""
    now = values[key]
    if type(held) is list and type(now) is list:
        held[:] = now
    elif type(held) is dict and type(now) is dict:
        held.clear()
        held.update(now)
    else:
        return
    dict.__setitem__(values, key, held)


def _is_nested(value: Any) -> bool:
    return type(value) is dict or type(value) is list


def _json_or_none(value: Any) -> bytes | None:
    try:
        return orjson.dumps(value)
    except TypeError:
        return None
