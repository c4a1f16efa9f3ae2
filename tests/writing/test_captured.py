"""What a program printed is kept clean, whole and without secrets, however it was read."""

import hashlib
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observability.command.output import EXCERPT, Captured, Lines
from observability.redaction.redact import Redactor

SECRET = "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345"
REDACTOR = Redactor()
_NUMBERS = itertools.count()

texts = st.lists(
    st.sampled_from(
        [
            b"plain\n",
            b"\n",
            b"\ttabs\t\n",
            b"\x1b[31mred\x1b[0m\r\n",
            b"\x1b]0;title\x07",
            b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",
            b" 10%\r 20%\r",
            b"\x1b[2K\x1b[1A",
            "ä€\u202e𝄞".encode(),
            b"\xff\xc3",
            b"\xc2\x9b31m",
            b"\x00\x07\x08",
            f"token {SECRET}\n".encode(),
            b"password:\n",
            b"  hunter2hunter2\n",
            b"x" * 70_000,
            b"line that is not so short\n" * 3_000,
        ]
    ),
    max_size=12,
).map(b"".join)


def kept(folder: Path, pieces: list[bytes]) -> tuple[dict[str, Any] | None, bytes]:
    """Return the fields of the event, and what is in the file."""
    path = folder / f"{next(_NUMBERS)}.log"
    captured = Captured("terminal", str(path), REDACTOR)
    for piece in pieces:
        captured.feed(piece)
    fields = captured.finish()
    if fields is not None:
        del fields["path"]
    return fields, path.read_bytes() if path.exists() else b""


@settings(max_examples=60, deadline=None)
@given(data=texts, cuts=st.lists(st.integers(0, 300_000), max_size=8))
def test_what_is_kept_does_not_depend_on_how_it_was_read(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cuts: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("captured")
    ends = [*sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[begin:end] for begin, end in itertools.pairwise([0, *ends])]

    whole, file = kept(folder, [data])

    assert kept(folder, pieces) == (whole, file)
    if whole is not None:
        assert whole["size"] == len(file)
        assert whole["digest"] == f"sha256:{hashlib.sha256(file).hexdigest()}"
        assert len(whole["text"].encode()) <= EXCERPT


@settings(max_examples=60, deadline=None)
@given(data=texts)
def test_no_escape_and_no_secret_is_kept(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    fields, file = kept(tmp_path_factory.mktemp("captured"), [data])

    text = file.decode() + ("" if fields is None else fields["text"])
    assert not {*"\x00\x07\x08\x0d\x1b\x9b\u202e"} & {*text}
    assert SECRET not in text


@pytest.mark.parametrize("before", [0, 10, 65_530, 65_536, 131_000])
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_secret_in_two_reads_is_found(tmp_path: Path, before: int, size: int) -> None:
    key = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG\n" * 200
    key += "-----END PRIVATE KEY-----\n"
    data = f"{'.' * before} {SECRET}\n--password\nhunter2hunter2\n{key}end\n".encode()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]

    fields, file = kept(tmp_path, pieces)

    assert fields is not None
    for secret in (SECRET, "hunter2", "MIIE"):
        assert secret not in file.decode()
        assert secret not in fields["text"]
    assert file.endswith(b"end\n")


def test_a_private_key_without_an_end_hides_no_more_than_the_longest_has(tmp_path: Path) -> None:
    data = b"-----BEGIN PRIVATE KEY-----\nMIIE\n" + b"a line of a log\n" * 20_000

    _, file = kept(tmp_path, [data])

    assert b"MIIE" not in file
    assert len(file) > len(data) - 200_000


def test_plain_lines_stay_as_they_are() -> None:
    lines = Lines()

    assert lines.feed("a\n\n\tb  \n") + lines.feed("no end") + lines.finish() == (
        "a\n\n\tb  \nno end"
    )


def test_a_file_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    captured = Captured("stdout", str(tmp_path / "absent" / "x.log"), REDACTOR)
    captured.feed(b"text\n")

    fields = captured.finish()

    assert captured.error is not None
    assert fields == {"stream": "stdout", "text": "text\n", "truncated": False, "size": 5}
