"""`auditfold replay`: write the derived files again from the trace, or check them."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click

from observability.cli.errors import ExitCode
from observability.cli.options import json_option, path_argument, strict_option
from observability.cli.reading import exit_code, open_place, say_damage
from observability.cli.screen import print_json, say
from observability.derived import check_all, excess, one_at_a_time, write_all
from replay.fold.run import RunState
from replay.fold.runs import Fold, fold
from replay.show.derived import KINDS, Kind, derive, reserved
from replay.show.line import harmless
from replay.trace.folder import TraceFile, locate
from replay.trace.host import Hosts

_OF_FOLDER: Final = {"logs/": "logs", "traces/": "traces"}


@click.command(
    "replay",
    epilog="""\b
Examples:
  auditfold replay out                 write all of them again
  auditfold replay --check out         are they what the trace says
  auditfold replay --to metadata out
""",
)
@path_argument
@click.option(
    "--to",
    type=click.Choice([*KINDS, "all"]),
    default="all",
    show_default=True,
    help="Which derived files.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 and name files that differ.")
@json_option
@strict_option
def command(path: str, *, to: str, check: bool, as_json: bool, strict: bool) -> ExitCode:
    """Write the derived files under PATH again, from the trace alone.

    These are metadata_XX.json and report_XX.json of each step's newest run, and a copy of each
    run that is not running under logs/ and traces/.  Traces and log_XX.log are left alone.
    """
    out = locate(path).out
    if out is None:
        raise click.UsageError(f"{path}: want a folder that has audit/, or a step_XX folder")
    place, sources = open_place(path)
    kinds: tuple[Kind, ...] = tuple(kind for kind in KINDS if to in {kind, "all"})
    hosts = Hosts()
    with ExitStack() as stack:
        if not check:
            # Before reading: a run that ends meanwhile would have its newer files replaced.
            for folder in sorted({trace.path.parent for trace in place.traces}):
                stack.enter_context(one_at_a_time(folder))
        folded = fold(sources, spans=True)
        say_damage(path, folded)
        code = exit_code(folded, strict=strict)
        derived = derive(sources, folded, hosts, kinds=kinds)
        if check:
            states: dict[str, str] = dict(check_all(out, derived))
            expected = {*states, *reserved(folded, hosts)}
            found = _excess(out, place.traces, folded, expected)
            states.update({name: "excess" for name in found if _kind(name) in kinds})
        else:
            states = dict.fromkeys(write_all(out, derived), "written")
    _print(states, as_json=as_json, check=check)
    if code is not ExitCode.DONE:
        return code
    return ExitCode.DONE if set(states.values()) <= {"same", "written"} else ExitCode.BAD


def _excess(
    out: Path, traces: Sequence[TraceFile], folded: Fold[RunState], expected: set[str]
) -> list[str]:
    steps = {trace.step for trace in traces if trace.step is not None}
    # Of a link in the place of a trace nothing was read: the older runner leaves such links.
    files = [(trace.step, folded.files.get(trace.name)) for trace in traces]
    older = {
        step
        for step, file in files
        if step is not None and (file is None or (file.lines and not file.hash))
    }
    return list(excess(out, steps, older=older, expected=expected))


def _kind(path: str) -> str:
    """Return what the derived file *path* is."""
    for folder, kind in _OF_FOLDER.items():
        if path.startswith(folder):
            return kind
    return "report" if path.rpartition("/")[2].startswith("report_") else "metadata"


def _print(states: dict[str, str], *, as_json: bool, check: bool) -> None:
    if as_json:
        print_json({"files": [{"path": name, "state": state} for name, state in states.items()]})
        return
    shown = {name: state for name, state in states.items() if state != "same"}
    for name, state in shown.items():
        click.echo(harmless(f"{state}: {name}") if check else harmless(name))
    if check and not shown:
        say(f"{len(states)} derived files are what the trace says")
