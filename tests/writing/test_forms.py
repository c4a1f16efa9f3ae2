"""Values that JSON does not have: docs/values.md says what stands for them, and it does."""

import dataclasses
import datetime as dt
import decimal
import enum
import functools
import json
import pathlib
import re
import subprocess
import sys
import uuid
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
import pandas as pd
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability import ExecutionObserver
from observability.forms import form_of
from observability.redaction.redact import Redactor
from observability.values import Gate, encode
from replay.digest import hash_output
from tests.docs.examples import blocks_of
from tests.docs.pages import root
from tests.writing.oracle import traces

PAGE = (root() / "docs" / "values.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(.*)` \| `(.*)` \|$", re.MULTILINE)


def rows(title: str) -> list[tuple[str, str]]:
    """Return (value, form) for each row of a section of the page."""
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    found = [(value.replace(r"\|", "|"), form) for value, form in ROW.findall(section)]
    assert len(found) > 10
    return found


@functools.cache
def names() -> dict[str, Any]:
    """Return what the first block of the page defines."""
    namespace: dict[str, Any] = {"__name__": __name__}
    exec(blocks_of(PAGE)[0].text, namespace)
    return namespace


def made(expression: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(expression, names())


def written(value: Any) -> str:
    """Return the JSON of *value* as a strict call writes it."""
    return encode(Gate(Redactor()).strict({"v": value}))[5:-1].decode()


def leniently(value: Any) -> tuple[str, list[str]]:
    payload, coerced = Gate(Redactor()).lenient({"v": value})
    return encode(payload)[5:-1].decode(), coerced


# --- The table


@pytest.mark.parametrize(("value", "form"), rows("Written by every call"))
def test_a_value_has_one_form_in_every_call(value: str, form: str) -> None:
    assert written(made(value)) == form
    assert leniently(made(value)) == (form, [])
    # Inside others too, behind a key that needs a walk.
    assert written([{"a": (made(value),)}]) == f'[{{"a":[{form}]}}]'
    # What is written is a form that is its own.
    assert written(json.loads(form)) == form


@pytest.mark.parametrize(("value", "form"), rows("Odd values"))
def test_an_odd_value_is_a_text_for_older_programs_and_refused_by_the_others(
    value: str, form: str
) -> None:
    text, coerced = leniently(made(value))
    assert text == form
    assert coerced
    assert all(path.startswith("v") for path in coerced)
    with pytest.raises((ValueError, TypeError), match=r"^v: "):
        written(made(value))


@pytest.mark.parametrize(("value", "message"), rows("Refused by every call"))
def test_what_has_no_form_is_refused_with_advice(value: str, message: str) -> None:
    for refuse in (written, leniently):
        with pytest.raises(TypeError) as caught:
            refuse(made(value))
        assert str(caught.value) == f"v: {message}"
        with pytest.raises(TypeError, match=r"^v\[1\]\.k: "):
            refuse([1, {"k": made(value)}])


def test_the_page_and_the_observer_agree(tmp_path: Path) -> None:
    """`node.result` and `output_summary` stand with the same form, and digests of it."""
    with ExecutionObserver("step_04_forms", tmp_path, use_tqdm=False) as observer:
        for n, (value, form) in enumerate(rows("Written by every call")):
            with observer.node("r", n) as node:
                digest = node.result(made(value))
                assert digest == node.result(json.loads(form))
            observer.node_start("s", n)
            observer.node_success("s", 0.1, None, made(value))

    (found,) = traces(tmp_path).values()
    results = [line["value"] for line in found if line["event_type"] == "node_result"][::2]
    summaries = [
        line for line in found if line.get("node_id") == "s" and "duration_seconds" in line
    ]
    assert results == [line["output_summary"] for line in summaries]
    assert not any("coerced" in line for line in summaries)


# --- The same in every process


def forms_in_a_process(seed: str, folder: Path) -> str:
    """Return forms and digests of all rows as a process with that seed of hashing has them."""
    program = """
import json, sys
from tests.writing.test_forms import leniently, made, rows
from replay.digest import hash_output
said = []
for title in ("Written by every call", "Odd values"):
    for value, _ in rows(title):
        said.append(leniently([made(value), {"b", "a", "c"}, {"in": (made(value),)}]))
    said.append(leniently({frozenset({"a", "b", 1}), frozenset({("x", float("nan")), "y", 2.5})}))
said.append([hash_output(value) for value in ("a", 1, [1.5, "b"], {"b": 1, "a": [2]})])
print(json.dumps(said))
"""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=root(),
        env={"PYTHONHASHSEED": seed, "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=300,
        text=True,
    ).stdout


def test_forms_do_not_depend_on_the_process(tmp_path: Path) -> None:
    """The text of a set differs with the seed of hashing, that of an object with its address."""
    one, other = (forms_in_a_process(seed, tmp_path) for seed in ("1", "2"))

    assert one == other
    assert " at 0x" not in one


@given(
    items=st.sets(
        st.one_of(
            st.none(), st.booleans(), st.integers(-99, 99), st.floats(allow_nan=False), st.text(),
            st.tuples(st.integers(0, 9), st.text(max_size=2)), st.frozensets(st.text(max_size=2)),
            st.sampled_from([dt.date(2026, 1, 2), decimal.Decimal("1.5"), uuid.UUID(int=1)]),
        )
    ).filter(lambda found: not any("\ud800" <= c <= "\udfff" for c in repr(found))),
    data=st.data(),
)  # fmt: skip
def test_a_set_has_one_order(items: set[Any], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(sorted(items, key=repr)))

    assert leniently(items) == leniently(set(shuffled)) == leniently(frozenset(shuffled))


def test_what_a_set_holds_is_named_without_a_number() -> None:
    text, coerced = leniently({"ids": {2**53, 1, ("x", 2**60)}})

    assert text == '{"ids":[1,"9007199254740992",["x","1152921504606846976"]]}'
    assert coerced == ["v.ids[]", "v.ids[][1]"]
    with pytest.raises(TypeError, match=r"^v\[\]: got complex"):
        written({1, 2j})


# --- Properties of forms


@given(value=st.datetimes(timezones=st.one_of(st.none(), st.just(dt.UTC))))
def test_a_datetime_reads_back(value: dt.datetime) -> None:
    assert dt.datetime.fromisoformat(json.loads(written(value))) == value


@given(value=st.timedeltas(-dt.timedelta(10**8), dt.timedelta(10**8)))  # what numpy holds
def test_a_length_of_time_reads_back_elsewhere(value: dt.timedelta) -> None:
    text = json.loads(written(value))

    assert msgspec.convert(text, dt.timedelta) == value
    assert json.loads(written(np.timedelta64(value))) == text


@given(nanos=st.integers(-(2**62), 2**62))
def test_a_length_in_nanoseconds_is_the_same_for_numpy_and_pandas(nanos: int) -> None:
    of_numpy = written(np.timedelta64(nanos, "ns"))

    assert written(pd.Timedelta(nanos, unit="ns")) == of_numpy
    seconds = decimal.Decimal(nanos).scaleb(-9)
    match = re.fullmatch(r'"(-?)P(?:(\d+)D)?(?:T(\d+(?:\.\d*[1-9])?)S)?"', of_numpy)
    assert match is not None
    days, rest = int(match[2] or 0), decimal.Decimal(match[3] or 0)
    assert rest < 86_400
    assert (-1 if match[1] else 1) * (days * 86_400 + rest) == seconds


@given(value=st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_keeps_its_digits(value: decimal.Decimal) -> None:
    found = decimal.Decimal(json.loads(written(value)))

    assert found.as_tuple() == value.as_tuple()


@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_short_float_is_the_number_that_it_is(value: float) -> None:
    assert np.float32(json.loads(written(np.float32(value)))) == np.float32(value)
    assert json.loads(written(np.array([value], dtype="float32"))) == [value]


@pytest.mark.parametrize("kind", ["bool", "int8", "uint32", "int64", "float16", "float64", "U3"])
def test_an_array_is_the_list_of_its_items(kind: str) -> None:
    array = np.array([0, 1, 1, 0, 1, 0]).astype(kind).reshape(1, 2, 3)

    assert json.loads(written(array)) == array.tolist()
    assert written(array) == written([[list(row) for row in array[0]]])


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="longdouble has 64 bits here")
def test_a_number_beyond_64_bits_is_odd() -> None:
    value = 1 + np.longdouble(2) ** -60

    assert leniently([value]) == ('["1.0000000000000000009"]', ["v[0]"])
    assert leniently(np.array([value])) == ('["1.0000000000000000009"]', ["v[0]"])
    with pytest.raises(ValueError, match=r"^v: number 1\.0000000000000000009 beyond 64 bits"):
        written(value)


def test_an_array_with_odd_items_names_them() -> None:
    array = np.array([[1.5, np.nan], [np.inf, 0]])

    assert leniently(array) == ('[[1.5,"NaN"],["Infinity",0.0]]', ["v[0][1]", "v[1][0]"])
    with pytest.raises(ValueError, match=r"^v\[0\]\[1\]: number nan"):
        written(array)


# --- Records


class Account(pydantic.BaseModel):
    secret: pydantic.SecretStr
    api_key: str
    made: dt.datetime
    tags: set[str] = set()
    hidden: int = pydantic.Field(default=1, exclude=True)
    inner: "Account | None" = None

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def count(self) -> int:
        return len(self.tags)


def test_a_model_is_what_it_dumps_with_our_forms_and_without_secrets() -> None:
    made_at = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    inner = Account(secret=pydantic.SecretStr("hunter2"), api_key="k" * 30, made=made_at)
    model = Account(
        secret=pydantic.SecretStr("hunter2"),
        api_key="k",
        made=made_at,
        tags={"b", "a"},
        inner=inner,
    )

    found = json.loads(written(model))
    assert found["made"] == "2026-01-02T00:00:00+00:00"
    assert (found["tags"], found["count"], "hidden" in found) == (["a", "b"], 2, False)
    assert "hunter2" not in written(model)
    assert found["inner"]["api_key"] == "[REDACTED:key]"
    # A type that hides its value is hidden also where nothing else is.
    assert "hunter2" not in encode(Gate(None).strict({"v": model})).decode()


@dataclasses.dataclass
class Credentials:
    user: str
    password: str
    token: bytes = b"secret"


def test_the_fields_of_a_record_are_redacted_by_their_names() -> None:
    assert json.loads(written(Credentials("ada", "hunter2"))) == {
        "user": "ada", "password": "[REDACTED:key]", "token": "[REDACTED:key]"
    }  # fmt: skip


TOKEN = "ghp_" + "a1B2" * 9


class Key(enum.Enum):
    TOKEN = TOKEN


def test_texts_within_other_forms_are_redacted_too() -> None:
    token = TOKEN
    secret = [
        pathlib.PurePosixPath(f"a/{token}"), {token}, token.encode(), bytearray(token.encode()),
        Key.TOKEN, np.array([token]), np.array([token], dtype=object),
        pydantic.AnyUrl(f"https://u:{token}@a.example"), {pathlib.PurePosixPath(token): 1},
    ]  # fmt: skip
    for value in secret:
        text, _ = leniently(value)
        assert token not in text, value
        assert "REDACTED" in text, value
    assert json.loads(written(token.encode())) == "[REDACTED:bytes]"
    assert encode(Gate(None).strict({"v": b"ab"})) == b'{"v":"YWI="}'


def test_a_key_that_names_a_secret_hides_every_form() -> None:
    values = [
        b"x", decimal.Decimal("1.5"), dt.date(2026, 1, 2), {"a"}, Credentials("u", "p"), pd.NaT,
        np.array([1]), pathlib.PurePosixPath("x"), uuid.UUID(int=1),
    ]  # fmt: skip
    for value in values:
        text, coerced = leniently({"password": value})
        assert coerced == []
        assert text == written({"password": value})
        assert set(re.findall(r'"[^"]*"|\d+', text)) <= {
            '"password"', '"user"', '"token"', '"[REDACTED:key]"'
        }, text  # fmt: skip


def test_a_record_that_holds_itself_is_nested_too_deep() -> None:
    @dataclasses.dataclass
    class Loop:
        me: Any = None

    loop = Loop()
    loop.me = loop
    array = np.empty((), dtype=object)
    array[()] = array
    for value in (loop, array, {"set": frozenset([(1,)]), "a": loop}):
        with pytest.raises(ValueError, match="nested more than 64 deep"):
            leniently(value)


class Failing:
    """Has a form by protocol, and fails to give it."""

    def __fspath__(self) -> str:
        raise OSError("no disk")


class Lying(dt.date):
    def isoformat(self) -> Any:
        return self


def test_a_value_whose_own_code_fails_is_refused_by_name() -> None:
    for refuse in (written, leniently):
        with pytest.raises(TypeError, match=r"^v\.a: Failing has no form: no disk"):
            refuse({"a": Failing()})
        with pytest.raises(ValueError, match="nested more than 64 deep"):
            refuse({"a": Lying(2026, 1, 2)})


# --- Durations and costs are numbers


@pytest.mark.parametrize("value", [decimal.Decimal("1.5"), dt.timedelta(seconds=1), "1.5", "NaN"])
def test_a_text_is_no_duration_and_no_cost(tmp_path: Path, value: Any) -> None:
    with ExecutionObserver("step_04_forms", tmp_path, use_tqdm=False) as observer:
        observer.node_start("a")
        with pytest.raises(TypeError, match="duration_seconds: got str"):
            observer.node_success("a", value)
        observer.node_success("a", np.float32(1.5))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="cumulative_cost_usd: got str"):
            observer.workflow_complete(value)

        assert observer.node_times == {"a": 1.5}


# --- No package is imported


def test_packages_of_foreign_values_are_not_imported(tmp_path: Path) -> None:
    program = """
import sys
from observability import ExecutionObserver
from datetime import date
import dataclasses
with ExecutionObserver("step_04_forms", "out", use_tqdm=False) as obs, obs.node("a") as node:
    node.result({"at": date(2026, 1, 2), "set": {1}})
    try:
        node.result(object())
    except TypeError:
        pass
late = {"numpy", "pandas", "pydantic", "attrs", "attr", "fractions"}
assert not late & set(sys.modules), late & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=120)


def test_half_imported_packages_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may be importing numpy at that moment."""
    for name in ("numpy", "pandas", "numpy.ma"):
        monkeypatch.setitem(sys.modules, name, type(sys)(name))

    assert form_of(dt.date(2026, 1, 2)) == "2026-01-02"
    with pytest.raises(TypeError, match="got object"):
        written(object())


# --- What the older observer confused


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, "1"), (None, "None"), ({"2": 1}, '{"2": 1}'), ({}, "{}"), (True, "True"), (0.5, "0.5")],
)
def test_digests_of_results_tell_apart_what_hash_output_does_not(
    tmp_path: Path, one: Any, other: Any
) -> None:
    assert hash_output(one) == hash_output(other)
    observer = ExecutionObserver("step_04_forms", tmp_path, use_tqdm=False)
    with observer, observer.node("a") as node:
        digests = {node.result(one), node.result(other)}

    assert len(digests) == 2
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in digests)


def test_the_digest_of_a_result_does_not_depend_on_the_order_of_keys(tmp_path: Path) -> None:
    """The digest of a list of dicts depended on it; a number for a key was the same as its text."""
    observer = ExecutionObserver("step_04_forms", tmp_path, use_tqdm=False)
    with observer, observer.node("a") as node:
        one, other = [{"a": 1, "b": 2}], [{"b": 2, "a": 1}]
        assert node.result(one) == node.result(other)
        assert node.result({1, "a", None}) == node.result({None, "a", 1})
        with pytest.raises(TypeError, match="key 1 is int"):
            node.result({1: 2})


class Holder(enum.Enum):
    A = object()


def test_no_address_is_hashed() -> None:
    """The text of a list has its items by `repr`, and that of an enum has its value's."""
    assert hash_output(Holder.A) == hash_output("Holder.A")
    for value in ([Holder.A], ([Holder.A],)):
        with pytest.raises(TypeError, match="got object inside a list"):
            hash_output(value)


def test_the_line_of_a_form_is_one_that_readers_take() -> None:
    for title in ("Written by every call", "Odd values"):
        for value, form in rows(title):
            assert orjson.loads(leniently(made(value))[0]) == json.loads(form)
