"""Reports, files and steps as pydantic models: what `snapshot` of a live report returns.

They are made of the JSON that `replay.fold.report.views` describes, when somebody asks; nothing
else imports this module, because pydantic is slow to load.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Status = Literal["pending", "running", "succeeded", "failed", "skipped", "interrupted"]


class _Snapshot(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class CheckSnapshot(_Snapshot):
    """One thing that was checked."""

    name: str
    ok: bool
    detail: str | None = None


class ReviewSnapshot(_Snapshot):
    """Whether somebody should look at it."""

    flagged: bool = False
    reason: str | None = None


class UnitSnapshot(_Snapshot):
    """What steps, files and units of other kinds have; more of it as extra fields."""

    label: str
    id: str | None = None
    status: Status
    percent: int
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: float | None
    notes: list[str]
    warnings: list[str]
    errors: list[str]
    metadata: dict[str, Any]
    review: ReviewSnapshot
    reopened: bool = False
    report_version: str


class StepSnapshot(UnitSnapshot):
    """A step; with the node that it is, if it is one."""

    checks: list[CheckSnapshot] = []
    node_id: str | None = None
    node_index: int | None = None


class FileSnapshot(UnitSnapshot):
    """A file with its steps."""

    file_id: str | None
    path: Path
    name: str
    size_bytes: int | None
    mime_type: str | None
    n_steps: int
    planned_steps: int | None = None
    requires_human_review: bool
    human_review_reason: str | None
    steps: list[StepSnapshot]


class PipelineSnapshot(_Snapshot):
    """A batch with its steps and files."""

    label: str
    batch_id: int | str | None
    kind: str
    status: Status
    stage: str
    percent: int
    message: str
    updated_at: datetime | None
    output_path: Path | None
    report_version: str
    steps: list[StepSnapshot]
    files: list[FileSnapshot]
