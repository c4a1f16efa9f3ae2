#!/usr/bin/env python3
"""Write the generated parts of docs/cli.md: help texts and exit codes, as the program has them.

    generate_cli.py [--check]    --check writes nothing, exits 1 if the page would change

The name of a part is a command, `auditfold` or `exit_codes`.
"""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import click
import generated_parts

from observability.cli.errors import MEANING
from observability.cli.main import COMMANDS

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "cli.md"


def help_of(name: str) -> str:
    """Return the help of a command and of its actions where 80 columns are."""
    command = [] if name == "auditfold" else [name]
    found = None if name == "auditfold" else import_module(COMMANDS[name][0]).command
    actions = list(found.commands) if isinstance(found, click.Group) else []
    texts = [printed([*command, *action]) for action in [[], *([a] for a in actions)]]
    return "".join(f"```text\n{text}```\n" for text in texts)


def printed(command: list[str]) -> str:
    """Return what `auditfold COMMAND --help` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "observability", *command, "--help"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def exit_codes() -> str:
    """Return the table of exit codes."""
    rows = [f"| {int(code)} | {meaning} |\n" for code, meaning in MEANING.items()]
    return "| exit | meaning |\n|---|---|\n" + "".join(rows)


def part(name: str) -> str:
    """Return what the program says of a command, or what its exit codes mean."""
    return exit_codes() if name == "exit_codes" else help_of(name)


def missing(page: str) -> list[str]:
    """Return the commands whose help has no part in *page*."""
    return sorted({"auditfold", "exit_codes", *COMMANDS} - generated_parts.names(page))


def main() -> int:
    """Write the page, or say that it is out of date or has no part for a command."""
    if absent := missing(PAGE.read_text(encoding="utf-8")):
        print(f"docs/{PAGE.name} has no part for {', '.join(absent)}")
        return 1
    return generated_parts.main(PAGE, part, description=__doc__)


if __name__ == "__main__":
    sys.exit(main())
