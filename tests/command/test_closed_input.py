"""A standard input that the caller closed is one message, not a defect."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["ls", "show", "tail", "audit"])
def test_a_closed_standard_input_is_one_message(command: str) -> None:
    line = 'exec "$0" -m observability "$1" - <&-'
    done = subprocess.run(
        ["/bin/sh", "-c", line, sys.executable, command],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == f"auditfold {command}: -: standard input is closed, want a trace on it\n"
