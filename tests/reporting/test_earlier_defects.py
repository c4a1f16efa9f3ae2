"""What users of the nested reports before these met, one test a defect: here it is not so."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest

from observability import (
    ExecutionObserver,
    FileReport,
    PipelineReport,
    StepReport,
    bind_pipeline,
    dump_report,
    file_step,
    pipeline_file,
    pipeline_step,
)
from replay.fold import read_report


def _print(text: str, file: Any = None) -> None:
    (file or sys.stdout).write(text + "\n")


KILLED = """
import os, signal, sys
from observability import ExecutionObserver, PipelineReport, pipeline_file
with ExecutionObserver("batch", sys.argv[1]):
    report = PipelineReport(batch_id=1)
    with pipeline_file(report, "a.csv") as file:
        file.add_completed_step("read")
    with pipeline_file(report, "b.csv") as file:
        file.add_completed_step("read")
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_killed_in_its_second_file_does_not_look_succeeded(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode < 0

    report = read_report(tmp_path)

    assert report["status"] == "interrupted"
    assert [head["status"] for head in report["reports"]] == ["interrupted"]
    first, second = report["files"]
    assert (first["name"], first["status"], first["percent"]) == ("a.csv", "succeeded", 100)
    assert (second["name"], second["status"]) == ("b.csv", "interrupted")
    assert [step["status"] for step in second["steps"]] == ["succeeded"]


def test_a_run_killed_between_two_files_does_not_look_succeeded(tmp_path: Path) -> None:
    program = KILLED.replace(
        '        file.add_completed_step("read")\n        os.', "        pass\n    os."
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)

    report = read_report(tmp_path)

    assert [file["status"] for file in report["files"]] == ["succeeded", "succeeded"]
    assert [head["status"] for head in report["reports"]] == ["interrupted"]


def test_what_is_under_way_is_seen(memory: Path) -> None:
    with ExecutionObserver("batch", memory) as observer:
        report = PipelineReport(batch_id=1)
        with pipeline_file(report, "a.csv") as file, file_step(file, "parse"):
            assert [one.status for one in report.files] == ["running"]
            assert report.status == "running"
            seen = read_report(memory)
        assert observer.is_open

    assert seen["reports"][0]["status"] == "running"
    assert [file["status"] for file in seen["files"]] == ["running"]
    assert [step["status"] for step in seen["files"][0]["steps"]] == ["running"]


def test_a_dump_is_a_record_of_its_moment(tmp_path: Path) -> None:
    """Size, MIME type and open durations were looked up again at each dump and reload."""
    path = tmp_path / "a.csv"
    path.write_text("abc")
    report = PipelineReport("p")
    report.append_file(FileReport(path))
    pending = FileReport.begin_within(report, "later.csv", defer_start=True)

    path.unlink()
    again = PipelineReport.model_validate_json(report.model_dump_json())

    assert [file.size_bytes for file in again.files] == [3, None]
    assert [file.mime_type for file in again.files] == ["text/csv", "text/csv"]
    assert again.files[1].status == pending.status == "pending"
    assert again.model_dump() == report.model_dump()


def test_metadata_that_json_cannot_hold_is_refused_at_once_and_saving_works(tmp_path: Path) -> None:
    report = PipelineReport("p", output_path=tmp_path / "r.json")

    with pipeline_file(report, "a") as file:
        with pytest.raises(TypeError, match="thing: got object"):
            file.metadata["thing"] = object()
        with pytest.raises(ValueError, match="ratio"):
            file.metadata["ratio"] = float("nan")
        file.metadata["path"] = tmp_path

    saved = json.loads((tmp_path / "r.json").read_text())
    assert saved["files"][0]["metadata"] == {"path": str(tmp_path)}


@pytest.mark.parametrize("block", [pipeline_step, pipeline_file])
def test_a_cancelled_task_is_cancelled(block: Any) -> None:
    report = PipelineReport("p")

    async def work() -> None:
        async with block(report, "a"):
            await asyncio.sleep(3600)

    async def main() -> None:
        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert report.status == "failed"


def test_a_closed_generator_is_closed() -> None:
    report = PipelineReport("p")

    def rows() -> Generator[int, None, None]:
        with pipeline_step(report, "a"):
            yield 1
            yield 2

    async def later() -> AsyncGenerator[int, None]:
        async with pipeline_step(report, "b"):
            yield 1
            yield 2

    async def main() -> None:
        found = later()
        async for _ in found:
            break
        await found.aclose()

    generator = rows()
    next(generator)
    generator.close()  # was: RuntimeError: generator ignored GeneratorExit
    asyncio.run(main())

    assert [step.errors for step in report.steps] == [["GeneratorExit: "]] * 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_goes_on_whatever_the_settings(error: type[BaseException]) -> None:
    report = PipelineReport("p")

    with pytest.raises(error), pipeline_step(report, "a", fatal_exceptions=()):
        raise error

    assert report.steps[0].status == "failed"


def test_captured_streams_do_not_cross_threads(capsys: pytest.CaptureFixture[str]) -> None:
    report = PipelineReport("p")
    both = threading.Barrier(2)

    def work(name: str) -> None:
        with pipeline_step(report, name, capture_streams=True):
            both.wait()
            _print(f"hello from {name}")
            _print(f"errors of {name}", file=sys.stderr)
            warnings.warn(f"careful, {name}", UserWarning, stacklevel=1)
            both.wait()

    threads = [threading.Thread(target=work, args=(name,)) for name in "AB"]

    def run() -> None:
        before = (sys.stdout, sys.stderr, warnings.showwarning)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (sys.stdout, sys.stderr, warnings.showwarning) == before

    with pytest.warns(UserWarning, match="careful"):
        run()

    for step in report.steps:
        assert step.metadata["warnings"] == [f"UserWarning: careful, {step.label}"]
        assert step.metadata["stdout"] == f"hello from {step.label}\n"
        assert step.metadata["stderr"] == f"errors of {step.label}\n"
    _print("and after")
    assert capsys.readouterr().out == "and after\n"


def test_captured_streams_and_warnings_do_not_cross_tasks() -> None:
    report = PipelineReport("p")

    async def work(name: str) -> None:
        async with pipeline_step(report, name, capture_streams=True):
            await asyncio.sleep(0)
            _print(f"hello from {name}")
            warnings.warn(f"careful, {name}", UserWarning, stacklevel=1)
            await asyncio.sleep(0)

    async def main() -> None:
        async with pipeline_step(report, "outer", capture_streams=True):
            await asyncio.gather(work("A"), work("B"))

    with pytest.warns(UserWarning, match="careful"):
        asyncio.run(main())

    kept = {step.label: step.metadata for step in report.steps}
    assert kept["outer"].get("stdout") == ""
    for name in "AB":
        assert kept[name]["stdout"] == f"hello from {name}\n"
        assert kept[name]["warnings"] == [f"UserWarning: careful, {name}"]


def test_asking_whether_it_is_ok_changes_nothing() -> None:
    file = FileReport("a")
    step = StepReport.begin_within(file, "s")
    step.add_check("c", False, "detail")
    skipped = StepReport.begin_within(file, "t").skip()
    skipped.add_check("d", False)
    before = file.model_dump(exclude=["duration_ms"], mode="json")["steps"][1]

    assert not file.ok
    assert not step.ok
    assert (step.errors, skipped.errors, file.errors) == ([], [], [])

    file.end()
    assert file.model_dump(mode="json")["steps"][1]["errors"] == before["errors"] == []


def test_an_error_is_said_once_and_names_its_reason() -> None:
    report = PipelineReport("p")

    with pytest.warns(RuntimeWarning, match="recorded"), pipeline_file(report, "a") as file:
        raise ValueError("x")
    checked = StepReport("s")
    checked.add_check("ids_unique", False)
    checked.end().end()
    reasonless = FileReport("b").add_failed_step("parse")
    reasonless.end()

    assert file.errors == ["ValueError: x"]
    assert checked.errors == ["Check 'ids_unique' failed"]
    assert reasonless.errors == ["Step 'parse' failed"]


def test_a_later_end_is_kept_and_said() -> None:
    step = StepReport("s").succeed()
    step.start()
    assert (step.finished_at, step.percent, step.reopened) == (None, 0, True)

    step.fail("no")
    assert step.finished_at is not None
    assert (step.model_dump()["reopened"], step.status.failed) == (True, True)

    with pytest.raises(RuntimeError, match="refuse_reopening"):
        _strict(step)


def _strict(step: StepReport) -> None:
    from observability import use_settings

    with use_settings(refuse_reopening=True):
        step.succeed()


def test_percent_of_a_file_goes_by_the_steps_that_were_planned() -> None:
    file = FileReport("a", n_steps=2)
    seen = [file.add_completed_step(name).percent for name in ("one", "two")]
    unplanned = FileReport("b").add_completed_step("one")
    with file_step(unplanned, "two"):
        during = unplanned.percent

    assert (seen, during, unplanned.percent) == ([50, 100], 50, 100)


def test_a_review_step_that_is_not_marked_goes_on() -> None:
    file = FileReport("a").add_review_step("look", "why", mark_success=False)

    assert file.steps[0].status == "running"
    assert file.requires_human_review


def test_an_exception_in_a_step_of_a_file_saves_the_report(tmp_path: Path) -> None:
    report = PipelineReport("p", output_path=tmp_path / "r.json")

    with pipeline_file(report, "a") as file:
        with pytest.warns(RuntimeWarning, match="recorded"), file_step(file, "s") as step:
            raise ValueError("x")
        saved = json.loads((tmp_path / "r.json").read_text())

    assert saved["files"][0]["steps"][0]["errors"] == ["ValueError: x"]
    assert step.warnings == []
    assert "warnings" not in file.metadata


def test_ids_have_one_scheme_each_and_threads_never_share_one() -> None:
    report = PipelineReport("p")
    for _ in range(3):
        report.append_step(StepReport("Load"))
        report.append_step(StepReport("Other", id="other"))

    assert [step.id for step in report.steps] == [
        "load", "other", "load-2", "other-1", "load-3", "other-2"
    ]  # fmt: skip

    def add() -> None:
        for _ in range(50):
            report.add_completed_step("same")

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [step.id for step in report.steps]
    assert len(ids) == len(set(ids)) == 206


def test_files_that_look_alike_are_told_apart() -> None:
    report = PipelineReport("p")
    for path in ("A.txt", "a.txt", "x/b.txt", "y/b.txt"):
        report.append_file(FileReport(path))

    assert report.get_file("A.txt") is report.files[0]
    assert report.get_file("a.txt") is report.files[1]
    assert report.get_file("y/b.txt") is report.files[3]
    assert len(report.files_for("b.txt")) == 2
    with pytest.raises(ValueError, match=r"b\.txt names several files: x/b\.txt, y/b\.txt"):
        report.get_file("b.txt")
    assert report.unseen_expected(["a.txt", "c.txt"]) == ["c.txt"]
    assert not report.file_processed("c.txt")


def test_a_new_thread_finds_the_bound_report() -> None:
    report = PipelineReport("p")

    def work() -> None:
        with pipeline_step(None, "in a thread"):
            pass

    with bind_pipeline(report):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert [step.label for step in report.steps] == ["in a thread"]
    with pytest.raises(RuntimeError, match=r"pass `pr=` or call within `with bind_pipeline"):
        work()


def test_exception_saves_wait_as_long_as_they_are_told_to(tmp_path: Path) -> None:
    target = tmp_path / "r.json"
    report = PipelineReport("p", output_path=target)
    for name in ("a", "b"):
        with (
            pytest.warns(RuntimeWarning, match="recorded"),
            pipeline_step(report, name, min_seconds_between_exception_saves=3600),
        ):
            raise ValueError(name)

    assert [step["id"] for step in json.loads(target.read_text())["steps"]] == ["a"]


def test_folders_are_made_unless_that_is_not_wanted(tmp_path: Path) -> None:
    report = PipelineReport("p")

    dump_report(str(tmp_path / "new" / "r.json"), report)
    with pytest.raises(FileNotFoundError):
        report.save(tmp_path / "other" / "r.json", ensure_dir=False)


def test_others_may_read_a_saved_report(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        PipelineReport("p").save(tmp_path / "r.json")
    finally:
        os.umask(before)

    assert (tmp_path / "r.json").stat().st_mode & 0o777 == 0o644


def test_a_label_in_any_script_has_an_id() -> None:
    assert [StepReport(label).id for label in ("読み込み", "Größe", "!?")] == [
        "読み込み", "größe", "step"
    ]  # fmt: skip


def test_the_banner_can_be_cleared() -> None:
    report = PipelineReport("p", stage="a", message="m")

    with pipeline_file(report, "a", banner_message_on_exit="", banner_percent_on_exit=130):
        pass

    assert (report.stage, report.message, report.percent) == ("a", "", 100)


def test_a_name_of_a_status_is_what_a_style_sheet_says() -> None:
    assert f"status-{StepReport('s').succeed().status}" == "status-succeeded"


class Counted(PipelineReport):
    """Counts how often it was saved."""

    saves = 0

    def save(self, *where: Any, **how: Any) -> None:
        Counted.saves += 1
        super().save(*where, **how)


def test_a_file_end_does_not_rewrite_the_report_each_time(tmp_path: Path) -> None:
    """800 files took 16 times as long as 200."""
    report = Counted("p", output_path=tmp_path / "r.json")
    begin = time.monotonic()

    with bind_pipeline(report):
        for n in range(300):
            with pipeline_file(report, f"{n}.csv") as file:
                file.add_completed_step("one")
        before_the_last = Counted.saves

    assert before_the_last <= 1 + time.monotonic() - begin
    assert len(json.loads((tmp_path / "r.json").read_text())["files"]) == 300
