"""`auditfold show`: the report of one run."""

import re
import shlex
import time
from typing import Any, Final

import click

from observability.cli.errors import ExitCode
from observability.cli.options import json_option, path_argument, run_option, strict_option
from observability.cli.reading import choose_run, exit_code, open_place, say_damage
from observability.cli.screen import escape_json, is_terminal, print_lines, width, write_bytes
from observability.cli.times import timestamp_of
from replay.fold.path import NotYetError, whole_run
from replay.fold.run_report_views import report_chunks, slowest_first
from replay.fold.runs import fold
from replay.show.copies import gathered
from replay.show.resources import KEYS, Key, render_resources
from replay.show.tree import render_failed, render_report, render_slowest
from replay.trace.host import Hosts

_SEQ: Final = re.compile("[0-9]{1,18}")
_BAD: Final = frozenset({"failed", "interrupted"})


class AtType(click.ParamType[int | str]):
    """A `seq`, or a time; the command gets an int or a timestamp."""

    name = "at"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """Return the number or the timestamp, or refuse *value* as wrong usage."""
        if isinstance(value, int) or _SEQ.fullmatch(value):
            return int(value)
        try:
            return timestamp_of(value, now_us=time.time_ns() // 1000)
        except ValueError as error:
            self.fail(f"{value!r}: {error}; or the seq of an event", param, ctx)


@click.command(
    "show",
    epilog="""\b
Examples:
  auditfold show out                  the latest run
  auditfold show --failed out         what failed in it, with tracebacks
  auditfold show --slowest out        what took longest
  auditfold show --by memory out      the nodes that needed most
  auditfold show --run 04 out         the latest run of step 04
  auditfold show --run k3f9x2 --at 2026-11-21T07:03:12Z out
  auditfold show --json out | jq '.nodes[] | select(.status == "failed")'
""",
)
@path_argument
@run_option
@click.option(
    "--at",
    type=AtType(),
    metavar="SEQ|TIME",
    help="As of then: behind the event of that seq in the file where the run began, "
    "or at a time, 2026-11-21T07:03:12Z, or 10m, 2h, 3d ago.",
)
@click.option("--failed", is_flag=True, help="Only nodes that failed, with tracebacks.")
@click.option("--slowest", is_flag=True, help="Nodes by their time, the slowest first.")
@click.option(
    "--by",
    type=click.Choice(KEYS),
    metavar="WHAT",
    help="Only a table of the 20 nodes that used most: cpu, memory or io.",
)
@json_option
@strict_option
def command(
    path: str,
    *,
    run: str,
    at: int | str | None,
    failed: bool,
    slowest: bool,
    by: Key | None,
    as_json: bool,
    strict: bool,
) -> ExitCode:
    """Show the report of a run under PATH, folded from the trace.

    With --json it is what report_XX.json holds, with --failed without the other nodes, with
    --slowest in that order.  It exits 1 if the run failed or was interrupted.
    """
    if failed and slowest:
        raise click.UsageError("--failed and --slowest exclude each other.")
    if by is not None and (failed or slowest or as_json):
        raise click.UsageError("--by is a table of its own: leave --failed, --slowest, --json out")
    _, sources = open_place(path)
    index = fold(sources, spans=at is None)
    # Before it is said that there is no such run: that may be why.
    say_damage(path, index)
    code = exit_code(index, strict=strict)
    head = choose_run(path, index, run)
    at_seq, at_time = (at, None) if isinstance(at, int) else (None, at)
    try:
        folded, state = whole_run(sources, index, head, at_seq=at_seq, at_time=at_time)
    except NotYetError as error:
        raise click.BadParameter(str(error), param_hint="--at") from None
    hosts = Hosts()
    standing = folded.standing(state, hosts)
    if as_json:
        statuses = _BAD if failed else None
        nodes = ((node_id, node) for _, node_id, node in slowest_first(state)) if slowest else None
        chunks = report_chunks(folded, state, hosts, statuses=statuses, nodes=nodes)
        for chunk in gathered(chunks):
            write_bytes(_harmless(chunk) if is_terminal() else chunk)
    elif by is not None:
        print_lines(render_resources(state, standing, by=by, columns=width()))
    elif failed:
        print_lines(render_failed(state, standing, columns=width()))
    else:
        words = "show --json --slowest" if slowest else "show --json"
        more = f"auditfold {words} --run {shlex.quote(state.run_id)} {shlex.quote(path)}"
        render = render_slowest if slowest else render_report
        print_lines(render(state, standing, columns=width(), more=more))
    if code is not ExitCode.DONE:
        return code
    return ExitCode.BAD if standing.status in _BAD else ExitCode.DONE


def _harmless(chunk: bytes) -> bytes:
    return b"\n".join(escape_json(line).rstrip(b"\n") for line in chunk.split(b"\n"))
