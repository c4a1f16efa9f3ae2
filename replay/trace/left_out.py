"""What is left out of a folder and told: symbolic links, and traces that are there twice.

The runner around the older observer left them behind every run that succeeded: it removed the
trace and put a link to another logger's file there.  What the observer had written is then only
in its copy under `traces/`.  Links are never followed.
"""

import os
import re
from typing import NamedTuple

from replay.trace.folder import Place, TraceFile


class Link(NamedTuple):
    """A symbolic link where a trace was expected.

    Attributes:
        trace: The trace that it stands for.
        target: Where it leads, as it says.
        copies: Files under `traces/` that hold runs of its step.
    """

    trace: TraceFile
    target: str
    copies: tuple[str, ...]

    def message(self) -> str:
        """Return what it is, and where to look instead."""
        said = f"a symbolic link to {self.target}: links are not followed"
        if not self.copies:
            return said
        more = f" and {len(self.copies) - 1} more there" if len(self.copies) > 1 else ""
        return f"{said}; what was written may be in {self.copies[-1]}{more}"


def link_at(trace: TraceFile, out: str | None) -> Link | None:
    """Return the link that stands in the place of *trace*, None if it is no link.

    Args:
        trace: As `locate` found it.
        out: OUT, where it is known.
    """
    try:
        target = os.readlink(trace.path)
    except OSError:
        return None
    return Link(trace, target, () if out is None else _copies(out, trace.step or ""))


def links(place: Place) -> list[Link]:
    """Return the links among the traces of a folder; a PATH that is a link itself is none."""
    if place.kind not in {"folder", "step"}:
        return []
    found = (link_at(trace, str(place.out)) for trace in place.traces)
    return [link for link in found if link is not None]


def _copies(out: str, step: str) -> tuple[str, ...]:
    """Return the copies of runs of *step*, the newest last, as they can be typed here."""
    copy = re.compile(rf"trace_step_{re.escape(step)}_[0-9]{{8}}_[0-9]{{6}}(-[0-9]+)?\.jsonl")
    folder = os.path.join(out, "traces")
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if copy.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
            )
    except OSError:
        return ()
    here = os.path.relpath(folder)
    return tuple(os.path.join(folder if here.startswith("..") else here, name) for name in names)


def doubles(place: Place) -> list[str]:
    """Return the compressed traces that stand beside the ones they were made of, as shown."""
    if place.kind not in {"folder", "step"}:
        return []
    plain = (trace for trace in place.traces if trace.path.suffix != ".gz")
    return [f"{trace.shown}.gz" for trace in plain if os.path.lexists(f"{trace.path}.gz")]


def left_out(place: Place) -> list[str]:
    """Return what to say of everything that is left out of a folder, a line each."""
    said = [f"{link.trace.shown}: {link.message()}; left out" for link in links(place)]
    return said + [f"{name}: left out: the trace itself is beside it" for name in doubles(place)]
