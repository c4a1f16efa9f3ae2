"""Compressed traces, whole and damaged, as files and on standard input; each command on each."""

import bz2
import gzip
import io
import json
import lzma
import os
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.audit.audit import audit
from replay.findings import Verdict
from replay.fold import fold_path, read_report
from replay.trace.evidence import TraceError, open_evidence
from replay.trace.reader import EventReader
from replay.trace.tail import Shown, Tail
from tests.command.running import AUDITFOLD, auditfold, environment, running
from tests.docs.pages import root

SURVEY = root() / "sample_runs" / "survey"
TRACE = "audit/step_01/trace_01.jsonl"
PLAIN = (SURVEY / TRACE).read_bytes()
LINES = PLAIN.splitlines(keepends=True)
WHOLE = gzip.compress(PLAIN)
RUN = b"20260302-070312-v9u4pl"


def ls(data: bytes, folder: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    (folder / "trace_01.jsonl.gz").write_bytes(data)
    return auditfold("ls", *options, "trace_01.jsonl.gz", cwd=folder)


def same(data: bytes, words: list[str], folder: Path) -> None:
    """Say that the command says of the compressed *data* what it says of the trace itself."""
    names = ("plain.jsonl", "plain.jsonl.gz", "-")
    (folder / names[0]).write_bytes(PLAIN)
    (folder / names[1]).write_bytes(data)
    plain, compressed, piped = (
        auditfold(*words, name, cwd=folder, stdin=data if name == "-" else b"") for name in names
    )
    for done, name in ((compressed, names[1]), (piped, "-")):
        assert done.returncode == plain.returncode
        named = plain.stdout.replace(names[0].encode(), name.encode())
        assert done.stdout.split() == named.split()
        assert done.stderr == plain.stderr


COMMANDS = pytest.mark.parametrize(
    "words",
    [
        ["ls"],
        ["ls", "--json"],
        ["show"],
        ["show", "--run", "v9u4"],
        ["tail"],
        ["tail", "-n", "all", "--json"],
        ["tail", "--type", "node_failure"],
        ["audit", "--chain"],
    ],
    ids=" ".join,
)


def members(cuts: list[int]) -> bytes:
    """Return the trace as a gzip file of several members."""
    ends = [0, *sorted(cuts), len(PLAIN)]
    return b"".join(gzip.compress(PLAIN[a:b]) for a, b in pairwise(ends))


@COMMANDS
def test_a_compressed_trace_is_read_as_the_trace_itself(words: list[str], tmp_path: Path) -> None:
    same(WHOLE, words, tmp_path)


@COMMANDS
def test_a_file_of_several_members_is_read_to_its_end(words: list[str], tmp_path: Path) -> None:
    """Files that were compressed by parts and put together, in the middle of a line too."""
    same(members([1, 1000, 1000, len(LINES[0])]), words, tmp_path)


def test_zeros_behind_it_are_the_padding_of_a_tape(tmp_path: Path) -> None:
    done = ls(WHOLE + bytes(512), tmp_path)

    assert (done.returncode, done.stderr) == (0, b"")


def test_a_gz_with_a_name_and_a_comment_inside_is_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with gzip.GzipFile("trace_01.jsonl", "wb", fileobj=buffer) as file:
        file.write(PLAIN)

    assert RUN in ls(buffer.getvalue(), tmp_path).stdout


# --- Damaged


@pytest.mark.parametrize("words", [["ls"], ["show"], ["tail"]], ids=" ".join)
@pytest.mark.parametrize("piped", [False, True], ids=["file", "stdin"])
def test_of_a_cut_file_all_whole_lines_are_read_and_the_rest_told(
    words: list[str], piped: bool, tmp_path: Path
) -> None:
    """`ls` and `show` once refused the file and did not say what of it was intact."""
    data = WHOLE[: len(WHOLE) // 2]
    (tmp_path / "cut.jsonl.gz").write_bytes(data)
    name = "-" if piped else "cut.jsonl.gz"
    done = auditfold(*words, name, cwd=tmp_path, stdin=data)

    assert done.returncode == (1 if words == ["show"] else 0)
    said, hint = done.stderr.splitlines()
    assert said.startswith(f"{name}:13 (byte 5616): compressed data ends too early: ".encode())
    assert hint == f"To see what is intact: auditfold audit {name}".encode()
    assert b"step_01_survey" in done.stdout or b"NODE_START argparse" in done.stdout
    assert auditfold(*words, "--strict", name, cwd=tmp_path, stdin=data).returncode == 3


@given(cut=st.integers(0, len(WHOLE)))
def test_a_file_cut_anywhere_gives_the_lines_that_are_whole(cut: int) -> None:
    whole = _decompressed(WHOLE[:cut])
    stream = io.BufferedReader(_stream_of(WHOLE[:cut]))
    reader = EventReader(stream, "cut.gz")
    events = [event for batch in reader.batches() for event in batch]

    count = whole.count(b"\n")
    assert len(events) in {count, max(0, count - 1)}  # the last one may not have come out yet
    assert [event.seq for event in events] == list(range(len(events)))
    assert bool(reader.damage) == (0 < cut < len(WHOLE))


@given(cut=st.integers(1, len(WHOLE) - 1))
def test_reading_by_events_ends_at_the_cut_as_well(cut: int) -> None:
    reader = EventReader(io.BufferedReader(_stream_of(WHOLE[:cut])), "cut.gz")

    assert [event.seq for event in reader] == list(range(reader.lines))
    assert [(d.line, d.offset) for d in reader.damage] == [(reader.lines + 1, reader.offset)]


def _stream_of(data: bytes) -> io.RawIOBase:
    from replay.trace.evidence import _Decompressed

    return _Decompressed(io.BytesIO(data), "cut.gz")


def _decompressed(data: bytes) -> bytes:
    import zlib

    return zlib.decompressobj(31).decompress(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (WHOLE[:-6], b"compressed data ends too early"),
        (WHOLE + b"garbage", b"compressed data is damaged: Not a gzipped file"),
        (WHOLE[:-6] + bytes([WHOLE[-6] ^ 1]) + WHOLE[-5:], b"damaged: CRC check failed"),
    ],
    ids=["no-end", "garbage-behind", "checksum"],
)
def test_damage_behind_the_last_line_is_told_once_and_the_run_shown(
    data: bytes, said: bytes, tmp_path: Path
) -> None:
    done = ls(data, tmp_path)

    assert (done.returncode, RUN in done.stdout) == (0, True)
    assert said in done.stderr
    assert done.stderr.count(b"\n") == 2
    assert audit(str(tmp_path / "trace_01.jsonl.gz")).exit_code() == 3


@given(place=st.integers(10, len(WHOLE) - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_is_told(place: int, bit: int) -> None:
    data = bytearray(WHOLE)
    data[place] ^= 1 << bit
    reader = EventReader(io.BufferedReader(_stream_of(bytes(data))), "flipped.gz")
    events = [event for batch in reader.batches() for event in batch]

    assert reader.damage or reader.torn or len(events) == len(LINES)


@pytest.mark.parametrize("content", [b"", gzip.compress(b"")], ids=["no-bytes", "no-lines"])
def test_an_empty_one_is_an_empty_trace(content: bytes, tmp_path: Path) -> None:
    done = ls(content, tmp_path)

    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr == b"trace_01.jsonl.gz: no run in its traces\n"
    done = auditfold("ls", "-", stdin=content)
    assert (done.returncode, done.stderr) == (0, b"-: no run in its traces\n")


def test_a_fragment_behind_the_last_line_is_a_torn_tail_as_in_any_trace(tmp_path: Path) -> None:
    done = ls(gzip.compress(PLAIN[:-30]), tmp_path, "--strict")

    assert (done.returncode, done.stderr) == (0, b"")


# --- Names that do not say what is inside


@pytest.mark.parametrize("words", [["ls"], ["show"], ["tail"], ["audit"]], ids=" ".join)
def test_a_name_that_says_the_wrong_thing_gets_advice(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "plain.jsonl.gz").write_bytes(PLAIN)
    (tmp_path / "packed.jsonl").write_bytes(WHOLE)

    plain = auditfold(*words, "plain.jsonl.gz", cwd=tmp_path)
    packed = auditfold(*words, "packed.jsonl", cwd=tmp_path)

    assert (plain.returncode, packed.returncode) == (5, 5)
    assert b"not compressed, although its name says so. Try: mv it plain.jsonl" in plain.stderr
    assert b"compressed with gzip. Try: give it a name that ends in .gz" in packed.stderr
    assert packed.stderr.count(b"\n") == plain.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("program", "data"),
    [
        ("xz", lzma.compress(PLAIN)),
        ("bzip2", bz2.compress(PLAIN)),
        ("zstd", b"\x28\xb5\x2f\xfd" + bytes(20)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_compressed_in_another_way_says_how_to_read_it(
    program: str, data: bytes, tmp_path: Path
) -> None:
    (tmp_path / "trace.jsonl").write_bytes(data)
    said = f"compressed with {program}. Try: {program} -dc FILE | auditfold ls -\n".encode()

    for done in (
        auditfold("ls", "trace.jsonl", cwd=tmp_path),
        auditfold("audit", "-", stdin=data),
        auditfold("tail", "-", stdin=data),
    ):
        assert (done.returncode, done.stdout) == (5, b"")
        assert done.stderr.endswith(said)


def test_such_a_file_among_traces_is_no_trace(tmp_path: Path) -> None:
    shutil.copytree(SURVEY, tmp_path / "out")
    (tmp_path / "out" / TRACE).write_bytes(WHOLE)

    done = auditfold("audit", tmp_path / "out")

    assert done.returncode == 3
    assert b"error not_a_trace  audit/step_01/trace_01.jsonl: compressed with gzip" in done.stdout


# --- Beside a registry


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A copy of a run, its trace compressed."""
    folder = tmp_path / "out"
    shutil.copytree(SURVEY, folder)
    (folder / TRACE).unlink()
    (folder / f"{TRACE}.gz").write_bytes(WHOLE)
    return folder


def test_a_compressed_trace_beside_its_registry_is_complete(out: Path) -> None:
    assert audit(str(out)).verdict is Verdict.COMPLETE
    assert auditfold("show", out).stdout == auditfold("show", SURVEY).stdout
    assert [state.run_id for state in fold_path(out).runs()] == [RUN.decode()]


def test_a_cut_one_beside_its_registry_is_tampered(out: Path) -> None:
    """The registry names more lines than there are."""
    (out / f"{TRACE}.gz").write_bytes(WHOLE[: len(WHOLE) // 2])

    assert audit(str(out)).verdict is Verdict.TAMPERED
    assert auditfold("ls", out).returncode == 0


def test_a_trace_and_what_was_compressed_of_it_are_one_trace(out: Path) -> None:
    """`gzip -k` once doubled every node, and the audit looked at the copy only."""
    (out / TRACE).write_bytes(PLAIN)

    assert read_report(out)["nodes"] == read_report(SURVEY)["nodes"]
    done = auditfold("ls", out)
    assert done.stderr == (
        b"audit/step_01/trace_01.jsonl.gz: left out: the trace itself is beside it\n"
    )
    with Tail(str(out)) as tail:
        assert [item.line for item in tail.last(None) if isinstance(item, Shown)] == LINES

    (out / TRACE).write_bytes(PLAIN.replace(b'"abc"', b'"abd"', 1))
    assert audit(str(out)).verdict is Verdict.TAMPERED


# --- On standard input


def test_a_trace_is_followed_on_standard_input_while_it_comes() -> None:
    read, write = os.pipe()
    with running("tail", "-f", "--json", "-", stdin=read) as tail:
        os.close(read)
        for line in LINES:
            os.write(write, line)
            tail.until(stdout=line)
        os.close(write)

        assert tail.wait() == 0


def test_a_compressed_trace_from_a_pipe_is_audited(tmp_path: Path) -> None:
    (tmp_path / "trace.gz").write_bytes(WHOLE)
    done = subprocess.run(
        ["sh", "-c", f"cat trace.gz | {' '.join(AUDITFOLD)} audit --json -"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0
    assert json.loads(done.stdout)["verdict"] == "intact-prefix"


def test_opening_a_closed_standard_input_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)

    with pytest.raises(TraceError, match="standard input is closed"):
        open_evidence("-")
