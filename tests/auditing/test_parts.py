"""A file read in parts, or several at a time, is judged like one that is read at once."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.audit import parts as parts_module
from replay.audit import work
from replay.audit.facts import Facts
from replay.audit.parts import Part, join, parts_of, read_part
from replay.audit.reading import Place, read_trace
from replay.audit.scan import Options, TraceScan
from tests.auditing.build import audited, many_nodes, open_behind, save
from tests.auditing.test_chain import flipped
from tests.vectors.making import ALICE, BOB, CAROL, TRACE, Out, Writer, lines_of, offsets_of


def varied() -> Out:
    """Return an OUT of three runs with outputs, results, wrong counts and an unclosed writer."""
    out = Out()
    alice = open_behind(Writer(out, ALICE))
    for index in range(9):
        alice.node(f"n{index}", index)
        if index % 3:
            alice.succeed(f"n{index}", index, rows=index)
        else:
            alice.fail(f"n{index}", index, "no")
    alice.put("node_result", node_id="n1", digest="sha256:0", size=1, value=[1])
    alice.put("artifact_written", role="output", path="a.csv", size=1, digest="sha256:1")
    alice.complete(completed=6, failed=2)  # 3 have failed
    alice.close()
    bob = open_behind(Writer(out, BOB))
    bob.node("orders", 0)
    bob.succeed("orders", 0, rows=3)
    # A process goes on with its run.
    carol = open_behind(Writer(out, CAROL, run_of=BOB), goes_on=bob)
    carol.put("artifact_written", role="output", path="a.csv", size=2, digest="sha256:2")
    carol.node("prices", 1)
    carol.succeed("prices", 1)
    carol.complete(completed=1)  # 2 of the run
    # Bob's file again: another process joins his run, and counts its own.
    dave = open_behind(Writer(out, ALICE, run_of=BOB))
    dave.node("joined", 2)
    dave.succeed("joined", 2)
    dave.complete(completed=2)  # 1 of its own
    return out


VARIED = varied()
DATA = VARIED.trace()


def plain(facts: Facts) -> dict[str, Any]:
    """Return *facts* as values that compare, findings in the order of lines."""
    fields = {name: getattr(facts, name) for name in Facts.__struct_fields__}
    fields["findings"] = sorted(fields["findings"], key=lambda f: (f.line or 0, f.code))
    del fields["marks"]  # each part keeps its last line
    return fields


def cut_at(data: bytes, starts: list[int]) -> list[Part]:
    """Return the parts of *data* that begin at lines *starts* (from 0) and at its beginning."""
    offsets = list(offsets_of(data))
    lines = lines_of(data)
    places = [0, *starts]
    ends = [*starts, len(lines)]
    return [
        Part(
            offsets[start],
            offsets[end] - offsets[start],
            lines[start - 1][-67:-3] if start else b"0" * 64,
            start,
        )
        for start, end in zip(places, ends, strict=True)
    ]


@given(st.sets(st.integers(1, len(lines_of(DATA)) - 1), max_size=6))
def test_parts_cut_anywhere_amount_to_the_whole(
    tmp_path_factory: pytest.TempPathFactory, starts: set[int]
) -> None:
    path = tmp_path_factory.mktemp("parts") / "trace_04.jsonl"
    path.write_bytes(DATA)
    place = Place(str(path), TRACE, "trace_04.jsonl")
    options = Options(followed=frozenset({ALICE, BOB}))

    whole = read_trace(place, options)
    joined = join([read_part(place, part, options) for part in cut_at(DATA, sorted(starts))])

    assert joined is not None
    assert plain(joined) == plain(whole)
    assert whole.marks.items() <= joined.marks.items()
    assert [finding.code for finding in whole.findings] == [
        "output_changed",
        "count_differs",
        "count_differs",
        "count_differs",
    ]


@settings(max_examples=40)
@given(st.integers(0, len(DATA) - 2), st.integers(0, 7), st.integers(1, 30))
def test_parts_with_damage_are_not_put_together(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int, start: int
) -> None:
    data = flipped(DATA, position, bit)
    path = tmp_path_factory.mktemp("parts") / "trace_04.jsonl"
    path.write_bytes(data)
    place = Place(str(path), TRACE, "trace_04.jsonl")
    parts = cut_at(DATA, [min(start, len(lines_of(DATA)) - 1)])

    assert join([read_part(place, part, Options()) for part in parts]) is None


def test_lines_of_a_known_shape_are_not_checked_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a part as in the whole: it is what makes an audit as fast as it is."""
    data = many_nodes(600).trace()
    path = tmp_path / "trace_04.jsonl"
    path.write_bytes(data)
    place = Place(str(path), TRACE, "t")
    checked: list[bytes] = []
    right = TraceScan.right

    def counted(scan: TraceScan, line: bytes) -> None:
        checked.append(line)
        right(scan, line)

    monkeypatch.setattr(TraceScan, "right", counted)

    read_trace(place, Options())
    n_whole = len(checked)
    read_part(place, cut_at(data, [150])[1], Options())

    assert n_whole < 420 < len(lines_of(data)) / 2
    assert len(checked) - n_whole < 420


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut files of a few kilobytes, as those of many megabytes are."""
    monkeypatch.setattr(parts_module, "_SMALLEST", 3000)
    monkeypatch.setattr(work, "_WORTH", 1000)


@pytest.mark.usefixtures("small_parts")
def test_a_file_is_cut_at_lines(tmp_path: Path) -> None:
    data = many_nodes(100, ALICE, BOB).trace()
    path = tmp_path / "trace_04.jsonl"
    path.write_bytes(data)

    parts = parts_of(Place(str(path), TRACE, "t"), 8)

    assert len(parts) == 8
    assert parts == cut_at(data, [part.seq for part in parts[1:]])
    assert parts_of(Place(str(path), TRACE, "t"), 1) == []


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("damage", ["none", "flip", "cut", "line-deleted", "newer", "bytes-behind"])
def test_two_processes_find_what_one_finds(tmp_path: Path, damage: str) -> None:
    rng = random.Random(7)
    for n, out in enumerate([many_nodes(60, ALICE, BOB, CAROL), varied()]):
        folder = save(out, tmp_path / str(n))
        path = folder / TRACE
        data = path.read_bytes()
        lines = lines_of(data)
        changed = {
            "none": data,
            "flip": flipped(data, rng.randrange(len(data)), 2),
            "cut": data[: rng.randrange(len(data))],
            "line-deleted": b"".join(lines[:20] + lines[21:]),
            "newer": data.replace(b'{"v":1,"seq":20', b'{"v":2,"seq":20'),
            "bytes-behind": data + b"what?",
        }[damage]
        path.write_bytes(changed)

        one, two = audited(folder, jobs=1), audited(folder, jobs=2)

        assert two == one
        assert damage == "none" or one.exit_code() == 3
