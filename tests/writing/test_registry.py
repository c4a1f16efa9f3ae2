"""The registry: one file that every writer of an audit/ folder appends to."""

import errno
import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from observability import registry as registry_module
from observability.journal import Journal, JournalError
from tests.writing.oracle import (
    BASE,
    REGISTRY,
    assert_complete,
    assert_each_once,
    lines,
    verdicts,
)

WORKFLOW = "step_04_registry"
VERIFIER = Path(__file__).parents[2] / "docs" / "verify_trace.py"


def run(out: Path, n: int = 1) -> None:
    journal = Journal(out, WORKFLOW)
    journal.append("tick", {"n": n})
    journal.close()


def test_every_cut_of_the_last_line_gets_a_newline_and_a_gap(memory: Path) -> None:
    run(memory / "whole")
    data = (memory / "whole" / REGISTRY).read_bytes()
    begin = data.rfind(b"\n", 0, -1) + 1
    for cut in range(begin, len(data)):
        out = memory / str(cut)
        (out / BASE).parent.mkdir(parents=True)
        (out / BASE).write_bytes((memory / "whole" / BASE).read_bytes())
        (out / REGISTRY).write_bytes(data[:cut])

        run(out, 2)
        run(out, 3)

        assert_complete(out)
        told = (out / REGISTRY).read_bytes()
        assert told.startswith(data[:cut])
        if cut > begin:
            assert told[cut : cut + 1] == b"\n"
            gap = told[cut + 1 :].split(b"\n")[0]
            assert b'"event_type":"gap"' in gap
            assert sha256(data[begin:cut]).hexdigest().encode() in gap


def test_every_cut_of_the_first_line_gets_a_newline_and_a_gap(memory: Path) -> None:
    """A writer was killed in the very first line of the registry, the trace has its own."""
    journal = Journal(memory / "whole", WORKFLOW)
    data = (memory / "whole" / REGISTRY).read_bytes()
    trace = (memory / "whole" / BASE).read_bytes()
    journal.close()
    for cut in range(len(data)):
        out = memory / str(cut)
        (out / BASE).parent.mkdir(parents=True)
        (out / BASE).write_bytes(trace)
        (out / REGISTRY).write_bytes(data[:cut])

        run(out, 2)

        assert_complete(out)
        assert (out / REGISTRY).read_bytes().startswith(data[:cut])


def test_every_cut_of_newline_and_gap_is_named_by_the_next_gap(memory: Path) -> None:
    """A process that mended a cut-off line was killed in the middle of that, and nobody went on."""
    run(memory / "whole")
    data = (memory / "whole" / REGISTRY).read_bytes()
    begin = data.rfind(b"\n", 0, -1) + 1
    mended = memory / "mended"
    place(mended, memory / "whole", data[: begin + 300])
    run(mended, 2)
    told = (mended / REGISTRY).read_bytes()
    newline = begin + 300
    end = told.index(b"\n", newline + 1) + 1
    for cut in range(newline + 1, end, 7 if end - newline > 100 else 1):
        out = memory / str(cut)
        place(out, memory / "whole", told[:cut])

        run(out, 2)
        run(out, 3)

        assert_complete(out)
        assert (out / REGISTRY).read_bytes().startswith(told[:cut])


def test_a_registry_that_was_cut_off_again_and_again_is_continued(memory: Path) -> None:
    run(memory)
    path = memory / REGISTRY
    rng = random.Random(1)
    for n in range(40):
        data = path.read_bytes()
        begin = data.rfind(b"\n", 0, -1) + 1
        # With the inner hash at its end a part of a line looks framed.
        inner = data.find(b'"},"hash"', begin) + 2
        cut = inner if n % 4 == 0 and inner > begin + 2 else rng.randrange(begin + 1, len(data))
        path.write_bytes(data[:cut] + (b"\n" if n % 3 else b""))

        run(memory, n)

    assert_complete(memory)
    verified = subprocess.run([sys.executable, VERIFIER, memory], check=False)
    assert verified.returncode == 0


def place(out: Path, whole: Path, registry: bytes) -> None:
    (out / BASE).parent.mkdir(parents=True)
    (out / BASE).write_bytes((whole / BASE).read_bytes())
    (out / REGISTRY).write_bytes(registry)


@pytest.mark.parametrize("data", [b"\n", b"garbage\n", b"{}\n", b"\x00" * 5_000_000, b"x\n" * 99])
def test_a_registry_that_is_none_is_refused_and_left_alone(tmp_path: Path, data: bytes) -> None:
    run(tmp_path)
    before = (tmp_path / BASE).read_bytes()
    (tmp_path / REGISTRY).write_bytes(data)

    with pytest.raises(JournalError, match="move audit/ away to begin anew") as info:
        Journal(tmp_path, WORKFLOW)

    assert info.value.errno == errno.EIO
    assert info.value.filename == str(tmp_path / REGISTRY)
    assert (tmp_path / REGISTRY).read_bytes() == data
    assert (tmp_path / BASE).read_bytes() == before


def link(path: Path) -> None:
    path.rename(path.parent / "elsewhere")
    path.symlink_to(path.parent / "elsewhere")


def hard_link(path: Path) -> None:
    os.link(path, path.parent / "elsewhere")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("obstacle", [link, hard_link, fifo, folder])
def test_what_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, obstacle: Callable[[Path], None]
) -> None:
    run(tmp_path)
    trace = (tmp_path / BASE).read_bytes()
    obstacle(tmp_path / REGISTRY)
    began = time.monotonic()

    with pytest.raises(JournalError, match="no event was written there"):
        Journal(tmp_path, WORKFLOW)

    assert time.monotonic() - began < 5
    assert (tmp_path / BASE).read_bytes() == trace


def test_a_registry_that_was_removed_is_begun_anew_and_an_audit_says_so(tmp_path: Path) -> None:
    run(tmp_path)
    run(tmp_path)
    (tmp_path / REGISTRY).unlink()
    run(tmp_path)

    assert verdicts(tmp_path) == {REGISTRY: "tampered", BASE: "complete"}


def test_a_registry_removed_while_a_run_writes_is_begun_anew(tmp_path: Path) -> None:
    journal = Journal(tmp_path, WORKFLOW)
    (tmp_path / REGISTRY).unlink()
    journal.close()

    assert [line["event_type"] for line in lines(tmp_path / REGISTRY)] == ["writer_closed"]
    # It was the first writer, so nothing names a line that is gone.
    assert_complete(tmp_path)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "_PATIENCE_S", 0.3)


@pytest.mark.usefixtures("impatient")
def test_a_lock_that_is_not_given_back_is_an_error_after_a_while(tmp_path: Path) -> None:
    run(tmp_path)
    before = (tmp_path / BASE).read_bytes()
    with (tmp_path / REGISTRY).open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        began = time.monotonic()
        with pytest.raises(JournalError, match="another process has held its lock") as info:
            Journal(tmp_path, WORKFLOW)
    assert 0.3 <= time.monotonic() - began < 5
    assert info.value.errno == errno.EAGAIN
    assert (tmp_path / BASE).read_bytes() == before
    run(tmp_path)
    assert_complete(tmp_path)


@pytest.mark.usefixtures("impatient")
def test_a_stopped_process_that_has_the_lock_is_waited_for(tmp_path: Path) -> None:
    """It goes on before patience ends, and so does the writer."""
    run(tmp_path)
    tells, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with (tmp_path / REGISTRY).open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                os.write(told, b"locked")
                os.kill(os.getpid(), signal.SIGSTOP)
        finally:
            os._exit(0)
    os.read(tells, 6)
    os.waitpid(pid, os.WUNTRACED)
    with pytest.raises(JournalError):
        Journal(tmp_path, WORKFLOW)
    os.kill(pid, signal.SIGCONT)
    run(tmp_path, 2)
    os.waitpid(pid, 0)
    os.close(tells)
    os.close(told)

    assert_complete(tmp_path)


@pytest.mark.usefixtures("impatient")
def test_an_end_that_the_registry_does_not_get_is_an_error_and_the_trace_is_closed(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path, WORKFLOW)
    with (tmp_path / REGISTRY).open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(JournalError):
            journal.close()

    assert journal.closed
    assert lines(tmp_path / BASE)[-1]["event_type"] == "writer_closed"
    assert_complete(tmp_path)


def test_an_opening_that_the_registry_did_not_get_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trace had its first line when the registry failed; the next event goes on behind it."""
    journal = Journal(tmp_path, WORKFLOW)
    journal.append("tick", {"n": 1})
    fail = iter([True, True])

    def append(*_arguments: object, **_more: object) -> None:
        if next(fail, False):
            raise OSError(errno.ENOSPC, "No space left on device")
        original(*_arguments, **_more)  # type: ignore[arg-type]

    original = registry_module.LockedRegistry.append
    (tmp_path / BASE).rename(tmp_path / "moved")
    monkeypatch.setattr(registry_module.LockedRegistry, "append", append)
    with pytest.raises(JournalError, match="removed while it was written"):
        journal.append("workflow_complete", {})
    for _ in range(2):
        with pytest.raises(JournalError, match="No space left"):
            journal.append("tick", {"n": 2})
    journal.append("tick", {"n": 2})
    journal.close()
    (tmp_path / "moved").rename(tmp_path / BASE)

    assert_complete(tmp_path)
    assert_each_once(tmp_path, [1, 2])


def test_lines_of_many_processes_are_whole(memory: Path) -> None:
    pids = []
    for n in range(16):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                for m in range(5):
                    run(memory, n * 5 + m)
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 16

    assert_complete(memory)
    assert_each_once(memory, range(80))
    told = lines(memory / REGISTRY)
    assert [line["seq"] for line in told] == list(range(160))
