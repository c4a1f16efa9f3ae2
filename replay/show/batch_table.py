"""A batch as a table: a row for each step, file and step of a file, for `auditfold report-summary`.

A batch is a mapping as `PipelineReport.save` writes it, or as a run's report lists it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from replay.show.line import harmless
from replay.show.page.units import Review, Unit, decision_text, units
from replay.show.table import Column, table
from replay.show.text import STYLE_OF, Line, Piece, count_text

_COLUMNS: Final = {
    "type": Column("TYPE", 4),
    "parent": Column("PARENT", 8, readable=24),
    "id": Column("ID", 7, readable=24),
    "name": Column("NAME", 1, readable=24),
    "label": Column("LABEL", 3, readable=24),
    "status": Column("STATUS", 0),
    "succeeded": Column("SUCCEEDED", 6),
    "ms": Column("MS", 5),
    "review": Column("REVIEW", 2, readable=28),
}
COLUMNS: Final = tuple(_COLUMNS)
USUAL: Final = ("type", "name", "label", "status", "succeeded")

_STATUSES: Final = ("failed", "interrupted", "running", "pending", "skipped", "succeeded")
_TYPES: Final = {
    "pipeline-step": "step",
    "file": "file",
    "file-step": "step of a file",
}
_MANY: Final = {"file-step": "steps of files"}

Row = dict[str, Any]


def batches_of(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the batches in a run's report, each with its steps and files.

    What stands in no batch is one more, called after the workflow.
    """
    rest = {"unit": None, "label": report["workflow_id"], "kind": "run", "status": report["status"]}
    found = []
    for head in [*report.get("reports", ()), rest]:
        own = {
            name: [view for view in report.get(name, ()) if view.get("report") == head["unit"]]
            for name in ("steps", "files")
        }
        if head is not rest or any(own.values()):
            found.append({**head, **own})
    return found


def rows_of(batch: Mapping[str, Any]) -> Iterator[Row]:
    """Yield a row for each unit: `COLUMNS`, and `traceback`."""
    label = str(batch.get("label") or "")
    for unit in units("step", batch.get("steps") or ()):
        yield _row("pipeline-step", unit, label)
    for unit in units("file", batch.get("files") or ()):
        yield _row("file", unit, label)
        for step in unit.steps:
            yield _row("file-step", step, str(unit.view.get("name") or unit.name))


def batch_table(
    batch: Mapping[str, Any], *, shown: Sequence[str] = USUAL, columns: int | None = None
) -> Iterator[Line]:
    """Yield the lines: status, totals, a row for each unit, tracebacks.

    Args:
        batch: The batch.
        shown: Which of `COLUMNS`.
        columns: What the terminal has; None for no limit.
    """
    rows = list(rows_of(batch))
    status = str(batch.get("status") or "pending")
    kind = harmless(str(batch.get("kind") or "process")).capitalize()
    yield [Piece(f"{kind} status: "), Piece(harmless(status), STYLE_OF.get(status, ""))]
    yield [Piece(f"{harmless(str(batch.get('label') or ''))}: {', '.join(_totals(rows))}")]
    if rows:
        yield []
        texts = [[_cell(row, column) for column in shown] for row in rows]
        yield from table([_COLUMNS[column] for column in shown], texts, width=columns)
    for row in rows:
        if row["traceback"]:
            yield []
            yield [Piece(f"[{row['type']} {harmless(row['name'])}]", "bold")]
            for line in row["traceback"].rstrip("\n").split("\n"):
                yield [Piece(f"  {harmless(line)}", "dim")]


def _row(kind: str, unit: Unit, parent: str) -> Row:
    view, review = unit.view, unit.review
    milliseconds = view.get("duration_ms")
    return {
        "type": kind,
        "parent": parent,
        "id": view.get("file_id" if kind == "file" else "id"),
        "name": view.get("name") or view.get("id") or unit.name,
        "label": view.get("label") or "",
        "status": unit.status,
        "succeeded": unit.status == "succeeded",
        "ms": milliseconds,
        "review": None if review is None else _review_text(review),
        "traceback": unit.own_traceback,
    }


def _review_text(review: Review) -> str:
    reason = review.reason or "flagged"
    return f"{decision_text(review)}: {reason}" if review.decision else reason


def _totals(rows: Sequence[Row]) -> Iterator[str]:
    counts = Counter((row["type"], row["status"]) for row in rows)
    for kind, one in _TYPES.items():
        found = {status: counts[kind, status] for status in _STATUSES if counts[kind, status]}
        said = count_text(sum(found.values()), one, _MANY.get(kind))
        each = ", ".join(f"{count} {status}" for status, count in found.items())
        yield f"{said} ({each})" if found else said


def _cell(row: Row, column: str) -> Piece:
    text = _text(row[column])
    return Piece(text, STYLE_OF.get(text, "") if column == "status" else "")


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return harmless(str(value))
