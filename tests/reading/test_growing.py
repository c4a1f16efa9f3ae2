"""One file, read from its end and as it grows, at limits small enough to try them all."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.trace import growing
from replay.trace.growing import Change, GrowingFile

LONGEST = 20
LINES = st.lists(st.integers(0, 60).map(lambda n: b"x" * n + b"\n"), max_size=8)
TORN = st.integers(0, 50).map(lambda n: b"y" * n)


@pytest.fixture(autouse=True, scope="module")
def _small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growing, "_BLOCK", 7)
        patch.setattr(growing, "MAX_LINE", LONGEST)
        yield


def want(lines: list[bytes]) -> list[tuple[int, int, bytes | None]]:
    """Return (offset, length, line) of each; None for a line above the limit."""
    found, offset = [], 0
    for line in lines:
        found.append((offset, len(line), line if len(line) <= LONGEST else None))
        offset += len(line)
    return found


def save(folder: Path, data: bytes) -> Path:
    path = folder / "t.jsonl"
    path.write_bytes(data)
    return path


@given(lines=LINES, torn=TORN)
def test_backwards_is_forwards_in_reverse(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], torn: bytes
) -> None:
    file = GrowingFile(save(tmp_path_factory.mktemp("t"), b"".join(lines) + torn), "t")
    end = file.whole_end()
    found = list(file.backwards(end))[::-1]
    file.close()

    assert end == sum(map(len, lines))
    assert found == [(offset, line) for offset, _, line in want(lines)]


@given(lines=LINES, steps=st.lists(st.integers(1, 30), min_size=1), limit=st.integers(1, LONGEST))
def test_every_piece_comes_once_however_the_file_grows(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], steps: list[int], limit: int
) -> None:
    path = save(tmp_path_factory.mktemp("t"), b"")
    file = GrowingFile(path, "t")
    data, found, n = b"".join(lines), [], 0
    with path.open("ab", buffering=0) as stream:
        while data:
            size = steps[n % len(steps)]
            stream.write(data[:size])
            data, n = data[size:], n + 1
            while file.look() is Change.GROWN:
                found += file.read(limit)
    file.close()

    assert found == want(lines)


def test_an_unfinished_long_line_is_not_read_again(tmp_path: Path) -> None:
    path = save(tmp_path, b"x" * 100)
    file = GrowingFile(path, "t")

    assert file.look() is Change.GROWN
    assert file.read(LONGEST) == []
    assert file.look() is Change.NONE
    path.touch()
    assert file.look() is Change.NONE
    file.close()


def test_a_file_written_over_behind_its_first_lines_is_known(tmp_path: Path) -> None:
    lines = [b"a" * 15 + b"\n"] * 40
    path = save(tmp_path, b"".join(lines))
    file = GrowingFile(path, "t")
    while file.look() is Change.GROWN:
        file.read(LONGEST)

    path.write_bytes(b"".join([*lines[:-1], b"b" * 15 + b"\n", b"c\n"]))

    assert file.look() is Change.REWRITTEN
    file.close()
