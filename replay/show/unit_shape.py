"""What the reports, files and steps of a program look like in the report of a run.

`replay.fold.report.views` makes them; here their shape is declared, for `replay.show.report_shape`.
Fields: docs/reports.md, "JSON".
"""

from typing import Any

import msgspec

from replay.fold.status import Status


class ReviewView(msgspec.Struct, kw_only=True):
    """Whether somebody should look at a unit, and what was decided.

    Attributes:
        flagged: Whether it was asked for.
        reason: Why.
        open: Whether somebody has to look still, once something was decided about it, or about
            the steps that a file has its flag of.
        requested_at: When it was asked for last; this and the rest only once it was decided.
        decision: `approved`, `rejected` or `reopened`.
        reviewer: Who decided.
        note: Why, as the reviewer said it.
        decided_at: When.
        digest: Of what was looked at.
        stale: It has changed since.
    """

    flagged: bool
    reason: str | None
    open: bool | msgspec.UnsetType = msgspec.UNSET
    requested_at: str | msgspec.UnsetType | None = msgspec.UNSET
    decision: str | msgspec.UnsetType = msgspec.UNSET
    reviewer: str | msgspec.UnsetType = msgspec.UNSET
    note: str | msgspec.UnsetType | None = msgspec.UNSET
    decided_at: str | msgspec.UnsetType = msgspec.UNSET
    digest: str | msgspec.UnsetType = msgspec.UNSET
    stale: bool | msgspec.UnsetType = msgspec.UNSET


class RemarkView(msgspec.Struct, kw_only=True):
    """What a person said after the fact.

    Attributes:
        timestamp: When.
        author: Who.
        text: What.
    """

    timestamp: str
    author: str
    text: str


class CheckView(msgspec.Struct, kw_only=True):
    """One thing that was checked.

    Attributes:
        name: What.
        ok: Whether it held.
        detail: What was found.
    """

    name: str
    ok: bool
    detail: Any


class UnitView(msgspec.Struct, kw_only=True):
    """What units of all kinds have.

    Attributes:
        label: What people call it.
        status: How it stands.
        percent: How far it is, 0 to 100.
        started_at: Null if it has not started.
        finished_at: Null if it has not ended.
        duration_ms: Of an open unit up to the run's last event; null if it is not known.
        notes: What was noted.
        warnings: What was warned of.
        errors: What failed.
        metadata: As the program gave it.
        review: Whether somebody should look at it, and what was decided.
        remarks: What people said of it after the fact, where they did.
        reopened: It ended more often than it started.
        report_version: Version of this form.
    """

    label: str
    status: Status
    percent: int
    started_at: str | None
    finished_at: str | None
    duration_ms: float | None
    notes: list[str]
    warnings: list[str]
    errors: list[str]
    metadata: dict[str, Any]
    review: ReviewView
    remarks: list[RemarkView] | msgspec.UnsetType = msgspec.UNSET
    reopened: bool
    report_version: str


class StepView(UnitView, kw_only=True):
    """A step.

    Attributes:
        id: Its id.
        checks: What was checked.
        node_id: The node that it is, if it is one.
        node_index: That node's index.
    """

    id: str | None
    checks: list[CheckView]
    node_id: str | msgspec.UnsetType = msgspec.UNSET
    node_index: int | msgspec.UnsetType | None = msgspec.UNSET


class FileView(UnitView, kw_only=True):
    """A file with its steps.

    Attributes:
        unit: The unit, as events name it.
        report: The unit of the report that it stands in, or null.
        file_id: Its id.
        path: Where it is.
        name: Its name.
        size_bytes: Its size when it was begun; null if it was not there.
        mime_type: Guessed by its name.
        n_steps: Number of its steps.
        planned_steps: How many there were to be; null if that was not said.
        requires_human_review: Whether it or a step of it is flagged and awaits a decision.
        human_review_reason: Why.
        steps: Its steps.
    """

    unit: str
    report: str | None
    file_id: str | None
    path: str
    name: str
    size_bytes: int | None
    mime_type: str | None
    n_steps: int
    planned_steps: int | None
    requires_human_review: bool
    human_review_reason: str | None
    steps: list[StepView]


class RunStepView(StepView, kw_only=True):
    """A step of a batch, or one that stands in nothing.

    Attributes:
        unit: The unit, as events name it.
        report: The unit of the report that it stands in, or null.
    """

    unit: str
    report: str | None


class OtherUnitView(UnitView, kw_only=True):
    """A unit of a kind of the program's own; what else it has stands beside these.

    Attributes:
        unit: The unit, as events name it.
        report: Null: it stands in nothing.
        kind: Its kind.
        id: Its id.
    """

    unit: str
    report: str | None
    kind: str
    id: str | None


class ReportHead(msgspec.Struct, kw_only=True):
    """A report of the program's own, without its steps and files.

    Attributes:
        unit: The unit, as events name it.
        label: What people call it.
        batch_id: As the program gave it.
        kind: Of the report.
        status: Of what stands in it.
        stage: What is being done.
        percent: How far it is, 0 to 100.
        message: What was said last.
        updated_at: When.
        output_path: Where the program saves it.
        report_version: Version of this form.
    """

    unit: str
    label: str
    batch_id: int | str | None
    kind: str
    status: Status
    stage: str
    percent: int
    message: str
    updated_at: str | None
    output_path: str | None
    report_version: str
