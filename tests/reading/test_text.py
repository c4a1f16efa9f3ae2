"""Text for people fits where it is shown."""

from hypothesis import given
from hypothesis import strategies as st

from replay.fold.runs import fold
from replay.show.table import run_row, table
from replay.show.text import Piece, cells, count_text, fit, fit_line, seconds_text, size_text
from replay.trace.host import Hosts
from tests.reading.histories import sources
from tests.reading.traces import START_US, TraceBuilder

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=30)


@given(text=texts, columns=st.integers(0, 40))
def test_what_is_fitted_fits_and_is_the_beginning(text: str, columns: int) -> None:
    found = fit(text, columns)

    assert cells(found) <= columns
    assert found == text or text.startswith(found.rstrip("."))


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
    lines = list(table(rows, columns=columns))

    assert len(lines) == 2
    assert all(sum(cells(piece.text) for piece in line) <= columns for line in lines)


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
