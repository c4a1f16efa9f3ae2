"""What clumsy and hostile programs do with reports: one clear error, or it works."""

import asyncio
import contextlib
import copy
import json
import os
import pickle
import resource
import shutil
import signal
import threading
import warnings
from collections.abc import Callable
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest

from observability import (
    ExecutionObserver,
    FileReport,
    PipelineReport,
    StepReport,
    WatcherSettings,
    bind_pipeline,
    current_settings,
    file_step,
    pipeline_file,
    pipeline_step,
    set_global_settings,
    use_settings,
)
from replay.fold import read_report

HOSTILE = (
    "\x00\x1b[31mred",
    "\u202egnp.exe",
    "x" * 10_000,
    "\udcff\ud800",
    "<script>alert(1)</script>",
    "'\"&",
    "\u2028\n\r",
    "../../etc/passwd",
    "",
)


def quiet(out: Path, **how: Any) -> ExecutionObserver:
    return ExecutionObserver("odd", out, durability="none", quiet=True, **how)


# --- Values that a call cannot take

_REPORT = PipelineReport("p")
_STEP = StepReport("s")
_FILE = FileReport("f")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: PipelineReport(5), "label: got int, want str"),  # type: ignore[arg-type]
        (lambda: FileReport("a", file_id=5), "file_id: got int, want str"),  # type: ignore[arg-type]
        (lambda: FileReport("a", name=b"a"), "name: got bytes, want str"),  # type: ignore[arg-type]
        (lambda: StepReport("a", id=5), "id: got int, want str"),  # type: ignore[arg-type]
        (lambda: setattr(_STEP, "label", None), "label: got NoneType, want str"),
        (lambda: setattr(_STEP, "notes", "text"), "notes: got str, want a list"),
        (lambda: StepReport("a", errors={"a": 1}), "errors: got dict, want a list"),
        (lambda: setattr(_STEP, "metadata", [1]), "metadata: got list, want a mapping"),
        (lambda: setattr(_STEP, "started_at", 5), "started_at: got 5, want a datetime"),
        (lambda: _REPORT.append_step("s"), "append_step: got str, want a StepReport"),  # type: ignore[arg-type]
        (lambda: _REPORT.append_step(_FILE), "a file is appended to a batch, by append_file"),  # type: ignore[arg-type]
        (lambda: _REPORT.append_file(_STEP), "append_file: got StepReport, want a FileReport"),  # type: ignore[arg-type]
        (lambda: _REPORT.append_step(_REPORT), "got PipelineReport, want a StepReport"),  # type: ignore[arg-type]
        (lambda: _FILE.append_step(_REPORT), "append_step: got PipelineReport, want a Step"),  # type: ignore[arg-type]
        (lambda: PipelineReport("p", files=[1]), "append_file: got int, want a FileReport"),  # type: ignore[list-item]
        (lambda: PipelineReport("p", steps=[1]), "append_step: got int, want a StepReport"),  # type: ignore[list-item]
        (lambda: FileReport("f", steps=[_FILE]), "append_step: got FileReport, want a StepReport"),
        (lambda: _REPORT.files.append(_STEP), "append_file: got StepReport"),
        (lambda: PipelineReport("p", output_path=3), "output_path: got int, want str or Path"),  # type: ignore[arg-type]
        (lambda: setattr(_REPORT, "output_path", b"3"), "output_path: got bytes, want str or P"),
        (lambda: setattr(_STEP, "notes", [None]), "notes: got None, want a text"),
        (lambda: _STEP.warnings.append(None), "warnings: got None, want a text"),
        (lambda: _STEP.add_check(None, True), "name: got None, want a text"),  # type: ignore[arg-type]
        (lambda: _REPORT.set_progress(None, 5), "stage: got None, want a text"),  # type: ignore[arg-type]
        (lambda: use_settings(5).__enter__(), "got int, want WatcherSettings"),  # type: ignore[arg-type]
        (lambda: set_global_settings("x"), "got str, want WatcherSettings"),  # type: ignore[arg-type]
        (lambda: WatcherSettings(capture_streams="no"), "capture_streams: got 'no', want True"),  # type: ignore[arg-type]
        (lambda: pipeline_step(_REPORT, "a", traceback_limit="5"), "traceback_limit: got '5'"),
        (lambda: pipeline_step(_REPORT, "a", fatal_exceptions=5), "fatal_exceptions: got 5"),
        (lambda: pipeline_file(_REPORT, "a", banner_percent_on_exit="x"), "got 'x', want a number"),  # type: ignore[arg-type]
        (lambda: pipeline_file(_REPORT, "a", file_save_to=5), "not int"),  # type: ignore[arg-type]
    ],
)
def test_a_value_of_another_type_is_refused_at_once_and_by_name(
    call: Callable[[], Any], said: str
) -> None:
    before = current_settings(), _STEP.model_dump(exclude=["duration_ms"])

    with pytest.raises(TypeError) as found:
        call()

    assert said in str(found.value)
    assert (current_settings(), _STEP.model_dump(exclude=["duration_ms"])) == before


def test_an_empty_output_path_is_refused_before_the_work() -> None:
    """It was the current folder, which only the first save told."""
    report = PipelineReport("p", output_path="r.json")

    for call in (
        lambda: PipelineReport("p", output_path=""),
        lambda: setattr(report, "output_path", ""),
    ):
        with pytest.raises(ValueError, match="got '', the current folder; want the path of a file"):
            call()
    assert report.output_path == Path("r.json")


@pytest.mark.parametrize("inside", [True, False], ids=["observed", "plain"])
def test_a_file_stands_in_no_file_nor_in_itself(memory: Path, inside: bool) -> None:
    """A file took itself as a step, and could not be dumped any more; another one was lost."""
    with quiet(memory) if inside else contextlib.nullcontext():
        outer, inner = FileReport("outer"), FileReport("inner")
        before = outer.model_dump(exclude=["duration_ms"])

        for unit in (outer, inner):
            with pytest.raises(TypeError, match="append_step: got FileReport, want a StepReport"):
                outer.append_step(unit)  # type: ignore[arg-type]

        assert outer.model_dump(exclude=["duration_ms"]) == before
        assert inner.status == "running"


def test_none_is_no_text() -> None:
    """It was written as `None`."""
    report = PipelineReport("p", message="before")
    step = StepReport("s")

    report.set_progress("load", 5, None)
    step.note(None).warn(None).error(None)

    assert (report.stage, report.message) == ("load", "")
    assert (step.notes, step.warnings, step.errors, step.ok) == ([], [], [], True)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_kept_and_read_again(memory: Path, name: str) -> None:
    with quiet(memory):
        report = PipelineReport(name, batch_id=name, stage=name, message=name)
        with pipeline_file(report, name or ".", file_id=name) as file:
            file.add_review_step(name, name)
            with file_step(file, name) as step:
                step.add_check(name, True, name)
                step.note(name).warn(name)
                if "\ud800" in name:
                    with pytest.raises(ValueError, match="k: a lone surrogate, want Unicode text"):
                        step.metadata["k"] = name
                else:
                    step.metadata["k"] = [name]
        live = report.model_dump(mode="json")

    folded = read_report(memory)
    (view,) = folded["files"]
    del view["unit"], view["report"]
    assert view == live["files"][0]
    assert folded["reports"][0]["label"] == live["label"]
    json.dumps(live).encode()


def test_a_path_that_no_file_system_has_does_not_end_the_work() -> None:
    report = PipelineReport("p", output_path="a\0b")

    with (
        pytest.warns(RuntimeWarning, match="pipeline autosave failed: ValueError"),
        pipeline_file(report, "a", file_save_to="c\0d", pipeline_save_to="e\0f") as file,
    ):
        pass

    assert file.status == "succeeded"
    assert [said.partition(":")[0] for said in file.warnings] == [
        "file report save failed", "pipeline save_to failed"
    ]  # fmt: skip


# --- Copies, and runs that are over


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_is_no_second_report_of_the_run_until_it_is_used(memory: Path, copied: Any) -> None:
    with quiet(memory):
        report = PipelineReport("p")
        report.append_file(FileReport("a.csv").add_failed_step("x"))
        copied(report).message = "unheard"
        other = copied(report.files[0])
        other.note("of the copy")
        report.append_file(other)

    folded = read_report(memory)
    assert len(folded["reports"]) == 1
    assert [file["notes"] for file in folded["files"]] == [[], ["of the copy"]]


def test_a_report_of_a_run_that_is_over_is_recorded_by_the_next_that_binds_it(
    memory: Path,
) -> None:
    with quiet(memory / "first"):
        report = PipelineReport("p")
        report.add_completed_step("of the first")
    with pytest.warns(RuntimeWarning, match="has ended"):
        report.add_completed_step("between")

    with quiet(memory / "second"), bind_pipeline(report):
        report.add_completed_step("of the second")
        live = report.model_dump(mode="json")["steps"]
    with pytest.warns(RuntimeWarning, match="has ended"):
        report.add_completed_step("after")

    folded = read_report(memory / "second")["steps"]
    assert [step["label"] for step in folded] == ["of the first", "between", "of the second"]
    assert [{**step, "unit": 0, "report": 0} for step in live] == [
        {**step, "unit": 0, "report": 0} for step in folded
    ]


def test_a_file_with_steps_is_as_far_as_they_are_whatever_is_set() -> None:
    """That what was set is passed over was written nowhere."""
    file, planned = FileReport("a"), FileReport("b", n_steps=4)
    file.percent = planned.percent = 30
    before = file.percent, planned.percent
    file.add_completed_step("one").add_review_step("two", mark_success=False)
    planned.add_completed_step("one")
    file.percent = planned.percent = 40

    assert (before, file.percent, planned.percent) == ((30, 0), 50, 25)
    assert planned.succeed().percent == 100


def test_what_it_failed_of_is_said_once_however_often_it_ends() -> None:
    step = StepReport("s")
    step.add_check("ids_unique", False, "3 duplicates")

    step.end().start().end()

    assert (step.errors, step.status, step.reopened) == (["3 duplicates"], "failed", True)


# --- Files that cannot be written


def in_child(work: Callable[[], Any]) -> Any:
    """Return what *work* returns, made in a process whose limits are its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException), os.fdopen(writing, "w") as out:
            warnings.simplefilter("always")
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            out.write(json.dumps(work()))
            code = 0
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as found:
        text = found.read()
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(text)


def test_a_report_on_a_full_disk_keeps_what_was_saved_and_the_work_goes_on(memory: Path) -> None:
    target = memory / "r.json"

    def work() -> Any:
        report = PipelineReport("p", output_path=target)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            with pipeline_file(report, "a"):
                pass
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
            for n in range(10):
                with pipeline_file(report, f"{n}") as file:
                    file.note("x" * 500)
        return [str(report.status), len(report.files), [str(one.message) for one in said]]

    status, count, said = in_child(work)

    assert (status, count) == ("succeeded", 11)
    assert said
    assert all("File too large" in text for text in said)
    assert json.loads(target.read_text())["files"][0]["name"] == "a"
    assert [path.name for path in memory.iterdir()] == ["r.json"]


def test_a_trace_that_cannot_be_written_raises_and_live_holds_what_it_holds(memory: Path) -> None:
    def work() -> Any:
        held = []
        with contextlib.suppress(OSError), quiet(memory):
            report = PipelineReport("p")
            resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))
            try:
                for n in range(100):
                    with pipeline_file(report, f"{n}") as file:
                        file.note("x" * 200)
            finally:
                held = report.model_dump(mode="json")["files"]
        return held

    live = in_child(work)

    folded = read_report(memory)["files"]
    assert 0 < len(live) < 100
    assert [file["notes"] for file in folded] == [file["notes"] for file in live]


def test_the_folder_of_a_report_may_go_away(memory: Path) -> None:
    report = PipelineReport("p", output_path=memory / "gone" / "r.json")

    with bind_pipeline(report):
        with pipeline_file(None, "a"):
            pass
        shutil.rmtree(memory / "gone")
        with pipeline_file(None, "b"):
            pass

    assert len(json.loads((memory / "gone" / "r.json").read_text())["files"]) == 2


# --- At the same time


def test_a_report_is_read_while_threads_change_it(memory: Path) -> None:
    report_is_done = threading.Event()
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - shown by the test
                failures.append(error)

        return run

    def read() -> None:
        while not report_is_done.is_set():
            report.model_dump_json()
            report.table_rows_for_files_map(["0-1"])
            copy.deepcopy(report)
            assert list(report.iter_steps()) == []
            read_report(memory)

    def write(name: int) -> None:
        for n in range(25):
            with pipeline_file(report, f"{name}-{n}", capture_streams=True) as file:
                with file_step(file, "s") as step:
                    step.metadata.setdefault("rows", []).append(n)
                    step.notes.append("q")
                print(file.name)  # noqa: T201 - what is captured
                file.metadata["rows"] = [n]

    with quiet(memory):
        report = PipelineReport("p")
        reader = threading.Thread(target=guarded(read))
        writers = [threading.Thread(target=guarded(lambda n=n: write(n))) for n in range(4)]  # type: ignore[misc]
        for thread in (reader, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        report_is_done.set()
        reader.join()
        report.model_dump()
        live = report.model_dump(mode="json")

    assert failures == []
    assert all(file["metadata"]["stdout"] == f"{file['name']}\n" for file in live["files"])
    folded = read_report(memory)["files"]
    assert len(folded) == 100
    assert [{**file, "unit": 0, "report": 0} for file in live["files"]] == [
        {**file, "unit": 0, "report": 0} for file in folded
    ]


def test_tasks_share_a_report_and_its_fold_is_what_they_made(memory: Path) -> None:
    async def work(report: PipelineReport, n: int) -> None:
        async with pipeline_file(report, f"{n}", capture_streams=True) as file:
            for _ in range(3):
                await asyncio.sleep(0)
                print(file.name)  # noqa: T201 - what is captured
                async with file_step(file, "s", capture_warnings=False) as step:
                    await asyncio.sleep(0)
                    step.metadata["n"] = [n]
            if n % 5 == 0:
                raise ValueError(n)

    async def main(report: PipelineReport) -> None:
        async with bind_pipeline(report):
            await asyncio.gather(*(work(report, n) for n in range(20)))

    with quiet(memory):
        report = PipelineReport("p")
        with pytest.warns(RuntimeWarning, match="failed by ValueError"):
            asyncio.run(main(report))
        live = report.model_dump(mode="json")["files"]

    assert all(file["metadata"]["stdout"] == f"{file['name']}\n" * 3 for file in live)
    assert sum(file["status"] == "failed" for file in live) == 4
    assert [{**file, "unit": 0, "report": 0} for file in live] == [
        {**file, "unit": 0, "report": 0} for file in read_report(memory)["files"]
    ]


def test_units_that_are_attached_across_two_traces_do_not_lock_each_other(memory: Path) -> None:
    """Each of two threads holds the lock of its own trace and wants that of the other."""
    with quiet(memory / "one") as one, quiet(memory / "two") as two:
        reports = [PipelineReport("x") for _ in range(2)]
        reports[0] = Context().run(lambda: _made_by(one))
        reports[1] = _made_by(two)

        def attach(here: ExecutionObserver, there: PipelineReport) -> None:
            for _ in range(200):
                there.append_step(_step_by(here))

        threads = [
            threading.Thread(target=attach, args=(one, reports[1]), daemon=True),
            threading.Thread(target=attach, args=(two, reports[0]), daemon=True),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)

        assert not any(thread.is_alive() for thread in threads)
        assert [len(report.steps) for report in reports] == [200, 200]


def _made_by(observer: ExecutionObserver) -> PipelineReport:
    with current(observer):
        return PipelineReport("p")


def _step_by(observer: ExecutionObserver) -> StepReport:
    with current(observer):
        return StepReport("s")


@contextlib.contextmanager
def current(observer: ExecutionObserver) -> Any:
    from observability import context

    scope = context.enter(observer)
    try:
        yield
    finally:
        context.leave(scope)


def test_forks_go_on_with_a_report_each_in_a_trace_of_its_own(memory: Path) -> None:
    with quiet(memory):
        report = PipelineReport("p")
        with pipeline_file(report, "of the parent"):
            children = []
            for n in range(3):
                child = os.fork()
                if child == 0:
                    with pipeline_file(report, f"of child {n}") as file:
                        file.add_completed_step("in it")
                    os._exit(0)
                children.append(child)
            for child in children:
                os.waitpid(child, 0)
        report.add_completed_step("behind")

    folded = read_report(memory)
    assert sorted(file["name"] for file in folded["files"]) == [
        "of child 0", "of child 1", "of child 2", "of the parent"
    ]  # fmt: skip
    assert {file["status"] for file in folded["files"]} == {"succeeded"}
    assert [file.name for file in report.files] == ["of the parent"]
