"""Reads the corpus.  Its files say how they are written in their first lines."""

import re
from pathlib import Path
from typing import Final, NamedTuple

FOLDER: Final = Path(__file__).parent
_SECRET: Final = re.compile("«(.*?)»", re.DOTALL)


class Case(NamedTuple):
    """One text with a secret.

    Attributes:
        rule: Which is to find it.
        text: As a program might write it.
        secrets: What is to go.
        kept: The text with markers.
    """

    rule: str
    text: str
    secrets: list[str]
    kept: str


def _lines(name: str) -> list[str]:
    lines = (FOLDER / name).read_text(encoding="utf-8").split("\n")
    return [line.replace("⏎", "\n") for line in lines if line and not line.startswith("# ")]


def secrets() -> list[Case]:
    """Return the texts with secrets."""
    found = []
    for line in _lines("secrets.txt"):
        rule, _, marked = line.replace("‖", "").partition("\t")
        found.append(
            Case(
                rule,
                re.sub("[«»]", "", marked),
                _SECRET.findall(marked),
                _SECRET.sub(f"[REDACTED:{rule}]", marked),
            )
        )
    return found


def harmless() -> list[str]:
    """Return the texts in which nothing is secret."""
    return _lines("harmless.txt")
