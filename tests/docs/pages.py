"""The pages that people read: README, CHANGELOG, docs and the samples' README."""

from pathlib import Path


def root() -> Path:
    """Return the checkout."""
    return Path(__file__).resolve().parents[2]


def pages() -> list[Path]:
    """Return all Markdown pages, in the order of their names."""
    top = root()
    found = [*top.glob("*.md"), *top.glob("docs/**/*.md"), *top.glob("sample_runs/*.md")]
    return sorted(found)
