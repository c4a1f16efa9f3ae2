"""`auditfold review`: what awaits review, and deciding about it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from observability.cli.errors import ExitCode
from observability.cli.options import complete_path, complete_run, json_option, strict_option
from observability.cli.reading import choose_run, exit_code, open_place, say_damage
from observability.cli.screen import print_json, print_lines, say, width
from replay.fold.files import Source
from replay.fold.review_queue import Request, UnclearError
from replay.fold.runs import Fold, fold

if TYPE_CHECKING:
    from observability.review import Action, Recorded
    from replay.show.page.units import Unit

path_option = click.option(
    "--path",
    default=".",
    metavar="PATH",
    show_default=True,
    help="A folder that has audit/.",
    shell_complete=complete_path,
)
by_option = click.option(
    "--by", metavar="WHO", help="Who says so.  [default: your login name, where that is known]"
)
_run_option = click.option(
    "--run",
    metavar="RUN",
    help="Only this run: latest, a step number, or a part of a run id.  [default: all runs]",
    shell_complete=complete_run,
)
_reason_option = click.option("--reason", metavar="TEXT", help="Why.")
_digest_option = click.option(
    "--digest", metavar="D", help="Refuse if what is decided about has another digest by now."
)
_id_argument = click.argument("ident", metavar="ID")


@click.group(
    "review",
    no_args_is_help=True,
    epilog="""\b
Examples:
  auditfold review list --path out
  auditfold review show b.csv --path out
  auditfold review approve b.csv --by anna --reason 'two rows are right' --path out
  auditfold review reject 'Check balance' --by anna --reason 'rows are missing' --path out
  auditfold review reopen b.csv --by bert --reason 'new rules' --path out
  auditfold review list --all --json --path out | jq -r 'select(.decision == "rejected").file'
""",
)
def command() -> None:
    """List what awaits review, and decide about it.

    A decision is an event of the run's trace, with who decided, why, and the digest of what was
    looked at.  One about something that changed since does not hold: it is open again.

    ID is what `list` prints, or any part of it or of the name of the file or step that only one
    request has.
    """


@command.command("list", short_help="List what is open; exit 1 while something is.")
@click.option("--all", "show_all", is_flag=True, help="What was decided as well.")
@path_option
@_run_option
@json_option
@strict_option
def list_(*, path: str, run: str | None, show_all: bool, as_json: bool, strict: bool) -> ExitCode:
    """List the open requests of all runs under PATH, the oldest run first.

    It exits 1 while one is open, also one whose decision is about something that changed since.
    """
    from replay.show.queue_table import queue_table, request_view

    _, requests, code = _read(path, run, strict=strict)
    n_open = sum(request.is_open for request in requests)
    shown = [request for request in requests if show_all or request.is_open]
    if as_json:
        for request in shown:
            print_json(request_view(request))
    else:
        print_lines(queue_table(shown, columns=width()))
        if not shown:
            say(f"{path}: nothing awaits review")
    if code is not ExitCode.DONE:
        return code
    return ExitCode.BAD if n_open else ExitCode.DONE


@command.command("show", short_help="Show a request and what it is about.")
@_id_argument
@path_option
@_run_option
@json_option
@strict_option
def show(ident: str, *, path: str, run: str | None, as_json: bool, strict: bool) -> ExitCode:
    """Show a request with what it is about: checks, messages, metadata, steps, and its digest.

    It exits 1 while the request is open.
    """
    from replay.show.queue_table import request_lines, request_view

    found, requests, code = _read(path, run, strict=strict)
    request = _chosen(requests, ident, None)
    unit = _unit_of(found, request)
    if as_json:
        print_json({**request_view(request), "unit": unit.view})
    else:
        print_lines(request_lines(request, unit, columns=width()))
    if code is not ExitCode.DONE:
        return code
    return ExitCode.BAD if request.is_open else ExitCode.DONE


def _deciding(name: "Action", short_help: str, about: str) -> Callable[..., Any]:
    """Return the command that records one kind of decision."""

    @_id_argument
    @by_option
    @_reason_option
    @_digest_option
    @path_option
    @_run_option
    @json_option
    def deciding(
        ident: str,
        *,
        by: str | None,
        reason: str | None,
        digest: str | None,
        path: str,
        run: str | None,
        as_json: bool,
    ) -> ExitCode:
        who = author_of(by)
        _, requests, _ = _read(path, run, strict=False)
        request = _chosen(requests, ident, name)
        if digest is not None and digest != request.digest:
            raise click.UsageError(
                f"request {request.ident}: digest {request.digest}, want {digest}: it is not what "
                "you looked at; nothing was recorded"
            )
        return _record(path, request, name, who=who, reason=reason, as_json=as_json)

    deciding.__doc__ = about
    return command.command(name, short_help=short_help)(deciding)


_deciding(
    "approve",
    "Answer a request: as it should be.",
    "Record that a request for review is answered: what it is about is as it should be.",
)
_deciding(
    "reject",
    "Answer a request: not as it should be.",
    "Record that a request for review is answered: what it is about is not as it should be.",
)
_deciding(
    "reopen",
    "Take a decision back.",
    "Record that a decision holds no more: somebody has to look again.",
)


def _record(
    path: str,
    request: Request,
    action: "Action",
    *,
    who: str,
    reason: str | None,
    as_json: bool,
) -> ExitCode:
    from observability.review import DECISIONS, RefusedError, decide

    try:
        recorded = decide(path, request, action, reviewer=who, note=reason)
    except ValueError as error:
        said = str(error) if isinstance(error, RefusedError) else f"--reason: {error}"
        raise click.UsageError(f"{said}; nothing was recorded") from None
    decision = DECISIONS[action]
    if as_json:
        print_json(
            {
                "id": request.ident,
                "run_id": request.run_id,
                "file": request.file or None,
                "step": request.step or None,
                "node_id": request.node_id,
                "node_index": request.node_index,
                "decision": decision,
                "decided_at": recorded.timestamp,
                "digest": request.digest,
            }
        )
    else:
        say(f"{decision}: {request.name} ({request.ident}) in run {request.run_id}")
    return say_failures(recorded)


def say_failures(recorded: "Recorded") -> ExitCode:
    """Say which derived files could not be written; the event is recorded in any case."""
    for where, error in recorded.failures:
        why = error.strerror or str(error)
        say(f"{where}: {why}; it is recorded in the trace. Run: auditfold replay")
    return ExitCode.ENVIRONMENT if recorded.failures else ExitCode.DONE


def author_of(by: str | None) -> str:
    """Return who says something: *by*, else the login name.

    Raises:
        click.UsageError: Nobody is named.
    """
    name = by
    if by is None:
        import getpass

        try:
            name = getpass.getuser()
        except (OSError, KeyError, ImportError):
            name = None
    if not name or not name.strip():
        raise click.UsageError("nobody is named: want --by WHO; nothing was recorded")
    return name


def _read(
    path: str, run: str | None, *, strict: bool
) -> tuple[tuple[list[Source], Fold[Any]], list[Request], ExitCode]:
    """Return the traces under PATH and the requests in them."""
    from observability.review import all_requests

    _, sources = open_place(path)
    index = fold(sources, spans=True)
    say_damage(path, index)
    code = exit_code(index, strict=strict)
    heads = list(index.heads()) if run is None else [choose_run(path, index, run)]
    run_ids = [head.run_id for head in heads]
    return (sources, index), list(all_requests(sources, index, run_ids)), code


def _chosen(requests: Sequence[Request], ident: str, action: "Action | None") -> Request:
    from observability.review import choose_request

    try:
        return choose_request(requests, ident, action)
    except UnclearError as error:
        raise click.UsageError(f"{error}. List them: auditfold review list --all") from None


def _unit_of(found: tuple[list[Source], Fold[Any]], request: Request) -> "Unit":
    """Return what a request is about, as a report has it."""
    from replay.fold.lines import report_state
    from replay.fold.nodes import nodes_of
    from replay.fold.report.views import unit_view
    from replay.fold.run_report_views import node_view
    from replay.fold.run_units import running_as
    from replay.show.page.units import Unit
    from replay.trace.host import Hosts

    sources, index = found
    state = report_state(sources, index, request.run_id)
    standing = index.standing(state, Hosts())
    if request.unit is None:
        named = {(node_id, node.index): node for node_id, node in nodes_of(state)}
        node = named[request.node_id, request.node_index]
        return Unit("node", "", node_view(state, request.node_id, node, standing))
    unit = state.units.states[request.unit]
    view = unit_view(unit, state.last.mono_us, running_as=running_as(standing.status))
    return Unit("step" if request.step else "file", "", view)
