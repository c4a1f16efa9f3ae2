"""Clocks that step or stand still, and pids that come again: notes, never tampering."""

import os
import random
from pathlib import Path
from typing import Final

import pytest

from replay.audit.audit import audit
from replay.trace.host import Hosts
from tests.reliability.conftest import Tell
from tests.reliability.evidence import in_fork
from tests.reliability.tier import either, randomness
from tests.reliability.writing import How, assert_kept, assert_not_tampered, audited, emit, files_of
from tests.writing.clock import START_NS

HOUR_NS: Final = 3_600_000_000_000


class UneasyClock:
    """A wall clock that steps by up to hours, both ways, and a monotonic one that may stand."""

    def __init__(self, rng: random.Random, kind: str) -> None:
        self._rng = rng
        self._kind = kind
        self._wall = START_NS
        self._mono = 5_000_000_000

    def time_ns(self) -> int:
        if self._kind == "steps":
            self._wall += self._rng.randrange(-HOUR_NS, HOUR_NS)
        elif self._kind == "backwards":
            self._wall -= self._rng.randrange(HOUR_NS)
        return max(self._wall, 0)

    def monotonic_ns(self) -> int:
        if self._kind != "frozen":
            self._mono += self._rng.randrange(2_000_000_000)
        return self._mono


@pytest.mark.parametrize("kind", ["steps", "backwards", "frozen"])
def test_an_uneasy_clock_is_no_tampering(memory: Path, kind: str, tell: Tell) -> None:
    n_runs = either(10, 500)
    rng = randomness("clock", kind)
    names: list[str] = []
    for run in range(n_runs):
        journal = How(durability="interval").journal(memory, clock=UneasyClock(rng, kind))
        for n in range(rng.randrange(9)):
            names.append(f"{run}.{n}")
            emit(journal, names[-1], 20)
        journal.close()
    assert_kept(names, files_of(memory))
    report = audited(memory)
    assert (report.verdict, report.exit_code()) == ("complete", 0)
    tell(runs=n_runs, events=len(names))


@pytest.mark.parametrize("clock", ["years before", "years behind"])
def test_a_clock_of_the_reader_that_is_wrong_is_no_tampering(memory: Path, clock: str) -> None:
    in_fork(lambda: emit(How().journal(memory), "left open", 20))
    now = 1e8 if clock == "years before" else 4e9

    report = audit(str(memory), hosts=Hosts(now=now))

    assert_not_tampered(report)
    assert {found.code for found in report.findings} <= {"not_closed", "live"}


def test_a_pid_that_came_again_is_another_process(memory: Path, tell: Tell) -> None:
    """A writer that was killed is gone, although its pid is that of a running process."""
    n_pids = either(20, 1_000)
    for n in range(n_pids):
        out = memory / str(n)
        in_fork(lambda out=out: emit(How(durability="none").journal(out), "only", 20))  # type: ignore[misc]
        reuse_pid(out)

        report = audited(out)

        assert {found.code for found in report.findings} == {"not_closed"}
        How(durability="none").journal(out).close()
        assert audited(out).verdict == "complete"
    tell(pids=n_pids)


def reuse_pid(out: Path) -> None:
    """Make it look as if the writer had had the pid of this process, at another time."""
    from tests.reliability.attacks import lines_of, rechained

    (trace,) = out.glob("audit/step_*/*.jsonl")
    lines = lines_of(trace.read_bytes())
    pid = lines[0].split(b'"process":')[1].split(b'"pid":')[1].split(b",")[0]
    old = b'"pid":%s,"start_time"' % pid
    assert old in lines[0]
    lines[0] = lines[0].replace(old, b'"pid":%d,"start_time"' % os.getpid())
    fresh = rechained(lines)
    trace.write_bytes(b"".join(fresh))
    # The registry names the first line.
    registry = out / "audit/registry.jsonl"
    told = registry.read_bytes().replace(lines[0][-67:-3], fresh[0][-67:-3])
    registry.write_bytes(b"".join(rechained(lines_of(told))))
