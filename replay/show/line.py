"""An event as one line of text for people: `[timestamp] EVENT_TYPE node: message | details`.

The log under `audit/` is written live in this form, the copies under `logs/` and `auditfold
tail` render it from the trace.  No control character of anybody's text gets through.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from replay.trace.events import ENVELOPE, EVENT_TYPES

# C0 and C1 controls, DEL, line and paragraph separators, and the marks that change the
# direction of text, which make a line read other than it is (Unicode TR 36, section 2.5).
HARMFUL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# What the report has, and keys and signatures, which are for programs.
_FILLS_A_SCREEN: Final = {
    "workflow_start": "environment",
    "writer_opened": "signing",
    "key_rotated": "key",
    "checkpoint": "note",
}
_CAPITALS: Final = {name: name.upper() for name in EVENT_TYPES}
# The last key of a node's end, flat and without braces; one inside of another value has a second
# closing brace behind it.
_RESOURCE: Final = re.compile(r',"resource":\{[^{}]*\}\}\Z')
_LAST_BYTE: Final = 0xFF
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def harmless(text: str) -> str:
    r"""Return *text* with control characters and direction marks written as escapes.

    >>> harmless("a\x1b[2J\nb")
    'a\\x1b[2J\\nb'
    """
    if text.isascii() and text.isprintable():
        return text
    return HARMFUL.sub(_escape, text).encode("utf-8", "backslashreplace").decode()


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    code = ord(char)
    return _SHORT.get(char) or (f"\\x{code:02x}" if code <= _LAST_BYTE else f"\\u{code:04x}")


def log_line(
    timestamp: str, event_type: str, node_id: str | None, message: str | None, details: str
) -> str:
    """Return the line, without a newline.

    Args:
        timestamp: As in the envelope.
        event_type: As in the envelope; shown in capitals.
        node_id: The node, or None.
        message: One line for people, or None.
        details: The payload as JSON, `{}` when there is none.
    """
    if event_type in _FILLS_A_SCREEN:
        details = _without(_FILLS_A_SCREEN[event_type], details)
    elif '"resource":{' in details:
        details = _RESOURCE.sub("}", details)
    name = _CAPITALS.get(event_type) or event_type.upper()
    node = "" if node_id is None else " " + node_id
    said = ": " + message if message else ""
    rest = " | " + details if details != "{}" else ""
    text = f"[{timestamp}] {name}{node}{said}{rest}"
    return text if text.isascii() and text.isprintable() else harmless(text)


def _without(key: str, details: str) -> str:
    """Return *details* without that key."""
    try:
        kept = orjson.loads(details)
        if kept.pop(key, None) is None:
            return details
        return orjson.dumps(kept).decode()
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        return details  # of a line that is no event


def render(fields: Mapping[str, Any]) -> str:
    """Return the line for a parsed event; keys outside the envelope are its details."""
    details = {key: value for key, value in fields.items() if key not in ENVELOPE}
    return log_line(
        str(fields.get("timestamp", "")),
        str(fields.get("event_type", "")),
        fields.get("node_id"),
        fields.get("message"),
        orjson.dumps(details).decode(),
    )
