"""`auditfold report-summary`: a batch as a table, from a trace or from a saved report."""

import os
from typing import Any, Final

import click

from observability.cli.errors import ExitCode
from observability.cli.options import json_option, path_argument, run_option, strict_option
from observability.cli.reading import choose_run, exit_code, open_place, say_damage
from observability.cli.screen import print_json, print_lines, width
from replay.show.batch_table import COLUMNS, USUAL, batch_table, batches_of, rows_of
from replay.trace.host import Hosts

_BAD: Final = frozenset({"failed", "interrupted"})
_SAVED: Final = ".json"


def _show_options(command: Any) -> Any:
    for name in reversed(COLUMNS):
        told = (
            f"Show the column {name}." if name not in USUAL else f"Show {name}; shown by default."
        )
        command = click.option(f"--show-{name}", is_flag=True, help=told)(command)
    return command


@click.command(
    "report-summary",
    epilog="""\b
Examples:
  auditfold report-summary out                          the latest run
  auditfold report-summary reports/progress.json        a report that was saved
  auditfold report-summary out --show-type --show-name --show-ms --show-review
""",
)
@path_argument
@run_option
@_show_options
@json_option
@strict_option
def command(path: str, *, run: str, as_json: bool, strict: bool, **shown: bool) -> ExitCode:
    """Show the batches of a run under PATH as tables; or of PATH, a report saved as JSON.

    With any --show-... only the columns that are named.  It exits 1 if a batch failed or was
    interrupted.
    """
    chosen = tuple(name for name in COLUMNS if shown[f"show_{name}"]) or USUAL
    if path.endswith(_SAVED) and os.path.isfile(path):
        batches, code = [_saved(path)], ExitCode.DONE
    else:
        batches, code = _of_run(path, run, strict=strict)
    if as_json:
        print_json([{**_head(batch), "rows": list(rows_of(batch))} for batch in batches])
    else:
        _print(batches, chosen)
    if code is not ExitCode.DONE:
        return code
    bad = any(str(batch.get("status")) in _BAD for batch in batches)
    return ExitCode.BAD if bad else ExitCode.DONE


def _head(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: batch.get(name) for name in ("label", "kind", "status")}


def _print(batches: list[dict[str, Any]], shown: tuple[str, ...]) -> None:
    if not batches:
        click.echo("No batch, file or step. The nodes of the run: auditfold show")
    for place, batch in enumerate(batches):
        if place:
            click.echo()
        print_lines(batch_table(batch, shown=shown, columns=width()))


def _of_run(path: str, run: str, *, strict: bool) -> tuple[list[dict[str, Any]], ExitCode]:
    from replay.fold.lines import report_state
    from replay.fold.run_report_views import report
    from replay.fold.runs import fold

    _, sources = open_place(path)
    index = fold(sources, spans=True)
    say_damage(path, index)
    code = exit_code(index, strict=strict)
    head = choose_run(path, index, run)
    state = report_state(sources, index, head.run_id)
    return batches_of(report(index, state, Hosts())), code


def _saved(path: str) -> dict[str, Any]:
    """Return the batch in a file that `PipelineReport.save` wrote.

    Raises:
        click.ClickException: It holds something else.
        OSError: It cannot be read.
    """
    import orjson

    from replay.fold.report.loading import refuse_other_version

    with open(path, "rb") as stream:
        data = stream.read()
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise click.ClickException(
            f"{path} (byte {error.pos}): not JSON, want a report as PipelineReport.save writes it: "
            f"{error.msg}"
        ) from None
    if isinstance(found, dict) and isinstance(found.get("nodes"), list) and "run_id" in found:
        batches = batches_of(found)
        return batches[0] if len(batches) == 1 else _together(found, batches)
    if not isinstance(found, dict) or not all(
        _is_units(found.get(name)) for name in ("steps", "files")
    ):
        raise click.ClickException(
            f"{path}: JSON, but no report: want an object with lists `steps` and `files`"
        )
    try:
        refuse_other_version(found)
    except ValueError as error:
        raise click.ClickException(f"{path}: {error}") from None
    return found


def _together(report: dict[str, Any], batches: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the report of a run, `report_XX.json`, as one batch."""
    many = {name: [one for batch in batches for one in batch[name]] for name in ("steps", "files")}
    return {"label": report["workflow_id"], "kind": "run", "status": report["status"], **many}


def _is_units(found: object) -> bool:
    return isinstance(found, list) and all(
        isinstance(unit, dict) and _is_units(unit.get("steps", [])) for unit in found
    )
