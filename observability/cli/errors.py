"""What an error says on stderr, and the exit code that goes with it.

A command raises; this is the one place that turns what it raised into one message.  The codes
are those of docs/cli.md, "Exit codes".
"""

import errno
import os
from enum import IntEnum
from typing import Final

import click


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    BAD = 1
    USAGE = 2
    EVIDENCE = 3
    NEWER = 4
    ENVIRONMENT = 5
    BUG = 70
    INTERRUPTED = 130
    CLOSED_PIPE = 141


# What `--help` and docs/cli.md say of each.
MEANING: Final = {
    ExitCode.DONE: "done, and nothing bad found",
    ExitCode.BAD: "done, the answer is bad: run failed, output changed, files differ, review open",
    ExitCode.USAGE: "wrong usage",
    ExitCode.EVIDENCE: "evidence damaged or incomplete",
    ExitCode.NEWER: "events of a newer version",
    ExitCode.ENVIRONMENT: "no trace there, unreadable, disk full, missing extra",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.CLOSED_PIPE: "the reader of the output went away, as in: auditfold tail | head",
}

# Module -> the extra of the distribution that brings it.
_EXTRA_OF: Final = {
    "cryptography": "sign",
    "tenacity": "retry",
    "jinja2": "report",
    "textual": "tui",
    "starlette": "serve",
    "uvicorn": "serve",
    "sse_starlette": "serve",
    "duckdb": "sql",
    "psutil": "resources",
    "watchfiles": "watch",
    "upath": "remote",
    "distributed": "cluster",
}

_FULL: Final = {errno.ENOSPC, errno.EDQUOT}


def explain(error: BaseException, *, command: str) -> tuple[str | None, ExitCode]:
    """Return what to say of *error*, None for nothing, and how to exit.

    Args:
        error: What a command raised.
        command: The command as it was typed, `auditfold tail`.

    Raises:
        BaseException: *error* itself, if it is none that a user could cause.
    """
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return None, ExitCode.INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return None, ExitCode.CLOSED_PIPE
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error.format_message(), ExitCode.USAGE
    if isinstance(error, ModuleNotFoundError) and (extra := _extra_of(error)):
        name = command.rpartition(" ")[2]
        return f"'{name}' needs: pip install 'auditfold[{extra}]'", ExitCode.ENVIRONMENT
    if isinstance(error, click.UsageError) and error.ctx is not None:
        command = error.ctx.command_path
    message, code = _explain(error, command)
    return f"{command}: {message}", code


def _explain(error: BaseException, command: str) -> tuple[str, ExitCode]:
    if isinstance(error, click.UsageError):
        return _usage(error, command), ExitCode.USAGE
    if isinstance(error, click.ClickException):
        return error.format_message(), ExitCode.ENVIRONMENT
    if isinstance(error, OSError):
        return _os_error(error), ExitCode.ENVIRONMENT
    # These modules cost more to import than everything above: only now.
    from replay.trace.evidence import TraceError
    from replay.trace.folder import NoTraceError
    from replay.trace.schema import NewerVersionError

    if isinstance(error, NewerVersionError):
        return str(error), ExitCode.NEWER
    if isinstance(error, NoTraceError | TraceError):
        return str(error), ExitCode.ENVIRONMENT
    raise error


def _extra_of(error: ModuleNotFoundError) -> str | None:
    return _EXTRA_OF.get((error.name or "").partition(".")[0])


def _usage(error: click.UsageError, command: str) -> str:
    """Return the message as one line that ends in where to look."""
    said = " ".join(error.format_message().split())  # click lists choices a line each
    said = said if said.endswith((".", "?")) else f"{said}."
    said = said if said[:2].isupper() else f"{said[0].lower()}{said[1:]}"
    # Most commands take a PATH behind their name, and people try that with those that do not.
    if said.startswith("got unexpected extra argument") and _takes_path(error):
        said = f"{said} A PATH is given by --path."
    return f"{said} See: {command} --help"


def _takes_path(error: click.UsageError) -> bool:
    """Return whether the command that *error* is about has the option --path."""
    ctx = error.ctx
    return ctx is not None and any("--path" in option.opts for option in ctx.command.params)


def _os_error(error: OSError) -> str:
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "output"
    what = error.strerror or str(error)
    said = f"{where}: {what[:1].lower()}{what[1:]}"
    if error.errno in _FULL:
        return f"{said}; what was there before is as it was. Free some space and run it again"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{said}; nothing was changed. Run it as a user who may read and write there"
    return said
