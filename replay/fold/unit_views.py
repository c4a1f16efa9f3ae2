"""What a report, file or step looks like as JSON, version 2, and where it is looked up.

Every dump is made here: that of a live report, of a saved file and of a fold are one.  Fields:
docs/reports.md, "JSON".
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import orjson

from replay.digest import json_digest
from replay.fold.reviews import REOPENED, Decision, Remark, Reviewing
from replay.fold.units import (
    FILE,
    PIPELINE,
    RUNNING,
    STEP,
    TERMINAL,
    Check,
    FileState,
    PipelineState,
    ReviewFlag,
    StepState,
    Tally,
    UnitState,
    percent,
    rollup,
)

SCHEMA_VERSION: Final = "v2"

# What depends on the moment, on decisions or on this form: no part of what somebody looks at.
_NOT_REVIEWED: Final = (
    "duration_ms",
    "requires_human_review",
    "human_review_reason",
    "report_version",
)
_NAMED: Final = 5  # steps that the reason for a review names
_LARGEST_PERCENT: Final = 100


def duration_ms(state: UnitState, now_us: int | None) -> float | None:
    """Return how long a unit took, or has taken up to *now_us*, in milliseconds.

    By the monotonic clock; by the timestamps where that is not known any more.
    """
    if state.kept_ms is not None:
        return state.kept_ms
    if state.started_at is None:
        return None
    end_us = now_us if state.finished_at is None else state.ended_us
    if state.began_us is not None and end_us is not None:
        return round(max(0, end_us - state.began_us) / 1000, 3)
    if state.finished_at is None:
        return None
    try:
        took = instant(state.finished_at) - instant(state.started_at)
    except (ValueError, TypeError):
        return None
    return round(max(0.0, took.total_seconds() * 1000), 3)


def instant(timestamp: str) -> datetime:
    """Return a timestamp as a datetime."""
    return datetime.fromisoformat(timestamp)


def needs_review(state: UnitState) -> bool:
    """Return whether a unit, or one of its steps, is flagged and awaits a decision."""
    if is_open(state):
        return True
    return type(state) is FileState and any(map(is_open, state.steps))


def is_open(state: UnitState) -> bool:
    """Return whether somebody should look at a unit itself.

    The flag that a file took over from its steps is answered when theirs are.
    """
    if not state.review.flagged:
        return False
    if (givers := _givers(state)) and (state.reviewing is None or state.reviewing.decision is None):
        return any(map(is_open, givers))
    return awaits(state.reviewing, lambda: reviewed_digest(state))


def is_taken_over(state: UnitState) -> bool:
    """Return whether the flag of a file is that of a step, so that it is no request of its own."""
    return bool(_givers(state))


def _givers(state: UnitState) -> list[UnitState]:
    """Return the flagged steps whose flag a file has taken over."""
    if not isinstance(state, FileState) or not state.review.flagged:
        return []
    reason = state.review.reason
    return [
        step
        for step in state.steps
        if step.review.flagged
        and reason == (step.review.reason or f"Step '{step.id}' requested review")
    ]


def review_reason(state: FileState) -> str | None:
    """Return why somebody should look at a file: its own reason, and those of its steps."""
    parts = []
    if is_open(state):
        parts.append(f"File-level review: {state.review.reason or 'Review requested'}")
    steps = [step for step in state.steps if is_open(step)]
    if steps:
        names = ", ".join(step.label for step in steps[:_NAMED])
        more = f", +{len(steps) - _NAMED} more" if len(steps) > _NAMED else ""
        count = "step" if len(steps) == 1 else f"{len(steps)} steps"
        first = next((step.review.reason for step in steps if step.review.reason), None)
        why = f" First reason: {first}." if first else ""
        parts.append(f"{count} flagged human review: {names}{more}.{why}")
    return " ".join(parts) or None


# --- As JSON


def unit_view(
    state: UnitState, now_us: int | None = None, *, running_as: str = RUNNING
) -> dict[str, Any]:
    """Return a unit with all that stands in it.

    Args:
        state: A unit of any kind.
        now_us: Where the duration of what runs ends, CLOCK_MONOTONIC.
        running_as: The status of what runs: `interrupted` when nobody runs it any more.
    """
    # Not isinstance, which takes four times as long for a struct of another type.
    if type(state) is PipelineState:
        view = pipeline_head(state, running_as=running_as)
        view["steps"] = [unit_view(step, now_us, running_as=running_as) for step in state.steps]
        view["files"] = [unit_view(file, now_us, running_as=running_as) for file in state.files]
        return view
    view = _unit_alone(state, now_us, running_as=running_as)
    view["review"] = _review(state)
    if state.reviewing is not None and state.reviewing.remarks:
        view["remarks"] = [remark_view(remark) for remark in state.reviewing.remarks]
    if isinstance(state, FileState):
        view["requires_human_review"] = needs_review(state)
        view["human_review_reason"] = review_reason(state)
        view["steps"] = [unit_view(step, now_us, running_as=running_as) for step in state.steps]
    return view


def reviewed_digest(state: UnitState) -> str:
    """Return the digest of a unit as somebody looks at it: without what decisions change.

    It does not depend on the time, nor on which processes live.  Empty where the trace holds
    what no JSON of this format has; then nothing that was decided holds.
    """
    return said_digest(_reviewed(state))


def said_digest(view: Mapping[str, Any]) -> str:
    """Return the digest of what a program says of something, without what is null or empty.

    So a field that a later version adds makes no decision stale where it says nothing.  Empty
    where *view* holds what no JSON of this format has.
    """
    try:
        return json_digest(_without_empty(view))
    except (TypeError, ValueError):
        return ""


def _without_empty(view: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in view.items()
        if value is not None and value is not False and value != ""
        if value not in ([], {})
    }


def _reviewed(state: UnitState) -> dict[str, Any]:
    """Return what the digest of a unit covers."""
    view = _unit_alone(state, None, running_as=RUNNING)
    asked = None if state.reviewing is None else state.reviewing.requested_at
    view["review"] = {**review_view(state.review), "requested_at": asked}
    if isinstance(state, FileState):
        view["steps"] = [_reviewed(step) for step in state.steps]
    for name in _NOT_REVIEWED:
        view.pop(name, None)
    return _without_empty(view)


def _unit_alone(state: UnitState, now_us: int | None, *, running_as: str) -> dict[str, Any]:
    """Return a unit without what is said of reviews, and without what stands in it."""
    view: dict[str, Any] = {
        "label": state.label,
        "id": state.id,
        "status": running_as if state.status == RUNNING else state.status,
        "percent": percent(state),
        "started_at": state.started_at,
        "finished_at": state.finished_at,
        "duration_ms": duration_ms(state, now_us),
        "notes": list(state.notes or ()),
        "warnings": list(state.warnings or ()),
        "errors": list(state.errors or ()),
        "metadata": dict(state.metadata or ()),
        "review": review_view(state.review),
        "reopened": state.reopened,
        "report_version": SCHEMA_VERSION,
    }
    if type(state) is StepState:
        view["checks"] = [check_view(check) for check in state.checks or ()]
        if state.node_id is not None:
            view |= {"node_id": state.node_id, "node_index": state.node_index}
    elif type(state) is FileState:
        del view["id"]
        view |= {
            "label": state.name,
            "file_id": state.file_id,
            "path": state.path,
            "name": state.name,
            "size_bytes": state.size_bytes,
            "mime_type": state.mime_type,
            "n_steps": len(state.steps),
            "planned_steps": state.n_steps,
            "requires_human_review": False,
            "human_review_reason": None,
            "steps": [],
        }
    else:
        own = {name: value for name, value in (state.fields or {}).items() if name not in view}
        view = {"kind": state.kind, **view, **own}
    return view


def pipeline_head(state: PipelineState, *, running_as: str = RUNNING) -> dict[str, Any]:
    """Return a batch without what stands in it: both lists are there, and empty."""
    return {
        "label": state.label,
        "batch_id": state.batch_id,
        "kind": state.report_kind,
        "status": rollup(state, running_as=running_as),
        "stage": state.stage,
        "percent": state.percent,
        "message": state.message,
        "updated_at": state.updated_at,
        "output_path": state.output_path,
        "report_version": SCHEMA_VERSION,
        "steps": [],
        "files": [],
    }


def json_chunks(
    state: UnitState, now_us: int | None = None, *, indent: bool = True
) -> Iterator[bytes]:
    """Yield a unit's JSON, a batch step by step and file by file: memory for one of them."""
    option = orjson.OPT_INDENT_2 if indent else 0
    if not isinstance(state, PipelineState):
        yield orjson.dumps(unit_view(state, now_us), option=option)
        return
    head = orjson.dumps(pipeline_head(state), option=option)
    empty = b"[]"
    # The two lists are the last two values of the head.
    before, _, rest = head.rpartition(empty)
    first, _, between = before.rpartition(empty)
    yield first
    yield from _array(state.steps, now_us, indent=indent)
    yield between
    yield from _array(state.files, now_us, indent=indent)
    yield rest


def _array(states: Iterable[UnitState], now_us: int | None, *, indent: bool) -> Iterator[bytes]:
    separator, last = (b"\n    ", b"\n  ]") if indent else (b"", b"]")
    yield b"["
    comma = b""
    for state in states:
        text = orjson.dumps(unit_view(state, now_us), option=orjson.OPT_INDENT_2 if indent else 0)
        # A newline in JSON as orjson writes it stands between values, never in a text.
        yield comma + separator + (text.replace(b"\n", b"\n    ") if indent else text)
        comma = b","
    yield last if comma else b"]"


def _review(state: UnitState) -> dict[str, Any]:
    found = review_view(state.review, state.reviewing, lambda: reviewed_digest(state))
    if is_taken_over(state) and not is_open(state):
        found["open"] = False
    return found


def review_view(
    flag: ReviewFlag, reviewing: Reviewing | None = None, digest: Callable[[], str] = str
) -> dict[str, Any]:
    """Return a request for review, and what became of it; nothing more while it is undecided.

    Args:
        flag: What the program says.
        reviewing: When, and what was decided.
        digest: Returns the digest of what is flagged as it is now.
    """
    found = {"flagged": flag.flagged, "reason": flag.reason}
    if reviewing is None or reviewing.decision is None:
        return found
    return {
        **found,
        "open": flag.flagged and awaits(reviewing, digest),
        "requested_at": reviewing.requested_at,
        **_decision(reviewing.decision),
        "stale": digest() != reviewing.decision.digest,
    }


def awaits(reviewing: Reviewing | None, digest: Callable[[], str]) -> bool:
    """Return whether a request has no decision that holds."""
    decision = None if reviewing is None else reviewing.decision
    return decision is None or decision.decision == REOPENED or digest() != decision.digest


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "decision": decision.decision,
        "reviewer": decision.reviewer,
        "note": decision.note,
        "decided_at": decision.decided_at,
        "digest": decision.digest,
    }


def remark_view(remark: Remark) -> dict[str, Any]:
    """Return what a person said after the fact."""
    return {"timestamp": remark.timestamp, "author": remark.author, "text": remark.text}


def check_view(check: Check) -> dict[str, Any]:
    """Return one thing that was checked."""
    return {"name": check.name, "ok": check.ok, "detail": check.detail}


# --- And back


def step_of(view: Mapping[str, Any], unit: Callable[[], str]) -> StepState:
    """Return the step that *view* was made of; nothing starts, and nothing is probed again.

    Args:
        view: As `unit_view` returns it; what is computed is passed over.
        unit: Names a unit.

    Raises:
        ValueError: It is none; says why.
    """
    state = StepState(unit=unit(), kind=STEP)
    _common(state, view)
    checks = _items(view, "checks", Mapping)
    if checks:
        state.checks = [
            Check(_value(c, "name", str, ""), _value(c, "ok", bool, default=False), c.get("detail"))
            for c in checks
        ]
    state.node_id = _value(view, "node_id", str, None)
    state.node_index = _value(view, "node_index", int, None)
    return state


def file_of(view: Mapping[str, Any], unit: Callable[[], str]) -> FileState:
    """Return the file that *view* was made of; as `step_of`."""
    state = FileState(unit=unit(), kind=FILE)
    _common(state, view)
    state.path = str(_value(view, "path", object, ""))
    state.name = _value(view, "name", str, state.path.rpartition("/")[2])
    state.file_id = _value(view, "file_id", str, None)
    state.size_bytes = _value(view, "size_bytes", int, None)
    state.mime_type = _value(view, "mime_type", str, None)
    state.n_steps = _value(view, "planned_steps", int, None)
    state.steps = [step_of(step, unit) for step in _items(view, "steps", Mapping)]
    _recount(state.tally, state.steps)
    return state


def pipeline_of(view: Mapping[str, Any], unit: Callable[[], str]) -> PipelineState:
    """Return the batch that *view* was made of; as `step_of`."""
    state = PipelineState(unit=unit(), kind=PIPELINE)
    state.label = _value(view, "label", str, "")
    batch: Any = view.get("batch_id")
    if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int | str)):
        raise ValueError(f"batch_id: got {type(batch).__name__}, want int or str")
    state.batch_id = batch
    state.report_kind = _value(view, "kind", str, "process")
    state.stage = _value(view, "stage", str, "")
    state.percent = _percent(view)
    state.message = _value(view, "message", str, "")
    state.updated_at = _time(view, "updated_at")
    path = view.get("output_path")
    state.output_path = None if path is None else str(path)
    state.steps = [step_of(step, unit) for step in _items(view, "steps", Mapping)]
    state.files = [file_of(file, unit) for file in _items(view, "files", Mapping)]
    _recount(state.tally, [*state.steps, *state.files])
    return state


def _common(state: UnitState, view: Mapping[str, Any]) -> None:
    state.label = _value(view, "label", str, "")
    state.id = _value(view, "id", str, None)
    status = _value(view, "status", str, "pending")
    if status == "interrupted":  # as somebody saw it who knew that nobody ran it
        status = RUNNING
    if status not in {"pending", RUNNING, *TERMINAL}:
        raise ValueError(f"status: got {status!r}, want a status")
    state.status = sys.intern(str(status))
    state.percent = _percent(view)
    state.started_at = _time(view, "started_at")
    state.finished_at = _time(view, "finished_at")
    took = view.get("duration_ms")
    state.kept_ms = float(took) if isinstance(took, int | float) else None
    state.reopened = bool(view.get("reopened", False))
    state.notes = _items(view, "notes", str) or None
    state.warnings = _items(view, "warnings", str) or None
    state.errors = _items(view, "errors", str) or None
    state.metadata = dict(_value(view, "metadata", Mapping, {})) or None
    review = _value(view, "review", Mapping, {})
    state.review = ReviewFlag(flagged=bool(review.get("flagged")), reason=review.get("reason"))
    state.reviewing = _reviewing_of(review, _items(view, "remarks", Mapping))


def _reviewing_of(
    review: Mapping[str, Any], remarks: Iterable[Mapping[str, Any]]
) -> Reviewing | None:
    """Return what `review_view` and `remark_view` were made of."""
    found = Reviewing(requested_at=_time(review, "requested_at"))
    if review.get("decision"):
        found.decision = Decision(
            _value(review, "decision", str, ""),
            _value(review, "reviewer", str, ""),
            _value(review, "note", str, None),
            _time(review, "decided_at") or "",
            _value(review, "digest", str, ""),
        )
    found.remarks = [
        Remark(
            _time(remark, "timestamp") or "",
            _value(remark, "author", str, ""),
            _value(remark, "text", str, ""),
        )
        for remark in remarks
    ]
    is_empty = found.requested_at is None and found.decision is None and not found.remarks
    return None if is_empty else found


def _value(view: Mapping[str, Any], key: str, kind: Any, default: Any) -> Any:
    value = view.get(key)
    if value is None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{key}: got {type(value).__name__}, want {kind.__name__}")
    return str(value) if kind is str else value


def _items(view: Mapping[str, Any], key: str, kind: type) -> list[Any]:
    items = _value(view, key, list, [])
    for item in items:
        if not isinstance(item, kind):
            raise ValueError(f"{key}: got {type(item).__name__}, want {kind.__name__}")  # noqa: TRY004 - bad data
    return list(items)


def _percent(view: Mapping[str, Any]) -> int:
    return min(max(int(_value(view, "percent", int, 0)), 0), _LARGEST_PERCENT)


def _time(view: Mapping[str, Any], key: str) -> str | None:
    value = view.get(key)
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return None if value is None else str(value)


def _recount(tally: Tally, states: Iterable[UnitState]) -> None:
    for state in states:
        tally[state.status] = tally.get(state.status, 0) + 1


# --- Looking things up


def files_for(state: PipelineState, key: str) -> list[int]:
    """Return which files *key* names, by place: by id, else by path, else by name.

    Case counts, and so does the folder: `x/a.txt` and `y/a.txt` are two, both named `a.txt`.
    """
    tests: tuple[Callable[[FileState], bool], ...] = (
        lambda file: file.file_id == key,
        lambda file: file.path == key,
        lambda file: key in {file.name, file.path.rpartition("/")[2]},
    )
    files = [(n, file) for n, file in enumerate(state.files) if isinstance(file, FileState)]
    for named in tests:
        found = [n for n, file in files if named(file)]
        if found:
            return found
    return []


def is_processed(state: UnitState, *, require_success: bool = False) -> bool:
    """Return whether a file has ended, or ended well."""
    if require_success:
        return state.status == "succeeded"
    return state.status in TERMINAL or state.finished_at is not None
