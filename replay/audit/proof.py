"""A cheaper proof that a line is well formed, for lines like ones that were proven before.

`replay.trace.line.check` is the rule and costs 2 us.  A program writes few shapes of line: the
same keys in the same order, only the values differ.  For a shape that was checked often enough
there is one regular expression, and a line that it matches keeps every rule: its envelope has
the right types, its keys are those of the checked line (so unique), its numbers have at most 15
digits before the point and are finite, its strings hold no lone surrogate.  Two things are the
caller's part: that the line is UTF-8 (`is_utf8`), and that the envelope from `pid` to
`step_number` equals one that was checked.  What does not match is checked, so a shape can only
save time.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from replay.trace.events import ENVELOPE

# Making an expression takes as long as checking so many lines.
WORTH: Final = 200
_MOST_SHAPES: Final = 24
_MOST_KEYS: Final = 60
_DEEPEST: Final = 8

# Escapes as orjson writes them; \u00XX can be no surrogate.
_PLAIN: Final = rb'"[^"\\\x00-\x1f]*+"'
_ESCAPED: Final = (
    rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\bfnrt]|u00(?:0[0-7bef]|1[0-9a-f]))[^"\\\x00-\x1f]*+)*+"'
)
_STRING: Final = rb"(?>" + _PLAIN + rb"|" + _ESCAPED + rb")"
_COUNT: Final = rb"(?:[1-9]\d{0,14}+|0)"
_INT: Final = rb"(?:[1-9]\d{0,14}+|0|-[1-9]\d{0,14}+)"
_NUMBER: Final = rb"-?" + _COUNT + rb"(?:\.\d{1,20}+)?+(?:e-?\d{1,2}+)?+"
# What a value may be, the most frequent spellings of each type by themselves: a branch whose
# first character does not fit costs next to nothing, an optional group does not.  No two of these
# match the same text, so nothing is lost by never trying another one (`(?>`), and a line that
# does not match at its end is not tried in all combinations.
_INTS: Final = [rb"[1-9]\d{0,14}+(?![.e])", rb"0(?![.e])"]
_FLOATS: Final = [rb"[1-9]\d{0,14}+\.\d{1,20}+(?!e)", rb"0\.\d{1,20}+(?!e)"]
_WORDS: Final = [rb"null", rb"true", rb"false"]
_REST: Final = [_PLAIN, *_INTS, *_FLOATS, *_WORDS, _ESCAPED, _NUMBER]

_HOUR: Final = rb"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):"
_BEFORE_HOUR: Final = rb'\{"v":1,"seq":' + _COUNT + rb',"timestamp":"'
_BEHIND_HOUR: Final = (
    rb'[0-5]\d:(?:[0-5]\d|60)\.\d{6}Z","epoch_seconds":' + _COUNT + rb"\.\d{1,9}+"
    rb',"mono_us":' + _COUNT + rb',"event_type":"(\w++)"'
)
_NODE: Final = (
    rb'(?:,"node_id":(?:(' + _STRING + rb',"node_index":' + _INT + rb")|(" + _STRING + rb")))?+"
    rb'(?:,"message":' + _STRING + rb")?+"
)
# At the end of a framed line these are the suffix itself, whatever stands before.
_ENDING: Final = rb',"hash":".{64}"\}\n\Z'

Matcher = Callable[..., "re.Match[bytes] | None"]

_hour = re.compile(_BEFORE_HOUR + b"(" + _HOUR + b")").match


def is_utf8(line: bytes) -> bool:
    """Return whether *line* is UTF-8."""
    if line.isascii():
        return True
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def hour_of(line: bytes) -> bytes | None:
    """Return the beginning of the timestamp of *line*, up to its hour; None if it has none."""
    found = _hour(line)
    return None if found is None else found[1]


def tail_of(line: bytes, fields: Mapping[str, Any]) -> bytes | None:
    """Return the envelope of *line* from `pid` to `step_number`; None if it stands otherwise.

    Args:
        line: A line that `check` accepted.
        fields: What `check` returned.
    """
    names = ["pid", "writer", "run_id", "workflow_id", "step_number"]
    part = orjson.dumps({name: fields[name] for name in names if name in fields})
    tail = b"," + part[1:-1]
    head = b'"event_type":%s' % orjson.dumps(fields["event_type"])
    return tail if head + tail in line else None


class Shapes:
    """The shapes of line that one audit has learnt."""

    def __init__(self) -> None:
        self._seen: dict[tuple[Any, ...], int] = {}
        # Without a payload: node_start, writer_closed.
        self._patterns: list[bytes] = [b""]
        self._matchers: dict[tuple[int, bool], Matcher] = {}

    def matcher(self, tail_length: int, *, behind_hour: bool = False) -> Matcher:
        """Return what matches framed lines of known shape.

        Its match has the groups `event_type`; the envelope from `pid` to `step_number`, which
        is taken as *tail_length* bytes without a look at them; the node's id and index as JSON;
        its id, where it has no index; and each `output_hash` that is a string.

        Args:
            tail_length: Of the envelope from `pid` to `step_number`.
            behind_hour: It is called with a line and the place in it behind `hour_of`; the
                caller has seen that what stands before is right.
        """
        key = tail_length, behind_hour
        found = self._matchers.get(key)
        if found is None:
            if len(self._matchers) >= _MOST_SHAPES:
                self._matchers.clear()
            parts = (
                b"" if behind_hour else _BEFORE_HOUR + _HOUR,
                _BEHIND_HOUR,
                b"(.{%d})" % tail_length,
                _NODE,
                b"(?:%s)" % b"|".join(self._patterns),
                _ENDING,
            )
            found = self._matchers[key] = re.compile(b"".join(parts), re.DOTALL).match
        return found

    def learn(self, fields: Mapping[str, Any]) -> None:
        """Take notice of the *fields* of a line that `check` returned; new matchers know more."""
        keys = tuple(key for key in fields if key not in ENVELOPE)
        seen = self._seen.get(keys, 0) + 1
        if seen == 1 and len(self._seen) >= 10 * _MOST_SHAPES:
            return
        self._seen[keys] = seen
        if seen != WORTH or len(self._patterns) >= _MOST_SHAPES:
            return
        # In a line as this project writes it, the payload stands before `hash`, the last key.
        if tuple(fields)[-len(keys) - 1 :] != (*keys, "hash"):
            return
        pattern = _members({key: fields[key] for key in keys}, 1)
        if pattern and pattern.count(b'":') <= _MOST_KEYS:
            self._patterns.append(b"," + pattern)
            self._matchers.clear()


def _members(value: Mapping[str, Any], depth: int) -> bytes | None:
    """Return an expression for the members of objects with the keys of *value*, in order.

    None where there is no fixed shape: objects in lists, or too deep.
    """
    members = []
    for key, item in value.items():
        inside = _value(item, depth)
        if inside is None:
            return None
        if depth == 1 and key == "output_hash":
            inside = rb"(?:null|(" + _STRING + rb"))"
        members.append(re.escape(orjson.dumps(key)) + b":" + inside)
    return b",".join(members)


def _value(value: Any, depth: int) -> bytes | None:
    if depth > _DEEPEST:
        return None
    if isinstance(value, list):
        if any(isinstance(item, dict | list) for item in value):
            return None
        item_pattern = _scalar(value[0] if value else None)
        return rb"\[(?:" + item_pattern + rb"(?:," + item_pattern + rb")*+)?+\]"
    if not isinstance(value, dict):
        return _scalar(value)
    members = _members(value, depth + 1)
    return None if members is None else rb"\{" + members + rb"\}"


def _scalar(value: Any) -> bytes:
    """Return an expression for any value that is no object and no list, soonest for one like it."""
    first: dict[type, list[bytes]] = {int: _INTS, float: _FLOATS, str: [_PLAIN]}
    patterns = first.get(type(value), _WORDS)
    rest = (pattern for pattern in _REST if pattern not in patterns)
    return b"(?>" + b"|".join([*patterns, *rest]) + b")"
