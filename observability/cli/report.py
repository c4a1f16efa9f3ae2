"""`auditfold report`: the report of one run as a page, as Markdown, as JSON, or as you like it."""

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from observability.cli.audit import VKEYS, jobs_of, vkey
from observability.cli.errors import ExitCode
from observability.cli.options import json_option, path_argument, run_option, strict_option
from observability.cli.reading import choose_run, exit_code, open_place, say_damage
from observability.cli.runs import readable_twice
from observability.cli.screen import is_terminal, path_text, print_json, say, write_bytes
from observability.files import write_beside
from replay.fold.collector import paused_collector
from replay.fold.lines import report_state
from replay.fold.run_report import RunReport
from replay.fold.run_report_views import node_view, report, report_chunks, report_head
from replay.fold.run_units import file_views, other_views
from replay.fold.runs import Fold, Standing, fold
from replay.show.copies import gathered
from replay.show.line import harmless
from replay.show.node_steps import lone_nodes, steps_with_nodes
from replay.show.page.units import Tree, View
from replay.show.text import size_text
from replay.trace.folder import REGISTRY, Place
from replay.trace.host import Hosts

if TYPE_CHECKING:
    from replay.show.page.view import Audited, Page

_BAD: Final = frozenset({"failed", "interrupted"})
_FORMATS: Final = ("html", "md", "json", "dir")
_STANDARD: Final = "-"
# Units: so many take some 150 MB.
_MOST_KEPT: Final = 100_000
# The names that `--format dir` writes, and the only ones that it replaces or removes.
_OURS: Final = re.compile(
    r"index\.html|report\.json|(files|steps|nodes|outputs|messages)-[0-9]{4,}\.html"
)


class Made(NamedTuple):
    """What was made of a run.

    Attributes:
        files: (name, pieces) of each; one without a name unless it is a folder.
        left_out: What a small file has no room for, in words.
    """

    files: Iterable[tuple[str, Iterable[bytes]]]
    left_out: list[str]


@click.command(
    "report",
    epilog="""\b
Examples:
  auditfold report out -o report.html        one file, for a browser or a mail
  auditfold report out -o report.html --open
  auditfold report --run 04 out -o pages --format dir
  auditfold report out --format md           for an issue
  auditfold report out --template mine.html.j2 -o mine.html
""",
)
@path_argument
@run_option
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="F",
    default=_STANDARD,
    help="The file to write, with dir the folder; - for stdout.  [default: -]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default="html",
    show_default=True,
    help="One HTML file of at most 5 MB; Markdown; the report as JSON; a folder with all of it.",
)
@click.option(
    "--template",
    type=click.Path(),
    metavar="F",
    help="A Jinja2 template of your own, instead of the page.",
)
@click.option("--open", "opened", is_flag=True, help="Show it in a browser.")
@click.option("--no-audit", is_flag=True, help="Do not audit the evidence and the outputs.")
@json_option
@strict_option
def command(
    path: str,
    *,
    run: str,
    output: str,
    form: str,
    template: str | None,
    opened: bool,
    no_audit: bool,
    as_json: bool,
    strict: bool,
) -> ExitCode:
    """Write the report of a run under PATH for people: what failed and why comes first.

    The HTML file needs no network, no JavaScript and nothing beside it.  With --format dir there
    is a folder of pages that leaves nothing out.  It exits 1 if the run failed or was
    interrupted.
    """
    _check_usage(output, form=form, template=template, opened=opened, as_json=as_json)
    with paused_collector(), readable_twice(path) as readable:
        place, sources = open_place(readable)
        _refuse_evidence(output, place)
        index = fold(sources, spans=True)
        say_damage(path, index)
        code = exit_code(index, strict=strict)
        head = choose_run(path, index, run)
        folded = _Folded(index, report_state(sources, index, head.run_id), Hosts())
        audited = (readable, path) if not no_audit else None
        made = _made(folded, audited, form=form, template=template)
        size = _write(output, made, form=form)
    _say(output, size, made.left_out, status=folded.standing.status, as_json=as_json)
    if opened:
        _show(output, form=form)
    if code is not ExitCode.DONE:
        return code
    return ExitCode.BAD if folded.standing.status in _BAD else ExitCode.DONE


class _Folded:
    """The run, as everything that is made of it needs it."""

    def __init__(self, index: Fold[Any], state: RunReport, hosts: Hosts) -> None:
        self._index, self._state, self._hosts = index, state, hosts
        self.standing: Standing = index.standing(state, hosts)

    def head(self) -> dict[str, Any]:
        """Return the report without its nodes."""
        return report_head(self._state, self.standing)

    def whole(self) -> dict[str, Any]:
        """Return the report."""
        return report(self._index, self._state, self._hosts)

    def chunks(self) -> Iterator[bytes]:
        """Yield the report as JSON."""
        return gathered(report_chunks(self._index, self._state, self._hosts))

    def tree(self) -> Tree:
        """Return the units; of a large run they are made anew each time they are gone through."""
        units, status = self._state.units, self.standing.status
        now_us = self._state.last.mono_us
        tree = Tree(
            files=_Again(lambda: file_views(units, status, now_us)),
            steps=_Again(lambda: steps_with_nodes(self._state, self.standing)),
            others=other_views(units, status, now_us),
            nodes=_Again(self._lone_nodes),
        )
        if len(units.states) + self._state.nodes_seen > _MOST_KEPT:
            return tree
        return Tree(*map(list, tree))

    def _lone_nodes(self) -> Iterator[View]:
        for node_id, node in lone_nodes(self._state):
            yield node_view(self._state, node_id, node, self.standing)


class _Again:
    """What can be gone through more than once."""

    def __init__(self, begin: Callable[[], Iterator[View]]) -> None:
        self._begin = begin

    def __iter__(self) -> Iterator[View]:
        return self._begin()


# --- Usage


def _check_usage(
    output: str, *, form: str, template: str | None, opened: bool, as_json: bool
) -> None:
    """Refuse options that contradict each other, before anything is read.

    Raises:
        click.UsageError: They do.
    """
    if output == _STANDARD:
        if form == "dir":
            raise click.UsageError("--format dir: want a folder to write, -o FOLDER")
        if opened:
            raise click.UsageError("--open: want a file to show, -o FILE")
        if as_json:
            raise click.UsageError("--json: want a file to write, -o FILE, or --format json")
        if form == "html" and template is None and is_terminal():
            raise click.UsageError("want a file to write: -o report.html, or - and a pipe behind")
    elif not output:
        raise click.UsageError("-o: want the name of a file")
    elif form != "dir" and (os.path.isdir(output) or output.endswith("/")):
        raise click.UsageError(
            f"-o {output}: a directory, want a file; a folder of pages is --format dir"
        )
    if template is not None and form != "html":
        raise click.UsageError(f"--template: makes the file instead of --format {form}; want one")
    if template is not None and not os.path.isfile(template):
        raise click.BadParameter(f"{template}: no such file", param_hint="--template")


def _refuse_evidence(output: str, place: Place) -> None:
    """Refuse to write over a trace, or anything into a folder that holds a registry.

    Raises:
        click.UsageError: That was asked for.
    """
    if output == _STANDARD:
        return
    target = Path(os.path.realpath(output))
    is_trace = any(Path(os.path.realpath(trace.path)) == target for trace in place.traces)
    if is_trace or any((folder / REGISTRY).exists() for folder in (target, *target.parents)):
        raise click.UsageError(f"-o {output}: evidence is there; want another place")


# --- Making


def _made(
    folded: _Folded, path: tuple[str, str] | None, *, form: str, template: str | None
) -> Made:
    """Return what is to be written; *path* is where to audit, and how people call it."""
    if form == "json":
        return Made([("", folded.chunks())], [])
    from replay.show.page.view import page_of

    if form != "md" or template is not None:
        # Before the audit, which may take long: a missing extra is said at once.
        import jinja2  # noqa: F401
    found = None if path is None else _audited(*path)
    if template is not None:
        return Made([("", [_templated(template, folded.whole(), found)])], [])
    head, tree = folded.head(), folded.tree()
    page = page_of(head, tree, found)
    if form == "md":
        from replay.show.page.markdown import markdown

        lines = markdown(head, tree, page, audited=found)
        return Made([("", (line.encode("utf-8", "replace") + b"\n" for line in lines))], [])
    return _pages(folded, head, tree, page, found, form=form)


def _pages(
    folded: _Folded,
    head: View,
    tree: Tree,
    page: "Page",
    found: "Audited | None",
    *,
    form: str,
) -> Made:
    from replay.show.page import rendering

    if form == "html":
        one = rendering.html(head, tree, page, audited=found)
        return Made([("", [one.text])], list(one.left_out))

    def files() -> Iterator[tuple[str, Iterable[bytes]]]:
        yield "report.json", folded.chunks()
        for name, text in rendering.folder(head, tree, page, audited=found):
            yield name, [text]

    return Made(files(), [])


def _audited(path: str, called: str) -> "Audited":
    from replay.audit.audit import audit
    from replay.show.page.view import Audited

    begin = time.monotonic()
    # Whoever names keys for `audit` means them here as well.
    vkeys = [vkey(key) for key in os.environ.get(VKEYS, "").split()]
    report = audit(path, vkeys=vkeys, jobs=jobs_of(None))
    at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return Audited(report, called, at, time.monotonic() - begin)


def _templated(template: str, report: dict[str, Any], found: "Audited | None") -> bytes:
    import jinja2

    from replay.show.page.rendering import templated

    try:
        return templated(template, report, {"audit": found})
    except jinja2.TemplateNotFound as error:
        said = f"{template}: it asks for {error.name}, which is not beside it"
    except jinja2.TemplateSyntaxError as error:
        said = f"{error.filename or template}:{error.lineno}: {error.message}"
    except UnicodeDecodeError as error:
        said = f"{template} (byte {error.start}): not UTF-8"
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - a template may raise anything
        said = f"{template}:{_line_in(template, error)}: {type(error).__name__}: {error}"
    raise click.BadParameter(f"{said}. Nothing was written", param_hint="--template")


def _line_in(template: str, error: BaseException) -> int:
    """Return the line of *template* in which *error* was raised: jinja2 writes it into frames."""
    line, frame = 0, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == template:
            line = frame.tb_lineno
        frame = frame.tb_next
    return line


# --- Writing


def _write(output: str, made: Made, *, form: str) -> int:
    """Write what was made and return its bytes."""
    if form == "dir":
        return _write_folder(output, made)
    size = 0
    for _, chunks in made.files:
        counted = _Counted(chunks)
        if output == _STANDARD:
            for chunk in counted:
                write_bytes(chunk)
        elif _is_device(output):
            # /dev/stdout, a named pipe: what stands there is not to be replaced.
            with open(output, "wb") as stream:
                stream.writelines(counted)
        else:
            _make_folder_of(output)
            write_beside(output, counted)
        size += counted.size
    return size


def _make_folder_of(output: str) -> None:
    """Make the folder that a file is to be in.

    Raises:
        OSError: It cannot be made; its `filename` is the file.
    """
    try:
        os.makedirs(os.path.dirname(output) or ".", exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), output) from error
    except OSError as error:
        error.filename = output
        raise


def _write_folder(output: str, made: Made) -> int:
    """Write a folder, and take away what an earlier report left there.

    Raises:
        click.UsageError: There is something else in it.
    """
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise click.UsageError(f"-o {output}: --format dir wants a folder, and that is a file")
    before = set(os.listdir(folder)) if folder.is_dir() else set()
    foreign = sorted(name for name in before if not _OURS.fullmatch(name))
    if foreign:
        raise click.UsageError(
            f"-o {output}: there is something else, {_quoted(foreign[0])}; want a new folder, "
            "or one that holds an earlier report"
        )
    os.makedirs(folder, exist_ok=True)
    size, written = 0, set()
    for name, chunks in made.files:
        counted = _Counted(chunks)
        write_beside(folder / name, counted)
        written.add(name)
        size += counted.size
    for name in before - written:
        os.unlink(folder / name)
    return size


def _quoted(name: str) -> str:
    """Return a file name as a message has it."""
    return repr(harmless(name[:60]))


class _Counted:
    """Pieces, and how many bytes they were."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.size += len(chunk)
            yield chunk


def _is_device(output: str) -> bool:
    try:
        mode = os.stat(output).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _say(output: str, size: int, left_out: list[str], *, status: str, as_json: bool) -> None:
    if as_json:
        print_json(
            {"path": path_text(output), "size": size, "status": status, "left_out": left_out}
        )
        return
    said = f"{size_text(size)}"
    if left_out:
        said += f"; left out: {', '.join(left_out)} (all of it: --format dir)"
    if output == _STANDARD:
        say(said)
    else:
        click.echo(f"{harmless(output)}  {said}")


def _show(output: str, *, form: str) -> None:
    import webbrowser

    at = Path(output).absolute() / "index.html" if form == "dir" else Path(output).absolute()
    if not webbrowser.open(at.as_uri()):
        say(f"{output}: it is written; no browser was found to show it (BROWSER names one)")
