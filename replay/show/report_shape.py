"""What a report looks like as JSON: its keys, their types, and what they mean.

`replay.fold.run_report` builds the report; here its shape is declared, for the JSON Schema and for
programs that want it typed: `msgspec.json.decode(data, type=Report)`.  A test holds the two
together.  The rules behind the values are in docs/reading.md.
"""

from typing import Any

import msgspec

from replay.fold.status import Status
from replay.show.unit_shape import (
    CheckView,
    FileView,
    OtherUnitView,
    ReportHead,
    ReviewView,
    RunStepView,
)
from replay.trace.events import Environment, ResourceUsage, Seconds


class FilePosition(msgspec.Struct, kw_only=True):
    """How far one file was read for the run.

    Attributes:
        path: Relative to OUT.
        seq: Of the run's last line there.
        hash: Of that line; empty in the older layout.
    """

    path: str
    seq: int
    hash: str


class MessageView(msgspec.Struct, kw_only=True):
    """Something said about the run or a node.

    Attributes:
        timestamp: When.
        level: `note`, `warning` or `error`.
        text: What was said.
        node_id: The node, where none of that id had begun.
        node_index: Likewise.
        author: The person who said it, after the fact.
        logger: Of a record of the program's logging: who said it.
        level_name: Of such a record: its level as the program calls it.
        occurred_at: Of such a record: when it was said.
        error: Of an exception: its text.
        error_type: Of an exception: its class.
        traceback: Of an exception.
        category: Of a warning of Python: its class.
        place: Of such a warning: `file:line`.
        extra: Of a record: what was said beside the text.
        omitted: What of that has no JSON form.
    """

    timestamp: str
    level: str
    text: str
    node_id: str | msgspec.UnsetType | None = msgspec.UNSET
    node_index: int | msgspec.UnsetType | None = msgspec.UNSET
    author: str | msgspec.UnsetType = msgspec.UNSET
    logger: str | msgspec.UnsetType = msgspec.UNSET
    level_name: str | msgspec.UnsetType = msgspec.UNSET
    occurred_at: str | msgspec.UnsetType = msgspec.UNSET
    error: str | msgspec.UnsetType = msgspec.UNSET
    error_type: str | msgspec.UnsetType = msgspec.UNSET
    traceback: str | msgspec.UnsetType = msgspec.UNSET
    category: str | msgspec.UnsetType = msgspec.UNSET
    place: str | msgspec.UnsetType = msgspec.UNSET
    extra: Any | msgspec.UnsetType = msgspec.UNSET
    omitted: list[str] | msgspec.UnsetType = msgspec.UNSET


class OutputView(msgspec.Struct, kw_only=True):
    """A file or directory that a node made.

    Attributes:
        path: Relative to OUT where it is below it.
        size: In bytes; null if it was not known.
        digest: `sha256:` and 64 hex digits; null if it was not known.
        kind: `file` or `directory`.
    """

    path: str
    size: int | None
    digest: str | None
    kind: str


class RunOutputView(OutputView, kw_only=True):
    """A file or directory that the run made, with its node.

    Attributes:
        node_id: The node that made it.
        node_index: Likewise.
    """

    node_id: str | None
    node_index: int | None


class ResultView(msgspec.Struct, kw_only=True):
    """A value that a node returned.

    Attributes:
        digest: Of the value's RFC 8785 form.
        size: Of that form in bytes.
        value: The value; left out above 64 KiB.
    """

    digest: str
    size: int
    value: Any | msgspec.UnsetType = msgspec.UNSET


class RetryView(msgspec.Struct, kw_only=True):
    """A retry that was announced.

    Attributes:
        timestamp: When.
        attempt: Number of the attempt that failed.
        max_attempts: Of how many.
        delay_seconds: The wait before the next one.
        error: Why it failed.
    """

    timestamp: str
    attempt: int
    max_attempts: int | None
    delay_seconds: float | None
    error: str | None


class CapturedView(msgspec.Struct, kw_only=True):
    """What a program printed.

    Attributes:
        stream: `stdout`, `stderr` or `terminal`.
        size: In bytes; null if it was not known.
        truncated: Whether the trace has only a part of it.
        binary: Whether it was no text.
        path: The file that has all of it, or null.
        digest: Of what was written there.
        tail: Its last lines; null where the trace has no text.
    """

    stream: str
    size: int | None
    truncated: bool
    binary: bool
    path: str | None
    digest: str | None
    tail: str | None


class AttemptView(msgspec.Struct, kw_only=True):
    """One attempt of a node.

    Attributes:
        started_at: Null if its start is not in the trace.
        ended_at: Null if its end is not.
        duration_seconds: Of an open attempt up to the run's last event.
        status: How it ended.
        error: Its error as text.
        error_type: The error's class.
        traceback: As the program gave it.
        pid: The process.
        writer: The writer.
        resource: What it used, where that was recorded.
        command: The program that it ran, with its arguments.
        variables: Variables of that program's environment that were recorded.
        exit_status: What that program returned.
        signal: What ended it, if it did not return.
        inputs: What it was to read.
        captured: What it printed.
    """

    started_at: str | None
    ended_at: str | None
    duration_seconds: Seconds | None
    status: Status
    error: str | None
    error_type: str | None
    traceback: str | None
    pid: int
    writer: str
    resource: ResourceUsage | msgspec.UnsetType | None = msgspec.UNSET
    command: list[str] | msgspec.UnsetType = msgspec.UNSET
    variables: dict[str, str | None] | msgspec.UnsetType = msgspec.UNSET
    exit_status: int | msgspec.UnsetType = msgspec.UNSET
    signal: str | msgspec.UnsetType = msgspec.UNSET
    inputs: list[OutputView] | msgspec.UnsetType = msgspec.UNSET
    captured: list[CapturedView] | msgspec.UnsetType = msgspec.UNSET


class NodeView(msgspec.Struct, kw_only=True):
    """One node, by its last attempt.

    Attributes:
        node_id: Its name.
        node_index: Its index as the program gave it.
        status: Of its last attempt.
        started_at: Start of the first attempt.
        ended_at: End of the last attempt.
        duration_seconds: Of the last attempt.
        error: Of the last attempt.
        reason: Why it was skipped.
        reopened: It ended more often than it started.
        output_hash: As the program gave it, of the attempt that succeeded last.
        output_summary: Likewise.
        resource: What the last attempt used, where that was recorded.
        attempts: In order; the last one counts.
        outputs: Files and directories that it made.
        results: Values that it returned.
        messages: What was said about it.
        retries: What was announced.
        checks: What was checked, where anything was; one that failed changes no status.
        review: Whether somebody should look at it, where that was asked for.
        unit: The step that it is, where it is one; what is said of the node stands there.
        report: The unit of the report that this step stands in, or null.
    """

    node_id: str | None
    node_index: int | None
    status: Status
    started_at: str | None
    ended_at: str | None
    duration_seconds: Seconds | None
    error: str | None
    reason: str | None
    reopened: bool
    output_hash: str | None
    output_summary: Any
    resource: ResourceUsage | msgspec.UnsetType | None = msgspec.UNSET
    attempts: list[AttemptView]
    outputs: list[OutputView]
    results: list[ResultView]
    messages: list[MessageView]
    retries: list[RetryView]
    checks: list[CheckView] | msgspec.UnsetType = msgspec.UNSET
    review: ReviewView | msgspec.UnsetType = msgspec.UNSET
    unit: str | msgspec.UnsetType = msgspec.UNSET
    report: str | msgspec.UnsetType | None = msgspec.UNSET


class Report(msgspec.Struct, kw_only=True):
    """The report of a run: `report_XX.json`, `auditfold show --json`.

    Attributes:
        run_id: The run.
        status: `running`, `succeeded`, `failed` or `interrupted`.
        liveness: Whether the status is `checked`, or `assumed` because its process is elsewhere.
        workflow_id: What was running.
        step_number: The digits of `step_NN` in the workflow id, else `00`.
        started_at: Timestamp of its first event.
        ended_at: Timestamp of its terminal event.
        duration_seconds: As the terminal event has it, else up to the last event.
        pid: The process that began it.
        total_nodes: As announced.
        nodes_completed: Nodes whose last attempt succeeded.
        nodes_failed: Nodes whose last attempt failed.
        nodes_skipped: Nodes that were skipped.
        nodes_unfinished: Nodes that have begun and not ended.
        error: Of a `workflow_error`.
        error_type: Likewise.
        traceback: Likewise.
        cumulative_cost_usd: As the terminal event has it; text where JSON has no such number.
        warnings: Number of messages of this level.
        errors: Number of messages of this level.
        events_dropped: Events that could not be written, as `gap` events say.
        log_file: The step's log, relative to OUT.
        trace_file: The trace that the run begins in, relative to OUT.
        position: How far each file was read.
        messages: What was said about the run, and about nodes that had not begun.
        outputs: Files and directories that the run made.
        results: Values that no node returned.
        environment: What the run met where it began, where that was recorded.
        reports: The program's own reports, without what stands in them.
        units: Units of kinds of the program's own.
        steps: Steps of these reports, and steps that stand in nothing.
        files: Files with their steps.
        nodes: In the order in which they came.
    """

    run_id: str
    status: Status
    liveness: str
    workflow_id: str
    step_number: str
    started_at: str
    ended_at: str | None
    duration_seconds: float
    pid: int
    total_nodes: int | None
    nodes_completed: int
    nodes_failed: int
    nodes_skipped: int
    nodes_unfinished: int
    error: str | None
    error_type: str | None
    traceback: str | None
    cumulative_cost_usd: float | str
    warnings: int
    errors: int
    events_dropped: int
    log_file: str | None
    trace_file: str
    position: list[FilePosition]
    messages: list[MessageView]
    outputs: list[RunOutputView]
    results: list[ResultView]
    environment: Environment | msgspec.UnsetType = msgspec.UNSET
    reports: list[ReportHead]
    units: list[OtherUnitView]
    steps: list[RunStepView]
    files: list[FileView]
    nodes: list[NodeView]
