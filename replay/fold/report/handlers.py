"""What each event means for a unit: one handler an event type.

`apply` is the whole meaning of an event for a unit.  Live reports (`observability.reporting`) call
it with each event they make, a fold with each line it reads, so both hold the same.  Every handler
takes any event in any order.  How a unit begins: `replay.fold.report.beginning`.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from replay.fold.report.base import ALL, ReportBase, Tally
from replay.fold.report.beginning import fits, place
from replay.fold.report.file import FileReport
from replay.fold.report.pipeline import PipelineReport
from replay.fold.report.step import Check, StepReport
from replay.fold.reviews import NO_REVIEW, ReviewFlag, Reviewing, decided, remarked
from replay.fold.status import FAILED, RUNNING, SKIPPED, STATUSES, SUCCEEDED, TERMINAL
from replay.trace.events import (
    Captured,
    CheckMade,
    Event,
    ExceptionRaised,
    Message,
    MetadataChanged,
    NodeFailed,
    NodeSkipped,
    NodeStarted,
    NodeSucceeded,
    ProgressSet,
    ReviewCleared,
    ReviewRequested,
    ReviewResolved,
    UnitAttached,
    UnitEdited,
    UnitStatusSet,
)

_KNOWN_STATUS: Final = {status: status for status in STATUSES}  # one text each, however many events


def on_unit_status(state: ReportBase, event: UnitStatusSet, parent: ReportBase | None) -> None:
    """It starts or ends; the later of several ends is kept, and said to be one."""
    status = _KNOWN_STATUS.get(event.status)
    if status is None:
        return
    if state.status in TERMINAL:
        state.reopened = True
    _set_status(state, status, event, parent)


def _set_status(state: ReportBase, status: str, event: Event, parent: ReportBase | None) -> None:
    before = state.status
    if before in TERMINAL and status not in TERMINAL and state.percent == ALL:
        state.percent = 0
    if type(parent) is FileReport:
        _move(parent.tally, before, status)
    elif type(parent) is PipelineReport:
        _move(parent.tally, before, status)
        parent.updated_at = event.timestamp
    state.status = status
    state.kept_ms = None
    if status in TERMINAL:
        state.finished_at, state.ended_us = event.timestamp, event.mono_us
        if status == SUCCEEDED:
            state.percent = ALL
        return
    state.finished_at = state.ended_us = None
    if status == RUNNING and state.started_at is None:
        state.started_at, state.began_us = event.timestamp, event.mono_us


def _move(tally: Tally, before: str, status: str) -> None:
    tally[before] = tally.get(before, 0) - 1
    tally[status] = tally.get(status, 0) + 1


def on_node_start(state: ReportBase, event: NodeStarted, parent: ReportBase | None) -> None:
    """An attempt begins; what an earlier one failed of is no error of the step any more."""
    if isinstance(state, StepReport) and state.failed_of is not None:
        failed_of, state.failed_of = state.failed_of, None
        if state.errors and failed_of in state.errors:
            # Not `errors.remove`: see `_with`.
            list.remove(state.errors, failed_of)
        say(state, "warning", failed_of)
    _set_status(state, RUNNING, event, parent)


def on_node_success(state: ReportBase, event: NodeSucceeded, parent: ReportBase | None) -> None:
    """The node that is this step ends well."""
    _end_node(state, SUCCEEDED, event, parent)


def on_node_failure(state: ReportBase, event: NodeFailed, parent: ReportBase | None) -> None:
    """It fails, and why is an error of the step."""
    error = f"{event.error_type}: {event.error}" if event.error_type else event.error
    if isinstance(state, StepReport):
        state.failed_of = error
    say(state, "error", error)
    _end_node(state, FAILED, event, parent)


def on_node_skipped(state: ReportBase, event: NodeSkipped, parent: ReportBase | None) -> None:
    """It is not run, or not again; the reason is a note, as where a step is skipped."""
    if event.reason:
        say(state, "note", f"Skipped: {event.reason}")
    _end_node(state, SKIPPED, event, parent)


def _end_node(state: ReportBase, status: str, event: Event, parent: ReportBase | None) -> None:
    """End an attempt: attempts follow each other, so only an end behind an end reopens."""
    if state.status in TERMINAL:
        state.reopened = True
    _set_status(state, status, event, parent)


def on_unit_attached(state: ReportBase, event: UnitAttached, parent: ReportBase | None) -> None:
    """It becomes one of *parent*'s."""
    state.id = event.id or state.id
    if parent is not None and fits(parent, state):
        place(parent, state, event)


def on_message(state: ReportBase, event: Message, _: ReportBase | None) -> None:
    """What was said stands with what was said before at that level; what a person says, apart.

    A list of the program's is replaced as a whole when it is changed, and it knows no remarks.
    """
    if event.author is not None:
        state.reviewing = remarked(state.reviewing, event)
        return
    say(state, event.level, event.text)


def say(state: ReportBase, level: str, text: str) -> None:
    """Add a message."""
    if level == "note":
        state.notes = _with(state.notes, text)
    elif level == "warning":
        state.warnings = _with(state.warnings, text)
    elif level == "error":
        state.errors = _with(state.errors, text)


def on_check(state: ReportBase, event: CheckMade, _: ReportBase | None) -> None:
    """A check stands behind the earlier ones."""
    if isinstance(state, StepReport):
        state.checks = _with(state.checks, Check(event.name, event.ok, event.detail))


def on_metadata(state: ReportBase, event: MetadataChanged, _: ReportBase | None) -> None:
    """Keys go, then keys are set."""
    for key in event.deleted or ():
        if state.metadata is not None and key in state.metadata:
            dict.__delitem__(state.metadata, key)
    if event.patch:
        _patch(state, event.patch)


def on_progress(state: ReportBase, event: ProgressSet, _: ReportBase | None) -> None:
    """The banner says something else."""
    state.percent = min(max(event.percent, 0), ALL)
    if isinstance(state, PipelineReport):
        state.stage, state.message = event.stage, event.text
        state.updated_at = event.timestamp


def on_review_requested(state: ReportBase, event: ReviewRequested, _: ReportBase | None) -> None:
    """Somebody should look at it."""
    state.review = ReviewFlag(flagged=True, reason=event.reason)
    state.reviewing = state.reviewing or Reviewing()
    state.reviewing.requested_at = event.timestamp


def on_review_cleared(state: ReportBase, _: ReviewCleared, __: ReportBase | None) -> None:
    """Nobody needs to look at it."""
    state.review = NO_REVIEW


def on_review_resolved(state: ReportBase, event: ReviewResolved, _: ReportBase | None) -> None:
    """Somebody has decided."""
    state.reviewing = decided(state.reviewing, event)


def on_exception(state: ReportBase, event: ExceptionRaised, _: ReportBase | None) -> None:
    """An exception is an error, and its traceback is metadata."""
    say(state, "error", f"{event.error_type}: {event.error}")
    if event.traceback is not None:
        _patch(state, {"traceback": event.traceback})


def on_captured(state: ReportBase, event: Captured, _: ReportBase | None) -> None:
    """What was written is metadata under the stream's name."""
    _patch(state, {event.stream: event.text if event.lines is None else event.lines})


def on_edited(state: ReportBase, event: UnitEdited, _: ReportBase | None) -> None:
    """A field gets another value; one that its kind does not have, or of a wrong type, does not."""
    name = event.field
    if name.startswith("."):
        state.fields = {} if state.fields is None else state.fields
        state.fields[name[1:]] = event.value
        return
    kind = _EDITABLE.get(name)
    if kind is None or not hasattr(state, name):
        return
    try:
        value = msgspec.convert(event.value, kind)
    except msgspec.ValidationError:
        return
    before = getattr(state, name)
    if isinstance(before, list) and isinstance(value, list):
        # In place: a live list that somebody holds goes on being the unit's.
        list.__setitem__(before, slice(None), value)
        return
    setattr(state, name, value)
    if name in {"started_at", "finished_at"}:
        # From here on the duration goes by the timestamps.
        state.began_us = state.ended_us = state.kept_ms = None


HANDLERS: Final[dict[type, Callable[[Any, Any, Any], None]]] = {
    UnitStatusSet: on_unit_status,
    UnitAttached: on_unit_attached,
    NodeStarted: on_node_start,
    NodeSucceeded: on_node_success,
    NodeFailed: on_node_failure,
    NodeSkipped: on_node_skipped,
    Message: on_message,
    CheckMade: on_check,
    MetadataChanged: on_metadata,
    ProgressSet: on_progress,
    ReviewRequested: on_review_requested,
    ReviewCleared: on_review_cleared,
    ReviewResolved: on_review_resolved,
    ExceptionRaised: on_exception,
    Captured: on_captured,
    UnitEdited: on_edited,
}

_Texts: TypeAlias = list[str] | None
# What `edited` may set, and to what.
_EDITABLE: Final[dict[str, Any]] = {
    "label": str,
    "id": str | None,
    "percent": int,
    "started_at": str | None,
    "finished_at": str | None,
    "notes": _Texts,
    "warnings": _Texts,
    "errors": _Texts,
    "checks": list[Check] | None,
    "path": str,
    "name": str,
    "file_id": str | None,
    "size_bytes": int | None,
    "mime_type": str | None,
    "n_steps": int | None,
    "batch_id": int | str | None,
    "report_kind": str,
    "stage": str,
    "message": str,
    "output_path": str | None,
}


def apply(state: ReportBase, event: Event, parent: ReportBase | None = None) -> None:
    """Change *state* by *event*, an event of its unit.

    Args:
        state: The unit.
        event: Any event behind its `unit_begin`.
        parent: What the unit stands in, whose tally follows; with `unit_attached`, what it joins.
    """
    handler = HANDLERS.get(type(event))
    if handler is not None:
        handler(state, event, parent)


def _with(items: Any, item: Any) -> Any:
    if items is None:
        return [item]
    # Not `items.append`: a live list records what it is asked, and this is what was recorded.
    list.append(items, item)
    return items


def _patch(state: ReportBase, patch: dict[str, Any]) -> None:
    if state.metadata is None:
        state.metadata = dict(patch)
    else:
        dict.update(state.metadata, patch)
