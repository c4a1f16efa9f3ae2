"""Every example of the guide that programs were written by, and the forms of its code.

The package is called otherwise; nothing else is changed.
"""

import json
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from observability import (
    Check,
    FileReport,
    PipelineReport,
    StepReport,
    bind_pipeline,
    dump_report,
    file_step,
    pipeline_file,
    pipeline_step,
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_demo() -> None:
    # Create a batch report
    report = PipelineReport(batch_id=42, kind="process")
    report.set_progress("load", 5, "Loading input files…")

    # Add a batch-level step
    report.append_step(StepReport.begin("load", label="Load inputs").succeed())

    # Add a file report with quick steps (fluent, log-like)
    fr = FileReport.begin(file_id="f1", path="inputs/data.csv", name="data.csv")
    fr.add_completed_step("Verified file exists")\
      .add_review_step("Check class balance", reason="Minor skew detected")\
      .add_failed_step("Feature extraction", reason="NaN values found")  # fmt: skip
    report.append_file(fr)

    # Persist for the UI to pick up
    dump_report("reports/progress.json", report)

    saved = json.loads(Path("reports/progress.json").read_text(encoding="utf-8"))
    assert (saved["batch_id"], saved["label"], saved["kind"]) == (42, "Batch 42", "process")
    assert (saved["stage"], saved["percent"]) == ("load", 5)
    assert saved["message"] == "Loading input files…"
    (load,) = saved["steps"]
    assert (load["id"], load["label"], load["status"]) == ("load", "Load inputs", "succeeded")
    (file,) = saved["files"]
    assert (file["name"], file["file_id"], file["status"]) == ("data.csv", "f1", "failed")
    assert [step["status"] for step in file["steps"]] == ["succeeded", "succeeded", "failed"]
    assert file["steps"][1]["review"] == {"flagged": True, "reason": "Minor skew detected"}
    assert file["steps"][2]["errors"] == ["NaN values found"]
    assert saved["status"] == "failed"


def test_convenience_methods() -> None:
    fr = FileReport.begin(file_id="42", path="inputs/doc1.docx")
    fr.add_completed_step("Verified file exists")\
      .add_review_step("Low OCR confidence", reason="score=0.42")\
      .add_failed_step("Render PDF", reason="timeout")  # fmt: skip

    assert [step.id for step in fr.steps] == [
        "verified-file-exists",
        "low-ocr-confidence",
        "render-pdf",
    ]
    assert fr.requires_human_review


@pytest.mark.parametrize("result", [5, 500])
def test_comments_that_are_notes(result: int) -> None:
    st = StepReport.begin("calc_result", label="Calculate result")

    if result > 100:
        st.notes.append("result > 100 → taking branch A")
    else:
        st.notes.append("result ≤ 100 → taking branch B")

    st.end()  # infers SUCCESS (no failed checks or errors)

    assert (st.status.succeeded, st.id, len(st.notes)) == (True, "calc_result", 1)
    st.note(f"raw_result={result}")
    st.warn("slow path used")
    st.error("contract violated")
    assert (st.notes[1], st.warnings, st.errors) == (
        f"raw_result={result}",
        ["slow path used"],
        ["contract violated"],
    )


def test_a_batch_level_step() -> None:
    report = PipelineReport(batch_id=42)

    with pipeline_step(report, "validate", label="Validate batch") as st:
        st.add_check("manifest_present", ok=True)
        st.add_check("ids_unique", ok=False, detail="3 duplicates")  # will cause FAILED

    (step,) = report.steps
    assert (step.id, step.label) == ("validate", "Validate batch")
    assert step.status == "failed"
    assert step.errors == ["3 duplicates"]
    assert step.duration_ms is not None


def test_a_block_for_a_file() -> None:
    report = PipelineReport(batch_id=42, output_path="reports/progress.json")

    def risky_work() -> None:
        raise ValueError("no")

    def example() -> None:
        with pipeline_file(
            report,
            file_id="f1",
            path="inputs/a.docx",
            name="a.docx",
            raise_on_exception=False,   # record failure and continue (default)
            save_on_exception=True      # save report immediately on errors
        ) as fr:  # fmt: skip
            fr.add_completed_step("Verified file exists")
            risky_work()  # if this raises, fr is recorded as FAILED and report is saved

    with pytest.warns(RuntimeWarning, match="a.docx.* failed by ValueError: no; recorded"):
        example()

    saved = json.loads(Path("reports/progress.json").read_text(encoding="utf-8"))
    (file,) = saved["files"]
    assert (file["status"], file["errors"]) == ("failed", ["ValueError: no"])
    assert "risky_work" in file["metadata"]["traceback"]
    assert file["duration_ms"] >= 0


def test_binding() -> None:
    report = PipelineReport(batch_id=42)

    with bind_pipeline(report), pipeline_file(None, file_id="f2", path="inputs/b.docx") as fr:
        # Any nested helpers can discover the bound pipeline
        with pipeline_step(None, "a helper's"):
            pass
        fr.note("x")

    assert [file.file_id for file in report.files] == ["f2"]
    assert [step.label for step in report.steps] == ["a helper's"]


def test_persistence() -> None:
    report = PipelineReport(batch_id=42)
    dump_report("reports/progress.json", report)  # atomic helper
    # or, if you prefer a direct write on the object:
    report.output_path = "reports/progress2.json"
    report.save()

    assert Path("reports/progress2.json").read_bytes() == Path("reports/progress.json").read_bytes(
    ).replace(b'"output_path": null', b'"output_path": "reports/progress2.json"')  # fmt: skip


def test_what_its_template_reads_is_there() -> None:
    report = PipelineReport(batch_id=42, stage="load", percent=5, message="m")
    report.append_file(FileReport("inputs/data.csv").add_review_step("Check", reason="skew"))

    for source in (report, report.snapshot()) if hasattr(report, "snapshot") else (report,):
        assert (source.batch_id, source.stage, source.percent, source.message) == (
            42,
            "load",
            5,
            "m",
        )
        (f,) = source.files
        (s,) = f.steps
        assert (f.name or f.file_id, str(f.status)) == ("data.csv", "succeeded")
        assert (s.label, str(s.status), s.review and s.review.flagged) == (
            "Check",
            "succeeded",
            True,
        )
        assert s.review.reason == "skew"


# --- The forms of its code, where guide and code disagree


def test_the_forms_of_the_code_work_beside_those_of_the_guide() -> None:
    report = PipelineReport(label="Nightly", kind="validation")
    step = StepReport.begin("Load inputs", id="load")
    file = FileReport.begin("inputs/data.csv", "f1", {"k": 1})

    assert (report.label, report.batch_id, str(report.kind)) == ("Nightly", None, "validation")
    assert (step.id, step.label) == ("load", "Load inputs")
    assert (file.path, file.file_id, file.metadata) == (Path("inputs/data.csv"), "f1", {"k": 1})
    assert StepReport(label="Größe prüfen").id == "größe-prüfen"
    assert FileReport(path=Path("x/y.pdf"), file_id="2").mime_type == "application/pdf"
    with pipeline_step(report, "Validate batch", id="validate") as st:
        pass
    assert (st.id, st.label) == ("validate", "Validate batch")
    with pipeline_file(report, "inputs/a.docx", file_id="f1") as fr, file_step(fr, "Parse") as sub:
        pass
    assert (sub.id, sub.label, fr.name) == ("parse", "Parse", "a.docx")


def test_a_unit_may_have_what_its_fields_are_from_the_beginning() -> None:
    when = datetime(2026, 11, 21, 7, 3, tzinfo=UTC)
    step = StepReport(
        label="s", checks=[Check(name="a", ok=True)], finished_at=when, status="skipped"
    )
    file = FileReport(path="a.csv", steps=[StepReport(label="x")], started_at=when, notes=["n"])
    report = PipelineReport(label="p", steps=[step], files=[file])

    assert (step.status, step.finished_at, len(step.checks)) == ("skipped", when, 1)
    assert (file.started_at, [one.label for one in file.steps], file.notes) == (when, ["x"], ["n"])
    assert (list(report.steps), list(report.files)) == ([step], [file])
    with bind_pipeline(pr=report), pipeline_step(pr=None, label="bound"):
        pass
    assert report.steps[-1].label == "bound"


def test_steps_are_added_by_position_and_by_name() -> None:
    file = FileReport("a")
    file.add_completed_step("one", "a note", {"k": 1}).add_failed_step("two", "why", {"k": 2})
    file.add_skipped_step("three", "later", {"k": 3}).add_review_step(
        "four", "look", {"k": 4}, True
    )
    by_name = FileReport("b").add_completed_step(
        label="one", note="a note", metadata={"k": 1}, id="x"
    )

    assert [step.metadata for step in file.steps] == [{"k": n} for n in (1, 2, 3, 4)]
    assert [list(step.notes) for step in file.steps] == [["a note"], [], ["Skipped: later"], []]
    assert by_name.steps[-1].id == "x"
    assert isinstance(PipelineReport("p").add_completed_step("one"), StepReport)


@pytest.mark.parametrize(
    "call", ["start", "succeed", "fail", "skip", "end", "clear_review", "request_review"]
)
def test_what_changes_a_unit_returns_it(call: str) -> None:
    for unit in (StepReport("s"), FileReport("f")):
        assert getattr(unit, call)() is unit


def test_what_says_something_returns_the_unit_and_checks_and_progress_nothing() -> None:
    step, report = StepReport("s"), PipelineReport("p")

    assert step.note("a").warn("b").error("c") is step
    assert step.add_check("a", True) is None  # type: ignore[func-returns-value]
    assert report.set_progress("a", 1) is None  # type: ignore[func-returns-value]
    assert report.append_step(step) is report
    assert report.append_file(FileReport("a")) is report


A_REPORT, A_FILE = PipelineReport("p"), FileReport("p")


@pytest.mark.parametrize(
    ("make", "near"),
    [
        (lambda: PipelineReport("p", batchid=1), "batch_id"),
        (lambda: StepReport("s", metdata={}), "metadata"),
        (lambda: FileReport("s", percnt=1), "percent"),
        (
            lambda: pipeline_step(A_REPORT, "s", raise_on_exeption=True),
            "raise_on_exception",
        ),
        (lambda: pipeline_file(A_REPORT, "s", banner_stge="x"), "banner_stage"),
        (lambda: file_step(A_FILE, "s", capture_stream=True), "capture_streams"),
    ],
)
def test_an_unknown_option_is_a_type_error_that_names_the_nearest(make: Any, near: str) -> None:
    with pytest.raises(TypeError, match=f"do you mean {near}\\?"):
        make()


def test_nothing_warns_where_nothing_is_wrong() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pipeline_file(PipelineReport("p"), "a") as file, file_step(file, "s"):
            pass
