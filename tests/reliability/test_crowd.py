"""Many processes and forks at once: each event once, whole, and nothing else."""

import multiprocessing
import os
from collections import Counter
from pathlib import Path
from typing import Final

from observability.journal import Journal
from tests.reliability.conftest import Tell
from tests.reliability.tier import either, randomness
from tests.reliability.writing import How, audited, emit, names_in

N_PROCESSES: Final = either(8, 64)
N_EVENTS: Final = either(300, 10_000)
N_FORKS: Final = either(20, 1_000)
EVENTS_OF_A_FORK: Final = 3


def write(out: Path, how: How, number: int) -> None:
    """Write from one of the processes, forking now and then."""
    rng = randomness("crowd", number)
    n_forks = N_FORKS // N_PROCESSES + (number < N_FORKS % N_PROCESSES)
    forks = set(rng.sample(range(N_EVENTS), n_forks))
    journal = how.journal(out)
    waiting: list[int] = []
    for n in range(N_EVENTS):
        emit(journal, f"{number}.{n}", rng.randrange(200))
        if n in forks:
            waiting.append(fork(journal, f"{number}.{n}", close=rng.random() < 0.5))
        if len(waiting) > 3:
            assert os.waitpid(waiting.pop(0), 0)[1] == 0
    for pid in waiting:
        assert os.waitpid(pid, 0)[1] == 0
    journal.close()


def fork(journal: Journal, name: str, *, close: bool) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for n in range(EVENTS_OF_A_FORK):
                emit(journal, f"{name}.fork.{n}", 50)
            if close:
                journal.close()
            status = 0
        finally:
            os._exit(status)
    return pid


def wanted() -> Counter[str]:
    """Return every event that the crowd writes."""
    names: Counter[str] = Counter()
    for number in range(N_PROCESSES):
        rng = randomness("crowd", number)
        n_forks = N_FORKS // N_PROCESSES + (number < N_FORKS % N_PROCESSES)
        for n in rng.sample(range(N_EVENTS), n_forks):
            names.update(f"{number}.{n}.fork.{k}" for k in range(EVENTS_OF_A_FORK))
        names.update(f"{number}.{n}" for n in range(N_EVENTS))
    return names


def test_a_crowd_writes_each_event_once(memory: Path, tell: Tell) -> None:
    how = How(durability="interval")
    processes = multiprocessing.get_context("fork")
    crowd = [processes.Process(target=write, args=(memory, how, n)) for n in range(N_PROCESSES)]
    for process in crowd:
        process.start()
    for process in crowd:
        process.join()
    assert [process.exitcode for process in crowd] == [0] * N_PROCESSES

    found: Counter[str] = Counter()
    for path in sorted(memory.glob("audit/step_*/*.jsonl")):
        data = path.read_bytes()
        assert data.endswith(b"\n")
        found += names_in({path.name: data})
    assert found == wanted()
    assert audited(memory).verdict == "complete"
    tell(processes=N_PROCESSES, events=found.total(), forks=N_FORKS)
