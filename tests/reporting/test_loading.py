"""What `model_validate` takes: dumps of such a unit in a version that is known, nothing else."""

import re
from typing import Any

import pytest

from observability import FileReport, PipelineReport, ReportBase, StepReport


class Score(ReportBase):
    """A kind of a user's own."""

    score: float = 0.0


class Other(ReportBase):
    """Another one."""


STEP = StepReport("s").succeed().model_dump(mode="json")
FILE = FileReport("a.csv").add_failed_step("x", "r").end().model_dump(mode="json")
BATCH = PipelineReport("p").model_dump(mode="json")
SCORE = Score("s").model_dump(mode="json")

# As pydantic models of the older package wrote them: fewer fields, times without microseconds.
OLDER_STEP = {
    "status": "succeeded",
    "percent": 100,
    "started_at": "2025-09-01T10:00:00Z",
    "finished_at": "2025-09-01T10:00:01.5Z",
    "notes": [],
    "errors": [],
    "warnings": [],
    "metadata": {"rows": 3},
    "review": {"flagged": True, "reason": None},
    "report_version": "v2",
    "label": "Load",
    "id": "load",
    "checks": [{"name": "there", "ok": True, "detail": None}],
    "duration_ms": 1500.0,
}
OLDER_FILE = {
    **{key: value for key, value in OLDER_STEP.items() if key not in {"id", "checks"}},
    "path": "in/a.csv",
    "file_id": None,
    "steps": [OLDER_STEP],
    "name": "a.csv",
    "n_steps": 1,
    "mime_type": "text/csv",
    "size_bytes": 4,
    "requires_human_review": True,
    "human_review_reason": "File-level review: Review requested",
}
OLDER_BATCH = {
    "label": "Nightly",
    "output_path": "reports/progress.json",
    "kind": "process",
    "stage": "load",
    "percent": 5,
    "message": "",
    "updated_at": "2025-09-01T10:00:01.500000Z",
    "report_version": "v2",
    "steps": [OLDER_STEP],
    "files": [OLDER_FILE],
    "status": "succeeded",
}


def test_what_the_older_package_wrote_is_loaded() -> None:
    batch = PipelineReport.model_validate(OLDER_BATCH)
    older = PipelineReport.model_validate({**OLDER_BATCH, "report_version": "v1"})

    assert (batch.status, batch.label, str(batch.output_path)) == (
        "succeeded",
        "Nightly",
        "reports/progress.json",
    )
    view = batch.model_dump(mode="json")
    assert {key: view["steps"][0][key] for key in OLDER_STEP} == OLDER_STEP
    assert older.model_dump() == batch.model_dump()
    assert FileReport.model_validate(OLDER_FILE).steps[0].duration_ms == 1500.0


def test_what_has_a_default_may_be_left_out() -> None:
    assert PipelineReport.model_validate({"label": "p"}).files == []
    assert PipelineReport.model_validate({"batch_id": 3}).label == "Batch 3"
    assert FileReport.model_validate({"path": "in/a"}).name == "a"
    assert StepReport.model_validate({"label": "s"}).status == "pending"
    assert Score.model_validate({"label": "s"}).score == 0.0
    assert ReportBase.model_validate(SCORE).model_dump(mode="json")["kind"] == "Score"


@pytest.mark.parametrize(
    ("kind", "view", "said"),
    [
        (PipelineReport, FILE, "got the dump of a file, want that of a batch"),
        (PipelineReport, STEP, "got the dump of a step, want that of a batch"),
        (PipelineReport, SCORE, "got the dump of a 'Score', want that of a batch"),
        (PipelineReport, {}, "label: missing, want the dump of a batch"),
        (FileReport, STEP, "got the dump of a step, want that of a file"),
        (FileReport, BATCH, "got the dump of a batch, want that of a file"),
        (FileReport, {"label": "f"}, "path: missing, want the dump of a file"),
        (StepReport, BATCH, "got the dump of a batch, want that of a step"),
        (StepReport, FILE, "got the dump of a file, want that of a step"),
        (StepReport, SCORE, "got the dump of a 'Score', want that of a step"),
        (StepReport, {"id": "s"}, "label: missing, want the dump of a step"),
        (Score, STEP, "got the dump of a step, want that of a 'Score'"),
        (Other, SCORE, "got the dump of a 'Score', want that of a 'Other'"),
        (PipelineReport, {**BATCH, "report_version": "v9"}, "report_version: got 'v9', want v1 or"),
        (PipelineReport, {**BATCH, "label": 3}, "label: got int, want str"),
        (PipelineReport, {**BATCH, "status": "nope"}, "status: got 'nope', want one of pending"),
        (PipelineReport, {**BATCH, "files": None}, "files: got NoneType, want list"),
        (PipelineReport, {**BATCH, "files": "abc"}, "files: got str, want list"),
        (PipelineReport, {**BATCH, "files": [{}]}, "files[0]: path: missing"),
        (PipelineReport, {**BATCH, "steps": [3]}, "steps: got int, want Mapping"),
        (PipelineReport, {**BATCH, "steps": [STEP, FILE]}, "steps[1]: got the dump of a file"),
        (
            PipelineReport,
            {**BATCH, "files": [{**FILE, "steps": [{}]}]},
            "files[0]: steps[0]: label",
        ),
        (
            PipelineReport,
            {**BATCH, "updated_at": "yesterday"},
            "updated_at: got 'yesterday', want a",
        ),
        (PipelineReport, {**BATCH, "output_path": 3}, "output_path: got int, want str"),
        (StepReport, {**STEP, "started_at": 5}, "started_at: got int, want str"),
        (StepReport, {**STEP, "duration_ms": "long"}, "duration_ms: got str, want int | float"),
        (StepReport, {**STEP, "percent": True}, "percent: got bool, want int"),
        (StepReport, {**STEP, "notes": None}, "notes: got NoneType, want list"),
        (StepReport, {**STEP, "report_version": "v3"}, "report_version: got 'v3'"),
    ],
)
def test_what_is_something_else_is_refused(kind: Any, view: dict[str, Any], said: str) -> None:
    """A file's dump was loaded as a batch, nothing as one without a name, version 9 as 2."""
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        kind.model_validate(view)
