"""What an observer writes when its run ends is what `replay` writes from the trace."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from observability import ExecutionObserver
from observability.derived import check_all, excess, one_at_a_time, write_run
from replay.fold.files import Source, sources_of
from replay.fold.run import RunState
from replay.fold.runs import Fold, fold
from replay.show.derived import derive
from replay.trace.folder import locate
from replay.trace.host import Hosts
from tests.writing.clock import ManualClock


def sources_of_folder(out: Path) -> list[Source]:
    return sources_of(locate(str(out)))


def states(out: Path) -> dict[str, str]:
    """Return how each derived file stands beside what the trace says."""
    place = locate(str(out))
    sources = sources_of(place)
    folded = fold(sources, spans=True)
    found: dict[str, str] = dict(check_all(out, derive(sources, folded, Hosts())))
    steps = {trace.step for trace in place.traces if trace.step is not None}
    found.update(dict.fromkeys(excess(out, steps, older=(), expected=found), "excess"))
    return found


def record(out: Path, *, nodes: int = 3, workflow_id: str = "step_04_x") -> ExecutionObserver:
    with ExecutionObserver(workflow_id, out, nodes, use_tqdm=False) as observer:
        for n in range(nodes):
            with observer.node("n", n) as node:
                node.result(n)
    return observer


def test_many_runs_within_a_second_each_have_copies_of_their_own(tmp_path: Path) -> None:
    observers = [record(tmp_path) for _ in range(5)]

    assert set(states(tmp_path).values()) == {"same"}
    assert len({observer.log_file for observer in observers}) == 5
    for observer in observers:
        assert observer.run_id.encode() in observer.trace_file.read_bytes()
        assert "WORKFLOW_COMPLETE" in observer.log_file.read_text()


class TickingClock(ManualClock):
    """A clock that goes on by some milliseconds whenever it is asked."""

    def time_ns(self) -> int:
        self.forward(0.037)
        return self.now_ns


def test_a_run_that_closes_in_the_next_second_is_none_of_that_second(tmp_path: Path) -> None:
    """Its last line alone was read as a run that began there, and took a name."""
    clock = TickingClock()
    for _ in range(20):
        with ExecutionObserver("step_04_x", tmp_path, use_tqdm=False, clock=clock) as observer:
            observer.node_start("n")
            observer.node_success("n", 0.1)

    assert set(states(tmp_path).values()) == {"same"}


def test_two_workflows_of_a_step_share_the_numbering_of_traces_only(tmp_path: Path) -> None:
    names = [record(tmp_path, workflow_id=name) for name in ("step_04_x", "step_04_y")]

    assert set(states(tmp_path).values()) == {"same"}
    assert [observer.log_file.stem[-2:] == "-2" for observer in names] == [False, False]


def _write_some(out: Path, runs: int) -> None:
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        for n in range(runs):
            record(out, nodes=n + 1)


def test_processes_that_write_at_the_same_time_leave_what_replay_would(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_some, args=(tmp_path, 4)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0

    found = states(tmp_path)
    assert set(found.values()) == {"same"}, found
    assert sum(path.startswith("logs/") for path in found) == 16


def test_a_run_that_ends_while_another_one_goes_on_keeps_its_name(tmp_path: Path) -> None:
    first = ExecutionObserver("step_04_x", tmp_path, 1, use_tqdm=False)
    second = record(tmp_path)
    with first.node("n", 0):
        pass
    first.workflow_complete()

    assert set(states(tmp_path).values()) == {"same"}
    same_second = first.log_file.stem[-15:] == second.log_file.stem.removesuffix("-2")[-15:]
    assert second.log_file.stem.endswith("-2") == same_second


def test_only_the_run_s_own_part_of_a_long_trace_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing a run does not get slower with the runs before it."""
    from observability import derived

    taken = []

    def counting(sources: list[Source], *, spans: bool) -> Fold[RunState]:
        found = fold(sources, spans=spans)
        begin = sum(source.begin for source in sources)
        taken.append(sum(file.offset for file in found.files.values()) - begin)
        return found

    for _ in range(3):
        record(tmp_path)
        time.sleep(1.0 - time.time() % 1.0 + 0.01)
    monkeypatch.setattr(derived, "fold", counting)
    record(tmp_path)

    (read,) = taken
    size = (tmp_path / "audit/step_04/trace_04.jsonl").stat().st_size
    assert read < size / 3
    assert set(states(tmp_path).values()) == {"same"}


def test_a_killed_run_has_no_copies_until_replay_makes_them(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from observability import ExecutionObserver\n"
        "obs = ExecutionObserver('step_04_x', sys.argv[1], 1, use_tqdm=False)\n"
        "obs.node_start('a', 0)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=False, capture_output=True, timeout=60
    )
    record(tmp_path)
    found = states(tmp_path)

    assert sorted(state for state in found.values() if state != "same") == ["missing", "missing"]
    assert found["audit/step_04/metadata_04.json"] == "same"


@pytest.mark.parametrize("spoil", ["logs", "traces", "audit/step_04/report_04.json"])
def test_what_cannot_be_written_is_told_and_the_rest_is_written(spoil: str, tmp_path: Path) -> None:
    observer = ExecutionObserver("step_04_x", tmp_path, 0, use_tqdm=False)
    path = tmp_path / spoil
    if path.is_dir():
        path.rmdir()
        path.write_bytes(b"no folder")
    else:
        path.mkdir()
    with pytest.raises(OSError, match="auditfold replay"):
        observer.workflow_complete()

    found = states(tmp_path)
    assert {path for path, state in found.items() if state != "same"} == {
        path for path in found if path.startswith(spoil)
    }


def test_a_folder_is_locked_by_one_at_a_time(tmp_path: Path) -> None:
    order: list[str] = []

    def other() -> None:
        with one_at_a_time(tmp_path):
            order.append("other")

    import threading

    with one_at_a_time(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.05)
        order.append("first")
    thread.join(10)

    assert order == ["first", "other"]


def test_no_writer_no_files(tmp_path: Path) -> None:
    assert write_run(tmp_path, "r", []) == (None, None, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"\xff\n" * 100),
        lambda path: path.write_bytes(b""),
    ],
    ids=["removed", "garbage", "emptied"],
)
def test_a_trace_that_was_spoiled_is_a_failure_and_no_crash(
    harm: Callable[[Path], object], tmp_path: Path
) -> None:
    observer = record(tmp_path)
    path = tmp_path / "audit/step_04/trace_04.jsonl"
    harm(path)
    done = write_run(tmp_path, observer.run_id, [(path, 0)])

    assert (done.log, done.trace) == (None, None)
    assert done.failures
