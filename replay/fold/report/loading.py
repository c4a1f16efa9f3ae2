"""A report, file or step as it was dumped, made a state again.

The inverse of `replay.fold.report.views`; nothing starts, and nothing is probed again.  What is
not there has its default, as in JSON of the older version; what is evidently something else is
refused.
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
from replay.fold.status import INTERRUPTED, PENDING, RUNNING, STATUSES

ANY: Final = "report"  # the kind of a `ReportBase` that is of no subclass

# Of `report_version`; JSON of the first has the same names, fewer of them.
VERSIONS: Final = ("v1", "v2")

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
        kind: Its kind; `report`: whichever *view* names.
    """
    named = _value(view, "kind", str, kind)
    refuse_other(view, named if kind == ANY else kind, "label")
    state = ReportBase(unit=unit(), kind=named)
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
    refuse_other(view, STEP, "label")
    state = StepReport(unit=unit(), kind=STEP)
    _common(state, view)
    checks = _items(view, "checks", Mapping)
    if checks:
        state.checks = [
            Check(
                _value(c, "name", str, ""),
                _value(c, "ok", bool, default=False),
                _value(c, "detail", str, None),
            )
            for c in checks
        ]
    state.node_id = _value(view, "node_id", str, None)
    state.node_index = _value(view, "node_index", int, None)
    state.fields = _own(view, _STEP)
    return state


def file_of(view: Mapping[str, Any], unit: Callable[[], str]) -> FileReport:
    """Return the file that *view* was made of; as `step_of`."""
    refuse_other(view, FILE, "path")
    state = FileReport(unit=unit(), kind=FILE)
    _common(state, view)
    state.path = _value(view, "path", str, "")
    state.name = _value(view, "name", str, state.path.rpartition("/")[2])
    state.file_id = _value(view, "file_id", str, None)
    state.size_bytes = _value(view, "size_bytes", int, None)
    state.mime_type = _value(view, "mime_type", str, None)
    state.n_steps = _value(view, "planned_steps", int, None)
    state.steps = _units(view, "steps", _in_steps, unit)
    _recount(state.tally, state.steps)
    state.fields = _own(view, _FILE)
    return state


def pipeline_of(view: Mapping[str, Any], unit: Callable[[], str]) -> PipelineReport:
    """Return the batch that *view* was made of; as `step_of`."""
    batch: Any = view.get("batch_id")
    if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int | str)):
        raise ValueError(f"batch_id: got {type(batch).__name__}, want int or str")
    refuse_other(view, PIPELINE, "label" if batch is None else "batch_id")
    state = PipelineReport(unit=unit(), kind=PIPELINE)
    state.label = _value(view, "label", str, "" if batch is None else f"Batch {batch}")
    state.batch_id = batch
    _status(view)  # which is that of what stands in it
    state.report_kind = _value(view, "kind", str, "process")
    state.stage = _value(view, "stage", str, "")
    state.percent = _percent(view)
    state.message = _value(view, "message", str, "")
    state.updated_at = _time(view, "updated_at")
    state.output_path = _value(view, "output_path", str, None)
    state.steps = _units(view, "steps", _in_steps, unit)
    state.files = _units(view, "files", file_of, unit)
    _recount(state.tally, [*state.steps, *state.files])
    state.fields = _own(view, _PIPELINE)
    return state


def kind_of(view: Mapping[str, Any]) -> str | None:
    """Return what *view* is evidently the dump of, None where it may be anything."""
    if "files" in view:
        return PIPELINE
    if "path" in view and "steps" in view:
        return FILE
    if "checks" in view:
        return STEP
    return str(view.get("kind") or ANY) if "notes" in view else None


def refuse_other(view: Mapping[str, Any], want: str, needed: str) -> None:
    """Raise ValueError where *view* is evidently no dump of such a unit in a version that is known.

    Args:
        view: As `unit_view` returns it.
        want: Its kind.
        needed: What it must have.
    """
    refuse_other_version(view)
    got = kind_of(view)
    same = got in {None, want} or (got == ANY and want not in {FILE, PIPELINE})
    if not same:
        raise ValueError(f"got the dump of a {_word(str(got))}, want that of a {_word(want)}")
    if view.get(needed) is None:
        raise ValueError(f"{needed}: missing, want the dump of a {_word(want)}")


def refuse_other_version(view: Mapping[str, Any]) -> None:
    """Raise ValueError where *view* says that it has a version that is not known."""
    version = view.get("report_version", VERSIONS[-1])
    if version not in VERSIONS:
        raise ValueError(
            f"report_version: got {version!r}, want {' or '.join(VERSIONS)}; "
            "another auditfold wrote it, use that one"
        )


def _word(kind: str) -> str:
    return {PIPELINE: "batch", FILE: "file", STEP: "step", ANY: "step"}.get(kind, repr(kind))


def _units(
    view: Mapping[str, Any],
    key: str,
    make: Callable[[Mapping[str, Any], Callable[[], str]], ReportBase],
    unit: Callable[[], str],
) -> list[ReportBase]:
    """Return the units in a list of *view*; an error says in which one it is."""
    found = []
    for n, item in enumerate(_items(view, key, Mapping)):
        try:
            found.append(make(item, unit))
        except ValueError as error:
            raise ValueError(f"{key}[{n}]: {error}") from None
    return found


def _in_steps(view: Mapping[str, Any], unit: Callable[[], str]) -> ReportBase:
    """Return what stands among steps: a step, or a unit of a user's own kind, which says so."""
    is_step = view.get("kind") in {None, STEP}
    return step_of(view, unit) if is_step else own_of(view, unit, ANY)


def _own(view: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any] | None:
    return {key: value for key, value in view.items() if key not in known} or None


def _common(state: ReportBase, view: Mapping[str, Any]) -> None:
    state.label = _value(view, "label", str, "")
    state.id = _value(view, "id", str, None)
    state.status = _status(view)
    state.percent = _percent(view)
    state.started_at = _time(view, "started_at")
    state.finished_at = _time(view, "finished_at")
    took = _value(view, "duration_ms", int | float, None)
    state.kept_ms = None if took is None else float(took)
    state.reopened = _value(view, "reopened", bool, default=False)
    state.notes = _items(view, "notes", str) or None
    state.warnings = _items(view, "warnings", str) or None
    state.errors = _items(view, "errors", str) or None
    state.metadata = dict(_value(view, "metadata", Mapping, {})) or None
    review = _value(view, "review", Mapping, {})
    state.review = ReviewFlag(
        flagged=_value(review, "flagged", bool, default=False),
        reason=_value(review, "reason", str, None),
    )
    state.reviewing = _reviewing_of(review, _items(view, "remarks", Mapping))


def _status(view: Mapping[str, Any]) -> str:
    status = _value(view, "status", str, PENDING)
    if status == INTERRUPTED:  # as somebody saw it who knew that nobody ran it
        return RUNNING
    if status not in STATUSES:
        raise ValueError(f"status: got {status!r}, want one of {', '.join(STATUSES)}")
    return sys.intern(str(status))


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
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        want = getattr(kind, "__name__", kind)
        raise ValueError(f"{key}: got {type(value).__name__}, want {want}")
    return str(value) if kind is str else value


def _items(view: Mapping[str, Any], key: str, kind: type) -> list[Any]:
    items = view.get(key, [])
    if not isinstance(items, list):
        raise ValueError(f"{key}: got {type(items).__name__}, want list")  # noqa: TRY004 - bad data
    for item in items:
        if not isinstance(item, kind):
            raise ValueError(f"{key}: got {type(item).__name__}, want {kind.__name__}")  # noqa: TRY004 - bad data
    return list(items)


def _percent(view: Mapping[str, Any]) -> int:
    return min(max(int(_value(view, "percent", int, 0)), 0), ALL)


def _time(view: Mapping[str, Any], key: str) -> str | None:
    value = _value(view, key, str, None)
    if value is not None:
        try:
            datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{key}: got {value!r}, want a time as ISO 8601 has it") from None
    return None if value is None else str(value)


def _recount(tally: Tally, states: Iterable[ReportBase]) -> None:
    for state in states:
        tally[state.status] = tally.get(state.status, 0) + 1
