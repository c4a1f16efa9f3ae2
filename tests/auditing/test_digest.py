"""Digests of values, files and directories, and the 16 digits of the older layout."""

import hashlib
import json
import math
import os
import socket
import struct
import sys
from collections import OrderedDict
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.digest import (
    MAX_INT,
    canonical_json,
    directory_digest,
    directory_listing,
    entry_path,
    file_digest,
    hash_output,
    json_digest,
)

# RFC 8785, appendix B: IEEE 754 double, JSON.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_numbers_are_written_as_in_the_appendix_of_the_rfc(bits: str, text: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))

    assert canonical_json(value) == text.encode()


def test_the_example_of_the_rfc_has_its_bytes() -> None:
    """RFC 8785, sections 3.2.2 and 3.2.4."""
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }

    assert canonical_json(value) == (
        b'{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        b'"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_keys_stand_in_the_order_of_their_utf16_units() -> None:
    """RFC 8785, section 3.2.3: an astral key comes before U+FB33 there, after it in UTF-8."""
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]

    written = json.loads(canonical_json(dict.fromkeys(keys)), object_pairs_hook=list)

    assert [key for key, _ in written] == [
        "\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33",
    ]  # fmt: skip


ASCII = st.text(st.characters(max_codepoint=127))
INTS = st.integers(-MAX_INT, MAX_INT)


def nested(leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[str]) -> Any:
    return st.recursive(
        leaves, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=20
    )


@given(nested(ASCII | INTS | st.booleans() | st.none(), ASCII))
def test_without_floats_and_beyond_ascii_it_is_what_the_standard_library_writes(value: Any) -> None:
    expected = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    assert canonical_json(value) == expected.encode()


@given(nested(st.text() | INTS | st.floats(allow_nan=False, allow_infinity=False), st.text()))
def test_a_canonical_form_reads_back_and_is_its_own(value: Any) -> None:
    written = canonical_json(value)
    read = json.loads(written, parse_int=float)

    assert read == value
    assert canonical_json(read) == written


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_its_value_and_the_ranges_of_ecmascript(value: float) -> None:
    text = canonical_json(value).decode()

    assert float(text) == value
    assert ("e" in text) == (value != 0 and not 1e-6 <= abs(value) < 1e21)
    assert not text.endswith(".0")


def test_tuples_are_arrays_and_subclasses_are_their_values() -> None:
    class Level(IntEnum):
        HIGH = 3

    class Name(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "another"

    value = OrderedDict([("b", (1, Level.HIGH)), ("a", Name("x"))])

    assert canonical_json(value) == b'{"a":"x","b":[1,3]}'


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        ({"a": [1, math.nan]}, ValueError, r"\$\.a\[1\]: nan, want a finite number"),
        (-math.inf, ValueError, "-inf"),
        ([MAX_INT + 1], ValueError, r"\$\[0\]: integer beyond 2\^53 - 1"),
        ([10**5000], ValueError, r"\$\[0\]: integer beyond 2\^53 - 1"),
        (-MAX_INT - 1, ValueError, "integer"),
        ({"k": ["ok", "\ud800"]}, ValueError, r"\$\.k\[1\]: a lone surrogate"),
        ({"\udfff": 1}, ValueError, r"\$\.\\udfff: a lone surrogate"),
        ({1: 2}, TypeError, "key of type int, want str"),
        ({"a": {1}}, TypeError, r"\$\.a: got set"),
        (b"x", TypeError, "got bytes"),
        (Decimal(1), TypeError, "got Decimal"),
    ],
)
def test_what_has_no_canonical_form_is_refused_and_named(
    value: Any, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        canonical_json(value)


def test_a_value_nested_without_end_is_refused() -> None:
    value: list[Any] = []
    value.append(value)

    with pytest.raises(ValueError, match="nested too deep"):
        canonical_json(value)


def test_whatever_is_wrong_at_any_depth_no_other_error_gets_out() -> None:
    """The place of a surrogate at the last depth there is was looked for in vain, one too deep."""
    most = sys.getrecursionlimit()
    for depth in range(most - 200, most):
        value: Any = "\ud800"
        for _ in range(depth):
            value = [value]
        with pytest.raises(ValueError, match=r"surrogate|nested too deep"):
            canonical_json(value)


def test_the_digest_of_a_value_is_that_of_its_canonical_form() -> None:
    expected = hashlib.sha256(b'{"a":1,"b":[]}').hexdigest()

    assert json_digest({"b": (), "a": 1.0}) == f"sha256:{expected}"


def sha(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@given(st.binary(max_size=300))
def test_the_digest_of_a_file_is_that_of_its_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("file") / "f"
    path.write_bytes(data)

    assert file_digest(path) == (len(data), sha(data))


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")

    for name in ("fifo", "link", "absent", "."):
        with pytest.raises(OSError, match=name):
            file_digest(tmp_path / name)


def test_a_directory_is_listed_in_utf8_order_and_empty_ones_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "b" / "inner").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name, data in {
        "b/inner/x": b"1",
        "b.txt": b"22",
        "\uff5e": b"",
        "\U0001f600": b"3",
    }.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "link").symlink_to("../elsewhere")
    (tmp_path / "link-to-dir").symlink_to("b")

    found = directory_digest(tmp_path)

    assert found.entries == [
        ("b.txt", 2, sha(b"22")),
        ("b/inner/x", 1, sha(b"1")),
        ("link", 0, "link:../elsewhere"),
        ("link-to-dir", 0, "link:b"),
        ("\uff5e", 0, sha(b"")),
        ("\U0001f600", 1, sha(b"3")),
    ]
    assert found.size == 4
    assert found.digest == json_digest([list(entry) for entry in found.entries])


def test_a_listing_is_the_same_without_what_has_to_be_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12")
    (tmp_path / "l").symlink_to("f")

    assert directory_listing(tmp_path) == [("f", 2, ""), ("l", 0, "link:f")]


def test_an_empty_directory_has_the_digest_of_an_empty_list(tmp_path: Path) -> None:
    assert directory_digest(tmp_path) == (0, sha(b"[]"), [])


def test_a_directory_behind_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    with pytest.raises(OSError, match="link"):
        directory_digest(tmp_path / "link")


def test_special_files_are_named_and_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)  # a socket's path is limited to 108 bytes
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("sock")
        found = directory_digest(tmp_path)

    assert found.entries == [("pipe", 0, "special:fifo"), ("sock", 0, "special:socket")]


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="other systems refuse such names")
def test_names_that_are_not_utf8_cannot_be_mistaken_for_others(tmp_path: Path) -> None:
    for name in (b"a\xff", rb"a\xff", b"back\\slash\xfe"):
        (tmp_path / os.fsdecode(name)).touch()
    (tmp_path / "z").symlink_to(os.fsdecode(b"to\xff"))

    entries = directory_digest(tmp_path).entries

    assert [(path, digest) for path, _, digest in entries] == [
        (r"/a\xff", sha(b"")),
        (r"/back\\slash\xfe", sha(b"")),
        (r"a\xff", sha(b"")),
        ("z", r"link-bytes:to\xff"),
    ]
    spelled = {entry_path(path) for path, _, _ in entries}
    assert spelled == {path.name for path in tmp_path.iterdir()}


class Colour(Enum):
    RED = 1


SCALARS: list[Any] = [
    "text", "\u20ac", b"\x00bytes", 7, 2.5, math.inf, True, None, Path("a/b"), date(2026, 1, 2),
    datetime(2026, 1, 2, 3, tzinfo=UTC), Decimal("1.50"), UUID(int=5), Colour.RED,
]  # fmt: skip


@pytest.mark.parametrize("value", [*SCALARS, SCALARS, tuple(SCALARS), [], [[1, ("a",)]]])
def test_hash_output_is_that_of_the_text(value: Any) -> None:
    assert hash_output(value) == hashlib.sha256(str(value).encode()).hexdigest()[:16]


@pytest.mark.parametrize("value", [{}, {"b": [1, {"x": None}], "a": 2.0}, {2: 1, 10: 3}])
def test_hash_output_of_a_dict_is_that_of_its_sorted_json(value: Any) -> None:
    text = json.dumps(value, sort_keys=True)

    assert hash_output(value) == hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    "value", [{1}, object(), [{}], ({"a": 1},), [object()], {"a": {1}}, {1: 1, "a": 2}, bytearray()]
)
def test_hash_output_refuses_what_has_no_lasting_text(value: Any) -> None:
    with pytest.raises(TypeError):
        hash_output(value)
