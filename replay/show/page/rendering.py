"""A page as HTML: one file that needs no network and no JavaScript, or a folder of them.

Everything a run said is escaped by the templates beside this module; a strict
Content-Security-Policy, with hashes of the style and the script, is the second line.  Needs
jinja2, the extra `report`.
"""

import base64
import hashlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from jinja2 import ChainableUndefined, Environment, FileSystemLoader
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from replay.show.page import wording
from replay.show.page.units import TITLES, Kind, Tree, Unit, View, remarks_of
from replay.show.page.view import Audited, Page, messages_of, outputs_of
from replay.show.resources import used_text
from replay.show.text import count_text, second_text, seconds_text, size_text
from replay.version import __version__

MOST_BYTES: Final = 5_000_000
_ROWS_A_PAGE: Final = 1_000
_MOST_OUTPUTS: Final = 500_000  # bytes
_MOST_MESSAGES: Final = 250_000
# What the table of files may take where there are nodes as well.
_SHARE_OF_FILES: Final = 0.6
_FOLDER: Final = Path(__file__).parent
_SCRIPT_END: Final = "</"
_STATUSES: Final = frozenset(
    {
        *("succeeded", "failed", "interrupted", "running", "pending", "skipped", "group"),
        *("complete", "intact-prefix", "unchained", "tampered"),
        *("ok", "changed", "missing", "untracked", "superseded", "unverified"),
        *("error", "warning", "note"),
    }
)
_OF_DICT: Final = frozenset(dir(dict))
# Which rows come first where there is no room for all.
_RANKS: Final = (0, 1, 2)
_NAMED, _URGENT, _CALM = _RANKS
_DATE: Final = len("2026-11-21")
_TO_MILLISECOND: Final = len("07:03:12.345")


class Assets(NamedTuple):
    """Style and script, and the hashes by which a browser knows them."""

    style: Markup
    style_hash: str
    script: Markup
    script_hash: str


class Table(NamedTuple):
    """The rows of one kind of units; `left_out` says what is missing."""

    kind: str
    title: str
    n_units: int
    rows: Sequence[str]
    left_out: str


class Rows(NamedTuple):
    """Rows of anything else."""

    rows: Sequence[str]
    left_out: str


class Part(NamedTuple):
    """One of the files of a folder beside `index.html`."""

    kind: str
    title: str
    rows: Sequence[str]
    before: str
    after: str


class Rendered(NamedTuple):
    """A page and what it leaves out, in words."""

    text: bytes
    left_out: Sequence[str]


def html(
    head: View, tree: Tree, page: Page, *, audited: Audited | None, most_bytes: int = MOST_BYTES
) -> Rendered:
    """Return the page as one HTML file.

    Rows of units that failed, run, or await review come before others where there is no room
    for all; details of others are left out first.

    Args:
        head: The report of the run.
        tree: Its units.
        page: What stands on the page.
        audited: The audit of its evidence, None if there was none.
        most_bytes: How long the file may be; what has to be there may be longer.
    """
    return _Writer(head, tree, page, audited).page(most_bytes)


def folder(
    head: View, tree: Tree, page: Page, *, audited: Audited | None, most_bytes: int = MOST_BYTES
) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of a folder that leaves nothing out: `index.html` comes last."""
    yield from _Writer(head, tree, page, audited).files(most_bytes)


def templated(path: str, report: Mapping[str, Any], more: Mapping[str, Any]) -> bytes:
    """Return what the template *path* makes of a report.

    The template may include and extend others beside it.  It is escaped for HTML whatever it is
    called, and sees its arguments only (jinja2's sandbox).

    Args:
        path: A Jinja2 template.
        report: The whole report.
        more: What else it may use, by name.

    Raises:
        jinja2.TemplateError: It is no template, or asks for something that is not there.
        OSError: It cannot be read.
    """
    at = Path(path)
    source = at.read_text(encoding="utf-8")
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(at.parent), autoescape=True, undefined=ChainableUndefined
    )
    environment.filters.update(_FILTERS)
    code = environment.compile(source, name=at.name, filename=str(at))
    template = environment.template_class.from_code(environment, code, environment.globals)
    # The report of a batch has its own name, stage and message at the top.
    first: Mapping[str, Any] = next(iter(report.get("reports", ())), {})
    whole = {"files": [], "steps": [], **first, **report}
    return template.render(report=whole, version=__version__, **more).encode("utf-8", "replace")


def _assets() -> Assets:
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    return Assets(_markup(style), _hash(style), _markup(script), _hash(script))


def _markup(text: str) -> Markup:
    # These are files of this package, and neither closes its element.
    if _SCRIPT_END in text:
        raise ValueError(f"style and script may not hold {_SCRIPT_END!r}")
    return Markup(text)  # noqa: S704


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


class _Environment(Environment):
    """Looks fields of a view up as fields: jinja2 would first try, and fail, as attributes."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return what a template calls `obj.attribute`."""
        if type(obj) is dict and attribute in obj and attribute not in _OF_DICT:
            return obj[attribute]
        return super().getattr(obj, attribute)


def _environment() -> Environment:
    found = _Environment(loader=FileSystemLoader(_FOLDER), autoescape=True, trim_blocks=True)
    found.filters.update(_FILTERS)
    return found


class _Writer:
    def __init__(self, head: View, tree: Tree, page: Page, audited: Audited | None) -> None:
        self._head, self._tree, self._shown, self._audited = head, tree, page, audited
        self._jinja = _environment()
        self._jinja.filters["clock"] = _Clock(head["started_at"])
        self._common = {"page": page, "assets": _assets(), "version": __version__}
        parts: Any = self._jinja.get_template("parts.html.j2").module
        self._row: Callable[[Unit, bool], str] = parts.row
        self._output_row: Callable[[Any], str] = parts.output_row
        self._message_row: Callable[[Any], str] = parts.message_row

    def page(self, most_bytes: int, more_pages: Sequence[tuple[str, str]] = ()) -> Rendered:
        """Return the one page."""
        outputs = _first(self._outputs(), _MOST_OUTPUTS, "output", self._shown.n_outputs)
        messages = _first(self._messages(), _MOST_MESSAGES, "message", self._shown.n_messages)
        fields = {"outputs": outputs, "messages": messages, "more_pages": more_pages}
        bare = self._render("page.html.j2", **fields, tables=self._bare_tables(), left_out=[])
        tables = self._tables(most_bytes - len(bare) - 2_000)
        left_out = [part for table in tables for part in [table.left_out] if part]
        left_out += [rows.left_out for rows in (outputs, messages) if rows.left_out]
        text = self._render("page.html.j2", **fields, tables=tables, left_out=left_out)
        return Rendered(text, left_out)

    def files(self, most_bytes: int) -> Iterator[tuple[str, bytes]]:
        """Yield the files of a folder."""
        pages: list[tuple[str, str]] = []
        for kind, title in TITLES.items():
            rows = (self._row(unit, unit.has_more) for unit in self._tree.of(kind))
            yield from self._parts(kind, title, rows, self._shown.counts[kind], pages)
        yield from self._parts("output", "Outputs", self._outputs(), self._shown.n_outputs, pages)
        yield from self._parts(
            "message", "Messages", self._messages(), self._shown.n_messages, pages
        )
        yield "index.html", self.page(most_bytes, [*pages, ("report.json", "report.json")]).text

    def _parts(
        self,
        kind: str,
        title: str,
        rows: Iterable[str],
        count: int,
        pages: list[tuple[str, str]],
    ) -> Iterator[tuple[str, bytes]]:
        last = -(-count // _ROWS_A_PAGE)
        names = ["", *(f"{kind}s-{number:04d}.html" for number in range(1, last + 1)), ""]
        for number, some in enumerate(_batches(rows), 1):
            first = (number - 1) * _ROWS_A_PAGE + 1
            said = f"{title} {first:,} to {first + len(some) - 1:,}"
            part = Part(kind, said, some, names[number - 1], names[number + 1])
            pages.append((names[number], said))
            yield names[number], self._render("part.html.j2", part=part)

    def _render(self, name: str, **fields: Any) -> bytes:
        text = self._jinja.get_template(name).render(**self._common, **fields)
        return text.encode("utf-8", "backslashreplace")

    def _outputs(self) -> Iterator[str]:
        return map(self._output_row, outputs_of(self._head, self._audited))

    def _messages(self) -> Iterator[str]:
        return map(self._message_row, messages_of(self._head))

    def _kinds(self) -> list[Kind]:
        return [kind for kind in TITLES if self._shown.counts[kind]]

    def _bare_tables(self) -> list[Table]:
        return [Table(kind, TITLES[kind], 0, [], "") for kind in self._kinds()]

    def _tables(self, room: int) -> list[Table]:
        """Return the tables of units, in no more than *room* bytes."""
        found = []
        kinds = self._kinds()
        named = {unit.anchor for problem in self._shown.problems for unit in problem.units}
        named |= {request.unit.anchor for request in self._shown.requests}
        for kind in kinds:
            share = 1.0 if kind == kinds[-1] else _SHARE_OF_FILES
            chosen = _Chosen(self._row, int(room * share), named=named)
            chosen.choose(partial(self._tree.of, kind))
            room -= chosen.size
            found.append(
                Table(
                    kind,
                    TITLES[kind],
                    self._shown.counts[kind],
                    chosen.rows(),
                    chosen.left_out(kind),
                )
            )
        return found


class _Chosen:
    """Rows that fit: what the page leads to, what is urgent, the others; then their details."""

    def __init__(
        self, row: Callable[[Unit, bool], str], room: int, *, named: Container[str]
    ) -> None:
        self._row, self._room, self._named = row, room, named
        self._kept: dict[int, tuple[Unit, str]] = {}
        self._whole: set[int] = set()
        self._n_units = 0
        self.size = 0

    def choose(self, every: Callable[[], Iterable[Unit]]) -> None:
        """Choose among the units that *every* gives, each time it is called."""
        ranks = bytes(map(self._rank, every()))
        self._n_units = len(ranks)
        # Not gone through for nothing: views of a large run are made anew each time.
        for rank in filter(ranks.__contains__, _RANKS):
            for place, unit in enumerate(every()):
                if ranks[place] == rank and not self._keep(place, unit, rank):
                    break
        for place, (unit, _) in self._kept.items():
            if unit.has_more and place not in self._whole and not self._detail(place, self._room):
                break

    def rows(self) -> list[str]:
        """Return what was chosen, in the order in which the units came."""
        return [self._kept[place][1] for place in sorted(self._kept)]

    def left_out(self, kind: str) -> str:
        """Say what was not chosen."""
        rows = self._n_units - len(self._kept)
        details = sum(
            1 for place, (unit, _) in self._kept.items() if unit.has_more - (place in self._whole)
        )
        said = [
            *([count_text(rows, kind)] if rows else []),
            *([f"details of {count_text(details, kind)}"] if details else []),
        ]
        return " and ".join(said)

    def _rank(self, unit: Unit) -> int:
        if unit.anchor in self._named:
            return _NAMED
        return _URGENT if unit.is_urgent else _CALM

    def _keep(self, place: int, unit: Unit, rank: int) -> bool:
        """Keep the row of *unit* if there is room, of what is urgent with its details."""
        row = self._row(unit, False)  # noqa: FBT003 - a macro's argument
        if self.size + _length(row) > self._room:
            return False
        self.size += _length(row)
        self._kept[place] = (unit, row)
        if rank != _CALM and unit.has_more:
            self._detail(place, self._room // 2)
        return True

    def _detail(self, place: int, room: int) -> bool:
        unit, before = self._kept[place]
        row = self._row(unit, True)  # noqa: FBT003 - a macro's argument
        more = _length(row) - _length(before)
        if self.size + more > room:
            return False
        self.size += more
        self._kept[place] = (unit, row)
        self._whole.add(place)
        return True


def _first(rows: Iterable[str], room: int, what: str, count: int) -> Rows:
    """Return the first of *count* rows, in no more than *room* bytes."""
    found: list[str] = []
    for row in rows:
        room -= _length(row)
        if room < 0:
            break
        found.append(row)
    left = count - len(found)
    return Rows(found, count_text(left, what) if left else "")


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "backslashreplace"))


def _batches(rows: Iterable[str]) -> Iterator[list[str]]:
    some: list[str] = []
    for row in rows:
        some.append(row)
        if len(some) == _ROWS_A_PAGE:
            yield some
            some = []
    if some:
        yield some


# --- Filters: what a template may do with a value


class _Clock:
    """Writes an instant to the millisecond, without the date where it is that of the run."""

    def __init__(self, start: str) -> None:
        self._date = start[:_DATE] + "T"

    def __call__(self, timestamp: str | None) -> str:
        shown = timestamp or ""
        if shown.startswith(self._date):
            return wording.short(shown[_DATE + 1 :].removesuffix("Z")[:_TO_MILLISECOND])
        return wording.short(second_text(shown))


def _first_line(text: str) -> str:
    return wording.short(text.partition("\n")[0], 240)


def _known(status: object) -> str:
    """Return the words of *status* that are ours: the style knows these, and nobody else's."""
    return " ".join(word for word in str(status).split() if word in _STATUSES)


def _sort_key(unit: Unit) -> float:
    return unit.seconds if isinstance(unit.seconds, int | float) else -1.0


def _file_facts(unit: Unit) -> list[tuple[str, str]]:
    view = unit.view
    size = view.get("size_bytes")
    found = [
        ("name", view.get("name")),
        ("id", view.get("file_id")),
        ("type", view.get("mime_type")),
        ("size", None if size is None else size_text(size)),
        ("finished", view.get("finished_at") and second_text(view["finished_at"]) + " UTC"),
    ]
    return [(name, wording.short(text)) for name, text in found if text]


_FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "count_lines": lambda text: text.count("\n") + 1,
    "file_facts": _file_facts,
    "first_line": _first_line,
    "harmless": wording.lines,
    "known": _known,
    "lines": wording.lines,
    "remarks": remarks_of,
    "second": second_text,
    "seconds": seconds_text,
    "short": wording.short,
    "size": size_text,
    "sort_key": _sort_key,
    "tail": wording.last_lines,
    "used": used_text,
    "value": wording.value,
}
