"""Text made for terminals becomes whole lines, however it is cut into writes."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from observability.terminal.text import LONGEST_LINE, LineCleaner, plain_text
from replay.show.line import HARMFUL

# What a terminal acts upon, and what stands around it.
PIECES = [
    *("\x1b[31m", "\x1b[0m", "\x1b[2K", "\x1b[1;2;3m", "\x1b[?25l", "\x1b[A", "\x1b[2A", "\x9b1m"),
    *("\x1b]0;title\x07", "\x1b]8;;http://x/\x1b\\", "\x9d0;title\x9c", "\x1bPq#1~-\x1b\\"),
    *("\x1bXsos\x1b\\", "\x1b^pm\x1b\\", "\x1b_apc\x1b\\", "\x90dcs\x9c", "\x1b(B", "\x1b%G"),
    *("\x1b7", "\x1bc", "\x1b", "\x1b[", "\x1b]0;open", "\x1b[3", "\x9b", "\x18", "\x1a", "\x07"),
    *("\r", "\n", "\r\n", "\b", "\t", "\v", "\f", "\0", "\x7f", "\x85", "\x0e", "\x0f"),
    *("a", "word", "50%|█", "日本語", "\U0001f680", "é", "\udc9b", "\ud83d", "\u2028", "  "),
]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=30).map("".join)


def lines_of(*writes: str) -> list[str]:
    cleaner = LineCleaner()
    found = [line for text in writes for line in cleaner.feed(text)]
    return found + cleaner.finish()


@given(text=texts, data=st.data())
@example(text="\r1\n\n\r2\x1b[A\x1b[A\n\r3", data=None)
def test_where_text_is_cut_into_writes_makes_no_difference(
    text: str, data: st.DataObject | None
) -> None:
    whole = lines_of(text)
    cuts = [] if data is None else sorted(data.draw(st.sets(st.integers(0, len(text)))))

    assert lines_of(*text) == whole
    assert lines_of(*map(text.__getitem__, map(slice, [0, *cuts], [*cuts, len(text)]))) == whole


@given(text=texts)
def test_no_control_gets_through(text: str) -> None:
    for line in lines_of(text):
        assert line.strip()
        assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in line)
    assert not HARMFUL.search(plain_text(text))


@given(text=st.lists(st.from_regex(r"[ -~é語]*[!-~é語]", fullmatch=True)))
def test_lines_without_controls_stay_as_they_are(text: list[str]) -> None:
    assert lines_of("".join(f"{line}\n" for line in text)) == text


@pytest.mark.parametrize(
    "sequence",
    [
        *(f"\x1b[{parameters}{chr(final)}" for parameters in ("", "1", "?1;2", "1 ")
          for final in range(0x40, 0x7F)),
        *(f"\x9b{parameters}m" for parameters in ("", "38;5;1", "38:2::1:2:3")),
        *(f"\x1b{chr(final)}" for final in range(0x30, 0x7F) if chr(final) not in "[]PX^_"),
        *(f"\x1b{chr(middle)}B" for middle in range(0x20, 0x30)),
        *(f"{begin}payload{end}" for begin in ("\x1b]", "\x1bP", "\x1bX", "\x1b^", "\x1b_", "\x90",
          "\x98", "\x9d", "\x9e", "\x9f") for end in ("\x07", "\x1b\\", "\x9c", "\x18")),
        "\x1b]8;id=1;https://example.org/?a=1\x1b\\",
        "\x1bPtmux;\x1b\x1b]0;title\x07\x1b\\",
        *(chr(code) for code in (*range(0x08), *range(0x0E, 0x1B), *range(0x1C, 0x20), 0x7F)),
        *(chr(code) for code in range(0x80, 0xA0) if chr(code) not in "\x90\x98\x9b\x9d\x9e\x9f"),
    ],
    ids=ascii,
)  # fmt: skip
def test_of_a_sequence_nothing_stays_and_nothing_around_it_goes(sequence: str) -> None:
    r"""OSC titles and hyperlinks, DCS bodies, `ESC ( B` and `\x9b` got into the log."""
    assert lines_of(f"before{sequence}after\n") == ["beforeafter"]


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        ("\r 10%\r 20%\r 30%\n", [" 30%"]),
        ("one\r\ntwo\r\n", ["one", "two"]),
        ("\r 30%\r", [" 30%"]),
        ("\r 30%\r      \r", []),  # a bar that leaves nothing
        ("one\n\n\ntwo\n", ["one", "two"]),
        ("a\tb\n", ["a       b"]),
        ("page\fnext\vlast\n", ["page", "next", "last"]),
        ("|\b/\b-\b\\\n", ["\\"]),
        ("99\b\b100\n", ["100"]),
        ("\b\bword\b\b  \n", ["wo"]),
        ("word\r\bW\n", ["W"]),
        ("\x1b]0;a title without an end\nnext\n", ["next"]),
        ("\x1b]0;cut short\x1b[31mred\x1b[0m\n", ["red"]),
        ("\x1b[3\nnext\n", ["next"]),
        ("\x1b[3é\n", ["é"]),
        ("\x1b\n\x1b(\nnext\n", ["next"]),
        ("x" * (LONGEST_LINE + 3), ["x" * LONGEST_LINE, "xxx"]),
    ],
)
def test_a_line_is_what_its_last_redraw_left(written: str, lines: list[str]) -> None:
    assert lines_of(written) == lines


def test_a_bar_below_another_is_one_line_and_not_one_for_each_redraw() -> None:
    """A bar below goes down by newlines, redraws, and goes up again."""
    redraws = [f"\n\r inner {n}%\x1b[A" for n in range(0, 101, 10)]

    assert lines_of(*redraws, "\r inner 100%\n") == [" inner 100%"]
    assert lines_of(*redraws, "\n\r           \x1b[A") == []
    assert lines_of("\r outer\x1b[B\r inner 1\x1b[A\r outer 2\x1b[B\r inner 2\x1b[A") == [
        " outer 2",
        " inner 2",
    ]
    assert lines_of("\n\n\r third\x1b[A\x1b[A", "\n\r second\x1b[A", "first\n") == [
        "first",
        " second",
        " third",
    ]


def test_going_up_from_a_line_that_is_no_bar_loses_and_moves_nothing() -> None:
    assert lines_of("one\x1b[B two\n") == ["one two"]
    assert lines_of("one\ntwo\x1b[A three\n") == ["one", "two three"]


def test_what_is_written_on_an_open_line_does_not_stick_to_it() -> None:
    assert lines_of("\n\rbar\x1b[A", "\nprinted\n") == ["bar", "printed"]


def test_no_more_than_a_screen_of_open_lines_is_kept() -> None:
    cleaner = LineCleaner()

    lines = cleaner.feed("".join(f"\n\r{n}\x1b[A\n\x1b[A\n" for n in range(1000)))

    assert len(lines) > 900
    assert not cleaner.idle
