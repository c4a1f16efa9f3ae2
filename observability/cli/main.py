"""The group of commands, and the edge at which every error becomes one message.

Commands are named in a table and their modules imported when they are run, so that
`auditfold --help` costs an interpreter and click.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Final

import click

from observability.cli.errors import MEANING, ExitCode, explain
from observability.cli.screen import accept_any_text, end_row, flush, give_up_output, say
from replay.version import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Name -> (module, help in one line), in the order in which a user meets them.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("observability.cli.demo", "Record a real workflow and show its report."),
    "exec": ("observability.cli.exec", "Run any program as a node of a run."),
    "ls": ("observability.cli.ls", "List the runs, one a line."),
    "show": ("observability.cli.show", "Show the report of a run."),
    "report": ("observability.cli.report", "Write the report of a run as a page to read."),
    "report-summary": (
        "observability.cli.report_summary",
        "Show the batches of a run, or of a saved report, as tables.",
    ),
    "review": (
        "observability.cli.review",
        "List what awaits review, and decide about it.",
    ),
    "note": ("observability.cli.note", "Say something about a run, file, step or node."),
    "tail": ("observability.cli.tail", "Print the last events, and follow them with -f."),
    "replay": ("observability.cli.replay", "Write the derived files again from the trace."),
    "audit": ("observability.cli.audit", "Check that evidence and outputs are as recorded."),
    "checkpoint": (
        "observability.cli.checkpoint",
        "Write an anchor: how far all files reach, to keep elsewhere.",
    ),
    "key": ("observability.cli.key", "Make and show the keys that traces are signed with."),
    "redact-test": (
        "observability.cli.redact_test",
        "Say what redaction would hide in a text or a trace.",
    ),
    "schema": ("observability.cli.schema", "Write the JSON Schema of events or of the report."),
    "doctor": ("observability.cli.doctor", "Check the installation and a folder."),
    "completion": ("observability.cli.completion", "Write the completion script of a shell."),
}

_EPILOG: Final = """\b
Examples:
  auditfold demo out            record a survey of the standard library
  auditfold ls out              its runs
  auditfold show out            what happened in the latest one
  auditfold tail -f out         what happens, as it happens
  auditfold audit out           is the record whole, are the outputs unchanged

\b
Exit codes:
{codes}
"""


class LazyGroup(click.Group):
    """A group whose commands are the rows of `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command *cmd_name*; None if there is none."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that *args* begin with, or say which one may have been meant."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            ctx.fail(_unknown(args[0]))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        """Return the commands that begin so, from the table, and the options."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=line)
            for name, (_, line) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        # Not those of the group, which imports each command for a line of help.
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table, for which no command is imported."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else f" Want one of: {', '.join(COMMANDS)}."
    return f"no command '{name}'.{hint}"


@click.group(
    cls=LazyGroup,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG.format(
        codes="\n".join(f"  {int(code):<5}{meaning}" for code, meaning in MEANING.items())
    ),
)
@click.version_option(__version__, "-V", "--version", message="auditfold %(version)s")
def auditfold() -> None:
    """Read, follow, replay and audit what a workflow recorded.

    PATH is a folder that has audit/ in it, an audit/ folder, a step_XX folder, a trace
    (.jsonl, .jsonl.gz), or - for standard input; without it, the folder you are in.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line *argv*, by default that of the process; return the exit code.

    Messages go to stderr, one an error.  An error that no user could cause is printed with
    its traceback.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    accept_any_text()
    # No option of the group takes a value: the first word is the command.
    words = [word for word in arguments if not word.startswith("-")]
    typed = f"auditfold {words[0]}" if words else "auditfold"
    # What the scripts of `auditfold completion` set when they ask.
    asked = os.environ.get("_AUDITFOLD_COMPLETE")
    try:
        code = _invoke(arguments) if asked is None else _completed(asked)
        flush()
    except BaseException as error:  # noqa: BLE001 - the one place that answers for all
        code = _failed(error, typed)
    return code


def _invoke(arguments: list[str]) -> int:
    try:
        with auditfold.make_context("auditfold", arguments) as context:
            return int(auditfold.invoke(context) or 0)
    except click.exceptions.Exit as end:
        return end.exit_code


def _completed(asked: str) -> int:
    from observability.cli.completion import answer

    return answer(auditfold, asked)


def _failed(error: BaseException, typed: str) -> int:
    """Say what *error* means; return the exit code."""
    try:
        message, code = explain(error, command=typed)
    except BaseException as bug:
        if isinstance(bug, SystemExit | GeneratorExit):
            raise
        import traceback

        traceback.print_exception(bug)
        message, code = f"{typed}: that is a defect of auditfold: please report it", ExitCode.BUG
    try:
        flush()
    except (OSError, ValueError):
        give_up_output()
    # Where nobody reads messages either, the exit code says it.
    with suppress(OSError, ValueError):
        if message is not None:
            say(message)
        elif code is ExitCode.INTERRUPTED:
            end_row()
    return int(code)
