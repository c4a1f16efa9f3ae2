"""Arguments and options that several commands have, worded once, and how they are completed."""

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from click.shell_completion import CompletionItem

# Of the runs that a registry names so many of the newest are offered.
_MOST_RUNS = 50


def complete_path(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> "list[CompletionItem[str]]":
    """Let the shell complete a file name."""
    from click.shell_completion import CompletionItem

    del ctx, param
    return [CompletionItem(incomplete, type="file")]


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return what RUN may be under the PATH that was typed, as its small registry has it."""
    from replay.trace.folder import NoTraceError, locate

    del param
    # An option that still waits for its value keeps click from giving arguments their names.
    given = ctx.args[0] if ctx.args else ctx.params.get("path") or "."
    try:
        place = locate(given)
    except (NoTraceError, OSError):
        return []
    steps = sorted({trace.step for trace in place.traces if trace.step is not None})
    ids = [] if place.registry is None else _run_ids(place.registry.path)[-_MOST_RUNS:]
    return [run for run in ["latest", *steps, *ids] if run.startswith(incomplete)]


def _run_ids(registry: "Path") -> list[str]:
    """Return the runs that the readable lines of *registry* name, in their order."""
    from replay.trace.evidence import TraceError, open_evidence
    from replay.trace.reader import EventReader
    from replay.trace.schema import NewerVersionError

    found: dict[str, None] = {}
    with (
        suppress(TraceError, NewerVersionError, OSError),
        open_evidence(registry) as stream,
    ):
        for event in EventReader(stream, registry.name):
            if event.run_id is not None:
                found[event.run_id] = None
    return list(found)


class OutputFile(click.Path):
    """A file to write: a name, and no directory."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False)

    def convert(
        self,
        value: "str | PathLike[str]",
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> "str | bytes | PathLike[str]":
        """Return *value*; fail where it cannot be a file."""
        if not value:
            self.fail("want the name of a file", param, ctx)
        if os.fspath(value).endswith("/"):
            self.fail(f"{value}: a directory, want a file", param, ctx)
        return super().convert(value, param, ctx)


path_argument = click.argument("path", default=".", metavar="[PATH]", shell_complete=complete_path)

run_option = click.option(
    "--run",
    default="latest",
    metavar="RUN",
    show_default=True,
    help="latest, a step number, or a part of a run id that only one run has.",
    shell_complete=complete_run,
)

json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout.")

strict_option = click.option(
    "--strict", is_flag=True, help="Exit 3 if a line could not be read; it is named either way."
)
