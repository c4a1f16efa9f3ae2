"""The pages that people read: README, CHANGELOG, docs and the samples' README."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest


def root() -> Path:
    """Return the checkout."""
    return Path(__file__).resolve().parents[2]


def pages() -> list[Path]:
    """Return all Markdown pages, in the order of their names."""
    top = root()
    found = [*top.glob("*.md"), *top.glob("docs/**/*.md"), *top.glob("sample_runs/*.md")]
    return sorted(found)


def generator_of(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return a program of docs/ that writes parts of a page, as a module."""
    monkeypatch.syspath_prepend(root() / "docs")
    return import_module(name)
