"""What a line does not hold: long texts are cut, long lists are told in several events.

A text that a report makes of what was said is cut here, by characters: one takes at most six bytes
of a line, so those of one event fit it whatever they are.  What a program says itself is never cut:
it is refused where it is given.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from observability.payloads import LARGEST_TEXT, LOOKED_AT
from observability.values import MAX_PAYLOAD, EventTooLongError, Gate, encode
from replay.trace.events import CheckMade, Event, Message, MetadataChanged, UnitEdited

# Characters.  An error, a traceback and a chain stand in one event, beside short names.
LARGEST_NAME: Final = 1024
LARGEST_CHAIN: Final = LARGEST_TEXT // 2
LARGEST_LINES: Final = 2 * LARGEST_TEXT

LEVELS: Final = {"notes": "note", "warnings": "warning", "errors": "error"}

EventParts = tuple[type[Event], dict[str, Any]]
"""What an event is, and what it says."""


# --- Texts


def shortened(text: str, most: int = LARGEST_TEXT) -> str:
    r"""Return *text*, or its first *most* characters and how many are left out.

    >>> shortened("abcdef", 4)
    'abcd\n[... 2 characters left out ...]'
    """
    return text if len(text) <= most else f"{text[:most]}\n{_left_out(len(text) - most)}"


def first_of(text: str, gate: Gate, most: int = LARGEST_TEXT) -> str:
    """Return the beginning of *text* as it may be kept."""
    # Looked through for secrets before it is cut, so that none is cut in two.
    kept, unseen = gate.text("text", text[:LOOKED_AT]), max(0, len(text) - LOOKED_AT)
    if len(kept) <= most and not unseen:
        return kept
    return f"{kept[:most]}\n{_left_out(len(kept) - len(kept[:most]) + unseen)}"


def last_of(text: str, gate: Gate, most: int = LARGEST_TEXT) -> str:
    """Return the end of *text* as it may be kept."""
    kept, unseen = gate.text("text", text[-LOOKED_AT:]), max(0, len(text) - LOOKED_AT)
    if len(kept) <= most and not unseen:
        return kept
    return f"{_left_out(len(kept) - len(kept[-most:]) + unseen)}\n{kept[-most:]}"


def first_of_each(texts: Sequence[str], gate: Gate, most: int = LARGEST_CHAIN) -> list[str]:
    """Return *texts* as they may be kept, *most* characters in all: an equal share of each."""
    if sum(map(len, texts)) > most:
        return [first_of(text, gate, most // len(texts)) for text in texts]
    return [first_of(text, gate, most) for text in texts]


def first_lines(lines: Iterable[str], gate: Gate, most: int = LARGEST_LINES) -> list[str]:
    """Return the first of *lines* as they may be kept, *most* characters in all."""
    kept: list[str] = []
    left_out = 0
    for line in lines:
        clean = first_of(line, gate)
        most -= len(clean)
        if most >= 0:
            kept.append(clean)
        else:
            left_out += 1
    return [*kept, f"[... {left_out} lines left out ...]"] if left_out else kept


def _left_out(n: int) -> str:
    return f"[... {n} characters left out ...]"


# --- Lists


def appended(name: str, item: Any) -> EventParts:
    """Return the event that adds an item to a list; it has passed the gate."""
    if name == "checks":
        return CheckMade, dict(item)
    return Message, {"level": LEVELS[name], "text": item}


def n_that_fit(items: Iterable[Any], room: int) -> int:
    """Return how many of *items*, the first ones, take no more than *room* bytes in a line."""
    n = 0
    for item in items:
        room -= len(orjson.dumps(item)) + 1
        if room < 0:
            break
        n += 1
    return n


def check_length(payload: dict[str, Any], where: str) -> None:
    """Refuse what no line takes, before anything of it is written.

    Raises:
        EventTooLongError: It is too long.
    """
    if len(encode(payload)) > MAX_PAYLOAD:
        raise EventTooLongError(where, payload)


# --- Beginnings


def split_beginning(payload: dict[str, Any], where: str) -> list[EventParts]:
    """Take out of a `unit_begin` with a `state` what its line does not hold.

    Args:
        payload: What it says, through the gate; gets shorter.
        where: What to call it in messages.

    Returns:
        The events that add what was taken out, in order.

    Raises:
        EventTooLongError: A value by itself is longer than a line.
    """
    if len(encode(payload)) <= MAX_PAYLOAD:
        return []
    state = payload["state"] = dict(payload["state"])
    held = {name: state.pop(name) for name in _DIVISIBLE if state.get(name)}
    # Their names, and the brackets around them.
    room = MAX_PAYLOAD - len(encode(payload)) - 16 * len(_DIVISIBLE)
    later = []
    for name, values in held.items():
        items = list(values.items()) if isinstance(values, dict) else values
        n = n_that_fit(items, room)
        state[name] = type(values)(items[:n])
        room -= len(orjson.dumps(state[name]))
        for at, item in enumerate(items[n:], n):
            kind, said = _added(name, item)
            said["unit"] = payload["unit"]
            place = repr(item[0]) if isinstance(values, dict) else at
            check_length(said, f"{where}: {name}[{place}]")
            later.append((kind, said))
    check_length(payload, where)
    return later


_DIVISIBLE: Final = ("notes", "warnings", "errors", "checks", "metadata", "fields")


def _added(name: str, item: Any) -> EventParts:
    """Return the event that adds to a unit an item of a list, or of a dict with its key."""
    if name == "metadata":
        return MetadataChanged, {"patch": dict([item])}
    if name == "fields":
        return UnitEdited, {"field": f".{item[0]}", "value": item[1]}
    return appended(name, item)
