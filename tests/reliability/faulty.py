"""A program whose system calls fail: `faulty.py`, with faults.c loaded by LD_PRELOAD.

Reads cells from stdin, one JSON object a line; forks for each, lets the child write 200 events
with the fault armed, and prints what came of it as one JSON line.  A fork takes a tenth of the
time that a new interpreter takes.
"""

import ctypes
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any, Final

from observability.journal import Journal, JournalError
from tests.reliability.writing import How, emit

EVENTS: Final = 200
SIZE: Final = 120


def main() -> None:
    """Run cells until there are no more."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(run(json.loads(line))) + "\n")
        sys.stdout.flush()


def run(cell: dict[str, Any]) -> dict[str, Any]:
    """Return what came of one cell: what was acknowledged, errors, how the child ended."""
    tells, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(tells)
        status = 1
        try:
            write(cell, told)
            status = 0
        finally:
            os._exit(status)
    os.close(told)
    with os.fdopen(tells, "rb") as stream:
        lines = stream.read().decode().split("\n")[:-1]
    status = os.waitpid(pid, 0)[1]
    return {
        "acknowledged": [line[1:] for line in lines if line.startswith("=")],
        "errors": [line[1:] for line in lines if line.startswith("!")],
        "seen": [int(line[1:]) for line in lines if line.startswith("#")],
        "done": "+" in lines,
        "closed": "." in lines,
        "status": status,
    }


def write(cell: dict[str, Any], pipe: int) -> None:
    """Write the events; a call that fails is told and the next event written."""
    shim = ctypes.CDLL(None)
    shim.fault_seen.restype = ctypes.c_long
    shim.fault_arm(
        cell["out"].encode(), cell["call"].encode(), ctypes.c_long(cell["n"]), *cell["fault"]
    )
    warnings.simplefilter("ignore")
    how = How(durability=cell["durability"])
    journal: Journal | None = None
    for n in range(EVENTS):
        name = f"e{n}"
        try:
            if journal is None:
                journal = how.journal(Path(cell["out"]), on_error=cell["on_error"])
            dropped = journal.dropped
            emit(journal, name, SIZE)
            if journal.dropped > dropped:
                raise JournalError(journal.trace_path, "dropped", "as was to be")
        except JournalError as error:
            os.write(pipe, f"!{error.errno}\n".encode())
        else:
            os.write(pipe, f"={name}\n".encode())
    try:
        if journal is not None:
            journal.close()
        os.write(pipe, b".\n")
    except JournalError as error:
        os.write(pipe, f"!{error.errno}\n".encode())
    os.write(pipe, b"#%d\n" % shim.fault_seen())
    if shim.fault_done():
        os.write(pipe, b"+\n")


if __name__ == "__main__":
    main()
