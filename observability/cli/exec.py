"""`auditfold exec`: run any program as a node of a run."""

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from observability.cli.screen import say

if TYPE_CHECKING:
    from observability.observer import ExecutionObserver

RUN_ID: Final = "AUDITFOLD_RUN_ID"
_SHARED: Final = "exec"  # what a run of several commands is called
_LONGEST_ID: Final = 200  # bytes
_NOT_IN_IDS: Final = re.compile("[/\x00-\x1f\x7f-\x9f\u2028\u2029]")


class StepType(click.ParamType[str]):
    """The digits of a step."""

    name = "step"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return *value*, or refuse it as wrong usage."""
        if not re.fullmatch("[0-9]{1,20}", value):
            self.fail(f"{value!r}: want digits, such as 04", param, ctx)
        return str(value)


@click.command(
    "exec",
    context_settings={"allow_interspersed_args": False},
    epilog="""\b
Examples:
  auditfold exec -- make -j2                 a run of one node, called make
  auditfold exec --dir out --step 02 --in a.csv --out b.csv -- ./convert a.csv b.csv
  auditfold exec --name report --env LANG -- sh -c 'sort b.csv > report.txt'
\b
Several commands, one run (docs/exec.md has it for Make):
  export AUDITFOLD_RUN_ID=$(date -u +%Y%m%d-%H%M%S)-$$
  auditfold exec --step 02 --name fetch -- ./fetch
  auditfold exec --step 02 --name parse -- ./parse
  auditfold show --slowest
""",
)
@click.option("--dir", "folder", default=".", metavar="OUT", help="Gets audit/; default: here.")
@click.option("--step", type=StepType(), default="00", metavar="NN", help="The step; default: 00.")
@click.option("--name", metavar="X", help="The node; default: the file name of CMD.")
@click.option(
    "--workflow", metavar="W", help="The workflow is step_NN_W; default: X, or exec if shared."
)
@click.option(
    "--in", "inputs", multiple=True, metavar="F", help="A file or folder to digest before."
)
@click.option(
    "--out", "outputs", multiple=True, metavar="F", help="One to digest afterwards; must be there."
)
@click.option("--env", "variables", multiple=True, metavar="VAR", help="A variable to record.")
@click.option("--json", "as_json", is_flag=True, help="Write the outcome as JSON to stderr.")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="CMD [ARG]...")
def command(
    folder: str,
    *,
    step: str,
    name: str | None,
    workflow: str | None,
    inputs: Sequence[str],
    outputs: Sequence[str],
    variables: Sequence[str],
    as_json: bool,
    argv: Sequence[str],
) -> int:
    """Run CMD as a node: record how it ended, what it printed and used, and what it made.

    CMD has the streams, the terminal and the signals that it would have without; nothing is
    added to its output.  What it prints is recorded without escapes and secrets.  It exits as
    CMD does: 127 if there is none, 126 if it cannot be run, 128 + N if signal N ended it; and 1
    if CMD exits 0 and an F of --out is not there.

    Commands with the same AUDITFOLD_RUN_ID and --step are one run, also at the same time.
    """
    from observability.command.streams import occupy_streams

    occupy_streams()
    if not argv[0]:
        raise click.UsageError("CMD is empty; nothing was run")
    for path in inputs:
        if not os.path.lexists(path):
            raise click.BadParameter(f"{path!r}: no such file; nothing was run", param_hint="--in")
    run_id = _run_id()
    named = name or os.path.basename(argv[0]) or argv[0]
    observer = _observer(
        folder, f"step_{step}_{workflow or (_SHARED if run_id else named)}", run_id, name
    )

    from observability.command.node import run_program

    outcome = run_program(
        observer,
        argv,
        name=named,
        is_one_of_many=run_id is not None and name is None,
        inputs=inputs,
        outputs=outputs,
        variables=variables,
    )
    for problem in outcome.problems:
        say(f"auditfold exec: {problem}")
    if as_json:
        print_outcome(outcome.fields)
    return outcome.exit_code


def print_outcome(fields: dict[str, Any]) -> None:
    """Write an outcome to stderr: stdout is the command's own."""
    import orjson

    click.echo(orjson.dumps(fields).decode(), err=True)


def _run_id() -> str | None:
    run_id = os.environ.get(RUN_ID)
    if not run_id:
        return None
    from observability.joining import check_run_id

    try:
        return check_run_id(run_id)
    except ValueError as error:
        raise click.UsageError(f"{RUN_ID}: {error}; nothing was run") from None


def _observer(
    folder: str, workflow: str, run_id: str | None, name: str | None
) -> "ExecutionObserver":
    from observability.observer import ExecutionObserver

    clean = _NOT_IN_IDS.sub("_", workflow).encode("utf-8", "backslashreplace")
    try:
        return ExecutionObserver(
            clean[:_LONGEST_ID].decode(errors="ignore"),
            folder,
            quiet=True,
            run_id=run_id,
            only_node=name if run_id else None,
        )
    except ValueError as error:
        raise click.UsageError(f"{error}; nothing was run") from None
