"""When lines are on the medium: at each call, about once a second, or when the system likes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from observability import files, trace_file
from observability.journal import Durability, Journal
from tests.writing.clock import ManualClock
from tests.writing.oracle import assert_complete, lines

WORKFLOW = "step_04_durability"


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count how often a trace was synced since the last question."""
    original = files.sync
    count = [0]

    def sync(fd: int) -> None:
        count[0] += 1
        original(fd)

    monkeypatch.setattr(trace_file, "sync", sync)

    def since_then() -> int:
        n, count[0] = count[0], 0
        return n

    return since_then


@pytest.mark.parametrize("durability", ["none", "interval", "always"])
def test_opening_terminal_events_and_closing_are_synced_in_any_case(
    tmp_path: Path, synced: Callable[[], int], durability: Durability
) -> None:
    journal = Journal(tmp_path, WORKFLOW, durability=durability, clock=ManualClock())
    assert synced() == 1
    for kind in ("workflow_complete", "workflow_error"):
        journal.append(kind, {})
        assert synced() == 1
    journal.close()
    assert synced() == 1

    assert lines(journal.trace_path)[0]["durability"] == durability
    assert_complete(tmp_path)


def test_none_leaves_syncing_to_the_system(tmp_path: Path, synced: Callable[[], int]) -> None:
    clock = ManualClock()
    journal = Journal(tmp_path, WORKFLOW, durability="none", clock=clock)
    synced()
    for _ in range(100):
        journal.append("tick", {})
        clock.forward(3600)
    assert synced() == 0
    journal.close()


def test_always_syncs_before_a_call_returns(tmp_path: Path, synced: Callable[[], int]) -> None:
    journal = Journal(tmp_path, WORKFLOW, durability="always", clock=ManualClock())
    synced()
    for _ in range(100):
        journal.append("tick", {})
        assert synced() == 1
    journal.close()


def test_interval_syncs_at_the_first_emission_a_second_after_the_last_sync(
    tmp_path: Path, synced: Callable[[], int]
) -> None:
    clock = ManualClock()
    journal = Journal(tmp_path, WORKFLOW, clock=clock)
    synced()
    syncs = []
    for n in range(40):
        journal.append("tick", {"n": n})
        if synced():
            syncs.append(n)
        clock.forward(0.3)
    assert syncs == [4, 8, 12, 16, 20, 24, 28, 32, 36]

    clock.forward(0.9)
    journal.append("workflow_error", {})  # synced for what it is, and the second begins anew
    clock.forward(0.9)
    synced()
    journal.append("tick", {})
    assert synced() == 0
    clock.forward(0.1)
    journal.append("tick", {})
    assert synced() == 1
    journal.close()


def test_a_clock_that_is_set_back_does_not_keep_from_syncing(
    tmp_path: Path, synced: Callable[[], int]
) -> None:
    clock = ManualClock()
    journal = Journal(tmp_path, WORKFLOW, clock=clock)
    synced()
    clock.now_ns -= 10**18
    clock.mono_ns += 10**9
    journal.append("tick", {})
    assert synced() == 1
    journal.close()
    assert_complete(tmp_path)


def test_stamps_are_those_of_the_clock(tmp_path: Path) -> None:
    clock = ManualClock()
    journal = Journal(tmp_path, WORKFLOW, clock=clock)
    clock.forward(0.123456789)
    journal.append("tick", {})
    clock.forward(59.9)
    journal.append("tick", {})
    journal.close()

    _, one, two, _ = lines(journal.trace_path)
    assert one["timestamp"] == "2026-11-21T07:03:12.123456Z"
    assert one["epoch_seconds"] == 1_795_244_592.123456
    assert one["mono_us"] == 5_123_456
    assert two["timestamp"] == "2026-11-21T07:04:12.023456Z"
    assert one["pid"] == two["pid"] == os.getpid()


def test_the_names_of_new_folders_and_files_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A synced file whose folder was not synced may be gone after a power loss."""
    synced: list[Path] = []
    original = os.fsync

    def fsync(fd: int) -> None:
        synced.append(Path(f"/dev/fd/{fd}").resolve())
        original(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    Journal(tmp_path / "a" / "b", WORKFLOW).close()

    out = tmp_path.resolve()
    wanted = [out, out / "a", out / "a/b", out / "a/b/audit", out / "a/b/audit/step_04"]
    assert set(wanted) <= set(synced)
