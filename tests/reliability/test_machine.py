"""Writers, kills, power cuts and audits in any order that hypothesis comes to think of."""

import random
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from observability.journal import Journal
from tests.reliability.conftest import Tell
from tests.reliability.disk import Disk, put, record
from tests.reliability.test_crash_states import look_over
from tests.reliability.tier import SEED, either
from tests.reliability.writing import (
    POLICIES,
    How,
    assert_only_appended,
    audited,
    emit,
    files_of,
    names_in,
)
from tests.writing.clock import ManualClock

MOST_WRITERS: Final = 3
MEMORY: Final = Path("/dev/shm")
SECOND_NS: Final = 1_000_000_000

journals = st.integers(0, MOST_WRITERS - 1)


class Writers(RuleBasedStateMachine):
    """A folder, up to three journals that write there, and what must be true of it."""

    n_cuts = n_kills = n_events = 0

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.base = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self._stack.callback(shutil.rmtree, self.base)
        self.clock = ManualClock()
        self.open: list[tuple[Journal, How, list[tuple[int, str]]]] = []
        self.there: set[str] = set()  # in the files, whether durable or not
        self.durable: set[str] = set()
        self.files: dict[str, bytes] = {}
        self.recording: ExitStack | None = None
        self.n_since_cut = 0

    @initialize()
    def begin(self) -> None:
        self.out = self.base / "0"
        self.out.mkdir()
        self.begin_recording()

    def begin_recording(self) -> None:
        """Begin with a disk on which all is durable that is there now."""
        self.disk = Disk(self.out)
        look_over(self.out, self.disk)
        if self.recording is not None:
            self.recording.close()
        self.recording = ExitStack()
        self.recording.enter_context(record(self.disk, lambda: None))

    def teardown(self) -> None:
        for journal, _, _ in self.open:
            abandon(journal)
        if self.recording is not None:
            self.recording.close()
        self._stack.close()

    @precondition(lambda self: len(self.open) < MOST_WRITERS)
    @rule(durability=st.sampled_from(POLICIES))
    def open_one(self, durability: str) -> None:
        how = How(durability=durability)  # type: ignore[arg-type]
        self.open.append((how.journal(self.out, clock=self.clock), how, []))

    @precondition(lambda self: self.open)
    @rule(which=journals, size=st.sampled_from([0, 100, 5_000]), n=st.integers(1, 4))
    def write(self, which: int, size: int, n: int) -> None:
        journal, how, told = self.open[which % len(self.open)]
        for _ in range(n):
            name = f"e{Writers.n_events}"
            Writers.n_events += 1
            self.n_since_cut += 1
            emit(journal, name, size)
            self.there.add(name)
            told.append((self.clock.monotonic_ns(), name))
        last = told[-1][0]
        if how.durability == "always":
            self.durable.update(name for _, name in told)
        elif how.durability == "interval":
            self.durable.update(name for at, name in told if at <= last - SECOND_NS)

    @rule(seconds=st.sampled_from([0.3, 1.1, 4_000.0]))
    def wait(self, seconds: float) -> None:
        self.clock.forward(seconds)

    @precondition(lambda self: self.open)
    @rule(which=journals)
    def close(self, which: int) -> None:
        journal, _, told = self.open.pop(which % len(self.open))
        journal.close()
        self.durable.update(name for _, name in told)

    @precondition(lambda self: self.open)
    @rule(which=journals)
    def kill(self, which: int) -> None:
        """End as by SIGKILL between two lines: what was written is there, but not durable."""
        abandon(self.open.pop(which % len(self.open))[0])
        Writers.n_kills += 1

    @precondition(lambda self: self.n_since_cut > 1)
    @rule(number=st.integers(0, 1 << 32))
    def cut_power(self, number: int) -> None:
        """Lose what is not durable, as much of each file and folder as *number* says."""
        # Not drawn one by one: how much there is to choose from depends on the clock's digits.
        rng = random.Random(number)
        for journal, _, _ in self.open:
            abandon(journal)
        self.open, self.n_since_cut = [], 0
        state = rng.choice(list(self.disk.states(12, rng)))
        Writers.n_cuts += 1
        self.out = self.base / f"after_{Writers.n_cuts}"
        put(state, self.out)
        self.files = files_of(self.out)
        self.there &= set(names_in(self.files))
        assert self.durable <= self.there
        self.durable = set(self.there)  # what has outlived a cut is on the medium
        self.begin_recording()

    @invariant()
    def nothing_is_lost_and_nothing_tampered(self) -> None:
        if not hasattr(self, "out"):
            return
        files = files_of(self.out)
        assert_only_appended(self.files, files)
        self.files = files
        found = names_in(files)
        assert set(found) == self.there
        assert max(found.values(), default=1) == 1
        if files:
            audited(self.out)


def abandon(journal: Journal) -> None:
    """Let go of a journal as a kill does: nothing more is written."""
    journal._release()


def test_writers_kills_cuts_and_audits_in_any_order(tell: Tell) -> None:
    n_examples, n_steps = either(25, 500), either(25, 50)
    Writers.n_cuts = Writers.n_kills = Writers.n_events = 0
    how = settings(
        max_examples=n_examples,
        stateful_step_count=n_steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )

    run_state_machine_as_test(seed(SEED)(Writers), settings=how)

    tell(
        examples=n_examples,
        steps_at_most=n_steps,
        events=Writers.n_events,
        cuts=Writers.n_cuts,
        kills=Writers.n_kills,
    )
    assert Writers.n_events > n_examples
    assert Writers.n_cuts > 0
