"""How a unit begins, and where it stands.

Live reports (`observability.reporting`) call this with each event they make, a fold with each line
it reads.
"""

from typing import Any, Final

import msgspec

from replay.fold.report.base import FILE, PIPELINE, STEP, ReportBase
from replay.fold.report.file import FileReport
from replay.fold.report.pipeline import PipelineReport
from replay.fold.report.step import StepReport
from replay.fold.status import RUNNING
from replay.trace.events import Event, NodeSkipped, NodeStarted, UnitBegun

_KINDS: Final[dict[str, type[ReportBase]]] = {
    STEP: StepReport,
    FILE: FileReport,
    PIPELINE: PipelineReport,
}


def begun(event: UnitBegun | NodeStarted | NodeSkipped) -> ReportBase:
    """Return the state of a unit that begins; of a node, before what its event says of it."""
    if not isinstance(event, UnitBegun):
        return _begun_node(event)
    if event.state is not None:
        return _taken_over(event, event.state)
    if event.kind == STEP:
        state: ReportBase = StepReport(
            unit=event.unit, kind=STEP, id=event.id, label=event.label or "", fields=event.fields
        )
    elif event.kind == FILE:
        path = event.path or ""
        state = FileReport(
            unit=event.unit,
            kind=FILE,
            path=path,
            name=event.name or path.rpartition("/")[2],
            file_id=event.file_id,
            size_bytes=event.size_bytes,
            mime_type=event.mime_type,
            n_steps=event.n_steps,
            fields=event.fields,
        )
    elif event.kind == PIPELINE:
        state = PipelineReport(
            unit=event.unit,
            kind=PIPELINE,
            label=event.label or "",
            batch_id=event.batch_id,
            output_path=event.output_path,
            report_kind=event.report_kind or "process",
            updated_at=event.timestamp,
            fields=event.fields,
        )
    else:
        state = ReportBase(
            unit=event.unit,
            kind=event.kind,
            id=event.id,
            label=event.label or "",
            fields=event.fields,
        )
    if event.metadata:
        state.metadata = event.metadata
    if event.status == RUNNING:
        state.status = RUNNING
        state.started_at, state.began_us = event.timestamp, event.mono_us
    return state


def _begun_node(event: NodeStarted | NodeSkipped) -> StepReport:
    """Return the state of a node that is a step, pending."""
    return StepReport(
        unit=event.unit or "",
        kind=STEP,
        id=event.id,
        label=event.node_id or "",
        node_id=event.node_id,
        node_index=event.node_index,
    )


def _taken_over(event: UnitBegun, held: dict[str, Any]) -> ReportBase:
    """Return the state of a unit that began before it was recorded."""
    kind = _KINDS.get(event.kind, ReportBase)
    try:
        return msgspec.convert({**held, "unit": event.unit, "kind": event.kind}, kind)
    except msgspec.ValidationError:
        return kind(unit=event.unit, kind=event.kind, label=event.label or "")


def fits(parent: ReportBase, state: ReportBase) -> bool:
    """Return whether *state* may stand in *parent*: files in a batch, others in either."""
    inner, outer = type(state), type(parent)
    if inner is PipelineReport:
        return False
    return outer is PipelineReport or (outer is FileReport and inner is not FileReport)


def place(parent: ReportBase, state: ReportBase, event: Event) -> None:
    """Make *state* the last of *parent*'s units, files by themselves."""
    if type(parent) is PipelineReport:
        parent.updated_at = event.timestamp
        if type(state) is FileReport:
            parent.files.append(state)
        else:
            parent.steps.append(state)
    elif type(parent) is FileReport:
        parent.steps.append(state)
    else:
        return
    parent.tally[state.status] = parent.tally.get(state.status, 0) + 1
