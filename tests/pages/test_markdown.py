"""The Markdown form: in short what the page says, and nothing in it means anything."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.show.page.markdown import code, markdown
from replay.show.page.units import tree_of
from replay.show.page.view import page_of
from replay.show.page.wording import short
from tests.pages import made


def text(report: dict[str, object]) -> str:
    tree, audit = tree_of(report), made.audited()
    return "\n".join(markdown(report, tree, page_of(report, tree, audit), audited=audit))


def bare(line: str) -> str:
    """Return *line* without its code spans, as a reader of Markdown takes them out."""
    found = ""
    rest = line
    while match := re.search("`+", rest):
        fence = match[0]
        end = re.search(f"(?<!`){fence}(?!`)", rest[match.end() :])
        assert end is not None, line
        found += rest[: match.start()]
        rest = rest[match.end() + end.end() :]
    return found + rest


def test_what_failed_and_what_awaits_review_come_first() -> None:
    found = text(made.nested())

    assert found.startswith("# `step_04_convert`: failed\n")
    assert found.index("Feature extraction: NaN values found") < found.index("## What awaits")
    assert "- `inputs/data.csv` / `Check class balance`: `Minor skew detected`" in found
    assert "| failed | `index #0` | 8.0 ms |" in found
    assert f"`{made.DIGEST}`" in found
    assert "audited: `2026-11-21 07:03:09 UTC, in 250 ms`" in found


def test_what_is_left_out_is_said() -> None:
    assert "And 300 more nodes: `auditfold report --format json`." in text(made.many(500))


def test_hostile_names_stand_in_code_spans() -> None:
    outside = "\n".join(map(bare, text(made.hostile()).split("\n")))

    for harm in ("OWNED", "javascript", "example.invalid", "<", "](", "\u202e", "\x1b", "7 * 7"):
        assert harm not in outside


@given(st.text(min_size=1))
def test_a_code_span_holds_any_text(said: str) -> None:
    span = code(short(said))

    assert bare(f"before {span} after") == "before  after"
    assert "|" not in re.sub(r"\\\|", "", span)


@pytest.mark.parametrize("rows", [1, 3])
def test_every_row_of_a_table_has_its_cells(rows: int) -> None:
    names = ["a|b", "`|`", "|"][:rows]
    report = made.head(nodes=[made.node(name) for name in names])
    found = [line for line in text(report).split("\n") if line.startswith("| succeeded")]

    assert [len(re.split(r"(?<!\\)\|", line)) for line in found] == [7] * rows
