"""Tail: the last events of many files, and what comes, in real files."""

import gzip
import io
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.trace import growing
from replay.trace.evidence import TraceError
from replay.trace.folder import NoTraceError
from replay.trace.growing import GrowingFile
from replay.trace.line import MAX_LINE, SUFFIX_LENGTH, seal
from replay.trace.reader import Damage, EventReader
from replay.trace.schema import NewerVersionError
from replay.trace.tail import Item, Notice, Shown, Tail, Torn, pause_after
from tests.reading.order import merged
from tests.reading.traces import Clock, TraceBuilder, older_lines

ONE = "audit/step_04/trace_04.jsonl"
TWO = "audit/step_04/trace_04.20260314t093000-0b0b0b0b0b.jsonl"
OTHER_STEP = "audit/step_05/trace_05.jsonl"


def trace(name: str = ONE, *, nodes: int = 3, clock: Clock | None = None) -> TraceBuilder:
    """Return a closed trace of one run."""
    built = TraceBuilder(name, clock=clock)
    built.open()
    built.start(nodes)
    for n in range(nodes):
        built.node(f"n{n}", n, error="no" if n % 3 == 2 else None)
    built.complete(nodes)
    built.close()
    return built


def last(path: Path, n: int | None, **options: Any) -> list[Item]:
    with Tail(str(path), **options) as tail:
        return list(tail.last(n))


def lines(items: list[Item]) -> list[bytes]:
    return [item.line for item in items if isinstance(item, Shown)]


def others(items: list[Item]) -> list[Item]:
    return [item for item in items if not isinstance(item, Shown)]


_FOLLOWING: list[Tail] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _FOLLOWING:
        _FOLLOWING.pop().close()


def collect(items: Iterable[Item], into: list[Item]) -> None:
    """Append *items* one by one: what came before an error stays."""
    for item in items:
        into.append(item)  # noqa: PERF402 - extend() would lose them


class Following:
    """A tail that is told when to look."""

    def __init__(self, path: Path, n: int | None = 0, **options: Any) -> None:
        self.seconds = 0.0
        self.tail = Tail(str(path), clock=lambda: self.seconds, **options)
        _FOLLOWING.append(self.tail)
        try:
            self.first = list(self.tail.last(n))
        except NoTraceError:
            self.first = []

    def look(self) -> list[Item]:
        """Return what came, as many looks as follow each other without a pause."""
        self.seconds += 0.05
        found: list[Item] = []
        more = True
        while more:
            items, more = self.tail.look()
            found += items
        return found


# --- what is there


def test_last_lines_of_one_file(tmp_path: Path) -> None:
    built = trace()
    built.save(tmp_path)

    assert lines(last(tmp_path, 4)) == built.lines[-4:]
    assert lines(last(tmp_path, 10_000)) == built.lines
    assert lines(last(tmp_path, None)) == built.lines
    assert last(tmp_path, 0) == []


@pytest.mark.parametrize("given", [".", "audit", "audit/step_04", ONE])
def test_every_kind_of_path_is_taken(tmp_path: Path, given: str) -> None:
    built = trace()
    built.save(tmp_path)

    assert lines(last(tmp_path / given, 3)) == built.lines[-3:]


@st.composite
def folders(draw: st.DrawFn) -> list[TraceBuilder]:
    """Up to three files whose writers' clocks may step back."""
    built = []
    for n in range(draw(st.integers(1, 3))):
        clock = Clock()
        builder = TraceBuilder([ONE, TWO, OTHER_STEP][n], writer=f"w{n}", clock=clock)
        for _ in range(draw(st.integers(0, 12))):
            builder.write(
                draw(st.sampled_from(["node_start", "of_tomorrow"])),
                after_us=draw(st.integers(-3, 3)),
                node_id=draw(st.sampled_from("ab")),
                filler="x" * draw(st.integers(0, 300)),
            )
        built.append(builder)
    return built


def in_order(built: list[TraceBuilder]) -> list[bytes]:
    """Return all lines in the order that `replay.trace.merge` gives their events."""
    by_name = {builder.name: builder for builder in built}
    readers = [EventReader(io.BytesIO(bytes(b)), b.name) for b in built]
    return [by_name[name].lines[event.seq] for name, event in merged(readers)]


@given(built=folders(), n=st.none() | st.integers(0, 40), block=st.integers(1, 2000))
def test_the_last_events_are_the_end_of_the_one_order(
    tmp_path_factory: pytest.TempPathFactory, built: list[TraceBuilder], n: int | None, block: int
) -> None:
    """From whatever blocks the files are read, and wherever their clocks stepped back."""
    out = tmp_path_factory.mktemp("out")
    for builder in built:
        builder.save(out)
    want = in_order(sorted(built, key=lambda builder: builder.name))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growing, "_BLOCK", block)
        found = lines(last(out, n))

    assert found == (want if n is None else want[len(want) - n :] if n < len(want) else want)


@given(built=folders(), n=st.none() | st.integers(0, 10), node=st.sampled_from("ab"))
def test_filters_apply_before_the_count(
    tmp_path_factory: pytest.TempPathFactory, built: list[TraceBuilder], n: int | None, node: str
) -> None:
    out = tmp_path_factory.mktemp("out")
    for builder in built:
        builder.save(out)
    wanted = b'"node_id":"%s"' % node.encode()

    def keep(fields: Mapping[str, Any]) -> bool:
        return bool(fields["node_id"] == node)

    found = lines(last(out, n, keep=keep, may_keep=lambda line: wanted in line))

    want = [line for line in in_order(sorted(built, key=lambda b: b.name)) if wanted in line]
    assert found == (want if n is None else want[max(0, len(want) - n) :])


@given(cut=st.data())
def test_a_cut_anywhere_shows_whole_lines_and_locates_the_rest(
    tmp_path_factory: pytest.TempPathFactory, cut: st.DataObject
) -> None:
    out = tmp_path_factory.mktemp("out")
    built = trace()
    path = built.save(out)
    data = bytes(built)
    size = cut.draw(st.integers(0, len(data)))
    path.write_bytes(data[:size])
    n_whole = data[:size].count(b"\n")
    end = sum(map(len, built.lines[:n_whole]))

    found = last(out, None)

    assert lines(found) == built.lines[:n_whole]
    torn = [Torn("audit/step_04/trace_04.jsonl", end, size - end)] if size > end else []
    assert others(found) == torn


def test_what_is_no_event_is_named_with_its_line_and_byte(tmp_path: Path) -> None:
    built = trace()
    bad = [
        b"\n",
        b"{}\n",
        b"\xff\n",
        b"[" * 10_000 + b"\n",
        b'{"v":1,"v":1}\n',
        b"x" * 3000 + b"\n",
    ]
    path = built.save(tmp_path)
    path.write_bytes(b"".join([*built.lines[:4], *bad, *built.lines[4:]]))
    reader = EventReader(io.BytesIO(path.read_bytes()), "")
    list(reader)

    found = last(path, None)

    assert lines(found) == built.lines
    assert [(d.line, d.offset) for d in found if isinstance(d, Damage)] == [
        (d.line, d.offset) for d in reader.damage
    ]


def test_damage_before_what_is_shown_is_not_told(tmp_path: Path) -> None:
    built = trace()
    path = built.save(tmp_path)
    path.write_bytes(b"bad\n" + bytes(built))

    assert others(last(tmp_path, 2)) == []
    assert len(others(last(tmp_path, len(built.lines) + 1))) == 1


def test_a_line_of_ten_mebibytes_is_named_and_passed(tmp_path: Path) -> None:
    built = trace()
    path = built.save(tmp_path)
    path.write_bytes(b"".join([*built.lines[:4], b"x" * (10 << 20), b"\n", *built.lines[4:]]))

    found = last(tmp_path, 100)

    assert lines(found) == built.lines
    (damage,) = others(found)
    assert isinstance(damage, Damage)
    assert damage.line == 5
    assert damage.message == f"line of {(10 << 20) + 1} bytes, want at most {MAX_LINE}"
    assert lines(last(tmp_path, 2)) == built.lines[-2:]


def test_the_end_of_a_large_trace_costs_what_a_small_one_costs(tmp_path: Path) -> None:
    """A file of a gigabyte, nearly all of it a hole, is read at its end only."""
    built = trace(nodes=10)
    path = built.save(tmp_path)
    with path.open("wb") as stream:
        stream.seek(1 << 30)
        stream.write(b"\n" + bytes(built))
    began = time.process_time()

    found = lines(last(tmp_path, 10))

    assert found == built.lines[-10:]
    assert time.process_time() - began < 0.2


def newer(line: bytes, previous: bytes | None) -> bytes:
    body = line[:-SUFFIX_LENGTH].replace(b'{"v":1,', b'{"v":2,')
    hash_before = b"0" * 64 if previous is None else previous[-67:-3]
    return seal(hash_before, body)[0]


@pytest.mark.parametrize("n", [None, 3, 100])
@pytest.mark.parametrize("position", [0, 4, 9])
def test_events_before_one_of_a_newer_version_are_shown(
    tmp_path: Path, n: int | None, position: int
) -> None:
    built = trace()
    path = built.save(tmp_path)
    written = list(built.lines)
    written[position] = newer(written[position], written[position - 1] if position else None)
    path.write_bytes(b"".join(written[: position + 1]))
    found: list[Item] = []

    with Tail(str(tmp_path)) as tail, pytest.raises(NewerVersionError) as caught:
        collect(tail.last(n), found)

    assert caught.value.line == position + 1
    assert lines(found) == built.lines[:position][-n if n else 0 :]


def test_a_newer_version_with_a_wrong_hash_is_damage(tmp_path: Path) -> None:
    built = trace()
    path = built.save(tmp_path)
    flipped = built.lines[4].replace(b'{"v":1,', b'{"v":2,')
    path.write_bytes(b"".join([*built.lines[:4], flipped, *built.lines[5:]]))

    found = last(tmp_path, None)

    assert lines(found) == built.lines[:4] + built.lines[5:]
    assert [d.line for d in others(found) if isinstance(d, Damage)] == [5]


def test_since_leaves_out_what_is_older(tmp_path: Path) -> None:
    built = trace(nodes=50)
    built.save(tmp_path)
    instant = built.lines[40].split(b'"timestamp":"')[1][:27].decode()

    found = last(
        tmp_path, None, since=instant, keep=lambda fields: bool(fields["timestamp"] >= instant)
    )

    assert lines(found) == built.lines[40:]


def test_since_finds_what_a_clock_that_was_set_back_put_before_older_events(
    tmp_path: Path,
) -> None:
    hour = 3_600_000_000
    built = TraceBuilder()
    wanted = [built.write("of_tomorrow", after_us=2 * hour) for _ in range(3)]
    built.clock.now_us -= 10 * hour
    for _ in range(3):
        built.write("of_yesterday")
    built.clock.now_us += 10 * hour
    # More than the margin of what is new enough does not use the margin up.
    wanted += [built.write("of_tomorrow", filler="x" * 100_000) for _ in range(15)]
    built.clock.now_us -= 10 * hour
    built.write("of_yesterday")
    built.save(tmp_path)

    found = last(
        tmp_path,
        None,
        since="2026-11-21T09:00:00.000000Z",
        keep=lambda fields: bool(fields["event_type"] == "of_tomorrow"),
    )

    assert lines(found) == wanted


# --- other layouts and places


def test_the_older_layout_is_shown_as_stored_with_a_place_in_the_order(tmp_path: Path) -> None:
    older = list(older_lines())
    path = tmp_path / "old.jsonl"
    path.write_bytes(b"".join(older))

    found = last(path, 3)

    assert lines(found) == older[-3:]
    assert [item.fields["timestamp"][-1] for item in found if isinstance(item, Shown)] == ["Z"] * 3


@pytest.mark.parametrize("summary", ["null", '"ok"', '{"rows":3}'])
def test_a_summary_in_the_older_layout_is_whatever_it_was(tmp_path: Path, summary: str) -> None:
    """Every node_success of an older trace was once refused: `Expected raw, got null`."""
    line = next(line for line in older_lines() if b'"node_success"' in line)
    line = line.replace(b'"output_hash":null', b'"output_summary":%s' % summary.encode())
    path = tmp_path / "old.jsonl"
    path.write_bytes(line)

    assert lines(last(path, None)) == [line]


def test_runs_of_the_older_layout_are_known_from_their_first_line(tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    path.write_bytes(b"".join([*older_lines(nodes=2), *older_lines(nodes=3)]))
    ids = {item.fields["run_id"] for item in last(path, None) if isinstance(item, Shown)}

    counts = {
        run_id: len(
            last(path, 1000, run_ids=True, keep=lambda f, wanted=run_id: f["run_id"] == wanted)
        )
        for run_id in ids
    }

    assert sorted(counts.values()) == [6, 8]


@pytest.mark.parametrize("n", [None, 0, 3, 1000])
def test_a_compressed_trace_beside_others(tmp_path: Path, n: int | None) -> None:
    clock = Clock()
    first, second = trace(ONE, clock=clock), trace(TWO, clock=clock)
    plain = first.save(tmp_path)
    with gzip.open(f"{plain}.gz", "wb") as stream:
        stream.write(bytes(first))
    plain.unlink()
    second.save(tmp_path)
    want = first.lines + second.lines

    assert lines(last(tmp_path, n)) == (want if n is None else want[max(0, len(want) - n) :])


@pytest.mark.parametrize("n", [None, 1000])
def test_a_compressed_trace_that_was_cut_shows_what_is_there(tmp_path: Path, n: int | None) -> None:
    built = trace(nodes=500)
    path = tmp_path / "t.jsonl.gz"
    path.write_bytes(gzip.compress(bytes(built))[:-2000])

    with Tail(str(path)) as tail:
        *found, damage = tail.last(n)

    assert isinstance(damage, Damage)
    assert damage.message.startswith("compressed data ends too early")
    assert lines(found) == built.lines[: len(found)]
    assert 100 < len(found) < len(built.lines)


@pytest.mark.parametrize("n", [None, 3])
def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int | None) -> None:
    built = trace()
    with built.save(tmp_path).open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        with Tail("-") as tail:
            found = list(tail.last(n))

    assert lines(found) == (built.lines if n is None else built.lines[-n:])


def test_nothing_there_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(NoTraceError, match="looked for"):
        last(tmp_path, 10)


def as_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("spoil", [as_link, as_folder, as_fifo])
def test_what_is_no_file_is_passed_over_when_others_are_there(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(trace(ONE).save(tmp_path))
    other = trace(OTHER_STEP)
    other.save(tmp_path)

    found = last(tmp_path, 3)

    assert lines(found) == other.lines[-3:]
    assert [type(item) for item in others(found)] == [Notice]


@pytest.mark.parametrize("spoil", [as_link, as_folder, as_fifo])
@pytest.mark.parametrize("given", [".", ONE])
def test_what_is_no_file_is_an_error_when_it_is_alone(
    tmp_path: Path, spoil: Callable[[Path], None], given: str
) -> None:
    spoil(trace(ONE).save(tmp_path))

    with pytest.raises((TraceError, NoTraceError)):
        last(tmp_path / given, 3)


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """Let this process open a few files more than it has open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(entry.name) for entry in Path("/dev/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 80, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("few_descriptors")
def test_more_files_than_may_be_open(tmp_path: Path) -> None:
    clock = Clock()
    built = [trace(f"audit/step_04/trace_04.w{n:03}.jsonl", clock=clock) for n in range(200)]
    for builder in built:
        builder.save(tmp_path)

    following = Following(tmp_path, 25)
    for builder in built:
        builder.write("of_tomorrow")
        builder.save(tmp_path)

    assert lines(following.first) == [line for b in built for line in b.lines[:-1]][-25:]
    assert lines(following.look()) == [builder.lines[-1] for builder in built]
    for builder in built:
        (tmp_path / builder.name).unlink()
        builder.save(tmp_path)  # perhaps with the inode of another one
    following.look()
    successors = [trace(builder.name, clock=clock) for builder in built]
    for builder in successors:
        builder.save(tmp_path)
    assert sorted(lines(following.look())) == sorted(x for b in successors for x in b.lines)


# --- what comes


@given(data=st.data())
def test_every_line_comes_once_however_it_is_written(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    out = tmp_path_factory.mktemp("out")
    built = trace()
    path = built.save(out)
    whole = bytes(built)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), min_size=1, max_size=8)))
    path.write_bytes(whole[: cuts[0]])
    following = Following(out, None)
    found = lines(following.first)

    for begin, end in pairwise([*cuts, len(whole)]):
        with path.open("ab") as stream:
            stream.write(whole[begin:end])
        found += lines(following.look())

    assert found == built.lines


def test_a_line_of_ten_mebibytes_that_grows_is_named_once(tmp_path: Path) -> None:
    built = trace()
    path = built.save(tmp_path)
    following = Following(tmp_path)
    found = []
    with path.open("ab") as stream:
        for _ in range(10):
            stream.write(b"x" * (1 << 20))
            stream.flush()
            found += following.look()
        stream.write(b"\n")
        stream.flush()
        found += following.look()
        built.write("of_tomorrow")
        stream.write(built.lines[-1])
        stream.flush()
        found += following.look()

    assert [type(item) for item in found] == [Damage, Shown]
    assert lines(found) == built.lines[-1:]


def test_all_of_what_appears_is_new(tmp_path: Path) -> None:
    """An OUT without audit/, then a step, then a second writer, then another step."""
    out = tmp_path / "out"
    following = Following(out)
    assert following.look() == []
    out.mkdir()
    assert following.look() == []

    for name in (ONE, TWO, OTHER_STEP):
        built = trace(name)
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        assert following.look() == []
        built.save(out)
        assert lines(following.look()) == built.lines


def test_a_file_that_appears_right_after_a_look_is_found_by_the_next(tmp_path: Path) -> None:
    """Two changes of a folder may bear one time stamp: the clock of the kernel ticks at 4 ms."""
    trace().save(tmp_path)
    following = Following(tmp_path)
    for n in range(50):
        built = trace(f"audit/step_04/trace_04.w{n}.jsonl")
        built.save(tmp_path)
        assert lines(following.look()) == built.lines


def test_a_file_that_changes_no_time_stamp_is_found(tmp_path: Path) -> None:
    """Where the file system's clock ticks in seconds."""
    step = trace().save(tmp_path).parent
    following = Following(tmp_path)
    following.look()
    before = step.stat().st_mtime_ns
    built = trace(TWO)
    built.save(tmp_path)
    os.utime(step, ns=(before, before))

    assert lines(following.look()) == built.lines


def test_lines_of_one_look_are_sorted(tmp_path: Path) -> None:
    clock = Clock()
    built = [TraceBuilder(name, clock=clock, writer=name[-9:]) for name in (ONE, TWO, OTHER_STEP)]
    for builder in built:
        builder.save(tmp_path)
    following = Following(tmp_path)
    want = [built[n % 3].write("of_tomorrow") for n in (2, 0, 1, 1, 2, 0)]
    for builder in built:
        builder.save(tmp_path)

    assert lines(following.look()) == want


def test_more_than_a_portion_comes_without_a_pause(tmp_path: Path) -> None:
    built = TraceBuilder(ONE)
    path = built.save(tmp_path)
    following = Following(tmp_path)
    for _ in range(30):
        built.write("of_tomorrow", filler="x" * 100_000)
    path.write_bytes(bytes(built))

    assert lines(following.look()) == built.lines


def test_a_removed_file_is_told_and_its_successor_followed(tmp_path: Path) -> None:
    built = trace()
    path = built.save(tmp_path)
    following = Following(tmp_path)
    path.unlink()

    (notice,) = following.look()
    assert isinstance(notice, Notice)
    assert "was removed" in notice.message
    assert following.look() == []
    built.save(tmp_path)
    assert lines(following.look()) == built.lines


def test_what_was_written_before_a_removal_is_shown(tmp_path: Path) -> None:
    built = trace()
    path = built.save(tmp_path)
    following = Following(tmp_path)
    with path.open("ab") as stream:
        stream.write(built.write("of_tomorrow"))
    path.unlink()

    found = following.look()

    assert lines(found) == built.lines[-1:]
    assert [type(item) for item in found] == [Shown, Notice]


def test_a_removed_folder_is_told_and_its_successor_followed(tmp_path: Path) -> None:
    built = trace()
    built.save(tmp_path / "out")
    following = Following(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    assert [type(item) for item in following.look()] == [Notice]
    assert following.look() == []
    built.save(tmp_path / "out")

    assert lines(following.look()) == built.lines


def by_renaming(path: Path, data: bytes) -> None:
    beside = path.with_name("beside")
    beside.write_bytes(data)
    beside.rename(path)


def by_removing(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def by_writing_over(path: Path, data: bytes) -> None:
    path.write_bytes(data)


@pytest.mark.parametrize("n_nodes", [0, 3, 30])
@pytest.mark.parametrize("replace", [by_renaming, by_removing, by_writing_over])
def test_a_replaced_file_is_told_and_read_from_its_beginning(
    tmp_path: Path, replace: Callable[[Path, bytes], None], n_nodes: int
) -> None:
    path = trace(nodes=10).save(tmp_path)
    following = Following(tmp_path)
    successor = TraceBuilder(ONE, writer="20261121t070312-ffffffffff")
    for n in range(n_nodes):
        successor.node(f"n{n}", n)
    replace(path, bytes(successor))

    found = following.look()

    assert [type(item) for item in others(found)] == [Notice]
    assert lines(found) == successor.lines


def test_a_file_that_shrinks_is_told_and_followed_from_its_new_end(tmp_path: Path) -> None:
    built = trace()
    path = built.save(tmp_path)
    following = Following(tmp_path)
    kept = b"".join(built.lines[:4])
    with path.open("r+b") as stream:
        stream.truncate(len(kept) + 10)

    (notice,) = following.look()
    assert isinstance(notice, Notice)
    assert notice.message.startswith(f"shrank to {len(kept) + 10} bytes, {len(bytes(built))}")

    with path.open("r+b") as stream:
        stream.seek(len(kept))
        stream.write(built.lines[4])
    assert lines(following.look()) == [built.lines[4]]


def test_a_link_in_place_of_a_trace_is_told_once_and_not_followed(tmp_path: Path) -> None:
    path = trace().save(tmp_path)
    following = Following(tmp_path)
    as_link(path)
    found = following.look()

    assert [type(item) for item in found] == [Notice, Notice]
    assert [item.message for item in found if isinstance(item, Notice)] == [
        "was replaced; going on with what is in its place",
        "a symbolic link to elsewhere: links are not followed",
    ]
    for _ in range(3):
        assert following.look() == []


def test_a_newer_version_ends_following(tmp_path: Path) -> None:
    built = trace()
    path = built.save(tmp_path)
    following = Following(tmp_path)
    built.write("of_tomorrow")
    built.write("of_tomorrow")
    with path.open("ab") as stream:
        stream.write(built.lines[-2] + newer(built.lines[-1], built.lines[-2]))

    items, more = following.tail.look()

    assert lines(items) == built.lines[-2:-1]
    assert more
    with pytest.raises(NewerVersionError):
        following.tail.look()


def test_pauses_are_short_while_events_come_and_twice_as_long_when_idle(tmp_path: Path) -> None:
    class EnoughError(Exception):
        pass

    now, pauses = 0.0, []
    built = trace()
    path = built.save(tmp_path)

    def sleep(seconds: float) -> None:
        nonlocal now
        pauses.append(seconds)
        now += seconds
        if now > 30:
            raise EnoughError
        if now < 15:
            with path.open("ab") as stream:
                stream.write(built.write("of_tomorrow"))

    found: list[Item] = []
    with Tail(str(tmp_path), clock=lambda: now, sleep=sleep) as tail:
        n_before = len(list(tail.last(None)))
        with pytest.raises(EnoughError):
            collect(chain.from_iterable(tail.follow()), found)

    assert lines(found) == built.lines[n_before:]
    assert set(pauses) == {0.05, 0.1}
    assert pauses[:299] == [0.05] * 299


def test_a_long_look_is_followed_by_a_longer_pause() -> None:
    assert pause_after(0.007, idle_s=0) == pytest.approx(0.07)
    assert max(pause_after(cost, idle_s=idle) for cost in (0, 1, 10) for idle in (0, 100)) <= 0.1


def test_a_file_opened_again_is_the_same_or_refused(tmp_path: Path) -> None:
    path = trace().save(tmp_path)
    file = GrowingFile(path, "t")
    file.close()
    by_renaming(path, b"other\n")

    with pytest.raises(TraceError, match="another file"):
        file.descriptor()
