"""Folds what random calls have written, in a process of its own: `fold_again.py FOLDER...`.

Each folder has a trace and `expected.jsonl`: a line a sequence, with its bytes in the trace and
the dumps that were live behind it.  Every prefix of a sequence is folded and dumped; at its end
the dumps must be those.  Prints how many sequences there were, or the first that differs.
"""

import json
import sys
from pathlib import Path
from typing import Any

import orjson

from replay.fold.report.units import Units
from replay.fold.report.views import unit_view
from replay.trace.schema import decode_event


def fold(lines: bytes) -> tuple[Units, int]:
    """Fold the lines of one sequence, and return where its clock stands."""
    units = Units()
    mono_us = 0
    for line in lines.split(b"\n")[:-1]:
        event = decode_event(line)
        mono_us = event.mono_us
        if hasattr(event, "unit"):
            units.apply(event)
        for state in units.roots():
            unit_view(state, mono_us)
    return units, mono_us


def compare(trace: bytes, sequence: dict[str, Any]) -> None:
    """Raise SystemExit unless the fold of a sequence is what was live."""
    begin, end = sequence["bytes"]
    units, mono_us = fold(trace[begin:end])
    for unit, live in sequence["live"].items():
        state = units.states.get(unit)
        view = None if state is None else orjson.loads(orjson.dumps(unit_view(state, mono_us)))
        if view != live:
            raise SystemExit(f"{sequence['numbers']}\n  live {live}\nfolded {view}")


def main(folders: list[str]) -> None:
    """Compare them all."""
    count = 0
    for folder in map(Path, folders):
        (path,) = folder.glob("audit/step_00/trace_00.jsonl")
        trace = path.read_bytes()
        for line in (folder / "expected.jsonl").read_bytes().splitlines():
            compare(trace, json.loads(line))
            count += 1
    sys.stdout.write(f"{count}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
