"""The review queue for a terminal: requests as a table, and one of them with all that is known."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from replay.fold.review_queue import Request
from replay.show.line import harmless
from replay.show.page.units import Unit, decision_text, remarks_of, review_of
from replay.show.page.wording import lines, short, value
from replay.show.table import Column, table
from replay.show.text import STYLE_OF, Line, Piece, fit_line, second_text, seconds_text

_COLUMNS: Final = (
    Column("ID", 2),
    Column("RUN", 5),
    Column("ASKED (UTC)", 4),
    Column("STATE", 0, readable=12),
    Column("WHAT", 1, readable=32, keeps_end=True),
    Column("WHY", 3, readable=40),
)
_LONGEST: Final = 60  # characters of a name


def request_view(request: Request) -> dict[str, Any]:
    """Return a request as `review list --json` has it."""
    return {
        "id": request.ident,
        "run_id": request.run_id,
        "file": request.file or None,
        "step": request.step or None,
        "node_id": request.node_id,
        "node_index": request.node_index,
        **request.view,
        "open": request.is_open,
        "requested_at": request.requested_at,
        "digest": request.digest,
        "reviewed_digest": request.view.get("digest"),
    }


def queue_table(requests: Sequence[Request], *, columns: int | None) -> Iterator[Line]:
    """Yield the lines of a table: a heading, then a line a request; none without requests.

    Args:
        requests: Those that are shown.
        columns: What a terminal has; None for no limit.
    """
    rows = []
    for request in requests:
        style = "magenta" if request.is_open else ""
        rows.append([Piece(text, style) for text in _row(request)])
    if rows:
        yield from table(_COLUMNS, rows, width=columns)


def _row(request: Request) -> tuple[str, ...]:
    asked = request.requested_at
    return (
        short(request.ident, _LONGEST),
        short(request.run_id, _LONGEST),
        "-" if asked is None else second_text(asked),
        _state(request),
        short(request.name),
        short(request.view.get("reason") or "-"),
    )


def _state(request: Request) -> str:
    decision = request.view.get("decision")
    if not decision:
        return "open"
    by = short(f"{decision} by {request.view['reviewer']}", _LONGEST)
    return f"open: {by}, changed since" if request.is_open and request.view["stale"] else by


def request_lines(request: Request, unit: Unit, *, columns: int | None) -> Iterator[Line]:
    """Yield all that is known of a request and of what it is about.

    Args:
        request: The request.
        unit: The file, step or other unit, as a report has it.
        columns: What a terminal has; None for no limit.
    """
    for line in _request_lines(request, unit):
        yield fit_line(line, columns)


def _request_lines(request: Request, unit: Unit) -> Iterator[Line]:
    status = unit.status
    yield [
        Piece(short(request.name), "bold"),
        Piece("  "),
        Piece(status, STYLE_OF.get(status, "")),
        Piece(f"  {seconds_text(unit.seconds)}  {unit.facts}"),
    ]
    yield [Piece(f"run {harmless(request.run_id)}, id {harmless(request.ident)}")]
    review = review_of(unit.view)
    said = "asked for" if review is None else decision_text(review)
    yield [Piece(harmless(said), "magenta" if request.is_open else "")]
    for name, text in (
        ("why", request.view.get("reason")),
        ("asked", request.requested_at),
        ("answer", request.view.get("note")),
        ("digest", request.digest),
    ):
        if text:
            yield from _texts(name, [text])
    yield from _said(unit, "")
    for step in unit.steps:
        yield [Piece(f"  {step.status}  {step.name}  {step.facts}", STYLE_OF.get(step.status, ""))]
        yield from _said(step, "    ")


def _said(unit: Unit, indent: str) -> Iterator[Line]:
    view = unit.view
    for check in view.get("checks") or ():
        how = "ok" if check.get("ok") else "not ok"
        detail = f": {short(check['detail'])}" if check.get("detail") else ""
        yield [Piece(f"{indent}check {short(check.get('name'))}: {how}{detail}")]
    for name, one in (("errors", "error"), ("warnings", "warning"), ("notes", "note")):
        yield from _texts(one, view.get(name) or (), indent)
    for remark in remarks_of(view):
        yield from _texts(short(remark["author"]), [remark["text"]], indent)
    for name, found in (view.get("metadata") or {}).items():
        yield from _texts(short(name), [value(found)], indent)


def _texts(name: str, texts: Sequence[object], indent: str = "") -> Iterator[Line]:
    for text in texts:
        first, *rest = lines(text).split("\n")
        yield [Piece(f"{indent}{name}: ", "dim"), Piece(first)]
        for line in rest:
            yield [Piece(f"{indent}  {line}")]
