"""A report, file or step as it was dumped, made a state again.

The inverse of `replay.fold.report.views`; nothing starts, and nothing is probed again.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from replay.fold.report.base import ALL, FILE, PIPELINE, STEP, ReportBase, Tally
from replay.fold.report.file import FileReport
from replay.fold.report.pipeline import PipelineReport
from replay.fold.report.step import Check, StepReport
from replay.fold.reviews import Decision, Remark, ReviewFlag, Reviewing
from replay.fold.status import RUNNING, TERMINAL

# The names that JSON of each kind has; others are fields of the user's own.
_COMMON: Final = frozenset({*ReportBase(unit="", kind="").head(), "remarks"})
_STEP: Final = _COMMON | {"checks", "node_id", "node_index"}
_FILE: Final = _COMMON | frozenset(FileReport(unit="", kind=FILE).head())
_PIPELINE: Final = frozenset(PipelineReport(unit="", kind=PIPELINE).head())


def own_of(view: Mapping[str, Any], unit: Callable[[], str], kind: str) -> ReportBase:
    """Return the unit of a user's own kind that *view* was made of; as `step_of`.

    Args:
        view: As `unit_view` returns it.
        unit: Names a unit.
        kind: Its kind, where *view* names none.
    """
    state = ReportBase(unit=unit(), kind=_value(view, "kind", str, kind))
    _common(state, view)
    state.fields = _own(view, _COMMON)
    return state


def step_of(view: Mapping[str, Any], unit: Callable[[], str]) -> StepReport:
    """Return the step that *view* was made of; nothing starts, and nothing is probed again.

    Args:
        view: As `unit_view` returns it; what is computed is passed over.
        unit: Names a unit.

    Raises:
        ValueError: It is none; says why.
    """
    state = StepReport(unit=unit(), kind=STEP)
    _common(state, view)
    checks = _items(view, "checks", Mapping)
    if checks:
        state.checks = [
            Check(_value(c, "name", str, ""), _value(c, "ok", bool, default=False), c.get("detail"))
            for c in checks
        ]
    state.node_id = _value(view, "node_id", str, None)
    state.node_index = _value(view, "node_index", int, None)
    state.fields = _own(view, _STEP)
    return state


def file_of(view: Mapping[str, Any], unit: Callable[[], str]) -> FileReport:
    """Return the file that *view* was made of; as `step_of`."""
    state = FileReport(unit=unit(), kind=FILE)
    _common(state, view)
    state.path = str(_value(view, "path", object, ""))
    state.name = _value(view, "name", str, state.path.rpartition("/")[2])
    state.file_id = _value(view, "file_id", str, None)
    state.size_bytes = _value(view, "size_bytes", int, None)
    state.mime_type = _value(view, "mime_type", str, None)
    state.n_steps = _value(view, "planned_steps", int, None)
    state.steps = [_in_steps(step, unit) for step in _items(view, "steps", Mapping)]
    _recount(state.tally, state.steps)
    state.fields = _own(view, _FILE)
    return state


def pipeline_of(view: Mapping[str, Any], unit: Callable[[], str]) -> PipelineReport:
    """Return the batch that *view* was made of; as `step_of`."""
    state = PipelineReport(unit=unit(), kind=PIPELINE)
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
    state.steps = [_in_steps(step, unit) for step in _items(view, "steps", Mapping)]
    state.files = [file_of(file, unit) for file in _items(view, "files", Mapping)]
    _recount(state.tally, [*state.steps, *state.files])
    state.fields = _own(view, _PIPELINE)
    return state


def _in_steps(view: Mapping[str, Any], unit: Callable[[], str]) -> ReportBase:
    """Return what stands among steps: a step, or a unit of a user's own kind, which says so."""
    return step_of(view, unit) if view.get("kind") is None else own_of(view, unit, "")


def _own(view: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any] | None:
    return {key: value for key, value in view.items() if key not in known} or None


def _common(state: ReportBase, view: Mapping[str, Any]) -> None:
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
    return min(max(int(_value(view, "percent", int, 0)), 0), ALL)


def _time(view: Mapping[str, Any], key: str) -> str | None:
    value = view.get(key)
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return None if value is None else str(value)


def _recount(tally: Tally, states: Iterable[ReportBase]) -> None:
    for state in states:
        tally[state.status] = tally.get(state.status, 0) + 1
