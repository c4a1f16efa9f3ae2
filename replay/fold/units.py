"""Reports, files and steps as states: what the events of a unit add up to.

`apply` is the whole meaning of an event for a unit.  Live reports (`observability.reporting`) call
it with each event they make, a fold with each line it reads, so both hold the same.  Nothing here
reads a clock or a disk, and every handler takes any event in any order.  What a unit looks like
as JSON is `replay.fold.unit_views`; the rules are in docs/reports.md.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

import msgspec

from replay.fold.reviews import Reviewing, decided, remarked
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
    UnitBegun,
    UnitEdited,
    UnitStatusSet,
)

PENDING: Final = "pending"
RUNNING: Final = "running"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"
STATUSES: Final = (PENDING, RUNNING, SUCCEEDED, FAILED, SKIPPED)
TERMINAL: Final = frozenset({SUCCEEDED, FAILED, SKIPPED})
_KNOWN_STATUS: Final = {status: status for status in STATUSES}  # one text each, however many events

PIPELINE: Final = "pipeline"
FILE: Final = "file"
STEP: Final = "step"

_ALL: Final = 100  # percent


class Check(msgspec.Struct, frozen=True, gc=False):
    """One thing that was checked, and how that went."""

    name: str
    ok: bool
    detail: str | None = None


class ReviewFlag(msgspec.Struct, frozen=True, gc=False):
    """Whether somebody should look at a unit, and why."""

    flagged: bool = False
    reason: str | None = None


NO_REVIEW: Final = ReviewFlag()


Tally: TypeAlias = dict[str, int]
"""How many of a unit's own units have each status; none of what is not there."""


class UnitState(msgspec.Struct, gc=False, kw_only=True):
    """What a unit of any kind has.

    Attributes:
        unit: Its id in the trace.
        kind: `step`, `file`, `pipeline`, or the name of a kind of the user's own.
        label: Its name for people.
        id: Its name among its siblings.
        status: As last set.
        percent: As last set, 0 to 100.
        started_at: Timestamp of its start.
        finished_at: Timestamp of its end, None while it runs.
        began_us: CLOCK_MONOTONIC of the start, None where that is not known any more.
        ended_us: The same of the end.
        kept_ms: The duration of a unit that was loaded, whose clock is gone.
        reopened: It went on, or was ended again, after its end.
        notes: None until there is one; like the other lists.
        reviewing: When a review was asked for, what was decided, remarks; None without any.
        fields: What a kind of the user's own has besides.
    """

    unit: str
    kind: str
    label: str = ""
    id: str | None = None
    status: str = PENDING
    percent: int = 0
    started_at: str | None = None
    finished_at: str | None = None
    began_us: int | None = None
    ended_us: int | None = None
    kept_ms: float | None = None
    reopened: bool = False
    notes: list[str] | None = None
    warnings: list[str] | None = None
    errors: list[str] | None = None
    metadata: dict[str, Any] | None = None
    review: ReviewFlag = NO_REVIEW
    reviewing: Reviewing | None = None
    fields: dict[str, Any] | None = None

    @property
    def ok(self) -> bool:
        """Whether it would succeed if it ended now; it changes nothing."""
        if self.status == FAILED or self.errors:
            return False
        return self.status == SUCCEEDED or self.parts_ok

    @property
    def parts_ok(self) -> bool:
        """Whether what it consists of is as it should be."""
        return True


class StepState(UnitState, gc=False, kw_only=True):
    """A step.

    Attributes:
        checks: None until there is one.
        node_id: The node that it is, if it is one.
        node_index: That node's index.
        failed_of: What that node's last attempt failed of, as it stands among the errors.
    """

    checks: list[Check] | None = None
    node_id: str | None = None
    node_index: int | None = None
    failed_of: str | None = None

    @property
    def parts_ok(self) -> bool:
        """Whether no check has failed."""
        return all(check.ok for check in self.checks or ())


class FileState(UnitState, gc=False, kw_only=True):
    """A file with its steps.

    Attributes:
        path: As the program gave it.
        name: As the program gave it, or the last part of the path.
        file_id: As the program gave it.
        size_bytes: As of its beginning.
        mime_type: By the name's extension, as of its beginning.
        n_steps: How many steps there will be, where that is known.
        steps: In the order in which they began.
        tally: Their statuses.
    """

    path: str = ""
    name: str = ""
    file_id: str | None = None
    size_bytes: int | None = None
    mime_type: str | None = None
    n_steps: int | None = None
    steps: "list[AnyState]" = msgspec.field(default_factory=list)
    tally: Tally = msgspec.field(default_factory=dict)

    @property
    def parts_ok(self) -> bool:
        """Whether every step is."""
        return all(step.ok for step in self.steps)


class PipelineState(UnitState, gc=False, kw_only=True):
    """A batch: its banner, its steps and its files.

    Attributes:
        batch_id: As the program gave it.
        report_kind: `validation`, `process` or `test`.
        stage: Of the banner.
        message: Of the banner.
        updated_at: When the banner, a step or a file last changed.
        output_path: Where the program saves it.
        steps: The batch's own, in the order in which they began.
        files: Likewise.
        tally: The statuses of both.
    """

    batch_id: int | str | None = None
    report_kind: str = "process"
    stage: str = ""
    message: str = ""
    updated_at: str | None = None
    output_path: str | None = None
    steps: "list[AnyState]" = msgspec.field(default_factory=list)
    files: "list[AnyState]" = msgspec.field(default_factory=list)
    tally: Tally = msgspec.field(default_factory=dict)


AnyState: TypeAlias = UnitState
Parent: TypeAlias = FileState | PipelineState

_KINDS: Final[dict[str, type[UnitState]]] = {
    STEP: StepState,
    FILE: FileState,
    PIPELINE: PipelineState,
}


# --- How a unit stands


def rollup(state: PipelineState, *, running_as: str = RUNNING) -> str:
    """Return the status of a batch: that of its steps and files together.

    Args:
        state: The batch.
        running_as: What is said of it while something in it runs.
    """
    tally = state.tally.get
    total = sum(state.tally.values())
    if not total:
        return PENDING
    if tally(FAILED, 0):
        return FAILED
    if tally(RUNNING, 0):
        return running_as
    if tally(SKIPPED, 0) == total:
        return SKIPPED
    return PENDING if tally(PENDING, 0) else SUCCEEDED


def percent(state: UnitState) -> int:
    """Return how far a unit is: a file by its steps, of those planned where that is known."""
    if type(state) is not FileState or state.status == SUCCEEDED:
        return state.percent
    total = max(len(state.steps), state.n_steps or 0)
    if not total:
        return state.percent
    finished = sum(state.tally.get(status, 0) for status in TERMINAL)
    return int(_ALL * finished / total + 0.5)


def failure_reasons(state: UnitState) -> list[str]:
    """Return what a unit that ends as it stands has failed of, besides its own errors."""
    known = set(state.errors or ())
    if isinstance(state, StepState):
        failed = [check for check in state.checks or () if not check.ok]
        reasons = [check.detail or f"Check {check.name!r} failed" for check in failed]
    elif isinstance(state, FileState):
        bad = [step for step in state.steps if not step.ok]
        reasons = ["; ".join(step.errors or ()) or _why_not(step) for step in bad]
    else:
        return []
    return [reason for reason in reasons if reason not in known]


def _why_not(step: UnitState) -> str:
    reasons = "; ".join(failure_reasons(step))
    return reasons or f"Step {step.id!r} failed"


# --- One handler an event type


def begun(event: UnitBegun | NodeStarted | NodeSkipped) -> UnitState:
    """Return the state of a unit that begins; of a node, before what its event says of it."""
    if not isinstance(event, UnitBegun):
        return _begun_node(event)
    if event.state is not None:
        return _taken_over(event, event.state)
    if event.kind == STEP:
        state: UnitState = StepState(
            unit=event.unit, kind=STEP, id=event.id, label=event.label or "", fields=event.fields
        )
    elif event.kind == FILE:
        path = event.path or ""
        state = FileState(
            unit=event.unit,
            kind=FILE,
            path=path,
            name=event.name or path.rpartition("/")[2],
            file_id=event.file_id,
            size_bytes=event.size_bytes,
            mime_type=event.mime_type,
            n_steps=event.n_steps,
        )
    elif event.kind == PIPELINE:
        state = PipelineState(
            unit=event.unit,
            kind=PIPELINE,
            label=event.label or "",
            batch_id=event.batch_id,
            output_path=event.output_path,
            report_kind=event.report_kind or "process",
            updated_at=event.timestamp,
        )
    else:
        state = UnitState(
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


def _begun_node(event: NodeStarted | NodeSkipped) -> StepState:
    """Return the state of a node that is a step, pending."""
    return StepState(
        unit=event.unit or "",
        kind=STEP,
        id=event.id,
        label=event.node_id or "",
        node_id=event.node_id,
        node_index=event.node_index,
    )


def _taken_over(event: UnitBegun, held: dict[str, Any]) -> UnitState:
    """Return the state of a unit that began before it was recorded."""
    kind = _KINDS.get(event.kind, UnitState)
    try:
        return msgspec.convert({**held, "unit": event.unit, "kind": event.kind}, kind)
    except msgspec.ValidationError:
        return kind(unit=event.unit, kind=event.kind, label=event.label or "")


def fits(parent: UnitState, state: UnitState) -> bool:
    """Return whether *state* may stand in *parent*: files in a batch, others in either."""
    inner, outer = type(state), type(parent)
    if inner is PipelineState:
        return False
    return outer is PipelineState or (outer is FileState and inner is not FileState)


def place(parent: UnitState, state: UnitState, event: Event) -> None:
    """Make *state* the last of *parent*'s units, files by themselves."""
    if type(parent) is PipelineState:
        parent.updated_at = event.timestamp
        if type(state) is FileState:
            parent.files.append(state)
        else:
            parent.steps.append(state)
    elif type(parent) is FileState:
        parent.steps.append(state)
    else:
        return
    parent.tally[state.status] = parent.tally.get(state.status, 0) + 1


def on_unit_status(state: UnitState, event: UnitStatusSet, parent: UnitState | None) -> None:
    """It starts or ends; the later of several ends is kept, and said to be one."""
    status = _KNOWN_STATUS.get(event.status)
    if status is None:
        return
    if state.status in TERMINAL:
        state.reopened = True
    _set_status(state, status, event, parent)


def _set_status(state: UnitState, status: str, event: Event, parent: UnitState | None) -> None:
    before = state.status
    if before in TERMINAL and status not in TERMINAL and state.percent == _ALL:
        state.percent = 0
    if type(parent) is FileState:
        _move(parent.tally, before, status)
    elif type(parent) is PipelineState:
        _move(parent.tally, before, status)
        parent.updated_at = event.timestamp
    state.status = status
    state.kept_ms = None
    if status in TERMINAL:
        state.finished_at, state.ended_us = event.timestamp, event.mono_us
        if status == SUCCEEDED:
            state.percent = _ALL
        return
    state.finished_at = state.ended_us = None
    if status == RUNNING and state.started_at is None:
        state.started_at, state.began_us = event.timestamp, event.mono_us


def _move(tally: Tally, before: str, status: str) -> None:
    tally[before] = tally.get(before, 0) - 1
    tally[status] = tally.get(status, 0) + 1


def on_node_start(state: UnitState, event: NodeStarted, parent: UnitState | None) -> None:
    """An attempt begins; what an earlier one failed of is no error of the step any more."""
    if isinstance(state, StepState) and state.failed_of is not None:
        failed_of, state.failed_of = state.failed_of, None
        if state.errors and failed_of in state.errors:
            # Not `errors.remove`: see `_with`.
            list.remove(state.errors, failed_of)
        say(state, "warning", failed_of)
    _set_status(state, RUNNING, event, parent)


def on_node_success(state: UnitState, event: NodeSucceeded, parent: UnitState | None) -> None:
    """The node that is this step ends well."""
    _end_node(state, SUCCEEDED, event, parent)


def on_node_failure(state: UnitState, event: NodeFailed, parent: UnitState | None) -> None:
    """It fails, and why is an error of the step."""
    error = f"{event.error_type}: {event.error}" if event.error_type else event.error
    if isinstance(state, StepState):
        state.failed_of = error
    say(state, "error", error)
    _end_node(state, FAILED, event, parent)


def on_node_skipped(state: UnitState, event: NodeSkipped, parent: UnitState | None) -> None:
    """It is not run, or not again; the reason is a note, as where a step is skipped."""
    if event.reason:
        say(state, "note", f"Skipped: {event.reason}")
    _end_node(state, SKIPPED, event, parent)


def _end_node(state: UnitState, status: str, event: Event, parent: UnitState | None) -> None:
    """End an attempt: attempts follow each other, so only an end behind an end reopens."""
    if state.status in TERMINAL:
        state.reopened = True
    _set_status(state, status, event, parent)


def on_unit_attached(state: UnitState, event: UnitAttached, parent: UnitState | None) -> None:
    """It becomes one of *parent*'s."""
    state.id = event.id or state.id
    if parent is not None and fits(parent, state):
        place(parent, state, event)


def on_message(state: UnitState, event: Message, _: UnitState | None) -> None:
    """What was said stands with what was said before at that level; what a person says, apart.

    A list of the program's is replaced as a whole when it is changed, and it knows no remarks.
    """
    if event.author is not None:
        state.reviewing = remarked(state.reviewing, event)
        return
    say(state, event.level, event.text)


def say(state: UnitState, level: str, text: str) -> None:
    """Add a message."""
    if level == "note":
        state.notes = _with(state.notes, text)
    elif level == "warning":
        state.warnings = _with(state.warnings, text)
    elif level == "error":
        state.errors = _with(state.errors, text)


def on_check(state: UnitState, event: CheckMade, _: UnitState | None) -> None:
    """A check stands behind the earlier ones."""
    if isinstance(state, StepState):
        state.checks = _with(state.checks, Check(event.name, event.ok, event.detail))


def on_metadata(state: UnitState, event: MetadataChanged, _: UnitState | None) -> None:
    """Keys go, then keys are set."""
    for key in event.deleted or ():
        if state.metadata is not None and key in state.metadata:
            dict.__delitem__(state.metadata, key)
    if event.patch:
        _patch(state, event.patch)


def on_progress(state: UnitState, event: ProgressSet, _: UnitState | None) -> None:
    """The banner says something else."""
    state.percent = min(max(event.percent, 0), _ALL)
    if isinstance(state, PipelineState):
        state.stage, state.message = event.stage, event.text
        state.updated_at = event.timestamp


def on_review_requested(state: UnitState, event: ReviewRequested, _: UnitState | None) -> None:
    """Somebody should look at it."""
    state.review = ReviewFlag(flagged=True, reason=event.reason)
    state.reviewing = state.reviewing or Reviewing()
    state.reviewing.requested_at = event.timestamp


def on_review_cleared(state: UnitState, _: ReviewCleared, __: UnitState | None) -> None:
    """Nobody needs to look at it."""
    state.review = NO_REVIEW


def on_review_resolved(state: UnitState, event: ReviewResolved, _: UnitState | None) -> None:
    """Somebody has decided."""
    state.reviewing = decided(state.reviewing, event)


def on_exception(state: UnitState, event: ExceptionRaised, _: UnitState | None) -> None:
    """An exception is an error, and its traceback is metadata."""
    say(state, "error", f"{event.error_type}: {event.error}")
    if event.traceback is not None:
        _patch(state, {"traceback": event.traceback})


def on_captured(state: UnitState, event: Captured, _: UnitState | None) -> None:
    """What was written is metadata under the stream's name."""
    _patch(state, {event.stream: event.text if event.lines is None else event.lines})


def on_edited(state: UnitState, event: UnitEdited, _: UnitState | None) -> None:
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


def apply(state: UnitState, event: Event, parent: UnitState | None = None) -> None:
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


def _patch(state: UnitState, patch: dict[str, Any]) -> None:
    if state.metadata is None:
        state.metadata = dict(patch)
    else:
        dict.update(state.metadata, patch)


# --- All units of a run

_BEGIN_NODES: Final = frozenset({NodeStarted, NodeSkipped})


class Units(msgspec.Struct, gc=False):
    """The units of a run, by id in the order in which they began.

    Attributes:
        states: Every one.
        parents: What each stands in; not there for one that stands alone.
        unit: The unit of the last event, because the next one is often about the same.
        state: Its state; None if it never began.
        parent: What it stands in, or None.
    """

    states: dict[str, UnitState] = msgspec.field(default_factory=dict)
    parents: dict[str, UnitState] = msgspec.field(default_factory=dict)
    unit: str = ""
    state: UnitState | None = None
    parent: UnitState | None = None

    def apply(self, event: Any) -> None:
        """Take in an event that names a unit; one whose unit never began is passed over."""
        if type(event) is UnitBegun:
            self.begin(event)
            return
        if event.unit != self.unit:
            self.turn_to(event.unit)
        if type(event) is UnitAttached:
            self.attach(event)
            return
        if self.state is None and type(event) in _BEGIN_NODES:
            self.begin(event)
        if self.state is not None:
            apply(self.state, event, self.parent)

    def turn_to(self, unit: str) -> None:
        """Look up the unit that the next events are about."""
        self.unit = unit
        self.state = self.states.get(unit)
        self.parent = self.parents.get(unit)

    def begin(self, event: UnitBegun | NodeStarted | NodeSkipped) -> None:
        """Make the state of a unit that begins, in its parent if that is known."""
        if event.unit in self.states:
            return
        state = begun(event)
        self.unit, self.parent = state.unit, None
        self.state = self.states[state.unit] = state
        if event.parent is not None:
            parent = self.states.get(event.parent)
            if parent is not None and fits(parent, state):
                self.parent = self.parents[state.unit] = parent
                place(parent, state, event)

    def attach(self, event: UnitAttached) -> None:
        """Let a unit that stands alone stand in a parent that is known."""
        state, parent = self.state, self.states.get(event.parent)
        if state is None or parent is None or self.parent is not None or not fits(parent, state):
            return
        self.parent = self.parents[event.unit] = parent
        on_unit_attached(state, event, parent)

    def roots(self) -> Iterator[UnitState]:
        """Yield the units that stand in no other."""
        parents = self.parents
        return (state for unit, state in self.states.items() if unit not in parents)
