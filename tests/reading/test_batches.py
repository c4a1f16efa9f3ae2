"""Reading by lists gives what reading one by one gives."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.trace import reader as reading
from replay.trace.line import SUFFIX_LENGTH, seal
from replay.trace.reader import EventReader
from replay.trace.schema import NewerVersionError
from tests.reading.traces import TraceBuilder, older_lines


def trace() -> TraceBuilder:
    built = TraceBuilder()
    built.open()
    built.start(2)
    built.node("a", 0)
    built.node("b", 1, error="no")
    built.complete(1, 1)
    built.close()
    return built


SHORT = 2000  # bytes: what stands in for MAX_LINE
LINES = [*trace().lines, *older_lines()]
DAMAGE = [
    b"\n",
    b"{}\n",
    b"{}{}\n",
    b"\xff\xfe\n",
    b'{"v":1,"seq":0}\n',
    b'{"v":1,\n',
    b'"seq":1}\n',
    LINES[0][:-1] + LINES[1],
    b'{"v":1,"text":"\xe2\x80\xa8"}\n',
    LINES[0].replace(b'"writer_opened"', b'"from_the_future"'),
    LINES[0].replace(b'{"v":1', b'{"v":2'),
    b'{"v":1,"text":"' + b"x" * SHORT + b'"}\n',
]


def one_by_one(data: bytes) -> tuple[Any, ...]:
    reader = EventReader(io.BytesIO(data), "t")
    found = []
    end = reader.offset
    for event in reader:
        found.append(event)
        end = reader.offset
    return found, reader.damage, reader.offset, reader.lines, reader.torn, end


def by_lists(data: bytes) -> tuple[Any, ...]:
    reader = EventReader(io.BytesIO(data), "t")
    found = []
    end = reader.offset
    for events in reader.batches():
        for place, event in enumerate(events):
            begin = reader.begin_of(place)
            assert data.startswith((b"{", b" "), begin)
            assert begin == 0 or data[begin - 1 : begin] == b"\n"
            found.append(event)
        end = reader.offset
    return found, reader.damage, reader.offset, reader.lines, reader.torn, end


@given(
    chosen=st.lists(st.sampled_from([*LINES, *LINES, *DAMAGE]), max_size=30),
    tail=st.sampled_from([b"", b"{", LINES[0][:-1]]),
    batch=st.sampled_from([1, 2, 3, 64]),
)
def test_both_ways_of_reading_agree(chosen: list[bytes], tail: bytes, batch: int) -> None:
    data = b"".join(chosen) + tail
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_BATCH", batch)
        patch.setattr(reading, "MAX_LINE", SHORT)

        assert by_lists(data) == one_by_one(data)


def test_a_line_in_two_and_two_in_a_line_are_damage() -> None:
    """A decoder of many values takes both: the number of values is that of lines."""
    one, two, three = LINES[:3]
    data = one[:-1] + two + three.replace(b',"seq"', b'\n,"seq"')
    reader = EventReader(io.BytesIO(data), "t")

    assert list(reader.batches()) == []
    assert [damage.line for damage in reader.damage] == [1, 2, 3]


def test_a_newer_line_comes_after_the_events_before_it() -> None:
    one, two, three = trace().lines[:3]
    body = three[:-SUFFIX_LENGTH].replace(b'{"v":1', b'{"v":2', 1)
    newer, _ = seal(two[-67:-3], body)
    reader = EventReader(io.BytesIO(one + two + newer), "t")
    seen: list[object] = []

    with pytest.raises(NewerVersionError, match="t:3: format version 2"):
        list(map(seen.extend, reader.batches()))
    assert len(seen) == 2
    assert reader.lines == 2


def test_a_line_nested_very_deep_is_damage() -> None:
    """It made the decoder give up with a RecursionError."""
    deep = LINES[0].replace(b'"durability":"interval"', b'"new":' + b"[" * 5000 + b"]" * 5000)
    data = deep + LINES[0]

    assert by_lists(data) == one_by_one(data)
    assert [damage.line for damage in by_lists(data)[1]] == [1]


def test_an_integer_that_json_cannot_hold_is_damage() -> None:
    """It was an event, and no report of it could be written."""
    data = LINES[0].replace(b'"pid":100', b'"pid":1' + b"0" * 30)

    assert by_lists(data) == one_by_one(data)
    assert "pid" in by_lists(data)[1][0].message
