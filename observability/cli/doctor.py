"""`auditfold doctor`: is the installation whole, and can traces be written in a folder."""

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import click

from observability.cli.errors import ExitCode
from observability.cli.screen import colour, paint, width, write_bytes
from observability.doctor.installed import Check, Extra, Status, clashes, extras, program
from observability.doctor.probe import probe

_WORD: Final[dict[Status, tuple[str, str]]] = {
    "ok": ("ok", "green"),
    "warning": ("warning", "yellow"),
    "failed": ("FAILED", "red"),
    "not_tried": ("-", "dim"),
}
_TITLE: Final = {"program": "program", "packages": "packages of our names", "folder": "folder"}
# Narrower than this, text behind the columns could not be read.
_ROOM: Final = 24


@click.command(
    "doctor",
    epilog="""\b
Examples:
  auditfold doctor                     this environment, and this folder
  auditfold doctor --dir /data/out     can a run write there
  auditfold doctor --json | jq .status
""",
)
@click.option(
    "--dir",
    "folder",
    default=".",
    show_default=True,
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="The folder in which writing, locking and renaming are tried.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout.")
def command(folder: str, *, as_json: bool) -> ExitCode:
    """Check versions, extras, packages of the same name, and what a folder can do.

    What it tries in DIR it does in a folder of its own, which it removes.  It exits 0 if
    all that auditfold needs is there, warnings or not, and 5 otherwise.
    """
    groups = {
        "program": program(),
        "packages": clashes((".", folder)),
        "folder": probe(folder),
    }
    optional = extras()
    status = _worst(check.status for checks in groups.values() for check in checks)
    if as_json:
        found = {
            "status": status,
            "path": folder,
            **{name: [check._asdict() for check in checks] for name, checks in groups.items()},
            "extras": [extra._asdict() for extra in optional],
        }
        # By the standard library: this command has to work where orjson does not.
        write_bytes(json.dumps(found).encode() + b"\n")
    else:
        for line in _page(groups, optional, folder):
            click.echo(line, color=colour())
    return ExitCode.ENVIRONMENT if status == "failed" else ExitCode.DONE


def _worst(statuses: Iterable[Status]) -> Status:
    found = set(statuses)
    return "failed" if "failed" in found else "warning" if "warning" in found else "ok"


def _page(
    groups: Mapping[str, Sequence[Check]], optional: Sequence[Extra], folder: str
) -> Iterator[str]:
    coloured = colour()
    for name, checks in groups.items():
        what = f" {_printable(folder)}" if name == "folder" else ""
        yield paint(_TITLE[name] + what, "bold", coloured=coloured)
        yield from _rows(checks)
        yield ""
    yield paint("extras", "bold", coloured=coloured)
    yield from _rows([_check_of(extra) for extra in optional])


def _check_of(extra: Extra) -> Check:
    """Return what is said of an extra."""
    there = [f"{name} {have}" for name, have in extra.versions.items() if have is not None]
    how = "" if extra.status == "ok" else f"; pip install 'auditfold[{extra.name}]'"
    what = f"{', '.join(there)}: {extra.purpose}" if there else extra.purpose
    return Check(extra.name, extra.status, what + how)


def _rows(checks: Sequence[Check]) -> Iterator[str]:
    """Yield a line a check, and what to do below it; long text goes on below itself."""
    coloured, columns = colour(), width()
    names = max(len(check.name) for check in checks)
    for check in checks:
        word, style = _WORD[check.status]
        head = f"  {word:<7}  {check.name:<{names}}  "
        # A narrow terminal has the text below.
        beside = columns is None or columns - len(head) >= _ROOM
        indent = len(head) if beside else 4
        lines = [
            line
            for text in (check.detail, check.advice)
            for line in _wrapped(_printable(text), None if columns is None else columns - indent)
        ]
        first = lines.pop(0) if beside and lines else ""
        painted = head.replace(word, paint(word, style, coloured=coloured), 1)
        yield f"{painted}{first}".rstrip()
        yield from (" " * indent + line for line in lines)


def _wrapped(text: str, columns: int | None) -> list[str]:
    if columns is None:
        return [text] if text else []
    return textwrap.wrap(text, columns, break_on_hyphens=False)


def _printable(text: str) -> str:
    """Return *text* with what a terminal could obey written as escapes."""
    return text if text.isprintable() else ascii(text)[1:-1]
