"""Text for people fits where it is shown."""

from hypothesis import given
from hypothesis import strategies as st

from replay.fold.runs import fold
from replay.show.run_table import RUN_COLUMNS, run_row
from replay.show.table import Column, table
from replay.show.text import (
    Piece,
    cells,
    count_text,
    fit,
    fit_end,
    fit_line,
    seconds_text,
    size_text,
)
from replay.trace.host import Hosts
from tests.reading.histories import sources
from tests.reading.traces import START_US, TraceBuilder

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=30)


@given(text=texts, columns=st.integers(0, 40))
def test_what_is_fitted_fits_and_is_the_beginning_or_the_end(text: str, columns: int) -> None:
    found = fit(text, columns)

    assert cells(found) <= columns
    assert found == text or text.startswith(found.rstrip("."))

    end = fit_end(text, columns)
    assert cells(end) <= columns
    assert end == text or text.endswith(end.lstrip("."))


@given(pieces=st.lists(texts, max_size=5), columns=st.integers(0, 60))
def test_a_line_fits(pieces: list[str], columns: int) -> None:
    line = fit_line([Piece(text) for text in pieces], columns)

    assert sum(cells(piece.text) for piece in line) <= columns


@given(columns=st.integers(20, 200), name=texts)
def test_a_table_fits(columns: int, name: str) -> None:
    trace = TraceBuilder(workflow_id=f"x{name}")
    trace.open()
    found = fold(sources({trace.name: bytes(trace)}))
    rows = [run_row(run, found.standing(run, Hosts(now=START_US / 1e6))) for run in found.runs()]
    lines = list(table(RUN_COLUMNS, rows, width=columns))

    assert len(lines) == 2
    assert all(sum(cells(piece.text) for piece in line) <= columns for line in lines)


COLUMNS = (
    Column("ID", 2),
    Column("TIME", 4, is_right=True),
    Column("STATE", 0, readable=12),
    Column("WHAT", 1, readable=16, keeps_end=True),
    Column("WHY", 3, readable=20),
)
ROWS = [
    ("7e60-3", "1 ms", "open", "inputs/a.csv: Check balance", "two rows are missing here"),
    ("7e60-15", "10 ms", "approved by a", "b", "-"),
]


def drawn(width: int | None) -> list[str]:
    rows = [[Piece(text) for text in row] for row in ROWS]
    return [
        "".join(piece.text for piece in line).rstrip() for line in table(COLUMNS, rows, width=width)
    ]


def test_a_table_gives_room_to_what_matters_first() -> None:
    """Cut at its right end, a queue of reviews had times on 80 columns, and nothing to decide."""
    assert drawn(None) == [
        "ID        TIME  STATE          WHAT                         WHY",
        "7e60-3    1 ms  open           inputs/a.csv: Check balance  two rows are missing here",
        "7e60-15  10 ms  approved by a  b                            -",
    ]
    assert drawn(70) == [
        "ID        TIME  STATE          WHAT               WHY",
        "7e60-3    1 ms  open           ... Check balance  two rows are miss...",
        "7e60-15  10 ms  approved by a  b                  -",
    ]
    assert drawn(50) == [
        "ID       STATE          WHAT",
        "7e60-3   open           ...ts/a.csv: Check balance",
        "7e60-15  approved by a  b",
    ]
    assert drawn(24) == [
        "STATE         WHAT",
        "open          ...balance",
        "approved ...  b",
    ]
    assert drawn(6) == [
        "STATE",
        "open",
        "app...",
    ]


@given(
    rows=st.lists(st.tuples(*[texts] * 3), min_size=1, max_size=4),
    rigid=st.sets(st.integers(0, 2)),
    width=st.integers(2, 80),
)
def test_any_table_fits_and_begins_with_its_first_rank(
    rows: list[tuple[str, ...]], rigid: set[int], width: int
) -> None:
    columns = [
        Column(f"C{place}", (1, 0, 2)[place], None if place in rigid else 8) for place in range(3)
    ]
    lines = list(table(columns, [[Piece(text) for text in row] for row in rows], width=width))

    assert len(lines) == 1 + len(rows)
    for line in lines:
        assert sum(cells(piece.text) for piece in line) <= width
    assert "C1" in "".join(piece.text for piece in lines[0])


def test_quantities() -> None:
    assert [seconds_text(s) for s in (None, "NaN", 0, 59.994, 59.999, 3599.4, 3600)] == [
        "-",
        "NaN",
        "0.0 ms",
        "59.99 s",
        "1 min 00 s",
        "59 min 59 s",
        "1 h 00 min",
    ]
    assert [size_text(n) for n in (None, 0, 999, 1000, 10**24)] == [
        "-",
        "0 B",
        "999 B",
        "1.0 kB",
        "1000000.0 EB",
    ]
    assert [count_text(n, "box", "boxes") for n in (0, 1, 2)] == ["0 boxes", "1 box", "2 boxes"]
