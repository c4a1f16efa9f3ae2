"""One file by itself: every flipped bit and every cut is found, at its line."""

import io
import random
import re
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from replay.audit.chain import Chain
from replay.audit.facts import Facts
from replay.audit.scan import Options, TraceScan
from replay.findings import Finding, Verdict, verdict_of
from replay.trace.line import MAX_LINE
from tests.auditing.build import many_nodes, scanned, told
from tests.vectors.making import lines_of, offsets_of, small_run, with_long_line

SMALL = small_run().trace()
LINES = lines_of(SMALL)
OFFSETS = list(offsets_of(SMALL))


def flipped(data: bytes, position: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return bytes(changed)


def line_at(position: int) -> int:
    return SMALL.count(b"\n", 0, position) + 1


def test_a_trace_as_it_was_written_gives_nothing_to_find() -> None:
    facts = scanned(SMALL)

    assert (facts.findings, facts.lines, facts.count, facts.size) == ([], 8, 8, len(SMALL))


@pytest.mark.parametrize("bit", range(8))
def test_each_flipped_bit_is_one_finding_at_its_line(bit: int) -> None:
    """Not one of 24,000 flips is missed; the one of the last newline leaves a torn line."""
    for position in range(len(SMALL) - 1):
        facts = scanned(flipped(SMALL, position, bit))

        ((code, line),) = told(facts.findings)
        assert code in {"bad_hash", "bad_frame"}
        assert line == line_at(position), position
        assert facts.findings[0].offset == OFFSETS[line - 1]
        assert verdict_of(facts.findings) is Verdict.TAMPERED

    last = scanned(flipped(SMALL, len(SMALL) - 1, bit))
    assert last.findings == []
    assert last.torn is not None
    assert (last.torn.offset, last.count) == (OFFSETS[7], 7)


def test_lines_read_together_are_judged_like_lines_read_alone() -> None:
    """A flip in a long trace, where blocks of lines are checked at once."""
    data = many_nodes(150).trace()
    whole = scanned(data)
    assert whole.findings == []

    for seed in range(300):
        position = random.Random(seed).randrange(len(data) - 1)
        line = data.count(b"\n", 0, position) + 1
        facts = scanned(flipped(data, position, seed % 8))

        assert [line for _, line in told(facts.findings)] == [line]
        assert facts.lines == whole.lines
        assert facts.spans[-1].closed == (line < whole.count)


@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 2), st.integers(0, 7)), min_size=1))
def test_every_line_with_flips_is_named(flips: list[tuple[int, int]]) -> None:
    """Two flips in one line may take both its hashes away: the line behind is named as well."""
    data = SMALL
    for position, bit in flips:
        data = flipped(data, position, bit)
    inside = [(begin, end - 1) for begin, end in pairwise(OFFSETS)]
    assume(all(data[begin:end].count(b"\n") == 0 and data[end] == 10 for begin, end in inside))
    touched = {n for n, (b, e) in enumerate(inside, 1) if data[b:e] != SMALL[b:e]}

    found = {line for _, line in told(scanned(data).findings)}

    assert touched <= found <= touched | {number + 1 for number in touched}


def test_each_cut_loses_the_lines_behind_it_and_damages_none() -> None:
    for cut in range(len(SMALL)):
        facts = scanned(SMALL[:cut])

        whole = SMALL[:cut].count(b"\n")
        assert (facts.findings, facts.count, facts.lines) == ([], whole, whole)
        assert (facts.torn is not None) == (cut not in OFFSETS)
        assert not any(span.closed for span in facts.spans)


@pytest.mark.parametrize("number", range(1, 9))
def test_what_is_intact_is_said(number: int) -> None:
    data = flipped(SMALL, OFFSETS[number - 1] + 40, 0)

    (finding,) = scanned(data).findings

    said = re.search(r"no line before|the line before|the first (\d+) lines", finding.message)
    assert said is not None
    if number > 2:
        assert said[1] == str(number - 1)
    assert finding.message.startswith(
        f"trace_04.jsonl:{number} (byte {OFFSETS[number - 1]}): hash "
    )


def test_damage_in_two_neighbours_is_two_findings() -> None:
    data = flipped(flipped(SMALL, OFFSETS[3] + 40, 0), OFFSETS[4] + 40, 0)

    assert told(scanned(data).findings) == [("bad_hash", 4), ("bad_hash", 5)]


@pytest.mark.parametrize(
    ("edit", "wanted"),
    [
        (lambda ls: ls[:3] + ls[4:], [("bad_hash", 4)]),
        (lambda ls: ls[:4] + ls[3:], [("bad_hash", 5)]),
        (lambda ls: [*ls[:3], ls[4], ls[3], *ls[5:]], [("bad_hash", n) for n in (4, 5, 6)]),
        (lambda ls: [*ls[:3], b"# a remark\n", *ls[3:]], [("bad_frame", 4)]),
        (lambda ls: [*ls[:3], b"\n", *ls[3:]], [("bad_frame", 4)]),
    ],
    ids=["deleted", "doubled", "swapped", "remark", "empty-line"],
)
def test_lines_that_were_moved_are_found(edit: object, wanted: list[tuple[str, int]]) -> None:
    data = b"".join(edit(LINES))  # type: ignore[operator]

    assert told(scanned(data).findings) == wanted


def test_a_line_of_one_mebibyte_is_right_and_one_byte_more_is_malformed() -> None:
    longest, longer = with_long_line(MAX_LINE), with_long_line(MAX_LINE + 1)

    assert scanned(longest.trace()).findings == []
    assert told(scanned(longer.trace()).findings) == [("malformed", 5)]


def test_a_line_of_ten_mebibytes_is_read_in_pieces_and_its_hash_checked() -> None:
    data = with_long_line(10 * MAX_LINE).trace()
    first = sum(map(len, lines_of(data)[:4]))

    pieces = [data[begin : begin + MAX_LINE] for begin in range(first, len(data), MAX_LINE)]
    assert len(pieces) > 10
    changed = flipped(data, first + 5 * MAX_LINE, 3)

    assert told(read(data)) == [("malformed", 5)]
    assert told(read(changed)) == [("bad_hash", 5)]


def test_a_long_line_that_is_not_framed_is_one_finding() -> None:
    lines = lines_of(SMALL)
    data = b"".join([*lines[:3], b"x" * (3 * MAX_LINE) + b"\n", *lines[3:]])

    assert told(read(data)) == [("bad_frame", 4)]


def test_a_long_line_without_an_end_is_torn() -> None:
    facts = Facts("trace_04.jsonl", "trace_04.jsonl")
    scan = TraceScan(facts, Options())
    data = SMALL + b"x" * (2 * MAX_LINE)
    scan.read(io.BytesIO(data), length=len(data))
    scan.end()

    assert facts.torn is not None
    assert (facts.torn.offset, facts.torn.length) == (len(SMALL), 2 * MAX_LINE)
    assert facts.findings == []


def read(data: bytes) -> list[Finding]:
    """Return the findings of *data*, read from a file."""
    facts = Facts("trace_04.jsonl", "trace_04.jsonl")
    scan = TraceScan(facts, Options())
    scan.read(io.BytesIO(data), length=len(data))
    scan.end()
    return facts.findings


def test_lines_are_taken_together_only_if_all_are_right() -> None:
    chain = Chain()

    assert chain.together(LINES[:4])
    assert not chain.together([LINES[4], LINES[4]])
    assert chain.take(LINES[4]) is None
