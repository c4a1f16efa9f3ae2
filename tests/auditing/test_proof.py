"""A shape that a line matches proves what `check` would have found, for any line."""

import random
import time
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from replay.audit.proof import WORTH, Shapes, hour_of, is_utf8, tail_of
from replay.trace.line import GENESIS, Envelope, LineError, check, seal
from tests.auditing.build import many_nodes, scanned, told
from tests.vectors.making import body_of, chained, lines_of

ENVELOPE = Envelope(
    writer="20260314t092653-0a11ce0a11", workflow_id="step_04", step_number="04", run_id="r-1"
)
PAYLOADS: list[dict[str, Any]] = [
    {},
    {"duration_seconds": 0.25, "output_hash": None, "output_summary": {"rows": 5, "name": "x"}},
    {"duration_seconds": 1.5e-7, "error": 'no "column"\n', "error_type": "ValueError"},
    {"level": "note", "text": "a\\b", "tags": ["x", 1, None], "empty": {}, "none": []},
    {"value": {"a": {"b": {"c": [1.5, -2]}}}, "flag": True, "n": -5, "big": 10**14},
]


def line_of(payload: bytes, *, head: bytes = b"", event_type: str = "node_success") -> bytes:
    body = ENVELOPE.encode(
        event_type, payload, head=head, seq=7, epoch_us=1773480413839793, mono_us=86400250000, pid=4
    )
    return seal(GENESIS, body)[0]


HEADS = [b"", b',"node_id":"a.csv","node_index":3', b',"node_id":"a \\" b"', b',"message":"m"']
SAMPLES = [line_of(orjson.dumps(p), head=head) for p in PAYLOADS for head in HEADS]


def taught() -> Shapes:
    shapes = Shapes()
    for line in SAMPLES:
        for _ in range(WORTH):
            shapes.learn(check(line))
    return shapes


SHAPES = taught()
TAIL = tail_of(SAMPLES[0], check(SAMPLES[0]))
assert TAIL is not None
MATCH = SHAPES.matcher(len(TAIL))


def proven(line: bytes) -> bool:
    """Return whether the audit would take *line* without a check."""
    found = MATCH(line)
    return found is not None and found[2] == TAIL and is_utf8(line)


def is_right(line: bytes) -> bool:
    try:
        check(line)
    except LineError:
        return False
    return True


def resealed(line: bytes) -> bytes:
    return seal(GENESIS, body_of(line))[0]


@pytest.mark.parametrize("line", SAMPLES)
def test_a_shape_that_was_learnt_is_known(line: bytes) -> None:
    assert proven(line)


@given(st.sampled_from(SAMPLES), st.data())
def test_a_line_that_is_proven_is_right(line: bytes, data: st.DataObject) -> None:
    """Bytes are replaced, taken out and put in anywhere: what is malformed is never proven."""
    body = bytearray(body_of(line))
    for _ in range(data.draw(st.integers(1, 4), label="edits")):
        begin = data.draw(st.integers(0, len(body)), label="begin")
        length = data.draw(st.sampled_from([0, 1, 1, 2, 10]), label="length")
        put = data.draw(
            st.binary(max_size=3)
            | st.sampled_from(
                [b'"', b"\\", b"\\ud800", b"\\u0041", b"0", b"9" * 17, b"1e999", b"-", b"-0", b".",
                 b",", b"{", b"}", b"[", b"]", b":", b" ", b"\t", b"\xff", b"\xc3", b"true", b"1e5",
                 b',"rows":1', b',"seq":7', b',"node_id":"b"', b',"hash":"x"', b"null", b'""']
            ),
            label="put",
        )  # fmt: skip
        body[begin : begin + length] = put
    assume(b"\n" not in body)
    changed = resealed(bytes(body) + b"x" * 76)

    if proven(changed):
        assert is_right(changed)


@given(st.sampled_from(SAMPLES), st.integers(0, 700), st.sampled_from(range(256)))
def test_one_other_byte_makes_no_malformed_line_proven(line: bytes, at: int, byte: int) -> None:
    body = bytearray(body_of(line))
    at %= len(body)
    assume(byte != 10)
    body[at] = byte
    changed = resealed(bytes(body) + b"x" * 76)

    assert is_right(changed) or not proven(changed)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"duration_seconds":1,"duration_seconds":2}',
        b'{"duration_seconds":9007199254740992,"output_hash":null,"output_summary":null}',
        b'{"duration_seconds":01.5,"output_hash":null,"output_summary":{"rows":1,"name":""}}',
        b'{"duration_seconds":1.5,"output_hash":null,"output_summary":{"rows":1,"rows":""}}',
        b'{"duration_seconds":NaN,"output_hash":null,"output_summary":{"rows":1,"name":""}}',
        b'{"duration_seconds":1,"output_hash":null,"output_summary":{"rows":1,"name":"\\ud800"}}',
        b'{"duration_seconds":1,"output_hash":null,"output_summary":{"rows":1,"name":"\xff"}}',
        b'{"duration_seconds":1,"output_hash":null,"output_summary":{"rows":1,"name":"\t"}}',
        b'{"node_id":"x","duration_seconds":0.25,"output_hash":null}',
        b'{"duration_seconds":1,"output_hash":null,"output_summary":{"rows":1,"name":"x"},"pid":1}',
        b'{"duration_seconds":1e999,"output_hash":null,"output_summary":{"rows":1,"name":"x"}}',
    ],
)
def test_what_breaks_a_rule_is_not_proven_by_a_shape(payload: bytes) -> None:
    line = line_of(payload, head=b',"node_id":"a.csv","node_index":3')

    assert not is_right(line)
    assert not proven(line)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"timestamp":"2026-03-14T', b'"timestamp":"2026-13-14T'),
        (b'T09:26:53.839793Z"', b'T24:26:53.839793Z"'),
        (b'T09:26:53.839793Z"', b'T09:26:53.839Z"'),
        (b'"pid":4,', b'"pid":"4",'),
        (b'"v":1,', b'"v":1,"v":1,'),
        (b'"mono_us":86400250000', b'"mono_us":086400250000'),
        (b'"epoch_seconds":1773480413.839793', b'"epoch_seconds":"x"'),
        (b'"step_number":"04"', b'"step_number":4'),
        (b'"node_index":3', b'"node_index":true'),
        (b'"node_index":3', b'"node_index":1.5'),
        (b'"node_id":"a.csv"', b'"node_id":5'),
    ],
)
def test_an_envelope_of_other_types_is_not_proven(old: bytes, new: bytes) -> None:
    line = SAMPLES[5]
    assert old in line

    changed = resealed(line.replace(old, new, 1))

    assert not is_right(changed)
    assert not proven(changed)


def test_a_line_of_another_writer_or_run_is_not_taken_for_one_of_this() -> None:
    other = SAMPLES[0].replace(b"0a11ce0a11", b"0a11ce0a12")

    found = MATCH(resealed(other))

    assert found is not None
    assert found[2] != TAIL


def test_strings_and_numbers_of_any_kind_still_match() -> None:
    for text in ("", "\u20ac \U0001f600", '\\"\n\t\x01', "x" * 3000):
        payload = {"duration_seconds": 12.5, "output_hash": None,
                   "output_summary": {"rows": -1e-9, "name": text}}  # fmt: skip
        line = line_of(orjson.dumps(payload))

        assert is_right(line)
        assert proven(line)


@pytest.mark.parametrize(
    "number",
    ["0", "5", "-5", "0.5", "12.25", "-0.5", "1e5", "1.5e-7", "-2e-9", "100000000000000", "-0.0",
     "0e5", "null", "true", '"x"', '"a\\"b"'],
)  # fmt: skip
def test_a_value_of_another_type_still_matches(number: str) -> None:
    payload = '{"duration_seconds":%s,"output_hash":null,"output_summary":{"rows":1,"name":%s}}'

    line = line_of((payload % (number, number)).encode())

    assert is_right(line)
    assert proven(line)


def test_a_line_that_does_not_match_at_its_end_is_not_tried_in_all_ways() -> None:
    """With two ways to match each of 50 numbers it would take longer than the universe is old."""
    shapes = Shapes()
    payload = {f"k{n}": [0.5, 5, "text", 'with "quotes"', -1.5][n % 5] for n in range(50)}
    for _ in range(WORTH):
        shapes.learn(check(line_of(orjson.dumps(payload))))
    match = shapes.matcher(len(TAIL or b""))
    assert match(line_of(orjson.dumps(payload))) is not None
    begin = time.process_time()

    found = match(line_of(orjson.dumps({**payload, "another": 1})))

    assert found is None
    assert time.process_time() - begin < 1


def test_the_part_behind_the_hour_is_matched_alike() -> None:
    for line in SAMPLES:
        hour = hour_of(line)
        assert hour == b"2026-03-14T09:"
        match = SHAPES.matcher(len(TAIL or b""), behind_hour=True)
        found, whole = match(line, line.index(hour) + len(hour)), MATCH(line)

        assert found is not None
        assert whole is not None
        assert found.groups() == whole.groups()


@pytest.mark.parametrize("stamp", ["2026-13-14T09:", "2026-03-32T09:", "2026-03-14T24:", "x"])
def test_an_hour_that_there_is_not_is_none(stamp: str) -> None:
    assert hour_of(SAMPLES[0].replace(b"2026-03-14T09:", stamp.encode())) is None


def test_an_output_hash_is_told_apart() -> None:
    line = line_of(
        b'{"duration_seconds":1,"output_hash":"abc","output_summary":{"rows":1,"name":"x"}}'
    )

    found = MATCH(line)

    assert found is not None
    assert any(found.groups()[4:])


def test_keys_that_vary_or_lists_of_objects_are_checked_each_time() -> None:
    shapes = Shapes()
    line = line_of(b'{"rows":[{"a":1}]}')
    for _ in range(WORTH + 5):
        shapes.learn(check(line))

    assert shapes.matcher(len(TAIL or b""))(line) is None


def malformed_at(data: bytes, number: int, payload: bytes) -> bytes:
    """Return *data* with another payload in one line, and every hash made anew."""
    bodies = [body_of(line) for line in lines_of(data)]
    before, _, _ = bodies[number - 1].partition(b',"duration_seconds"')
    bodies[number - 1] = before + payload
    return chained(bodies)


@pytest.mark.parametrize(
    "payload",
    [
        b',"duration_seconds":0.25,"output_hash":null,"output_summary":{},"duration_seconds":1',
        b',"duration_seconds":90071992547409920,"output_hash":null,"output_summary":null',
        b',"duration_seconds":0.25,"x":' + b"[" * 64 + b"]" * 64,
        b',"duration_seconds":0.25,"x":"\xff"',
        b',"duration_seconds":0.25,"x":"\\udc00"',
    ],
    ids=["key-twice", "integer", "depth", "utf-8", "surrogate"],
)
def test_among_lines_of_a_known_shape_a_malformed_one_is_found(payload: bytes) -> None:
    data = many_nodes(WORTH + 200).trace()
    rng = random.Random(5)
    for number in (2 * rng.randrange(WORTH + 20, WORTH + 190) for _ in range(6)):
        assert told(scanned(malformed_at(data, number, payload)).findings) == [
            ("malformed", number)
        ]
