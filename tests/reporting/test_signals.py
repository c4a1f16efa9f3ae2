"""Calls on reports that signal handlers interrupt: the trace is right, and what is live is as it.

Each signal comes at a place where the interpreter lets handlers run, in calls of every kind and
in the ends of blocks (`tests.reporting.storm`).
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from replay.audit import audit

SIGNALS = 200
MANY_SIGNALS = 2_000


def storm(out: Path, count: int, seed: int, mode: str) -> Any:
    """Return how many signals came, and where what was live differed from the trace."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.reporting.storm", str(out), str(count), str(seed), mode],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    came, differ, _ = json.loads((out / "differ.json").read_text())
    return came, differ


@pytest.mark.parametrize("mode", ["raise", "change", "both", "often"])
def test_what_was_interrupted_is_live_as_it_stands_in_the_trace(memory: Path, mode: str) -> None:
    came, differ = storm(memory, SIGNALS, 20261121, mode)

    assert came >= SIGNALS
    assert differ == []
    assert audit.audit(str(memory)).verdict == "complete"


def test_a_block_is_ended_wherever_its_end_is_interrupted(memory: Path) -> None:
    """It ends, the streams come back, and what was changed inside metadata is recorded."""
    places, bad = storm(memory, 0, 0, "exits")

    assert places > 100
    assert bad == []


@pytest.mark.soak
@pytest.mark.parametrize("mode", ["raise", "change", "both", "often"])
@pytest.mark.parametrize("seed", [1, 2])
def test_thousands_of_signals(memory: Path, mode: str, seed: int) -> None:
    came, differ = storm(memory, MANY_SIGNALS, seed, mode)

    assert came >= MANY_SIGNALS
    assert differ == []
