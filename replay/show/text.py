"""Pieces of text for people: quantities, and lines that fit a terminal.

A line is a sequence of `Piece`s, so that whoever prints it decides about colour; every text in
one is harmless already.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from replay.show.line import harmless

_SHORT: Final = 0.01
_MINUTE: Final = 60
_HOUR: Final = 3600
_KILO: Final = 1000
_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_ELLIPSIS: Final = "..."

STYLE_OF: Final = {
    "succeeded": "green",
    "failed": "red",
    "interrupted": "red",
    "running": "cyan",
    "skipped": "yellow",
}


class Piece(NamedTuple):
    """A part of a line.

    Attributes:
        text: Without control characters.
        style: A colour, `bold`, `dim`, or empty.
    """

    text: str
    style: str = ""


Line = Sequence[Piece]


def seconds_text(seconds: float | str | None) -> str:
    """Return a duration as people read it.

    >>> seconds_text(0.0012), seconds_text(0.25), seconds_text(3.2)
    ('1.2 ms', '250 ms', '3.20 s')
    >>> seconds_text(75), seconds_text(7380)
    ('1 min 15 s', '2 h 03 min')
    """
    if seconds is None:
        return "-"
    if isinstance(seconds, str):
        return harmless(seconds)
    if seconds < _SHORT:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if round(seconds, 2) < _MINUTE:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"


def size_text(size: int | None) -> str:
    """Return a number of bytes as people read it.

    >>> size_text(999), size_text(12_345), size_text(1_500_000_000)
    ('999 B', '12.3 kB', '1.5 GB')
    """
    if size is None:
        return "-"
    if size < _KILO:
        return f"{size} B"
    scaled, unit = float(size), 0
    while scaled >= _KILO and unit < len(_UNITS) - 1:
        scaled, unit = scaled / _KILO, unit + 1
    return f"{scaled:.1f} {_UNITS[unit]}"


def count_text(count: int, one: str, many: str | None = None) -> str:
    """Return *count* and the word for so many.

    >>> count_text(1, "node"), count_text(3, "node")
    ('1 node', '3 nodes')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"


def second_text(timestamp: str) -> str:
    """Return a timestamp to the second, in UTC, as people read it.

    >>> second_text("2026-11-21T07:03:12.345678Z")
    '2026-11-21 07:03:12'
    """
    return harmless(timestamp.partition(".")[0].replace("T", " ", 1))


def cells(text: str) -> int:
    """Return how many columns *text* takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_cells_of(char) for char in text)


def _cells_of(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def fit(text: str, columns: int | None) -> str:
    """Return *text*, cut to *columns* with `...` at its end where it is longer.

    >>> fit("a long name", 8), fit("short", 8), fit("any", None)
    ('a lon...', 'short', 'any')
    """
    if columns is None or cells(text) <= columns:
        return text
    room = max(0, columns - len(_ELLIPSIS))
    kept = 0
    for place, char in enumerate(text):
        kept += _cells_of(char)
        if kept > room:
            return (text[:place] + _ELLIPSIS)[:columns]
    return text


def fit_end(text: str, columns: int) -> str:
    """Return *text*, cut to *columns* with `...` at its beginning where it is longer.

    >>> fit_end("inputs/late.csv", 11), fit_end("short", 8)
    ('...late.csv', 'short')
    """
    left = cells(text)
    if left <= columns:
        return text
    room = max(0, columns - len(_ELLIPSIS))
    place = 0
    while left > room:
        left -= _cells_of(text[place])
        place += 1
    return (_ELLIPSIS + text[place:])[:columns] if room else _ELLIPSIS[:columns]


def fit_line(line: Iterable[Piece], columns: int | None) -> list[Piece]:
    """Return *line*, cut to *columns*."""
    if columns is None:
        return list(line)
    found: list[Piece] = []
    left = columns
    for piece in line:
        if left <= 0:
            break
        text = fit(piece.text, left)
        found.append(Piece(text, piece.style))
        left -= cells(text)
    return found


def pad(text: str, columns: int) -> str:
    """Return *text* with spaces behind it to fill *columns*."""
    return text + " " * (columns - cells(text))
