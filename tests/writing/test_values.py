"""The gate: what may be written is written as it is, anything else is refused or becomes text."""

import datetime as dt
import enum
import json
import math
import pathlib
import re
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability.journal import Journal
from observability.redaction.redact import Redactor
from observability.values import Gate, encode
from observability.walk import Walk
from replay.trace.events import ENVELOPE
from replay.trace.line import MAX_DEPTH, MAX_INT, MAX_LINE, Envelope, LineError, check, seal
from tests.writing.oracle import assert_complete, lines

WORKFLOW = "step_04_values"

texts = st.text(st.characters(exclude_categories=["Cs"]))
any_texts = st.text(st.characters())  # with lone surrogates
numbers = st.one_of(
    st.integers(-MAX_INT, MAX_INT), st.floats(allow_nan=False, allow_infinity=False)
)
right = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=20,
)
payloads = st.dictionaries(texts, right, max_size=6)


class Colour(enum.Enum):
    RED = "red"
    TWO = 2


class Shade(enum.StrEnum):
    DARK = "dark"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "a lie"


class Whole(int):
    pass


class Real(float):
    pass


class Numeric:
    """As the integers of numeric packages are."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class View(Mapping[str, Any]):
    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


odd = st.one_of(
    st.just(math.nan),
    st.just(math.inf),
    st.integers(min_value=MAX_INT + 1),
    st.integers(max_value=-MAX_INT - 1),
    any_texts,
    st.sampled_from([Colour.RED, Colour.TWO, Shade.DARK, Level.HIGH, Text("x"), Whole(7)]),
    st.sampled_from([Real(0.5), Real("nan"), Numeric(5), Numeric(2**70)]),
)
odd_keys = st.one_of(
    any_texts, st.integers(), st.floats(), st.booleans(), st.none(), st.just(Shade.DARK)
)
loose = st.recursive(
    st.one_of(right, odd),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(odd_keys, inner, max_size=4),
        st.dictionaries(texts, inner, max_size=3).map(View),
        st.dictionaries(texts, inner, max_size=3).map(OrderedDict),
    ),
    max_leaves=15,
)
foreign = st.sampled_from(
    [object(), object, 1j, range(3), iter([]), orjson.Fragment(b"{bad"), math, print, ...,
     re.compile("x"), dt.UTC, {1: 2}.items(), ValueError("x"), (n for n in range(3))]
)  # fmt: skip


def line_of(payload: bytes) -> bytes:
    """Return a line with that payload, as a writer makes it."""
    envelope = Envelope(writer="w", workflow_id="x", step_number="00", run_id=None)
    body = envelope.encode("tick", payload, seq=0, epoch_us=1, mono_us=1, pid=1)
    return seal(b"0" * 64, body)[0]


def without_envelope(line: bytes) -> dict[str, Any]:
    return {key: value for key, value in check(line).items() if key not in ENVELOPE}


def same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are alike, types and signs of zero included."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


# --- strict


@given(payload=payloads.filter(ENVELOPE.isdisjoint))
def test_what_json_holds_is_written_as_it_is(payload: dict[str, Any]) -> None:
    kept = Gate(None).strict(payload)

    assert same(kept, payload)
    assert same(without_envelope(line_of(encode(kept))), payload)
    # By the slow walk too, which everything takes when a callable is asked.
    assert same(Walk(None, lenient=False).mapping(payload, ""), payload)


@given(payload=st.dictionaries(texts, loose, max_size=4))
def test_plain_means_that_nothing_has_to_be_done(payload: dict[str, Any]) -> None:
    """`_is_plain` is the fast way out: true where encoding gives what JSON makes of it."""
    gate = Gate(None)
    if gate._is_plain(payload, 1):
        data = encode(payload)
        assert json.loads(data) == json.loads(json.dumps(payload, allow_nan=False))
        check(line_of(orjson.dumps({"nested": [payload]})))


@given(payload=st.dictionaries(any_texts, loose, max_size=4))
def test_strict_accepts_what_round_trips_and_nothing_else(payload: dict[str, Any]) -> None:
    gate = Gate(None)
    try:
        kept = gate.strict(payload)
    except (TypeError, ValueError):
        return

    data = encode(kept)
    if ENVELOPE.isdisjoint(kept):
        assert same(without_envelope(line_of(data)), json.loads(data))
    assert same(gate.strict(json.loads(data)), json.loads(data))


@pytest.mark.parametrize(
    ("payload", "error", "words"),
    [
        ({"a": math.nan}, ValueError, "a: number nan"),
        ({"a": {"b": [0, -math.inf]}}, ValueError, r"a\.b\[1\]: number -inf"),
        ({"a": MAX_INT + 1}, ValueError, "a: integer beyond 2.53 - 1"),
        ({"a": [-MAX_INT - 1]}, ValueError, r"a\[0\]: integer beyond"),
        ({"a": Numeric(2**60)}, ValueError, "a: integer beyond"),
        ({"a": "\ud800"}, ValueError, "a: a lone surrogate"),
        ({"a": {"\udfff": 1}}, ValueError, "a: a lone surrogate"),
        ({"\udfff": 1}, ValueError, "payload: a lone surrogate"),
        ({"a": {1: 2}}, TypeError, "a: key 1 is int, want str"),
        ({None: 2}, TypeError, "payload: key None is NoneType, want str"),
        ({"a": object()}, TypeError, "a: got object, want a JSON value"),
        ({"a": [1j]}, TypeError, r"a\[0\]: got complex, want a JSON value"),
        ({"a": {1, 1j}}, TypeError, r"a\[\]: got complex"),
        ({"a": orjson.Fragment(b"{bad")}, TypeError, "a: got"),
        ({"a": iter([])}, TypeError, "a: got list_iterator, want a JSON value; give list"),
    ],
)
def test_strict_names_what_it_refuses(
    payload: dict[Any, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Gate(None).strict(payload)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ((1, (2,)), [1, [2]]),
        (Colour.RED, "red"),
        (Colour.TWO, 2),
        (Shade.DARK, "dark"),
        (Level.HIGH, 3),
        (Text("x"), "x"),
        (Whole(7), 7),
        (Real(0.5), 0.5),
        (Numeric(5), 5),
        (View({"a": (1,)}), {"a": [1]}),
        ({Shade.DARK: 1}, {"dark": 1}),
        ({Text("key"): 1}, {"key": 1}),
        (-0.0, -0.0),
        (5e-324, 5e-324),
        (1.7976931348623157e308, 1.7976931348623157e308),
    ],
)
def test_relatives_of_json_values_are_taken_for_what_they_are(value: Any, kept: Any) -> None:
    for gate in (Gate(None), Gate(Redactor())):
        for _ in range(2):
            found = orjson.loads(encode(gate.strict({"value": value})))
            assert same(found, {"value": kept})
            found = orjson.loads(encode(gate.lenient({"value": value})[0]))
            assert same(found, {"value": kept})


def test_a_key_of_a_subclass_of_str_is_a_key_also_when_its_text_is_known() -> None:
    """The known text was found in its place, and orjson refuses subclasses as keys."""
    gate = Gate(None)
    gate.strict({"dark": 1, "in": {"dark": 1}})

    odd_payloads: list[dict[str, Any]] = [
        {Shade.DARK: 1},
        {"in": {Shade.DARK: 2}},
        {Text("dark"): 1},
    ]
    for payload in odd_payloads:
        data = encode(gate.strict(payload))
        assert b"dark" in data


def nested(depth: int, *, lists: bool) -> dict[str, Any]:
    """Return a payload nested so deep, the payload itself counted."""
    value: Any = 1
    for _ in range(depth - 1):
        value = [value] if lists else {"a": value}
    return {"a": value}


@pytest.mark.parametrize("lists", [True, False])
def test_nesting_of_64_is_written_and_65_is_refused(*, lists: bool) -> None:
    """One level less than the format allows was refused."""
    gate = Gate(None)
    deepest = nested(MAX_DEPTH, lists=lists)

    check(line_of(encode(gate.strict(deepest))))
    check(line_of(encode(gate.lenient(deepest)[0])))
    check(line_of(encode(gate.strict({**deepest, "t": (1,)}))))  # by the slow walk too
    with pytest.raises(LineError, match="nested 65 deep"):
        check(line_of(orjson.dumps(nested(MAX_DEPTH + 1, lists=lists))))
    for refuse in (gate.strict, gate.lenient):
        with pytest.raises(ValueError, match="nested more than 64 deep"):
            refuse(nested(MAX_DEPTH + 1, lists=lists))
        with pytest.raises(ValueError, match="nested more than 64 deep"):
            refuse({**nested(MAX_DEPTH + 1, lists=lists), "t": (1,)})


def test_a_cycle_is_nested_too_deep() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    for refuse in (Gate(None).strict, Gate(None).lenient):
        with pytest.raises(ValueError, match="nested more than 64 deep"):
            refuse({"a": cycle})
        with pytest.raises(ValueError, match="nested more than 64 deep"):
            refuse({"a": {"b": (cycle,)}})


# --- lenient


@given(payload=st.dictionaries(odd_keys, loose, max_size=4))
def test_what_lenient_returns_can_always_be_written(payload: dict[Any, Any]) -> None:
    for gate in (Gate(None), Gate(Redactor()), Gate(Redactor(lambda *_: None))):
        kept, coerced = gate.lenient(payload)

        data = encode(kept)
        if ENVELOPE.isdisjoint(kept):
            assert same(without_envelope(line_of(data)), json.loads(data))
        assert all(isinstance(path, str) for path in coerced)
        data.decode()


@given(payload=payloads)
def test_lenient_leaves_alone_what_json_holds(payload: dict[str, Any]) -> None:
    kept, coerced = Gate(None).lenient(payload)

    assert same(kept, payload)
    assert coerced == []


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (MAX_INT + 1, "9007199254740992"),
        (-(2**70), str(-(2**70))),
        (Numeric(2**60), str(2**60)),
        ("a\ud800b", "a\\ud800b"),
        ("\udcff", "\\udcff"),
    ],
)
def test_lenient_writes_as_text_what_json_cannot_hold(value: Any, kept: str) -> None:
    gate = Gate(None)

    assert gate.lenient({"a": {"b": [1, value]}}) == ({"a": {"b": [1, kept]}}, ["a.b[1]"])
    assert gate.lenient({"v": value}) == ({"v": kept}, ["v"])


def test_lenient_writes_keys_as_python_does() -> None:
    keys = {3: 1, 2.5: 2, True: 3, None: 4, math.nan: 5, 10**20: 6, "\ud800": 7}

    kept, coerced = Gate(None).lenient({"in": keys})

    names = ["3", "2.5", "true", "null", "NaN", str(10**20)]
    assert list(kept["in"]) == [*names, "\\ud800"]
    assert coerced[:6] == [f"in.{name}" for name in names]
    assert json.loads(json.dumps({3: 1, 2.5: 2, True: 3, None: 4})).keys() == set(names[:4])


def test_lenient_keeps_both_of_two_keys_that_become_one() -> None:
    kept, _ = Gate(None).lenient({"in": {3: "a", "3": "b"}})

    assert kept == {"in": {"3": "a", "3 (2)": "b"}}


def test_an_integer_of_many_digits_is_written() -> None:
    number = 10**5000
    kept, coerced = Gate(None).lenient({"n": number})

    assert int(kept["n"], 0) == number or kept["n"] == str(number)
    assert coerced == ["n"]
    assert sys.get_int_max_str_digits() < 5000


@given(value=foreign)
def test_what_has_no_json_form_is_refused_by_both(value: Any) -> None:
    for refuse in (Gate(None).strict, Gate(Redactor()).lenient):
        with pytest.raises(TypeError, match=r"a\[0\]: got .*, want a JSON value"):
            refuse({"a": [value]})


def test_one_text_is_whole_and_exactly_a_text() -> None:
    gate = Gate(Redactor())

    assert gate.text("error", "a\ud800") == "a\\ud800"
    assert type(gate.text("error", Text("x"))) is str
    assert gate.text("error", Text("x")) == "x"
    assert gate.name("node_id", "\udcff") == "\\udcff"
    for wrong in (5, None, b"x", ["x"]):
        with pytest.raises(TypeError):
            gate.text("error", wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            gate.name("node_id", wrong)  # type: ignore[arg-type]


def test_memory_is_bounded_by_the_number_of_names() -> None:
    gate = Gate(Redactor())
    for n in range(30_000):
        gate.strict({f"key{n}": n})
        gate.name("node_id", f"node{n}")

    assert len(gate._plain_keys) <= 10_000
    assert len(gate._plain_ids) <= 10_000
    assert gate.strict({"key29999": 1, "new": (2,)}) == {"key29999": 1, "new": [2]}


# --- The journal: refused events leave no trace


def refused(payload: Mapping[Any, Any], **more: Any) -> tuple[Any, ...]:
    return (payload, more)


REFUSED = [
    *[refused({name: 1}) for name in sorted(ENVELOPE)],
    refused({"ok": 1, "hash": "x", "seq": 5}),
    refused({"a": math.nan}),
    refused({"a": 2**53}),
    refused({"a": "\ud800"}),
    refused({"a": object()}),
    refused({1: 1}),
    refused(nested(65, lists=True)),
    refused({"big": "x" * MAX_LINE}),
    refused({"a": "\x00" * 200_000}),
    refused({}, node_index=2**53),
    refused({}, node_index=-(2**53)),
    refused({}, node_index=1.5),
    refused({}, node_index="1"),
    refused({}, node_id=5),
    refused({}, node_id="n" * MAX_LINE),
    refused({}, message="m" * MAX_LINE),
    refused({}, message=b"m"),
    refused({}, event_type=""),
    refused({}, event_type="a b"),
    refused({}, event_type="a" * 81),
    refused({}, event_type="\u00e9"),
    refused({}, event_type='x","seq":9,"y":"'),
    refused({}, event_type=5),
    refused({}, event_type="writer_opened"),
    refused({}, event_type="writer_closed"),
    refused({}, event_type="writer_settled"),
    refused({}, event_type="gap"),
]


@pytest.mark.parametrize(("payload", "more"), REFUSED)
def test_a_refused_event_leaves_no_trace(
    tmp_path_factory: pytest.TempPathFactory, payload: dict[str, Any], more: dict[str, Any]
) -> None:
    out = tmp_path_factory.mktemp("refused")
    seen: list[str] = []
    journal = Journal(out, WORKFLOW, on_line=lambda kind, _line, _payload: seen.append(kind))
    journal.append("tick", {"n": 1})
    before = (journal.trace_path.read_bytes(), list(seen), journal.lines())
    arguments = {"event_type": "tick", **more}

    with pytest.raises((ValueError, TypeError)):
        journal.append(payload=payload, **arguments)

    assert (journal.trace_path.read_bytes(), seen, journal.lines()) == before
    journal.append("tick", {"n": 2})
    journal.close()
    assert [line.get("n") for line in lines(journal.trace_path)] == [None, 1, 2, None]
    assert journal.dropped == 0
    assert_complete(out)


def test_too_long_an_event_names_its_largest_key(tmp_path: pathlib.Path) -> None:
    journal = Journal(tmp_path, WORKFLOW)
    with pytest.raises(ValueError, match=r"the largest key is 'big' with 10[0-9]{5} bytes"):
        journal.append("tick", {"small": 1, "big": "x" * 1_040_000, "other": "y" * 20_000})
    with pytest.raises(ValueError, match=r"the largest key is 'message' with 20[0-9]{5} bytes"):
        journal.append("tick", {"small": 1}, message="m" * 2_000_000)
    with pytest.raises(ValueError, match="the largest key is 'node_id'"):
        journal.append("tick", {}, node_id="m" * 2_000_000)
    journal.close()


def test_the_longest_line_of_all_ids_is_within_the_limit(tmp_path: pathlib.Path) -> None:
    """The envelope of the longest ids leaves room for the largest payload."""
    journal = Journal(tmp_path, '"' * 200, run_id="r" * 100)
    largest = 0
    for size in range(MAX_LINE - 5_000, MAX_LINE, 100):
        try:
            line = journal.append("a" * 80, {"x": "y" * size}, node_index=-MAX_INT)
        except ValueError:
            break
        assert line is not None
        largest = len(line)
        check(line)
    journal.close()

    assert MAX_LINE - 4_200 < largest <= MAX_LINE
    assert_complete(tmp_path)


def test_event_types_and_indexes_of_all_kinds_are_written(tmp_path: pathlib.Path) -> None:
    journal = Journal(tmp_path, WORKFLOW)
    for n, index in enumerate([0, -1, MAX_INT, -MAX_INT, True, Numeric(5)]):
        journal.append(f"type_{n}", {}, node_id="n", node_index=index)  # type: ignore[arg-type]
    journal.close()

    found = [line["node_index"] for line in lines(journal.trace_path)[1:-1]]
    assert found == [0, -1, MAX_INT, -MAX_INT, 1, 5]
    assert all(type(index) is int for index in found)
    assert_complete(tmp_path)


@given(payload=payloads.filter(ENVELOPE.isdisjoint), message=texts, node_id=texts)
def test_any_payload_is_read_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, payload: dict[str, Any], message: str, node_id: str
) -> None:
    out = tmp_path_factory.mktemp("any")
    journal = Journal(out, WORKFLOW, redact=False, durability="none")
    line = journal.append("tick", payload, node_id=node_id, message=message, node_index=0)
    journal.close()

    assert line is not None
    found = check(line)
    assert (found["node_id"], found["message"], found["node_index"]) == (node_id, message, 0)
    assert same({key: found[key] for key in payload}, payload)
