#!/usr/bin/env python3
"""Write the generated parts of docs/cli.md: help texts and exit codes, as the program has them.

    generate_cli.py [--check]    --check writes nothing, exits 1 if the page would change

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`; NAME is a command,
`auditfold` or `exit_codes`.
"""

import argparse
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from observability.cli.errors import MEANING
from observability.cli.main import COMMANDS

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "cli.md"

_PART: Final = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[\w-]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL
)


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


def generated(page: str) -> str:
    """Return *page* with all generated parts made anew."""

    def part(found: re.Match[str]) -> str:
        name = found["name"]
        return (
            found["begin"]
            + (exit_codes() if name == "exit_codes" else help_of(name))
            + found["end"]
        )

    return _PART.sub(part, page)


def missing(page: str) -> list[str]:
    """Return the commands whose help has no part in *page*."""
    there = {found["name"] for found in _PART.finditer(page)}
    return sorted({"auditfold", "exit_codes", *COMMANDS} - there)


def main() -> int:
    """Write the page, or say that it is out of date."""
    parser = argparse.ArgumentParser(description="Write the generated parts of cli.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if different")
    given = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    if absent := missing(page):
        print(f"{PAGE.relative_to(ROOT)} has no part for {', '.join(absent)}")
        return 1
    fresh = generated(page)
    if fresh == page:
        return 0
    if given.check:
        print(f"{PAGE.relative_to(ROOT)} is out of date. Run: python docs/generate_cli.py")
        return 1
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
