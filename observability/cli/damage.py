"""What commands say of lines that are no events, and of traces that are not there."""

import shlex
from typing import Final

import click

from observability.cli.errors import ExitCode
from observability.cli.screen import say
from replay.trace.evidence import TraceError
from replay.trace.folder import Place
from replay.trace.reader import Damage

# In a file that is no trace every line is bad: so many are named, the others counted.
MAX_NAMED: Final = 10


def damage_text(found: Damage) -> str:
    """Return what is said of a line that is no event."""
    return f"{found.path}:{found.line} (byte {found.offset}): {found.message}; left out"


def more_text(n_more: int) -> str:
    """Return what is said of lines that are not named."""
    return f"{n_more} more lines are no events; left out"


def hint(path: str) -> str:
    """Return where all that is wrong under *path* is told."""
    return f"To see what is intact: auditfold audit {shlex.quote(path)}"


def no_trace(first: Damage) -> TraceError:
    """Return the error for a file in which no line is an event, *first* being the first."""
    return TraceError(first.path, f"not a trace: no line is an event; the first: {first.message}")


def refuse_lost_traces(path: str, place: Place) -> None:
    """Say so where there is a registry, and none of its traces.

    Raises:
        click.exceptions.Exit: That is how it is.
    """
    if not place.traces:
        say(
            f"{path}: a registry, and none of its traces: nothing to read. "
            f"Run: auditfold audit {shlex.quote(path)}"
        )
        raise click.exceptions.Exit(ExitCode.EVIDENCE)
