"""Threads, forks and processes that write to one step at once lose and mix nothing."""

import errno
import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from observability import forks
from observability.journal import Journal, JournalError
from observability.writer import Writer
from tests.writing.oracle import (
    BASE,
    REGISTRY,
    assert_complete,
    assert_each_once,
    assert_one_writer_at_a_time,
    judge,
    lines,
    traces,
)

WORKFLOW = "step_04_processes"


def in_child(work: Callable[[], object], *, wait: bool = True) -> int:
    """Run *work* in a fork that ends without cleaning up; return its pid."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - told in the status
            traceback.print_exc()
        finally:
            os._exit(status)
    if wait:
        assert os.waitpid(pid, 0)[1] == 0
    return pid


# --- All at once


def crowd(out: Path, number: int, n_threads: int, n_events: int) -> None:
    """Write from *n_threads* threads, each with forks in between."""
    journal = Journal(out, WORKFLOW)

    def write(name: str) -> None:
        rng = random.Random(name)
        for n in range(n_events):
            journal.append("tick", {"n": f"{name}.{n}"})
            if rng.random() < 0.05:
                pid = os.fork()
                if pid == 0:
                    # The other threads are not here, and their locks are free.
                    journal.append("tick", {"n": f"{name}.{n}.child"})
                    journal.append("fork", {"n": f"{name}.{n}"})
                    if rng.random() < 0.5:
                        journal.close()
                    os._exit(0)
                os.waitpid(pid, 0)

    threads = [
        threading.Thread(target=write, args=(f"{number}.{thread}",)) for thread in range(n_threads)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()


def test_8_processes_of_4_threads_with_forks_lose_and_mix_nothing(memory: Path) -> None:
    pids = [in_child(lambda n=n: crowd(memory, n, 4, 50), wait=False) for n in range(8)]  # type: ignore[misc]
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 8

    forks = [
        line["n"]
        for found in traces(memory).values()
        for line in found
        if line["event_type"] == "fork"
    ]
    assert len(forks) > 20
    names = [f"{p}.{t}.{n}" for p in range(8) for t in range(4) for n in range(50)]
    assert_each_once(memory, names + [f"{name}.child" for name in forks])
    assert_one_writer_at_a_time(memory)
    # Every fork was gone when its parent closed, which proved its end.
    assert_complete(memory)


def test_threads_of_one_journal_write_every_event_once(memory: Path) -> None:
    journal = Journal(memory, WORKFLOW)

    def write(thread: int) -> None:
        for n in range(200):
            line = journal.append("tick", {"n": thread * 1000 + n})
            assert line is not None
            assert line.endswith(b"}\n")

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()

    assert_each_once(memory, [t * 1000 + n for t in range(8) for n in range(200)])
    assert_complete(memory)


# --- Forks


def test_a_child_writes_to_a_file_of_its_own_that_names_its_parent(tmp_path: Path) -> None:
    journal = Journal(tmp_path, WORKFLOW, run_id="the-run")
    journal.append("tick", {"n": "parent"})

    def child() -> None:
        journal.append("tick", {"n": "child"})
        journal.close()

    in_child(child)
    journal.append("tick", {"n": "parent again"})
    journal.close()

    parent, (name, forked) = traces(tmp_path)[BASE], next(iter(traces(tmp_path).items()))
    assert name != BASE
    assert forked[0]["parent"] == {
        "writer": parent[0]["writer"],
        "lines": 2,
        "hash": parent[1]["hash"],
    }
    assert forked[0]["process"]["pid"] == forked[1]["pid"] != parent[0]["pid"]
    assert {line["run_id"] for line in forked + parent} == {"the-run"}
    assert_each_once(tmp_path, ["parent", "child", "parent again"])
    assert_complete(tmp_path)


def test_grandchildren_name_whoever_wrote_last(tmp_path: Path) -> None:
    journal = Journal(tmp_path, WORKFLOW)

    def grandchild() -> None:
        journal.append("tick", {"n": "grandchild"})
        journal.close()

    def silent_child() -> None:
        in_child(grandchild)

    def child() -> None:
        journal.append("tick", {"n": "child"})
        in_child(grandchild)
        journal.close()

    in_child(silent_child)
    in_child(child)
    journal.close()

    openings = [found[0] for found in traces(tmp_path).values()]
    base = traces(tmp_path)[BASE][0]["writer"]
    parents = sorted(line["parent"]["writer"] == base for line in openings if "parent" in line)
    assert parents == [False, True, True]
    assert_complete(tmp_path)


def test_a_fork_that_ends_without_closing_is_settled_by_its_parent(tmp_path: Path) -> None:
    journal = Journal(tmp_path, WORKFLOW)

    def grandchild() -> None:
        journal.append("tick", {"n": 2})

    def child() -> None:
        journal.append("tick", {"n": 1})
        in_child(grandchild)

    in_child(child)
    left = {name for name in traces(tmp_path) if name != BASE}
    assert {judge(tmp_path)[name].verdict for name in left} == {"intact-prefix"}
    journal.close()

    settled = [
        line["settled"] for line in lines(tmp_path / BASE) if "settled" in line["event_type"]
    ]
    assert {extent["path"] for extent in settled} == left
    assert_complete(tmp_path)


def test_a_fork_of_a_writer_that_failed_meanwhile_is_settled(tmp_path: Path) -> None:
    """The journal went on in another file, as another writer, whose forks were all it looked at."""
    journal = Journal(tmp_path, WORKFLOW)
    in_child(lambda: journal.append("tick", {"n": 1}))
    (tmp_path / BASE).rename(tmp_path / "moved")
    with pytest.raises(JournalError):
        journal.append("workflow_error", {})
    journal.append("tick", {"n": 2})
    (tmp_path / "moved").rename(tmp_path / BASE)
    journal.close()

    assert_complete(tmp_path)


def test_a_fork_killed_inside_a_line_is_settled_with_its_fragment(tmp_path: Path) -> None:
    journal = Journal(tmp_path, WORKFLOW)

    def child() -> None:
        journal.append("tick", {"n": 1})
        with journal.trace_path.open("ab") as stream:
            stream.write(b'{"v":1,"seq":2')

    in_child(child)
    journal.close()

    settled = [line["settled"] for line in lines(tmp_path / BASE) if "settled" in line]
    assert [extent["fragment"]["length"] for extent in settled] == [14]
    assert_complete(tmp_path)


def test_a_living_fork_closes_itself(tmp_path: Path) -> None:
    journal = Journal(tmp_path, WORKFLOW)
    tells, told = os.pipe()

    def child() -> None:
        journal.append("tick", {"n": 1})
        os.read(tells, 1)
        journal.append("tick", {"n": 2})
        journal.close()

    pid = in_child(child, wait=False)
    while len(traces(tmp_path)) < 2:
        time.sleep(0.001)
    journal.close()
    assert "writer_settled" not in {line["event_type"] for line in lines(tmp_path / BASE)}
    os.write(told, b"x")
    assert os.waitpid(pid, 0)[1] == 0
    os.close(tells)
    os.close(told)

    assert_complete(tmp_path)
    assert_each_once(tmp_path, [1, 2])


def test_a_child_that_emits_nothing_keeps_neither_lock_nor_file(tmp_path: Path) -> None:
    """Its copy of the descriptor kept the lock, and the next run began a second file."""
    journal = Journal(tmp_path, WORKFLOW)
    tells, told = os.pipe()
    there, begun = os.pipe()
    pid = in_child(lambda: os.write(begun, b"x") and os.read(tells, 1), wait=False)
    os.read(there, 1)
    journal.close()
    again = Journal(tmp_path, WORKFLOW)
    again.close()
    os.write(told, b"x")
    os.waitpid(pid, 0)
    for pipe in (tells, told, there, begun):
        os.close(pipe)

    assert list(traces(tmp_path)) == [BASE]
    assert_complete(tmp_path)


def test_closing_in_a_child_ends_nothing_of_the_parents(tmp_path: Path) -> None:
    journal = Journal(tmp_path, WORKFLOW)
    in_child(journal.close)
    journal.append("tick", {"n": 1})
    journal.close()

    assert list(traces(tmp_path)) == [BASE]
    assert_complete(tmp_path)


def test_a_closed_journal_stays_closed_in_a_child(tmp_path: Path) -> None:
    journal = Journal(tmp_path, WORKFLOW)
    journal.close()

    def child() -> None:
        with pytest.raises(RuntimeError, match="closed"):
            journal.append("tick", {})
        journal.close()

    in_child(child)
    assert_complete(tmp_path)


def test_a_fork_waits_until_a_journal_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child got the registry's lock from a thread that was opening, and kept it for its life."""
    opening, go_on = threading.Event(), threading.Event()
    original = Writer._choose_file

    def choose_file(writer: Writer) -> None:
        original(writer)
        opening.set()
        assert go_on.wait(10)

    monkeypatch.setattr(Writer, "_choose_file", choose_file)
    journals: list[Journal] = []
    thread = threading.Thread(target=lambda: journals.append(Journal(tmp_path, WORKFLOW)))
    thread.start()
    assert opening.wait(10)
    threading.Timer(0.1, go_on.set).start()
    there, begun = os.pipe()

    def stay() -> None:
        os.write(begun, b"x")
        time.sleep(30)

    pid = in_child(stay, wait=False)
    os.read(there, 1)
    os.close(there)
    os.close(begun)
    thread.join()
    monkeypatch.undo()
    journals[0].close()
    began = time.monotonic()
    Journal(tmp_path, WORKFLOW).close()

    assert time.monotonic() - began < 5
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    assert list(traces(tmp_path)) == [BASE]
    assert_complete(tmp_path)


def test_forks_while_other_threads_open_write_and_close(memory: Path) -> None:
    """Locks were given back by what was open after the fork, not by what was locked before it."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def churn(number: int) -> None:
        try:
            while not stop.is_set():
                journal = Journal(memory / str(number), WORKFLOW, durability="none")
                journal.append("tick", {})
                journal.close()
                with pytest.raises(RuntimeError):
                    journal.append("tick", {})
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=churn, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    pids = [in_child(lambda: None, wait=False) for _ in range(60)]
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 60
    stop.set()
    for thread in threads:
        thread.join(20)

    assert not any(thread.is_alive() for thread in threads)
    assert failures == []
    assert forks._held == {}
    for number in range(3):
        assert_complete(memory / str(number))


def test_a_fork_that_no_hook_saw_is_noticed_at_the_next_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C code may fork: the process id is asked at each emission."""
    journal = Journal(tmp_path, WORKFLOW)
    monkeypatch.setattr(Journal, "become_child", lambda _: None)
    pid = os.fork()
    monkeypatch.undo()
    if pid == 0:
        status = 1
        try:
            journal.append("tick", {"n": "child"})
            journal.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    journal.close()

    assert_each_once(tmp_path, ["child"])
    assert_complete(tmp_path)


# --- Ends of processes


def python(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise KeyError", "os.fork()"])
def test_a_journal_that_was_not_closed_is_closed_at_exit(tmp_path: Path, end: str) -> None:
    program = f"""
import os, sys
from observability.journal import Journal
journal = Journal(sys.argv[1], "{WORKFLOW}")
journal.append("tick", {{"n": 1}})
{end}
"""
    python(program, tmp_path)

    assert_complete(tmp_path)
    assert_each_once(tmp_path, [1])


def test_an_event_from_an_exit_handler_is_written(tmp_path: Path) -> None:
    program = f"""
import atexit, sys
from observability.journal import Journal
journal = Journal(sys.argv[1], "{WORKFLOW}")
atexit.register(journal.append, "tick", {{"n": 1}})
"""
    done = python(program, tmp_path)

    assert done.stderr == ""
    assert_complete(tmp_path)
    assert_each_once(tmp_path, [1])


PROCESSES = """
import multiprocessing, os, sys
from observability.journal import Journal

def inherited(journal, n):
    journal.append("tick", {"n": n})

def own(out, n):
    global kept
    kept = Journal(out, "step_04_processes")
    kept.append("tick", {"n": n})

if __name__ == "__main__":
    method, out = sys.argv[1:]
    context = multiprocessing.get_context(method)
    journal = Journal(out, "step_04_processes")
    work = [context.Process(target=own, args=(out, n)) for n in range(4)]
    if method == "fork":
        work += [context.Process(target=inherited, args=(journal, n)) for n in range(4, 8)]
    for process in work:
        process.start()
    for process in work:
        process.join()
        assert process.exitcode == 0
    with open(os.path.join(out, "before"), "w") as stream:
        for name in os.listdir(os.path.join(out, "audit", "step_04")):
            if name != "trace_04.jsonl":
                with open(os.path.join(out, "audit", "step_04", name)) as trace:
                    stream.write(str("writer_closed" in trace.read()))
    journal.close()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_close_at_their_end(tmp_path: Path, method: str) -> None:
    """They skip atexit; a journal that a child made itself stayed open."""
    program = tmp_path / "program.py"
    program.write_text(PROCESSES)
    done = subprocess.run(
        [sys.executable, str(program), method, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "False" not in (tmp_path / "before").read_text()
    assert_complete(tmp_path)
    assert_each_once(tmp_path, range(8 if method == "fork" else 4))


def fail(out: str) -> None:
    """Raise what a worker may raise."""
    Path(out, "audit").write_text("")
    Journal(out, WORKFLOW)


def test_an_error_of_a_worker_reaches_the_parent_whole(tmp_path: Path) -> None:
    """It could not be unpickled, which broke the whole pool."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(JournalError, match="no event was written there") as info:
            pool.submit(fail, str(tmp_path)).result(30)
        assert info.value.errno in {errno.ENOTDIR, errno.EEXIST}
        assert info.value.filename.startswith(str(tmp_path))
        assert pool.submit(os.getpid).result(30) > 0

    error = JournalError("/a/b", OSError(28, "No space"), "advice")
    error.add_note("noted")
    again = pickle.loads(pickle.dumps(error))
    assert (again.errno, again.strerror, again.filename) == (28, "No space; advice", "/a/b")
    assert str(again) == str(error)
    assert again.__notes__ == ["noted"]


def test_a_journal_is_not_pickled(tmp_path: Path) -> None:
    journal = Journal(tmp_path, WORKFLOW)
    with pytest.raises(TypeError):
        pickle.dumps(journal)
    journal.close()


def n_open() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_closed_journals_are_forgotten(tmp_path: Path) -> None:
    """A long program makes many: neither descriptors nor objects stay behind."""
    n_descriptors = n_open()
    before = len(forks.OPEN)
    for n in range(50):
        journal = Journal(tmp_path, WORKFLOW)
        journal.append("tick", {"n": n})
        journal.close()
        journal.close()

    assert n_open() == n_descriptors
    assert len(forks.OPEN) == before
    assert len(lines(tmp_path / REGISTRY)) == 100
