"""Texts of a report as they stand on a page: harmless, and of a length that somebody reads.

Names and messages come from whoever was observed: they may hold anything, and any amount of it.
Nothing here escapes for HTML or Markdown; templates and `markdown` do.
"""

import json
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from replay.show.line import harmless

MOST_OF_A_NAME: Final = 160  # characters
MOST_OF_A_TEXT: Final = 2_000
MOST_OF_A_VALUE: Final = 4_000
MOST_LINES: Final = 40

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def short(text: object, most: int = MOST_OF_A_NAME) -> str:
    r"""Return *text* on one line, cut to *most* characters; how many there are is said.

    >>> short("a\nb"), short("x" * 12, 4)
    ('a\\nb', 'xxxx... (12 characters)')
    """
    whole = text if isinstance(text, str) else str(text)
    if len(whole) <= most:
        return harmless(whole)
    return f"{harmless(whole[:most])}... ({len(whole):,} characters)"


def lines(text: object, most: int = MOST_OF_A_TEXT) -> str:
    r"""Return *text* with its line breaks and nothing else that could do harm, cut likewise.

    >>> lines("a\r\n\x1bb")
    'a\n\\x1bb'
    """
    whole = text if isinstance(text, str) else str(text)
    said = "\n".join(
        harmless(line.removesuffix("\r").expandtabs()) for line in whole[:most].split("\n")
    )
    return said if len(whole) <= most else f"{said}... ({len(whole):,} characters)"


def last_lines(text: str, most: int = MOST_LINES) -> str:
    r"""Return the end of a traceback, where the reason stands.

    >>> last_lines("a\nb\nc\n", 2)
    '... 1 line above\nb\nc'
    """
    found = text[-MOST_OF_A_VALUE * 2 :].rstrip("\n").split("\n")
    above = text.rstrip("\n").count("\n") + 1 - min(most, len(found))
    kept = [lines(line) for line in found[-most:]]
    if above > 0:
        kept.insert(0, f"... {above:,} {'line' if above == 1 else 'lines'} above")
    return "\n".join(kept)


def value(found: Any) -> str:
    """Return a JSON value as people read it: a text as it is, anything else indented."""
    if isinstance(found, str):
        return lines(found, MOST_OF_A_VALUE)
    try:
        text = orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()
    except TypeError:
        # A lone surrogate, a key that is no text: not from a trace, but from a caller.
        text = json.dumps(found, default=str, indent=2, ensure_ascii=False)
    return lines(text, MOST_OF_A_VALUE)


def instant(timestamp: object) -> int | None:
    """Return *timestamp* in microseconds since 1970, None if it is none.

    One without a zone, of the older layout, is taken for UTC.
    """
    if not isinstance(timestamp, str):
        return None
    try:
        found = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    since = found - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
