"""`make` says what it can do, and what it cannot do it with."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TARGETS = ["help", "demo", "test", "soak", "check", "bench", "pins", "clean"]


@pytest.fixture
def checkout(tmp_path: Path, root: Path) -> Path:
    """A checkout in which nothing was made yet, as far as the Makefile looks."""
    (tmp_path / "scripts").mkdir()
    for name in ("Makefile", "constraints.txt", "pyproject.toml", "scripts/make_venv.py"):
        shutil.copy(root / name, tmp_path / name)
    return tmp_path


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in *checkout*, without what an outer make tells its children."""
    return subprocess.run(
        ["make", *arguments],
        cwd=checkout,
        env={"HOME": str(checkout), "PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", [[], ["help"]])
def test_help_lists_every_target_and_installs_nothing(checkout: Path, arguments: list[str]) -> None:
    done = make(checkout, *arguments)

    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["make", target] for target in TARGETS
    ]
    assert not (checkout / ".venv").exists()


def test_an_older_python_is_refused_by_name_and_version(checkout: Path) -> None:
    python = checkout / "python-old"
    python.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.18 || exit 1\n')
    python.chmod(0o755)

    done = make(checkout, "test", "PYTHON=./python-old")

    assert done.returncode != 0
    assert "auditfold needs Python 3.11 or newer, and './python-old' is: Python 3.9.18" in (
        done.stderr
    )
    assert not (checkout / ".venv").exists()


def test_a_missing_python_is_refused_by_name(checkout: Path) -> None:
    done = make(checkout, "test", "PYTHON=./no-such-python")

    assert done.returncode != 0
    assert "auditfold needs Python 3.11 or newer, and './no-such-python' is:" in done.stderr
    assert not (checkout / ".venv").exists()
