"""Reading one file: lines with offsets, a torn tail told from damage, older and newer lines."""

import gzip
import io
import os
import socket
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.trace.events import Event, NodeStarted, UnknownEvent
from replay.trace.evidence import TraceError, open_evidence
from replay.trace.line import MAX_LINE, SUFFIX_LENGTH, LineError, seal
from replay.trace.reader import EventReader, raw_lines, skip_line
from replay.trace.schema import NewerVersionError, decode_unknown
from tests.reading.traces import TraceBuilder, older_lines
from tests.vectors.making import with_long_line


def run() -> list[bytes]:
    built = TraceBuilder()
    built.open()
    built.start(1)
    built.write("message", node_id="a", level="note", text="a\u2028b\u0085c \U0001f4a5")
    built.node("a", 0)
    built.complete(1)
    built.close()
    return built.lines


def read(data: bytes) -> tuple[list[Event], EventReader]:
    reader = EventReader(io.BytesIO(data), "t.jsonl")
    return list(reader), reader


# --- Cuts.


@given(cut=st.integers(0, len(b"".join(run()))))
def test_a_trace_cut_at_any_byte_yields_every_line_whose_newline_survived(cut: int) -> None:
    data = b"".join(run())
    whole, _ = read(data)

    events, reader = read(data[:cut])

    kept = data[:cut].count(b"\n")
    assert events == whole[:kept]
    assert reader.damage == []
    assert reader.lines == kept
    assert reader.offset == data[:cut].rfind(b"\n") + 1
    assert reader.torn == cut - reader.offset


@given(
    data=st.lists(
        st.sampled_from([b"\n", b"a", b"\r", b"\xe2\x80\xa8", b"x" * 40, *run()]), max_size=12
    ).map(b"".join)
)
def test_raw_lines_are_split_at_newlines_only_and_put_together_again(data: bytes) -> None:
    lines = list(raw_lines(io.BytesIO(data)))

    assert b"".join(line.data for line in lines) == data
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    assert [line.torn for line in lines] == [False] * data.count(b"\n") + [True] * (
        data != b"" and not data.endswith(b"\n")
    )
    for line in lines:
        assert data[line.offset :][: line.length] == line.data


def test_raw_lines_go_on_from_a_place_that_is_given() -> None:
    lines = run()
    stream = io.BytesIO(b"".join(lines))
    stream.seek(len(lines[0]))

    (second, *_) = raw_lines(stream, offset=len(lines[0]), number=1)

    assert (second.number, second.offset, second.data) == (2, len(lines[0]), lines[1])


# --- Long lines.


@pytest.mark.parametrize("ending", [b"\n", b""])
def test_a_line_of_10_mib_is_skipped_in_bounded_memory(tmp_path: Path, ending: bytes) -> None:
    lines = run()
    path = tmp_path / "t.jsonl"
    with path.open("wb") as file:
        file.write(lines[0])
        file.writelines(b"x" * MAX_LINE for _ in range(10))
        file.write(ending + (lines[1] if ending else b""))
    long = 10 * MAX_LINE + len(ending)

    tracemalloc.start()
    try:
        with open_evidence(path) as stream:
            raw = [(line.length, len(line.data), line.torn) for line in raw_lines(stream)]
        with open_evidence(path) as stream:
            reader = EventReader(stream, "t.jsonl")
            events = list(reader)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 8 * MAX_LINE
    assert raw[1] == (long, MAX_LINE + 1, not ending)
    assert len(events) == (2 if ending else 1)
    assert [(found.line, found.offset) for found in reader.damage] == (
        [(2, len(lines[0]))] if ending else []
    )
    assert reader.torn == (0 if ending else long)


def test_the_longest_line_is_read_and_one_byte_more_is_damage() -> None:
    longest, over = with_long_line(MAX_LINE).trace(), with_long_line(MAX_LINE + 1).trace()

    for events, reader in (read(longest), read(over)):
        assert len(events) + len(reader.damage) == reader.lines == 9
    assert [found.line for found in read(over)[1].damage] == [5]
    assert "line of 1048577 bytes" in read(over)[1].damage[0].message


def test_spaces_behind_an_event_count_for_the_length_of_its_line() -> None:
    line = run()[0]
    long = line[:-1] + b" " * MAX_LINE + b"\n"
    reader = EventReader(io.BytesIO(long + line), "t.jsonl")

    events = [event for events in reader.batches() for event in events]

    assert events == read(line)[0]
    assert [found.line for found in reader.damage] == [1]
    assert [found.line for found in read(long + line)[1].damage] == [1]


def test_skip_line_says_how_long_the_line_is() -> None:
    stream = io.BytesIO(b"b" * (MAX_LINE + 5) + b"\nnext")

    assert skip_line(stream, 7) == (MAX_LINE + 13, False)
    assert stream.read() == b"next"
    assert skip_line(stream, 7) == (7, True)


# --- What is in a line.


def test_a_damaged_line_is_skipped_and_remembered() -> None:
    lines = run()
    lines[2:3] = [b"\xff\xfe\n", b"[]\n", b'{"v":1}\n', b"[" * 10_000 + b"\n"]

    events, reader = read(b"".join(lines))

    assert len(events) == len(lines) - 4
    assert [found.line for found in reader.damage] == [3, 4, 5, 6]
    assert reader.damage[1].message == "a JSON list, want an object"
    assert reader.damage[2].message == "no event_type"


def test_unknown_types_and_keys_are_kept() -> None:
    built = TraceBuilder()
    built.write("tea_made", temperature=96.5, node_id="pot")
    built.write("node_start", node_id="a", node_index=0, colour="green")

    (tea, start), reader = read(bytes(built))

    assert isinstance(tea, UnknownEvent)
    assert (tea.name, tea.node_id, tea.fields) == ("tea_made", "pot", {"temperature": 96.5})
    assert isinstance(start, NodeStarted)
    assert reader.damage == []


def test_an_event_that_does_not_fit_its_declaration_is_damage() -> None:
    built = TraceBuilder()
    built.write("node_success", node_id="a")

    events, reader = read(bytes(built))

    assert events == []
    assert "node_success does not fit its declaration" in reader.damage[0].message


# --- Versions.


def newer(lines: list[bytes], number: int) -> bytes:
    """Return *lines* with line *number* (from 1) of version 2, its hash right."""
    previous = b"0" * 64 if number == 1 else lines[number - 2][-67:-3]
    body = lines[number - 1][:-SUFFIX_LENGTH].replace(b'{"v":1', b'{"v":2')
    line, _ = seal(previous, body)
    return b"".join([*lines[: number - 1], line, *lines[number:]])


@pytest.mark.parametrize("number", [1, 3])
def test_a_right_line_of_a_newer_version_stops_reading(number: int) -> None:
    reader = EventReader(io.BytesIO(newer(run(), number)), "t.jsonl")
    events: list[Event] = []

    with pytest.raises(NewerVersionError, match=r"t.jsonl:\d: format version 2, this") as caught:
        events.extend(reader)

    assert (caught.value.line, caught.value.version) == (number, 2)
    assert reader.lines == number - 1


@pytest.mark.parametrize("number", [1, 3])
def test_a_right_line_of_a_newer_version_stops_reading_by_lists(number: int) -> None:
    reader = EventReader(io.BytesIO(newer(run(), number)), "t.jsonl")
    lists: list[list[Event]] = []

    with pytest.raises(NewerVersionError):
        lists.extend(reader.batches())

    assert [len(events) for events in lists] == [number - 1] * (number > 1)


def test_a_wrong_line_of_a_newer_version_is_damage() -> None:
    lines = run()
    lines[2] = lines[2].replace(b'"v":1', b'"v":3')
    lines[4] = lines[4].replace(b'"v":1', b'"v":2')[:-76] + b"}\n"
    lines[5] = lines[5].replace(b'"v":1', b'"v":0')

    events, reader = read(b"".join(lines))

    assert len(events) == len(lines) - 3
    assert [found.line for found in reader.damage] == [3, 5, 6]
    assert reader.damage[0].message == "version 3, and its hash is wrong"


# --- The older layout.


def test_older_lines_are_cut_into_runs_at_workflow_start() -> None:
    """Two programs wrote the same file at once, and one of them ran twice."""
    first, second = list(older_lines(pid=1)), list(older_lines(pid=2))
    again = list(older_lines(pid=1))
    mixed = [line for pair in zip(first, second, strict=True) for line in pair]

    events, reader = read(b"".join([*mixed, *again]))

    by_run: dict[str | None, list[Event]] = {}
    for event in events:
        by_run.setdefault(event.run_id, []).append(event)
    assert reader.damage == []
    assert len(by_run) == 3
    assert [len(run) for run in by_run.values()] == [len(first)] * 3
    assert {event.pid for event in by_run[events[0].run_id]} == {1}
    assert [event.seq for event in events] == list(range(len(events)))
    assert {event.hash for event in events} == {""}
    assert {event.writer for event in events} == {"older-1", "older-2"}


def test_older_lines_before_any_start_make_a_run_of_their_own() -> None:
    _, *lines = older_lines()

    events, _ = read(b"".join([*lines, *older_lines()]))

    assert len({event.run_id for event in events}) == 2


def test_an_older_line_without_an_epoch_has_the_instant_of_its_local_timestamp() -> None:
    fields = orjson.loads(next(older_lines()))
    del fields["epoch_seconds"]
    fields["timestamp"] = "2026-03-14T09:26:53.500000+00:00"

    (event,), _ = read(orjson.dumps(fields) + b"\n")

    assert event.epoch_seconds == 1_773_480_413.5
    assert event.timestamp == "2026-03-14T09:26:53.500000Z"


def test_an_older_line_without_any_instant_is_damage() -> None:
    fields = orjson.loads(next(older_lines()))
    del fields["epoch_seconds"]
    fields["timestamp"] = "yesterday"

    events, reader = read(orjson.dumps(fields) + b"\n")

    assert events == []
    assert reader.damage[0].message.startswith("timestamp: ")


# --- Opening.


def test_only_a_regular_file_is_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIFO would wait for a writer, a link leads anywhere."""
    (tmp_path / "t.jsonl").write_bytes(run()[0])
    (tmp_path / "link.jsonl").symlink_to("t.jsonl")
    os.mkfifo(tmp_path / "fifo.jsonl")
    monkeypatch.chdir(tmp_path)  # a socket's name has to be short
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("socket.jsonl")
    listening.close()

    with pytest.raises(TraceError, match=r"a symbolic link to .*, want a regular file"):
        open_evidence(tmp_path / "link.jsonl")
    for name in ("fifo.jsonl", "socket.jsonl", "."):
        with pytest.raises(TraceError, match="not a regular file") as caught:
            open_evidence(tmp_path / name)
        assert caught.value.path == str(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        open_evidence(tmp_path / "none.jsonl")


def test_standard_input_and_compressed_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"".join(run())
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress(data))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    with open_evidence(tmp_path / "t.jsonl.gz") as stream:
        compressed = list(EventReader(stream, "t"))

    assert compressed == list(EventReader(open_evidence("-"), "-")) == read(data)[0]


def test_a_compressed_file_that_was_cut_is_damaged_at_its_end(tmp_path: Path) -> None:
    lines = run()
    path = tmp_path / "t.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(lines))[:-8])

    with open_evidence(path) as stream:
        reader = EventReader(stream, "t")
        events = list(reader)

    assert len(events) == len(lines)
    [damage] = reader.damage
    assert (damage.line, damage.offset) == (len(lines) + 1, len(b"".join(lines)))
    assert damage.message.startswith("compressed data ends too early")


# --- By lists, with less of each event.


class _Kind(msgspec.Struct):
    v: int
    event_type: str


def test_an_event_of_a_list_is_decoded_in_full_when_asked_for() -> None:
    lines = run()
    reader = EventReader(io.BytesIO(b"".join(lines)), "t.jsonl")

    (kinds,) = reader.batches(msgspec.json.Decoder(_Kind).decode)

    assert [kind.event_type for kind in kinds][:2] == ["writer_opened", "workflow_start"]
    assert [reader.event(place) for place in range(len(lines))] == list(map(full, lines))


def test_an_event_of_a_list_that_is_whole_already_is_given_back() -> None:
    reader = EventReader(io.BytesIO(b"".join(run())), "t.jsonl")

    (events,) = reader.batches()

    assert reader.event(2) is events[2]
    assert reader.line(2) == run()[2]


def full(line: bytes) -> Any:
    (event,), _ = read(line)
    return event


def test_an_event_of_a_list_that_does_not_fit_its_declaration_is_none() -> None:
    built = TraceBuilder()
    built.write("node_success", node_id="a")
    reader = EventReader(io.BytesIO(bytes(built)), "t.jsonl")

    list(reader.batches(msgspec.json.Decoder(_Kind).decode))

    assert reader.event(0) is None


def test_a_torn_line_over_the_limit_is_no_damage_by_lists() -> None:
    lines = run()
    reader = EventReader(io.BytesIO(lines[0] + b"x" * (3 * MAX_LINE)), "t.jsonl")

    (events,) = reader.batches()

    assert (len(events), reader.damage, reader.torn) == (1, [], 3 * MAX_LINE)


def test_an_older_line_nested_too_deep_is_damage() -> None:
    deep = b'"x":' + b"[" * 500 + b"]" * 500
    line = next(older_lines()).replace(b'"pid":77', b'"pid":77,' + deep)

    events, reader = read(line)

    assert events == []
    assert "nested too deep" in reader.damage[0].message


@pytest.mark.parametrize("line", [b"{", b"\xff\n"])
def test_bytes_that_are_no_json_are_no_event(line: bytes) -> None:
    with pytest.raises(LineError, match="not JSON"):
        decode_unknown(line)
