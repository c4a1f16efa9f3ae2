"""Tables for a terminal: one rule for what a narrow one shows.

Columns get their room in the order of their rank.  One that is no longer readable then is left
out, and with it all that rank behind it; what is left over goes to those that are cut, the first
in rank first.  So how something stands is seen on any terminal, and what else matters before
times and ids.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from replay.show.text import Line, Piece, cells, fit, fit_end

_GAP: Final = 2


class Column(NamedTuple):
    """One column.

    Attributes:
        heading: What stands above it.
        rank: Its place among those that get room; 0 is the first.
        readable: How much of a long text is enough to go by; half of it is shown where there is
            no room for more.  None for what is shown whole or not at all.
        keeps_end: The end of a long text says more than its beginning.
        is_right: Its texts are numbers, which stand below each other by their ends.
    """

    heading: str
    rank: int
    readable: int | None = None
    keeps_end: bool = False
    is_right: bool = False


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[Piece]], *, width: int | None
) -> Iterator[Line]:
    """Yield the lines of a table: a heading, then a line a row.

    Args:
        columns: In the order in which they stand.
        rows: As many cells each as there are columns.
        width: What the terminal has; None for no limit.
    """
    headings = [Piece(column.heading, "dim") for column in columns]
    natural = [
        max(cells(cell.text) for cell in column) for column in zip(headings, *rows, strict=True)
    ]
    widths = _widths(columns, natural, width)
    for row in (headings, *rows):
        yield list(_line(columns, row, widths))


def _widths(columns: Sequence[Column], natural: Sequence[int], width: int | None) -> dict[int, int]:
    """Return how wide each column is that is shown, by its place, from left to right."""
    if width is None or sum(natural) + _GAP * (len(natural) - 1) <= width:
        return dict(enumerate(natural))
    found: dict[int, int] = {}
    left = width
    for place in sorted(range(len(columns)), key=lambda place: columns[place].rank):
        readable = columns[place].readable
        wanted = natural[place] if readable is None else min(natural[place], readable)
        least = wanted if readable is None else min(wanted, readable // 2)
        gap = _GAP if found else 0
        if found and least + gap > left:
            break
        found[place] = min(wanted, left - gap)
        left -= found[place] + gap
    for place, given in found.items():
        more = max(0, min(natural[place] - given, left))
        found[place] += more
        left -= more
    return dict(sorted(found.items()))


def _line(
    columns: Sequence[Column], row: Sequence[Piece], widths: dict[int, int]
) -> Iterator[Piece]:
    for number, (place, width) in enumerate(widths.items()):
        text, style = row[place]
        shown = (fit_end if columns[place].keeps_end else fit)(text, width)
        space = " " * (width - cells(shown))
        before = " " * _GAP if number else ""
        if columns[place].is_right:
            yield from (Piece(before + space), Piece(shown, style))
        else:
            yield from (Piece(before), Piece(shown, style), Piece(space))
