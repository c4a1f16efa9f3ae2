"""`auditfold completion`: what a shell reads to complete command lines, and what it then asks.

The scripts are click's.  They call `auditfold` with `_AUDITFOLD_COMPLETE` set; `main` hands
that to `answer`.
"""

from typing import Final

import click
from click.shell_completion import get_completion_class, shell_complete

from observability.cli.screen import write_bytes

VARIABLE: Final = "_AUDITFOLD_COMPLETE"
_SHELLS: Final = ("bash", "zsh", "fish")


@click.command(
    "completion",
    epilog="""\b
Examples:
  eval "$(auditfold completion bash)"                in ~/.bashrc; bash 4.4 or newer
  eval "$(auditfold completion zsh)"                 in ~/.zshrc, behind compinit
  auditfold completion fish > ~/.config/fish/completions/auditfold.fish
""",
)
@click.argument("shell", type=click.Choice(_SHELLS), metavar=f"{{{'|'.join(_SHELLS)}}}")
def command(shell: str) -> None:
    """Write the script that lets a shell complete commands, options, paths and runs.

    The script asks auditfold itself, so it stays right when auditfold is upgraded.
    """
    from observability.cli.main import auditfold

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"click {click.__version__} knows no completion for {shell}")
    # Not `source()`: for bash it would run a bash to ask for its version.
    completion = found(auditfold, {}, "auditfold", VARIABLE)
    write_bytes((completion.source_template % completion.source_vars()).encode())


def answer(group: click.Group, instruction: str) -> int:
    """Print what a shell asked for by *instruction*, `bash_complete` say; return the exit code.

    A line that cannot be completed, because it names no command say, gets no answer and no
    message: somebody is typing it.
    """
    try:
        return shell_complete(group, {}, "auditfold", VARIABLE, instruction)
    except click.ClickException:
        return 1
