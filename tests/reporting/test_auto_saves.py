"""The file at `output_path` while a batch goes on, when its process is killed, and at its end."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from observability import (
    ExecutionObserver,
    FileReport,
    PipelineReport,
    bind_pipeline,
    dump_report,
    file_step,
    pipeline_file,
    pipeline_step,
    use_settings,
)
from observability.reporting import auto_saves
from tests.command.running import auditfold, environment


class Clock:
    """Stands for the module `time`: goes on when it is told to."""

    def __init__(self) -> None:
        self.ns = 10**12

    def monotonic_ns(self) -> int:
        return self.ns

    def wait(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(auto_saves, "time", made)
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "r.json"


def told(path: Path) -> tuple[str, dict[str, str]]:
    """Return the status that a saved batch has, and those of its files."""
    view = json.loads(path.read_bytes())
    return view["status"], {file["name"]: file["status"] for file in view["files"]}


def observer_if(observed: bool, path: Path) -> Any:
    if not observed:
        return contextlib.nullcontext()
    return ExecutionObserver("s", path.parent / "out", quiet=True)


KILLED = """
import os, signal, sys
from observability import *
report = PipelineReport("p", output_path="r.json")
def work():
    with pipeline_file(report, "a") as file:
        file.add_completed_step("s")
    with pipeline_file(report, "b") as file:
        file.note("working")
        os.kill(os.getpid(), signal.SIGKILL)
def bound():
    with bind_pipeline(report):
        work()
def observed():
    with ExecutionObserver("step_01_x", "out", quiet=True):
        work()
def bound_and_observed():
    with ExecutionObserver("step_01_x", "out", quiet=True):
        bound()
globals()[sys.argv[1]]()
"""


@pytest.mark.parametrize("how", ["work", "bound", "observed", "bound_and_observed"])
def test_the_file_of_a_killed_batch_never_says_that_it_succeeded(tmp_path: Path, how: str) -> None:
    """It said `succeeded`, with the first file, and report-summary exited 0 on it."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, how],
        cwd=tmp_path,
        env=environment(),
        timeout=60,
        check=False,
    )

    assert done.returncode == -signal.SIGKILL
    status, files = told(tmp_path / "r.json")
    assert status == "running"
    assert "running" in files.values()
    summary = auditfold("report-summary", "r.json", cwd=tmp_path)
    assert b"Process status: running" in summary.stdout


def test_a_file_is_shown_when_it_begins_and_when_it_has_ended(path: Path, clock: Clock) -> None:
    seen = []
    report = PipelineReport("p", output_path=path)
    with bind_pipeline(report):
        for name in ("a", "b"):
            with pipeline_file(None, name):
                seen.append(told(path))
                clock.wait(2)
            seen.append(told(path))
            clock.wait(2)
        assert report.status == "succeeded"

    assert seen == [
        ("running", {"a": "running"}),
        ("running", {"a": "succeeded"}),
        ("running", {"a": "succeeded", "b": "running"}),
        ("running", {"a": "succeeded", "b": "succeeded"}),
    ]
    assert told(path) == ("succeeded", {"a": "succeeded", "b": "succeeded"})


def test_a_batch_that_has_failed_says_so_while_it_goes_on(path: Path, clock: Clock) -> None:
    with bind_pipeline(PipelineReport("p", output_path=path)) as report:
        report.append_file(FileReport("a").fail("bad"))
        clock.wait(2)
        with pipeline_file(None, "b"):
            assert told(path) == ("failed", {"a": "failed", "b": "running"})


def test_what_a_program_saves_there_is_running_too_and_elsewhere_as_it_is(path: Path) -> None:
    elsewhere, copy = path.with_name("e.json"), path.with_name("c.json")
    with bind_pipeline(PipelineReport("p", output_path=path)) as report:
        with pipeline_file(None, "a", pipeline_save_to=copy):
            pass
        report.save()
        report.save(elsewhere)
        dump_report(path.with_name("d.json"), report)
        report.save(path.with_name("i.json"), indent=3)

        assert told(path)[0] == "running"
        for name in ("e.json", "c.json", "d.json", "i.json"):
            assert told(path.with_name(name))[0] == "succeeded"
    assert path.read_bytes() == elsewhere.read_bytes()


def test_a_block_that_opens_again_takes_back_that_the_batch_has_ended(
    path: Path, clock: Clock
) -> None:
    report = PipelineReport("p", output_path=path)
    with pipeline_file(report, "a"):
        pass
    assert told(path)[0] == "succeeded"

    with pipeline_step(report, "later"):
        assert told(path)[0] == "running"
    clock.wait(5)
    with bind_pipeline(report):
        assert told(path)[0] == "running"
    assert told(path)[0] == "succeeded"


@pytest.mark.parametrize("observed", [True, False])
def test_a_refresh_that_was_left_out_is_made_up_for(
    path: Path, clock: Clock, observed: bool
) -> None:
    with observer_if(observed, path), bind_pipeline(PipelineReport("p", output_path=path)):
        with pipeline_file(None, "a"):
            pass
        with pipeline_file(None, "b") as file:
            assert told(path)[1] == {"a": "running"}
            clock.wait(2)
            file.add_completed_step("one")
            assert told(path)[1] == {"a": "succeeded", "b": "running"}
            clock.wait(2)
            before = path.stat().st_ino
            with file_step(file, "two"):
                pass
            assert path.stat().st_ino == before  # nothing was left out
        with pipeline_file(None, "c"):
            pass
    assert told(path) == ("succeeded", dict.fromkeys("abc", "succeeded"))


def test_in_an_observer_a_binding_saves_what_has_no_files_too(path: Path) -> None:
    """Nothing was ever saved of a batch of steps in an observer."""
    with ExecutionObserver("s", path.parent / "out", quiet=True):
        with bind_pipeline(PipelineReport("p", output_path=path)), pipeline_step(None, "one"):
            pass
        assert told(path)[0] == "succeeded"


def test_the_banner_of_an_end_is_saved(path: Path) -> None:
    """It was set behind the save."""
    report = PipelineReport("p", output_path=path)
    with pipeline_file(report, "a", banner_message_on_exit="done", banner_percent_on_exit=7):
        pass

    view = json.loads(path.read_bytes())
    assert (view["message"], view["percent"]) == ("done", 7)


class Counted(PipelineReport):
    """Counts how often it was saved."""

    saves = 0

    def save(self, *where: Any, **how: Any) -> None:
        Counted.saves += 1
        super().save(*where, **how)


@pytest.mark.parametrize(("wait_s", "saves"), [(0, 20), (1, 3)])
@pytest.mark.filterwarnings("ignore::observability.reporting.gathering.ExceptionRecordedWarning")
def test_where_all_fails_the_saves_at_exceptions_can_be_spaced(
    path: Path, clock: Clock, wait_s: float, saves: int
) -> None:
    """2,000 failing files took 43 s, which nothing said how to avoid."""
    report = Counted("p", output_path=path)
    with (
        use_settings(min_seconds_between_exception_saves=wait_s, capture_warnings=False),
        bind_pipeline(report),
    ):
        with pipeline_file(None, "first"):
            pass
        Counted.saves = 0
        for n in range(20):
            clock.wait(0.1)
            with pipeline_file(None, f"{n}"):
                raise ValueError(n)
        counted = Counted.saves

    assert saves <= counted <= saves + 2  # and refreshes, once a second
    assert list(told(path)[1].values()) == ["succeeded"] + ["failed"] * 20


@pytest.mark.parametrize("observed", [True, False])
def test_blocks_by_thousands_are_saved_a_few_times_a_second(
    path: Path, monkeypatch: pytest.MonkeyPatch, observed: bool
) -> None:
    monkeypatch.setattr(auto_saves, "BURST_NS", 0)
    Counted.saves = 0
    with observer_if(observed, path):
        report = Counted("p", output_path=path)
        begin = time.monotonic()
        for n in range(300):
            with pipeline_file(report, f"{n}.csv") as file:
                file.add_completed_step("one")
        assert Counted.saves <= 2 * (1 + time.monotonic() - begin)

    if not observed:
        report.settle()  # as the end of the program does
    assert told(path)[0] == "succeeded"
    assert len(told(path)[1]) == 300
