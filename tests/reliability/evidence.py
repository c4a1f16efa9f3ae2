"""A folder as real writers leave it: runs, writers at the same time, forks, a kill, successions."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from observability.journal import Journal
from tests.reliability.writing import How, emit, files_of

Folder = dict[str, bytes]


def history(out: Path, how: How, rng: random.Random) -> list[Folder]:
    """Let writers write in *out*; return what stands there after each run, the last one whole.

    The first run has a fork that its parent settles, beside a second writer; the second one is
    killed inside a line; the third follows it in a new file; the fourth continues that.
    """
    first, beside = how.journal(out, run_id="run-1"), how.journal(out, run_id="run-2")
    some(first, "1", rng)
    in_fork(lambda: fork(first, rng))
    some(beside, "2", rng)
    some(first, "1b", rng)
    beside.close()
    first.close()
    states = [files_of(out)]
    in_fork(lambda: killed(how.journal(out, run_id="run-3"), rng))
    for number in (4, 5):
        journal = how.journal(out, run_id=f"run-{number}")
        some(journal, str(number), rng)
        journal.close()
        states.append(files_of(out))
    return states


def some(journal: Journal, name: str, rng: random.Random) -> None:
    for n in range(rng.randrange(3, 9)):
        emit(journal, f"{name}.{n}", rng.randrange(20, 300))


def in_fork(work: Callable[[], object]) -> None:
    """Run *work* in a fork, which ends without cleaning up."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def fork(journal: Journal, rng: random.Random) -> NoReturn:
    some(journal, "fork", rng)
    os._exit(0)


def killed(journal: Journal, rng: random.Random) -> NoReturn:
    """End as by SIGKILL in the middle of a write."""
    some(journal, "3", rng)
    assert journal._writer is not None
    emit(journal, "3.last", 50)
    last = journal.trace_path.read_bytes().split(b"\n")[-2]
    os.write(journal._writer.file.fd, last[: rng.randrange(10, len(last))])
    os._exit(0)
