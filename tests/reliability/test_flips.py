"""Every flipped bit of a 1 MB trace, and every cut of it.

The sweep looks again at the flipped line and the next, with the audit's own functions; that the
audit says the same is shown by a sample.
"""

import random
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from replay.audit.chain import Chain
from replay.audit.facts import Facts
from replay.audit.lines import Lines
from replay.audit.scan import Options, TraceScan
from replay.findings import Verdict
from replay.trace.line import GENESIS, stored_hash
from tests.auditing.build import audited, open_behind, save
from tests.reliability.conftest import Tell
from tests.reliability.tier import SOAK, either, randomness
from tests.vectors.making import ALICE, BOB, CAROL, TRACE, Out, Writer, lines_of

BYTES: Final = 1_000_000
NEWLINE: Final = 10


def long_run(n_bytes: int) -> Out:
    """Return an OUT with three writers in one file of that size, with events of many kinds."""
    out = Out()
    for one in (ALICE, BOB, CAROL):
        writer = open_behind(Writer(out, one))
        index = 0
        while len(out.trace()) < n_bytes * (1 + [ALICE, BOB, CAROL].index(one)) // 3:
            name = f"table_{index}.csv"
            writer.node(name, index)
            writer.put("message", level="note", text=f"read “{name}” — \n\t\\ {'x' * (index % 90)}")
            writer.succeed(name, index, rows=index, share=index / 7, ok=True, none=None, deep=[{}])
            index += 1
        writer.complete(completed=index)
        writer.close()
    return out


class Place(NamedTuple):
    """A line, the hash that it follows, and the line behind it."""

    previous: bytes
    line: bytes
    behind: bytes | None


def places(data: bytes) -> list[Place]:
    lines = lines_of(data)
    hashes = [GENESIS, *(stored_hash(line) or b"" for line in lines)]
    return [
        Place(previous, line, behind)
        for previous, line, behind in zip(hashes, lines, [*lines[1:], None], strict=False)
    ]


def n_missed(place: Place, positions: range) -> tuple[int, int]:
    """Flip each bit at *positions* of a line; return how many were not told, or not just there.

    What a flip does to the lines behind the next is nothing: the next one is right behind one of
    the hashes that are tried.
    """
    previous, line, behind = place
    stored = stored_hash(line)
    changed = bytearray(line)
    undetected = elsewhere = 0
    for position in positions:
        for bit in range(8):
            changed[position] ^= 1 << bit
            flipped = bytes(changed)
            changed[position] = line[position]
            if NEWLINE in (flipped[position], line[position]):
                found = by_lines(previous, flipped + (behind or b""))
                undetected += found is None
                elsewhere += found != (1, 1)
                continue
            chain = Chain(previous)
            undetected += chain.take(flipped) is None
            elsewhere += stored not in chain.candidates and (
                behind is not None and chain.take(behind) is not None
            )
    return undetected, elsewhere


def by_lines(previous: bytes, data: bytes) -> tuple[int, int] | None:
    """Return the first line that is told, and how many are; None if none is.

    A torn tail is told as well: of the last line of a file no more can be said.
    """
    facts = Facts("trace", "trace")
    lines = ChainOnly(facts, previous=previous)
    for piece in data.split(b"\n")[:-1]:
        lines.piece(piece + b"\n")
    if not data.endswith(b"\n"):
        lines.piece(data[data.rfind(b"\n") + 1 :])
    if facts.findings:
        return facts.findings[0].line or 0, len(facts.findings)
    return None if facts.torn is None else (facts.count + 1, 1)


class ChainOnly(Lines):
    """Lines of which the chain alone is judged."""

    def right(self, line: bytes) -> None:
        self._pass(len(line))


def sample(data: bytes, n: int, rng: random.Random) -> Iterator[tuple[int, int]]:
    """Yield *n* positions, and bits to flip there."""
    for _ in range(n):
        yield rng.randrange(len(data)), rng.randrange(8)


def test_every_flipped_bit_is_told_at_its_line(tell: Tell) -> None:
    data = long_run(BYTES).trace()
    rng = randomness("flips")
    n_flips = undetected = elsewhere = 0
    for place in places(data):
        # The quick tier takes some positions of every line: each field comes up in some line.
        step = 1 if SOAK else 499
        positions = range(rng.randrange(step), len(place.line), step)
        missed = n_missed(place, positions)
        n_flips += 8 * len(positions)
        undetected += missed[0]
        elsewhere += missed[1]

    tell(bytes=len(data), flips=n_flips, not_detected=undetected, not_at_their_line=elsewhere)
    assert n_flips >= (8_000_000 if SOAK else 8_000)
    assert undetected == 0
    assert elsewhere <= n_flips / 1000


def test_every_byte_of_every_kind_of_line_is_covered(tell: Tell) -> None:
    """All flips of one line of each event type: that is every kind of field."""
    kinds: dict[bytes, Place] = {}
    for place in places(long_run(20_000).trace()):
        kinds.setdefault(place.line.split(b'"event_type":"')[1].split(b'"')[0], place)
    for place in kinds.values():
        assert n_missed(place, range(len(place.line))) == (0, 0)

    tell(event_types=len(kinds), flips=sum(8 * len(place.line) for place in kinds.values()))
    assert len(kinds) >= 7


def test_a_sample_of_flips_through_the_whole_audit(memory: Path, tell: Tell) -> None:
    folder = save(long_run(either(60_000, BYTES)), memory)
    data = (folder / TRACE).read_bytes()
    last = data.rfind(b"\n", 0, -1) + 1
    n_flips = either(300, 3_000)
    for position, bit in sample(data, n_flips, randomness("whole")):
        changed = bytearray(data)
        changed[position] ^= 1 << bit
        (folder / TRACE).write_bytes(changed)

        report = audited(folder)

        assert report.verdict is Verdict.TAMPERED
        line = data.count(b"\n", 0, position) + 1
        first = report.findings[0]
        assert (first.path, first.line) == (TRACE, line), first
        if position < last:
            assert {found.line for found in report.findings} == {line}
    tell(flips=n_flips, bytes=len(data))


# --- Cuts


def test_a_trace_cut_at_any_byte_is_an_exact_prefix(tell: Tell) -> None:
    """The scan of the audit, fed to every byte: how many lines, and where the torn tail is."""
    data = long_run(either(60_000, BYTES)).trace()
    facts = Facts("audit/step_04/trace_04.jsonl", "trace_04.jsonl")
    scan = TraceScan(facts, Options())
    n_cuts = 0
    offset = 0
    for n, line in enumerate(lines_of(data)):
        for cut in range(1, len(line)):
            scan.piece(line[:cut])
            torn, facts.torn = facts.torn, None
            assert torn is not None
            assert (torn.offset, torn.length, facts.count) == (offset, cut, n)
        n_cuts += len(line)
        scan.piece(line)
        offset += len(line)
        assert (facts.size, facts.count, facts.findings) == (offset, n + 1, [])
    tell(cuts=n_cuts)
    assert n_cuts == len(data)


@pytest.mark.parametrize("alone", [False, True], ids=["folder", "alone"])
def test_a_cut_trace_is_never_complete(memory: Path, alone: bool, tell: Tell) -> None:
    """Every byte of a short trace, through the whole audit; in the quick tier every 17th."""
    folder = save(long_run(9_000), memory)
    data = (folder / TRACE).read_bytes()
    ends = list(accumulate(map(len, lines_of(data))))
    cuts = sorted({*range(0, len(data), either(17, 1)), *ends[:-1], *(end - 1 for end in ends)})
    for cut in cuts:
        (folder / TRACE).write_bytes(data[:cut])

        report = audited(folder / TRACE if alone else folder)

        # Alone, the end of a writer that closed is an end; the registry knows better.
        assert report.verdict is (Verdict.INTACT_PREFIX if alone else Verdict.TAMPERED)
        (trace,) = [file for file in report.files if file.path.endswith("trace_04.jsonl")]
        assert trace.lines == data[:cut].count(b"\n")
        torn = [found for found in report.findings if found.code == "torn"]
        begin = data.rfind(b"\n", 0, cut) + 1
        assert {found.offset for found in torn} == ({begin} if begin < cut else set())
        if begin < cut and cut > ends[0]:
            assert f": {cut - begin} bytes behind the last newline" in torn[0].message
    tell(cuts=len(cuts))
