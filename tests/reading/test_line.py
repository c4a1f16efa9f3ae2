"""The bytes of one line: what `encode` writes `check` accepts, and nothing that breaks a rule."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from replay.trace import line as codec
from replay.trace.events import ENVELOPE
from replay.trace.line import (
    GENESIS,
    MAX_DEPTH,
    MAX_INT,
    MAX_LINE,
    SUFFIX_LENGTH,
    Envelope,
    LineError,
    check,
    is_too_deep,
    line_hash,
    nesting,
    seal,
    stored_hash,
)

WRITER = "20260314t092653-0a11ce0a11"
EPOCH_US = 1_773_480_413_589_793  # 2026-03-14T09:26:53.589793Z


def body(payload: bytes = b"{}", *, seq: int = 0, epoch_us: int = EPOCH_US) -> bytes:
    envelope = Envelope(writer=WRITER, workflow_id="w", step_number="00", run_id="r")
    return envelope.encode(
        "message", payload, seq=seq, epoch_us=epoch_us, mono_us=86_400_000_000, pid=4711
    )


def line(payload: bytes = b"{}", *, seq: int = 0, previous: bytes = GENESIS) -> bytes:
    return seal(previous, body(payload, seq=seq))[0]


def texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def payloads() -> st.SearchStrategy[dict[str, Any]]:
    """Objects of every kind of value that a line may hold."""
    values = st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-MAX_INT, MAX_INT)
        | st.floats(allow_nan=False, allow_infinity=False)
        | texts(),
        lambda inside: st.lists(inside, max_size=4) | st.dictionaries(texts(), inside, max_size=4),
        max_leaves=12,
    )
    keys = texts().filter(lambda key: key not in ENVELOPE)
    return st.dictionaries(keys, values, max_size=5)


# --- Writing and checking are inverses.


@given(payload=payloads(), seq=st.integers(0, MAX_INT), previous=texts())
def test_what_is_encoded_is_framed_hashed_and_read_back(
    payload: dict[str, Any], seq: int, previous: str
) -> None:
    before = line_hash(b"", previous.encode())

    whole, digest = seal(before, body(orjson.dumps(payload), seq=seq))
    found = check(whole)

    assert {key: found[key] for key in payload} == payload
    assert found["seq"] == seq
    assert list(found)[-1] == "hash"
    assert stored_hash(whole) == digest == line_hash(before, whole[:-SUFFIX_LENGTH])
    assert whole.count(b"\n") == 1


@given(payload=payloads())
def test_a_line_of_ours_takes_the_fast_path(payload: dict[str, Any]) -> None:
    whole = line(orjson.dumps(payload))

    assert codec._load_canonical(whole) is not None


@pytest.mark.parametrize("value", [[{}] * 1000, [[[1]]] * 1000, {str(i): {} for i in range(1000)}])
def test_a_line_of_many_objects_and_lists_takes_the_fast_path(value: object) -> None:
    """An audit of 67 MB of metadata that were lists of objects took 20 s of CPU, not 3."""
    whole = line(orjson.dumps({"x": value}))

    assert codec._load_canonical(whole) == checked(whole) == strictly(whole)


@given(epoch_us=st.integers(0, MAX_INT - 3_000_000), later=st.integers(0, 3_000_000))
@example(epoch_us=EPOCH_US // 1_000_000 * 1_000_000, later=0)
def test_timestamp_and_epoch_seconds_are_the_same_instant(epoch_us: int, later: int) -> None:
    envelope = Envelope(writer=WRITER, workflow_id="w", step_number="00", run_id=None)

    for instant in (epoch_us, epoch_us + later):
        text = envelope.encode("gap", b"{}", seq=0, epoch_us=instant, mono_us=0, pid=1)
        found = check(seal(GENESIS, text)[0])

        stamped = datetime.fromisoformat(found["timestamp"])
        since = stamped - datetime(1970, 1, 1, tzinfo=UTC)
        assert (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds == instant
        assert found["epoch_seconds"] == instant / 1e6
        assert "run_id" not in found


def test_the_envelope_has_the_order_of_the_format() -> None:
    envelope = Envelope(writer=WRITER, workflow_id="w", step_number="04", run_id="r")
    head = b',"node_id":"n","node_index":0,"message":"m"'

    text = envelope.encode(
        "node_start", b'{"x":1}', head=head, seq=7, epoch_us=EPOCH_US, mono_us=5, pid=2
    )

    assert list(check(seal(GENESIS, text)[0])) == [
        *("v", "seq", "timestamp", "epoch_seconds", "mono_us", "event_type", "pid", "writer"),
        *("run_id", "workflow_id", "step_number", "node_id", "node_index", "message", "x", "hash"),
    ]


def test_the_pid_is_that_of_each_call() -> None:
    envelope = Envelope(writer=WRITER, workflow_id="w", step_number="00", run_id=None)

    pids = [
        check(
            seal(
                GENESIS,
                envelope.encode("gap", b"{}", seq=0, epoch_us=EPOCH_US, mono_us=0, pid=pid),
            )[0]
        )["pid"]
        for pid in (1, 2, 1)
    ]

    assert pids == [1, 2, 1]


@pytest.mark.parametrize("name", ["", "a b", 'a"b', "caf\u00e9", "x" * 81, "a\n"])
def test_an_event_type_that_would_need_escapes_is_refused(name: str) -> None:
    envelope = Envelope(writer=WRITER, workflow_id="w", step_number="00", run_id=None)

    with pytest.raises(ValueError, match="want letters, digits and underscores"):
        envelope.encode(name, b"{}", seq=0, epoch_us=0, mono_us=0, pid=1)


def test_an_event_type_is_text() -> None:
    envelope = Envelope(writer=WRITER, workflow_id="w", step_number="00", run_id=None)

    with pytest.raises(TypeError, match="event_type: got int, want str"):
        envelope.encode(5, b"{}", seq=0, epoch_us=0, mono_us=0, pid=1)  # type: ignore[arg-type]


# --- Cuts and flips.


def test_any_flipped_bit_breaks_the_frame_or_the_hash() -> None:
    whole = line(b'{"text":"caf\xc3\xa9"}', previous=line_hash(b"", b"x"))

    for offset in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[offset] ^= 1 << bit
            stored = stored_hash(bytes(flipped))
            right = line_hash(line_hash(b"", b"x"), bytes(flipped[:-SUFFIX_LENGTH]))
            assert stored is None or stored != right


def test_any_cut_of_a_line_is_not_framed() -> None:
    whole = line(b'{"text":"\xe2\x80\xa8"}')

    for cut in range(len(whole)):
        assert stored_hash(whole[:cut]) is None


def test_a_hash_without_a_body_is_not_framed() -> None:
    assert stored_hash(b',"hash":"%s"}\n' % GENESIS) is None


def test_the_hash_is_the_leaf_hash_of_rfc_6962() -> None:
    """The empty entry of RFC 6962, section 2.1: SHA-256 of a zero byte."""
    assert line_hash(b"", b"") == (
        b"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )


# --- Both paths of `check` accept the same lines.


def strictly(data: bytes) -> dict[str, Any] | str:
    """Return what `check` says of *data* without its fast path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "_load_canonical", lambda _: None)
        return checked(data)


def checked(data: bytes) -> dict[str, Any] | str:
    try:
        return check(data)
    except LineError as error:
        return str(error)


FRAGMENTS = [
    *(b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b"\\u00e9", b"\\ud83d", b"\\ude00"),
    *(b"NaN", b"-0", b"00", b"1e5", b"1e999", b"1.50", b"9007199254740992", b"-9007199254740991"),
    *(b" ", b"\t", b"\x00", b"\x7f", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"\xe2\x80\xa8"),
    *(b'"a":1,', b'"a":2,', b'"\\u0061":3,', b"true", b"null", b'"pid":1,', b'"x":{"x":1},'),
    *(b'"v":2,', b'"timestamp":"",', b"[" * 70, b"]" * 70),
]


@given(
    payload=payloads(),
    edits=st.lists(
        st.tuples(st.integers(0, 1 << 16), st.integers(0, 12), st.sampled_from(FRAGMENTS)),
        max_size=4,
    ),
)
def test_the_fast_path_accepts_what_the_strict_path_accepts(
    payload: dict[str, Any], edits: list[tuple[int, int, bytes]]
) -> None:
    whole = line(orjson.dumps(payload))
    for place, length, new in edits:
        begin = place % len(whole)
        whole = whole[:begin] + new + whole[begin + length :]

    assert checked(whole) == strictly(whole)


@given(data=st.binary(max_size=40))
def test_check_answers_any_bytes_with_a_line_error(data: bytes) -> None:
    assert isinstance(checked(data), str)


def test_another_encoders_spelling_of_the_same_values_is_accepted() -> None:
    fields = check(line(b'{"text":"caf\xc3\xa9","n":15.0}'))

    spaced = json.dumps(fields, indent=1).replace("\n", " ").encode() + b"\n"

    assert check(spaced) == fields
    assert spaced != orjson.dumps(fields) + b"\n"


# --- Limits, each with what the message says.


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b'{"x":"\xff"}', "not UTF-8 at byte"),
        (b'{"x":NaN}', "number NaN, want a finite one"),
        (b'{"x":-Infinity}', "number -Infinity, want a finite one"),
        (b'{"x":-1e999}', "number -1e999, want a finite one"),
        (b'{"x":9007199254740992}', "integer 9007199254740992, want at most"),
        (b'{"x":-9007199254740992}', "integer -9007199254740992, want at most"),
        (b'{"x":%s}' % (b"7" * 5000), "integer 777777777777777777777777, want at most"),
        (b'{"x":1,"x":1}', "key 'x' stands twice"),
        (b'{"x":{"y":1,"z":2,"\\u0079":3}}', "key 'y' stands twice"),
        (b'{"pid":1}', "key 'pid' stands twice"),
        (b'{"x":"\\ud83d"}', "a lone surrogate, want Unicode text"),
        (b'{"x":["\\ud83d","\\ude00"]}', "a lone surrogate, want Unicode text"),
        (b'{"\\ude00":0}', "a lone surrogate, want Unicode text"),
        (b'{"x":"\t"}', "not JSON: Invalid control character"),
        (b'{"x":}', "not JSON: Expecting value"),
        (b'{"x":%s}' % (b"[" * 64 + b"]" * 64), "nested 65 deep, want at most 64"),
        (b'{"x":%s}' % (b"[" * 10_000 + b"]" * 10_000), "nested 10001 deep, want at most 64"),
        (b'{"x":%s}' % (b'{"a":' * 10_000), "nested 10001 deep, want at most 64"),
    ],
)
def test_what_no_reader_may_accept_is_malformed(payload: bytes, message: str) -> None:
    with pytest.raises(LineError, match=message) as caught:
        check(line(payload))

    assert caught.value.code == "malformed"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"pid":4711,', b"", "envelope: .*pid"),
        (b'"pid":4711', b'"pid":true', "envelope: .*pid"),
        (b'"pid":4711', b'"pid":4711.5', "envelope: .*pid"),
        (b'"writer":"', b'"writer":null,"w":"', "envelope: .*writer"),
        (b'"v":1', b'"v":0', "v 0, want at least 1"),
        (b"T09:", b"T24:", "timestamp '2026-03-14T24:26:53.589793Z', want UTC"),
        (b"-03-", b"-13-", "timestamp"),
        (b"53.589793Z", b"53.589Z", "timestamp"),
        (b'Z","epoch', b'+00:00","epoch', "timestamp"),
    ],
)
def test_an_envelope_of_other_types_is_malformed(old: bytes, new: bytes, message: str) -> None:
    whole = line()
    assert old in whole

    with pytest.raises(LineError, match=message):
        check(whole.replace(old, new, 1))


@pytest.mark.parametrize("data", [b"[]\n", b'"x"\n', b"1\n", b"null\n"])
def test_a_line_that_is_no_object_is_malformed(data: bytes) -> None:
    with pytest.raises(LineError, match=r"a JSON [a-zA-Z]+, want an object"):
        check(data)


def test_a_newer_version_is_not_judged_by_its_number() -> None:
    assert check(line().replace(b'"v":1', b'"v":2'))["v"] == 2


def test_the_longest_line_is_accepted_and_one_byte_more_is_not() -> None:
    empty = len(line(b'{"x":""}'))
    longest = line(b'{"x":"%s"}' % (b"x" * (MAX_LINE - empty)))
    assert len(longest) == MAX_LINE

    assert check(longest)["x"] == "x" * (MAX_LINE - empty)
    with pytest.raises(LineError, match="line of 1048577 bytes, want at most 1048576"):
        check(line(b'{"x":"%s"}' % (b"x" * (MAX_LINE - empty + 1))))


@given(depth=st.integers(1, 200), text=texts())
def test_nesting_counts_objects_and_arrays_but_no_brackets_in_strings(
    depth: int, text: str
) -> None:
    deep = b"[" * (depth - 1) + json.dumps(text + '"]}[{').encode() + b"]" * (depth - 1)

    assert nesting(b'{"x":%s}' % deep) == depth
    assert isinstance(checked(line(b'{"x":%s}' % deep)), dict) == (depth <= MAX_DEPTH)


@pytest.mark.parametrize("lists", [True, False])
@pytest.mark.parametrize("beside", [[], [[]] * 100])
@pytest.mark.parametrize("depth", [0, 1, 2, MAX_DEPTH, MAX_DEPTH + 1, 200])
def test_both_ways_to_measure_depth_agree(depth: int, beside: list[object], *, lists: bool) -> None:
    value: object = "]}[{"
    for _ in range(depth):
        value = [beside, value] if lists else {"]": value, "[": beside}

    assert is_too_deep(value) == (nesting(orjson.dumps(value)) > MAX_DEPTH)


def test_separators_of_lines_that_are_none_stay_in_their_string() -> None:
    text = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"

    whole = line(orjson.dumps({"text": text}))

    assert whole.count(b"\n") == 1
    assert check(whole)["text"] == text


def test_unknown_keys_are_kept_in_their_order() -> None:
    found = check(line(b'{"zeta":1,"alpha":{"b":[],"a":null}}'))

    assert list(found)[-3:] == ["zeta", "alpha", "hash"]
    assert re.fullmatch("[0-9a-f]{64}", found["hash"])
