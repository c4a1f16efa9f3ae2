"""What README and docs show is what happens."""

from pathlib import Path

import pytest

from tests.docs.examples import RUN, blocks_of, commands_of, pattern_of, session, settled
from tests.docs.pages import pages, root
from tests.docs.refill import refilled

PAGES = [page for page in pages() if any(b.kind in RUN for b in blocks_of(page.read_text()))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(root())))
def test_examples_do_what_the_page_says(page: Path, tmp_path: Path) -> None:
    with session(tmp_path) as running:
        for block in blocks_of(page.read_text()):
            if block.kind in RUN:
                try:
                    running.run(block)
                except AssertionError as error:
                    error.add_note(
                        f"{page}:{block.line}; if the page is to follow: "
                        f"python -m tests.docs.refill {page.relative_to(root())}"
                    )
                    raise


def test_a_gap_is_within_a_line_or_whole_lines() -> None:
    assert pattern_of("a...c").fullmatch("abc\n")
    assert not pattern_of("a...c").fullmatch("a\nc\n")
    assert pattern_of("a\n...\nc").fullmatch("a\nb\nb\nc\n")
    assert pattern_of("a\n...\nc").fullmatch("a\nc\n")
    assert not pattern_of("a\nc").fullmatch("a\nb\nc\n")
    assert not pattern_of("").fullmatch("a\n")


def test_a_console_block_is_commands_with_what_they_print() -> None:
    text = "$ one\na\nb\n$ two \\\n> --more\n$ three\nc\n"

    assert list(commands_of(text)) == [("one", "a\nb"), ("two \\\n--more", ""), ("three", "c")]


def test_what_differs_from_run_to_run_may_differ_and_nothing_else() -> None:
    one = "20261121-111151-54z3sg  01  failed  2/3  2026-11-21 11:11:51  19 ms  count, pid 12"
    other = "20250101-000000-aaaaaa  01  failed  2/3  2025-01-01 00:00:00  1.2 s  count, pid 3"

    assert settled(one) == settled(other)
    assert settled(one) != settled(one.replace("2/3", "3/3"))
    assert settled("Total time: 0.06s (0.00m)") == settled("Total time: 61.20s (1.02m)")


def test_refilling_replaces_what_is_not_as_shown_and_nothing_else(tmp_path: Path) -> None:
    page = "a\n\n```console\n$ echo one two\none ...\n$ echo three\nfour\n$ true\n```\n\nb\n"

    with session(tmp_path) as running:
        text = refilled(page, running)

    assert text == page.replace("four", "three")
