"""What a signal handler that raises, or emits, does to a trace: nothing.

Python runs handlers between two instructions of the main thread, so an exception may come
anywhere in `Journal`, the constructor included.
"""

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytest

from observability import forks
from observability.journal import Journal
from observability.trace_file import JournalError
from tests.writing.oracle import (
    BASE,
    REGISTRY,
    assert_complete,
    assert_each_once,
    assert_one_writer_at_a_time,
    count,
    events,
    lines,
    traces,
)

WORKFLOW = "step_04_signals"
Handler = Callable[[int, FrameType | None], Any]


class StormError(Exception):
    """Raised by a handler."""


def storm(out: Path, mode: str, seed: int) -> dict[str, Any]:
    """Run the program `storm.py` with all warnings as errors, and return what it says."""
    command = [sys.executable, "-W", "error", "-m", "tests.writing.storm"]
    done = subprocess.run(
        [*command, str(out), mode, str(seed)], capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize("mode", ["once", "often"])
def test_writers_interrupted_anywhere_are_complete(memory: Path, mode: str) -> None:
    """A thousand writers: what was acknowledged is there, nothing twice, nothing else."""
    said = storm(memory, mode, seed=20261121)

    assert said["interruptions"] > 100
    assert_complete(memory)
    assert_one_writer_at_a_time(memory)
    found = count(memory)
    assert max(found.values()) == 1
    assert set(said["acknowledged"]) <= set(found) <= set(said["begun"])
    told = lines(memory / REGISTRY)
    named = [(line["event_type"], line["trace"]["writer"]) for line in told]
    assert len(named) == len(set(named))
    # An exception that a finaliser swallows is lost: only C may close files there.
    assert [text for text in said["unraisable"] if not text.startswith("unclosed file")] == []


@contextlib.contextmanager
def on_usr1(handler: Handler) -> Iterator[Callable[[], None]]:
    """Have *handler* called; yields what makes that happen at once, in the caller."""
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield lambda: os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


@contextlib.contextmanager
def in_the_middle(monkeypatch: pytest.MonkeyPatch, *handlers: Handler) -> Iterator[list[int]]:
    """Call each of *handlers* once, right behind the `os.write` of the next trace line."""
    waiting = list(handlers)
    write = os.write

    def write_and_signal(fd: int, data: bytes) -> int:
        written = write(fd, data)
        if waiting:
            os.kill(os.getpid(), signal.SIGUSR1)
        return written

    def handle(number: int, frame: FrameType | None) -> None:
        if waiting:
            waiting.pop(0)(number, frame)

    with on_usr1(handle), monkeypatch.context() as patch:
        patch.setattr(os, "write", write_and_signal)
        yield []
    assert not waiting


def raise_storm(_number: int, _frame: FrameType | None) -> NoReturn:
    raise StormError


def test_an_event_from_a_handler_is_written_by_the_interrupted_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal_(tmp_path) as journal:
        emitted = []

        def emit(_number: int, _frame: FrameType | None) -> None:
            emitted.append(journal.append("tick", {"n": "handler"}))

        with in_the_middle(monkeypatch, emit):
            journal.append("tick", {"n": "caller"})

        assert emitted == [None]
        assert_each_once(tmp_path, ["caller", "handler"])
    assert_complete(tmp_path)


def test_an_event_that_was_queued_survives_the_exception_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler emitted and then raised: its event was lost when the next one failed."""
    with Journal_(tmp_path) as journal:

        def emit_and_raise(_number: int, _frame: FrameType | None) -> NoReturn:
            journal.append("tick", {"n": "handler"})
            raise StormError

        with in_the_middle(monkeypatch, emit_and_raise, raise_storm, raise_storm):
            for n in range(3):
                with pytest.raises(StormError):
                    journal.append("tick", {"n": n})

    assert_complete(tmp_path)
    found = count(tmp_path)
    assert max(found.values()) == 1
    assert found["handler"] == 1


def test_close_in_a_handler_is_the_last_thing_the_interrupted_call_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(tmp_path)
    refused = []

    def close_and_emit(_number: int, _frame: FrameType | None) -> None:
        journal.append("tick", {"n": "before"})
        journal.close()
        with pytest.raises(RuntimeError, match="closed") as info:
            journal.append("tick", {"n": "after"})
        refused.append(info)

    with in_the_middle(monkeypatch, close_and_emit):
        journal.append("tick", {"n": "caller"})

    assert journal.closed
    assert refused
    assert_each_once(tmp_path, ["caller", "before"])
    assert_complete(tmp_path)


def test_close_and_raise_in_a_handler_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(tmp_path)

    def close_and_raise(_number: int, _frame: FrameType | None) -> NoReturn:
        journal.close()
        raise StormError

    with in_the_middle(monkeypatch, close_and_raise), pytest.raises(StormError):
        journal.append("tick", {"n": 1})

    assert journal.closed
    assert_complete(tmp_path)


def test_nothing_is_written_behind_writer_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted close() left the journal open: the next event made the trace tampered."""
    journal = open_journal(tmp_path)
    with in_the_middle(monkeypatch, raise_storm), pytest.raises(StormError):
        journal.close()

    with pytest.raises(RuntimeError, match="closed"):
        journal.append("tick", {"n": 1})
    assert not journal.closed
    journal.close()

    assert [line["event_type"] for line in lines(tmp_path / BASE)][-1] == "writer_closed"
    assert_complete(tmp_path)


def test_a_timeout_of_the_program_is_no_failure_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TimeoutError is an OSError: the file was given up, and the caller saw JournalError."""

    def time_out(_number: int, _frame: FrameType | None) -> NoReturn:
        raise TimeoutError("too slow")

    with Journal_(tmp_path) as journal:
        with in_the_middle(monkeypatch, time_out), pytest.raises(TimeoutError, match="too slow"):
            journal.append("tick", {"n": 1})
        journal.append("tick", {"n": 2})

    assert list(traces(tmp_path)) == [BASE]
    assert_complete(tmp_path)
    assert_each_once(tmp_path, [1, 2])


def test_a_fork_in_a_handler_leaves_the_event_to_the_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(tmp_path)
    children = []

    def fork(_number: int, _frame: FrameType | None) -> None:
        children.append(os.fork())

    try:
        with in_the_middle(monkeypatch, fork):
            journal.append("tick", {"n": "parent"})
        if children[0] == 0:
            journal.append("tick", {"n": "child"})
            journal.close()
            os._exit(0)
    finally:
        if children[0] == 0:
            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(children[0], 0)[1] == 0
    journal.close()

    assert_each_once(tmp_path, ["parent", "child"])
    assert_complete(tmp_path)


def test_a_fork_in_a_handler_leaves_the_end_to_the_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind each write of close(): writer_closed, and the line of the registry."""
    for nth in range(2):
        out = tmp_path / str(nth)
        journal = open_journal(out)
        children: list[int] = []

        def fork(_number: int, _frame: FrameType | None, children: list[int] = children) -> None:
            children.append(os.fork())

        def wait(_number: int, _frame: FrameType | None) -> None:
            pass

        try:
            with in_the_middle(monkeypatch, *[wait] * nth, fork):
                journal.close()
            if children[0] == 0:
                journal.append("tick", {"n": "child"})
                journal.close()
                os._exit(0)
        finally:
            if children[0] == 0:
                traceback.print_exc()
                os._exit(1)
        assert os.waitpid(children[0], 0)[1] == 0

        assert journal.closed
        assert_each_once(out, ["child"])
        assert_complete(out)


def test_a_finaliser_may_emit_while_an_event_is_written(tmp_path: Path) -> None:
    with Journal_(tmp_path) as journal:

        class Emits:
            def __init__(self, n: int) -> None:
                self.n = n
                self.myself = self

            def __del__(self) -> None:
                journal.append("tick", {"n": self.n})

        threshold = gc.get_threshold()
        gc.set_threshold(5)
        try:
            for n in range(300):
                Emits(n)
                journal.append("other", {"many": [[n] for n in range(20)]})
        finally:
            gc.set_threshold(*threshold)
            gc.collect()

    assert_each_once(tmp_path, range(300))
    assert_complete(tmp_path)


def test_emissions_from_a_handler_interleave_without_loss(tmp_path: Path) -> None:
    """A timer emits all the time while the main program does."""
    with Journal_(tmp_path) as journal:
        handled: list[int] = []

        def emit(_number: int, _frame: FrameType | None) -> None:
            handled.append(len(handled))
            journal.append("alarm", {"n": handled[-1]})

        before = signal.signal(signal.SIGALRM, emit)
        signal.setitimer(signal.ITIMER_REAL, 1e-4, 2e-4)
        try:
            end, n = time.monotonic() + 0.1, 0
            while time.monotonic() < end:
                journal.append("tick", {"n": n})
                n += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    assert len(handled) > 20
    assert_each_once(tmp_path, range(n))
    # A handler may be interrupted by the next one before it emits.
    assert sorted(event["n"] for event in events(tmp_path, "alarm")) == handled
    assert_complete(tmp_path)


def test_an_interrupted_constructor_leaves_no_lock_and_no_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_before = set(forks.OPEN)
    with in_the_middle(monkeypatch, raise_storm), pytest.raises(StormError):
        open_journal(tmp_path)

    assert open_before == forks.OPEN
    assert_complete(tmp_path)
    open_journal(tmp_path).close()
    assert list(traces(tmp_path)) == [BASE]
    assert_complete(tmp_path)


def test_closing_all_at_exit_is_not_ended_by_one_that_fails(tmp_path: Path) -> None:
    program = f"""
import os, shutil
from observability.journal import Journal
journals = [Journal(f"{tmp_path}/{{n}}", "step_04_exit") for n in range(4)]
for journal in journals:
    journal.append("tick", {{"n": 1}})
shutil.rmtree("{tmp_path}/2")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)

    # One line: there is no caller left to whom a traceback says more.
    assert done.stderr.startswith(b"auditfold: [Errno 2] removed while it was written;")
    assert done.stderr.count(b"\n") == 1
    for n in (0, 1, 3):
        assert_complete(tmp_path / str(n))


def open_journal(out: Path) -> Journal:
    return Journal(out, WORKFLOW)


@contextlib.contextmanager
def Journal_(out: Path) -> Iterator[Journal]:  # noqa: N802 - as contextlib.closing would be
    journal = open_journal(out)
    try:
        yield journal
    finally:
        journal.close()


def test_a_write_that_fails_in_the_handlers_event_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queued event stays queued: it is in the file that follows."""
    journal = open_journal(tmp_path)
    write = os.write
    failing: list[int] = []

    def fail_handlers_event(fd: int, data: bytes) -> int:
        if b'"n":"handler"' in data and not failing:
            failing.append(fd)
            raise OSError(28, "No space left on device")
        return write(fd, data)

    def emit(_number: int, _frame: FrameType | None) -> None:
        journal.append("tick", {"n": "handler"})

    monkeypatch.setattr(os, "write", fail_handlers_event)
    with in_the_middle(monkeypatch, emit):
        assert journal.append("tick", {"n": "caller"}) is not None
    journal.close()

    assert failing
    assert_each_once(tmp_path, ["caller", "handler"])
    assert len(traces(tmp_path)) == 2
    assert_complete(tmp_path)
    assert issubclass(JournalError, OSError)
