"""`auditfold ls`: the runs under PATH, one a line, the newest last."""

import click

from observability.cli.errors import ExitCode
from observability.cli.options import json_option, path_argument, strict_option
from observability.cli.reading import exit_code, open_place, say_damage
from observability.cli.screen import print_json, print_lines, say, width
from replay.fold.runs import fold
from replay.show.run_table import RUN_COLUMNS, run_row, run_view
from replay.show.table import table
from replay.trace.host import Hosts


@click.command(
    "ls",
    epilog="""\b
Examples:
  auditfold ls out
  auditfold ls --json out | jq -r 'select(.status == "failed").run_id'
""",
)
@path_argument
@json_option
@strict_option
def command(path: str, *, as_json: bool, strict: bool) -> ExitCode:
    """List the runs under PATH in the order in which they began, the newest last.

    NODES are those that succeeded, of those announced.  A status with a question mark is
    assumed: the run's process is on another host.  It exits 0 however the runs ended.
    """
    _, sources = open_place(path)
    folded = fold(sources)
    hosts = Hosts()
    if as_json:
        for state in folded.runs():
            print_json(run_view(state, folded.standing(state, hosts)))
    else:
        rows = [run_row(state, folded.standing(state, hosts)) for state in folded.runs()]
        if rows:
            print_lines(table(RUN_COLUMNS, rows, width=width()))
        elif not folded.damage:
            say(f"{path}: no run in its traces")
    say_damage(path, folded)
    return exit_code(folded, strict=strict)
