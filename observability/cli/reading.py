"""What reading commands have in common: find the traces, say what could not be read."""

from typing import Any

import click

from observability.cli.damage import (
    MAX_NAMED,
    damage_text,
    hint,
    more_text,
    no_trace,
    refuse_lost_traces,
)
from observability.cli.errors import ExitCode
from observability.cli.screen import say
from replay.fold.choice import RunChoiceError, choose
from replay.fold.files import Source, sources_of
from replay.fold.run import RunState
from replay.fold.runs import Fold, Frozen
from replay.trace.folder import NoTraceError, Place, locate
from replay.trace.left_out import left_out


def open_place(path: str) -> tuple[Place, list[Source]]:
    """Return what PATH means and its traces; say which of them are links, and left out.

    Raises:
        NoTraceError: There is neither a trace nor a registry.
        TraceError: There are links, and nothing else.
        click.exceptions.Exit: There is a registry, and its traces are gone.
    """
    place = locate(path)
    refuse_lost_traces(path, place)
    sources = sources_of(place)
    for message in left_out(place):
        say(message)
    return place, sources


def say_damage(path: str, folded: Fold[Any]) -> None:
    """Say which lines are no events; of what is no trace at all that is said once, at the end."""
    damage = folded.damage
    if not damage or not _has_events(folded):
        return
    for found in damage[:MAX_NAMED]:
        say(damage_text(found))
    if len(damage) > MAX_NAMED:
        say(more_text(len(damage) - MAX_NAMED))
    say(hint(path))


def _has_events(folded: Fold[Any]) -> bool:
    return any(file.writer for file in folded.files.values())


def exit_code(folded: Fold[Any], *, strict: bool) -> ExitCode:
    """Return how a command ends that found nothing bad but, perhaps, damaged lines.

    Raises:
        TraceError: No line at all is an event.
    """
    if folded.damage and not _has_events(folded):
        raise no_trace(folded.damage[0])
    return ExitCode.EVIDENCE if strict and folded.damage else ExitCode.DONE


def choose_run(
    path: str, folded: Fold[RunState], run: str, *, given_as: str = "--run"
) -> RunState | Frozen:
    """Return the run that RUN means under *path*.

    Args:
        path: PATH.
        folded: Its runs.
        run: RUN.
        given_as: What of the command line has it, for messages.

    Raises:
        click.UsageError: None, or several.
        NoTraceError: There is no run at all.
    """
    heads = list(folded.heads())
    if not heads:
        raise NoTraceError(path, "an event of a run in its traces, which hold none")
    try:
        return choose(heads, run)
    except RunChoiceError as error:
        raise click.UsageError(f"{given_as} {run}: {error.reason}") from None
