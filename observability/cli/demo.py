"""`auditfold demo`: record a real workflow, print its report, and say what to try next."""

import shlex
import shutil
import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from observability.cli.options import json_option
from observability.cli.screen import say

_NEXT = (
    ("show --failed", "What failed, and why:"),
    ("tail -n 5", "The last events, as the trace has them:"),
    ("audit", "Is the record whole, are the outputs unchanged?"),
)


@click.command("demo")
@click.argument("folder", default="auditfold-demo", metavar="[DIR]")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Survey at most N modules, by name; all if it is not given.",
)
@json_option
@click.pass_context
def command(context: click.Context, folder: str, limit: int | None, *, as_json: bool) -> None:
    """Record a survey of the Python standard library in DIR, and show its report.

    It parses each public module (about 220, 2 s), and two files that are broken on purpose and
    fail; modules without source are skipped.  DIR, by default auditfold-demo, may exist: each
    demo is another run in it and overwrites nothing.  It exits 0 although nodes failed.
    """
    from observability.cli.show import command as show
    from observability.demo import survey

    try:
        # Data on stdout is then only the report.
        with redirect_stdout(sys.stderr if as_json else sys.stdout):
            run_id = survey(folder, limit=limit)
    except KeyboardInterrupt:
        if Path(folder, "audit").is_dir():
            say(f"auditfold demo: interrupted; what was recorded: {_typed('show', folder)}")
        raise
    context.invoke(show, path=folder, run=run_id, as_json=as_json)
    if not as_json:
        click.echo("\nTry next:")
        for words, what in _NEXT:
            # Each on a line of its own, so that the whole line can be pasted.
            click.echo(f"\n  {what}\n    {_typed(words, folder)}")


def _typed(words: str, folder: str) -> str:
    """Return a command line that can be pasted where this one was typed."""
    typed, found = Path(sys.argv[0]), shutil.which("auditfold")
    if found is not None and typed.exists() and typed.samefile(found):
        program = "auditfold"
    elif typed.name == "auditfold":
        program = shlex.quote(sys.argv[0])
    else:
        program = f"{shlex.quote(sys.executable)} -m observability"
    path = f"./{folder}" if folder.startswith("-") else folder
    return f"{program} {words} {shlex.quote(path)}"
