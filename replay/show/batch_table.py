"""A batch as a table: a row for each step, file and step of a file, for `auditfold report-summary`.

A batch is a mapping as `PipelineReport.save` writes it, or as a run's report lists it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from replay.show.line import harmless
from replay.show.page.units import Review, Unit, decision_text, units
from replay.show.text import STYLE_OF, Line, Piece, cells, count_text, fit_line, pad

COLUMNS: Final = ("type", "parent", "id", "name", "label", "status", "succeeded", "ms", "review")
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
        for line in _table(rows, shown):
            yield fit_line(line, columns)
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


def _table(rows: Iterable[Row], shown: Sequence[str]) -> Iterator[Line]:
    texts = [[_text(row[column]) for column in shown] for row in rows]
    headings = [column.upper() for column in shown]
    widths = [max(map(cells, column)) for column in zip(headings, *texts, strict=True)]
    yield [Piece(_line(headings, widths), "dim")]
    for cells_of in texts:
        line = [
            Piece(pad(text, width) + "  ") for text, width in zip(cells_of, widths, strict=True)
        ]
        for place, column in enumerate(shown):
            if column == "status":
                line[place] = Piece(line[place].text, STYLE_OF.get(cells_of[place], ""))
        line[-1] = Piece(line[-1].text.rstrip(), line[-1].style)
        yield line


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    padded = (pad(text, width) for text, width in zip(texts, widths, strict=True))
    return "  ".join(padded).rstrip()


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return harmless(str(value))
