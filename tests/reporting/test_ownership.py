"""Whose trace a report is in: inside an observer, made before, after the close, without one."""

import dataclasses
import json
import os
import stat
import sys
import threading
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from observability import (
    ExecutionObserver,
    FileReport,
    PipelineReport,
    ReportBase,
    StepReport,
    WatcherSettings,
    bind_pipeline,
    current_settings,
    file_step,
    pipeline_file,
    pipeline_step,
    set_global_settings,
    use_settings,
    with_overrides,
)
from replay.fold import read_metadata, read_report


class Measured(ReportBase):
    """A kind of a user's own."""

    score: float = 0.0

    @property
    def ok(self) -> bool:
        return super().ok and self.score > 0.5


def observed(out: Path) -> ExecutionObserver:
    return ExecutionObserver("batch", out)


def types_in(out: Path) -> list[str]:
    lines = (out / "audit" / "step_00" / "trace_00.jsonl").read_bytes().splitlines()
    return [orjson.loads(line)["event_type"] for line in lines]


def test_what_is_made_inside_an_observer_is_recorded_without_further_words(memory: Path) -> None:
    with observed(memory):
        report = PipelineReport(batch_id=1)
        report.append_step(StepReport("one"))

    assert types_in(memory)[2:-2] == [
        "unit_begin", "unit_begin", "unit_status", "unit_attached"
    ]  # fmt: skip


def test_a_report_made_before_is_recorded_from_its_binding_on(memory: Path) -> None:
    report = PipelineReport(batch_id=1, stage="early")
    notes = report.add_completed_step("before", metadata={"rows": [1]}).notes
    file = FileReport("a.csv", n_steps=3).add_completed_step("first", "noted")
    report.append_file(file)
    before = report.model_dump(exclude=["updated_at"])

    with observed(memory), bind_pipeline(report):
        assert report.model_dump(exclude=["updated_at"]) == before
        notes.append("after")
        with pipeline_file(None, "b.csv"):
            pass
        live = report.model_dump(mode="json")

    folded = read_report(memory)
    assert [step["notes"] for step in folded["steps"]] == [["after"]]
    for view in folded["files"]:
        del view["unit"], view["report"]
    assert folded["files"] == live["files"]
    assert folded["reports"][0]["stage"] == "early"


def test_a_secret_of_a_report_made_before_is_in_no_trace(memory: Path) -> None:
    report = PipelineReport(batch_id=1)
    step = report.add_completed_step("s", "key sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789")

    with observed(memory), bind_pipeline(report):
        pass

    assert "[REDACTED" in step.notes[0]
    for path in memory.rglob("*.jsonl"):
        assert b"abcdefghijklmnop" not in path.read_bytes()


def test_after_the_close_changes_stay_in_memory_with_one_warning(memory: Path) -> None:
    with observed(memory):
        report = PipelineReport(batch_id=1)
        file = FileReport("a")
        report.append_file(file)
    before = types_in(memory)

    with pytest.warns(RuntimeWarning, match="has ended: what changes now is not in its trace"):
        file.note("late")
    file.note("later")

    assert file.notes == ["late", "later"]
    assert types_in(memory) == before


def test_a_step_of_the_trace_takes_its_report_with_it(memory: Path) -> None:
    report = PipelineReport(batch_id=1)

    with observed(memory):
        report.append_step(StepReport("inside"))

    assert [step["label"] for step in read_report(memory)["steps"]] == ["inside"]


def test_a_file_or_step_that_failed_fails_the_run_and_a_step_of_a_file_does_not(
    memory: Path,
) -> None:
    with observed(memory):
        file = FileReport("a").add_failed_step("tried")
        file.succeed()
    assert read_metadata(memory)["status"] == "succeeded"

    with observed(memory):
        step = StepReport("alone").fail()
        FileReport("b").append_step(step)
    assert read_metadata(memory)["status"] == "succeeded"

    with observed(memory):
        PipelineReport("p").add_failed_step("batch step")
    assert read_metadata(memory)["status"] == "failed"


def test_what_is_nested_is_recorded_at_the_next_event_and_at_the_end(memory: Path) -> None:
    with observed(memory):
        report = PipelineReport("p")
        step = report.add_completed_step("s", metadata={"rows": [1]})
        step.metadata["rows"].append(2)
        step.note("next")
        step.metadata["rows"].append(3)

    assert read_report(memory)["steps"][0]["metadata"] == {"rows": [1, 2, 3]}


def test_kinds_of_ones_own_fold_too(memory: Path) -> None:
    with observed(memory):
        good, bad = Measured("good", score=0.9), Measured("bad")
        bad.score = 0.1
        good.end()
        bad.end()
        PipelineReport("p").append_step(Measured("in a batch", score=1.0))  # type: ignore[arg-type]

    folded = read_report(memory)
    assert [(u["kind"], u["label"], u["status"], u["score"]) for u in folded["units"]] == [
        ("Measured", "good", "succeeded", 0.9),
        ("Measured", "bad", "failed", 0.1),
    ]
    assert folded["steps"][0]["score"] == 1.0
    assert Measured.model_validate(good.model_dump()).model_dump() == good.model_dump()
    with pytest.raises(TypeError, match="scroe is no option of Measured; do you mean score"):
        Measured("x", scroe=1)


def test_units_that_stand_there_are_only_finished_by_append() -> None:
    report = PipelineReport("p")
    file = FileReport.begin_within(report, "a")
    step = StepReport.begin_within(file, "s")

    file.append_step(step)
    report.append_file(file)

    assert (len(report.files), len(file.steps)) == (1, 1)
    assert (file.status, step.status) == ("succeeded", "succeeded")
    with pytest.raises(ValueError, match=r"stands in .* already"):
        PipelineReport("q").append_file(file)


def test_in_flight_units_stand_in_order_of_beginning() -> None:
    report = PipelineReport("p")
    with pipeline_file(report, "a") as first:
        second = FileReport.begin_within(report, "b")
        second.end()

    assert list(report.files) == [first, second]


def test_finished_units_may_be_let_go_and_the_trace_has_them(memory: Path) -> None:
    with observed(memory):
        report = PipelineReport("p", keep_finished=False)
        for n in range(10):
            with pipeline_file(report, f"{n}") as file:
                file.add_completed_step("one")
                assert list(report.files) == [file]
        assert (list(report.files), report.state.files, report.status) == ([], [], "succeeded")

    assert len(read_report(memory)["files"]) == 10


def test_a_fork_names_its_units_otherwise(memory: Path) -> None:
    with observed(memory):
        report = PipelineReport("p")
        child = os.fork()
        if child == 0:
            report.add_completed_step("of the child")
            os._exit(0)
        os.waitpid(child, 0)
        report.add_completed_step("of the parent")

    folded = read_report(memory)
    assert sorted(step["label"] for step in folded["steps"]) == ["of the child", "of the parent"]
    assert len({step["unit"] for step in folded["steps"]}) == 2


def test_threads_share_a_report_and_its_fold_is_what_they_made(memory: Path) -> None:
    def work(report: PipelineReport, name: str) -> None:
        for n in range(20):
            with pipeline_file(report, f"{name}{n}") as file, file_step(file, "s") as step:
                step.metadata["n"] = [n]

    with observed(memory):
        report = PipelineReport("p")
        threads = [threading.Thread(target=work, args=(report, name)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        live = report.model_dump(mode="json")

    folded = read_report(memory)["files"]
    for view in folded:
        del view["unit"], view["report"]
    assert folded == live["files"]


# --- Saving


def test_without_an_observer_saving_works_alone(tmp_path: Path) -> None:
    report = PipelineReport(batch_id="b", output_path=tmp_path / "deep" / "r.json")
    with pipeline_file(report, "a", file_save_to=tmp_path / "file.json") as file:
        file.note("x")
    report.save(str(tmp_path / "copy.json"), indent=None)

    saved = json.loads((tmp_path / "deep" / "r.json").read_text())
    assert saved == json.loads((tmp_path / "copy.json").read_text())
    assert saved["files"][0] == json.loads((tmp_path / "file.json").read_text())
    assert stat.S_IMODE((tmp_path / "copy.json").stat().st_mode) == 0o644


def test_a_report_that_cannot_be_saved_does_not_end_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    report = PipelineReport("p", output_path=tmp_path / "file" / "r.json")

    with (
        pytest.warns(RuntimeWarning, match="pipeline autosave failed"),
        pipeline_file(report, "a", pipeline_save_to=tmp_path / "file" / "s.json") as file,
    ):
        pass

    assert file.status == "succeeded"
    assert "pipeline save_to failed" in file.warnings[-1]


def test_the_report_is_saved_at_an_exception_and_where_it_is_told(tmp_path: Path) -> None:
    report = PipelineReport("p", output_path=tmp_path / "r.json")
    seen: list[Any] = []

    with (
        pytest.raises(ValueError, match="x"),
        pipeline_file(report, "a", raise_on_exception=True, output_path_override=tmp_path / "o"),
    ):
        raise ValueError("x")

    seen = [json.loads((tmp_path / name).read_text())["status"] for name in ("r.json", "o")]
    assert seen == ["failed", "failed"]


# --- Settings


def test_a_call_comes_before_a_block_and_a_block_before_the_process() -> None:
    before = current_settings()
    try:
        set_global_settings(traceback_limit=1, store_traceback=False)
        with use_settings(store_traceback=True) as inner:
            assert (inner.traceback_limit, inner.store_traceback) == (1, True)
            with use_settings(WatcherSettings(), raise_on_exception=True):
                assert current_settings() == WatcherSettings(raise_on_exception=True)
            found = with_overrides(exception_save_path_override="x")
            assert found.output_path_override == found.exception_save_path_override == "x"
        assert current_settings().store_traceback is False
    finally:
        set_global_settings(before)


def test_where_an_exception_saves_has_two_names_in_the_constructor_too() -> None:
    later = WatcherSettings(exception_save_path_override="x")

    assert later == WatcherSettings(output_path_override="x")
    assert later.exception_save_path_override == "x"
    assert dataclasses.replace(later, output_path_override="y").output_path_override == "y"
    none: dict[str, Any] = {"exception_save_path_override": None}
    assert dataclasses.replace(later, **none) == WatcherSettings()
    with pytest.raises(TypeError, match="output_path_override: got 1, want str, Path or None"):
        WatcherSettings(exception_save_path_override=1)  # type: ignore[arg-type]


def test_suppressed_exceptions_are_recorded_and_said() -> None:
    report = PipelineReport("p")

    with (
        pytest.warns(RuntimeWarning, match="recorded"),
        pipeline_step(
            report, "s", raise_on_exception=True, suppressed_exceptions=(KeyError,)
        ) as step,
    ):
        raise KeyError("k")

    assert step.errors == ["KeyError: 'k'"]
    assert step.warnings[0].startswith("suppressed raise_on_exception for KeyError via")


def test_a_block_is_ended_by_an_early_return_too() -> None:
    report = PipelineReport("p")

    def work() -> int | None:
        with pipeline_step(report, "s"):
            return 1
        return None

    assert (work(), report.steps[0].status) == (1, "succeeded")


def test_what_a_warning_said_is_kept_and_shown() -> None:
    report = PipelineReport("p")

    with pytest.warns(UserWarning, match="careful"), pipeline_step(report, "s") as step:
        warnings.warn("careful", UserWarning, stacklevel=1)

    assert step.metadata["warnings"] == ["UserWarning: careful"]


class Mute(Exception):  # noqa: N818 - a hostile one
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_exception_without_text_is_recorded_all_the_same() -> None:
    report = PipelineReport("p")

    with pytest.warns(RuntimeWarning, match="failed by Mute"), pipeline_step(report, "s") as step:
        raise Mute

    assert step.errors == ["Mute: no text: its __str__ raised RuntimeError"]
    assert step.status == "failed"


def test_a_block_is_entered_once() -> None:
    block = pipeline_step(PipelineReport("p"), "s")
    with block:
        pass

    with pytest.raises(RuntimeError, match="was entered before"):
        block.__enter__()


def test_streams_that_are_missing_or_left_in_another_order_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = PipelineReport("p")
    monkeypatch.setattr("sys.stdout", None)

    first = pipeline_step(report, "first", capture_streams=True)
    second = pipeline_step(report, "second", capture_streams=True)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    sys.stdout.write("of the second")
    second.__exit__(None, None, None)

    assert sys.stdout is None
    assert [step.metadata["stdout"] for step in report.steps] == ["", "of the second"]


def test_a_change_that_is_refused_leaves_trace_and_report_as_they_were(memory: Path) -> None:
    with observed(memory):
        step = StepReport("s")
        with pytest.raises(ValueError, match="want at most"):
            step.metadata["x"] = "y" * 2_000_000
        step.note("fine")

    (folded,) = read_report(memory)["steps"]
    assert (folded["metadata"], folded["notes"], dict(step.metadata)) == ({}, ["fine"], {})


def test_a_time_without_microseconds_has_six_digits_like_all_others() -> None:
    step = StepReport("s")

    step.started_at = datetime(2026, 11, 21, 7, 3, tzinfo=UTC)
    step.finished_at = datetime(2026, 11, 21, 7, 3, 1, tzinfo=UTC)

    view = step.model_dump(mode="json")
    assert (view["started_at"], view["duration_ms"]) == ("2026-11-21T07:03:00.000000Z", 1000.0)
    assert StepReport.model_validate(view).model_dump(mode="json") == view
    with pytest.raises(TypeError, match="want a datetime with its zone"):
        step.started_at = datetime(2026, 11, 21)  # noqa: DTZ001 - what is refused
