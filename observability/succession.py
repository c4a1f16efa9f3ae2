"""Which file a new writer appends to: the step's trace, or the last of those that follow it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from observability.files import open_regular
from observability.trace_file import TraceFile, is_foreign, left_by_another
from replay.trace.ending import Opening, read_ending, read_opening
from replay.trace.events import Extent

# The files beside the step's trace that a reader takes for traces.
_BESIDE: Final = re.compile(r"trace_[0-9]+\.[0-9A-Za-z-]+\.jsonl", re.ASCII)


def choose_file(file: TraceFile, step: Path, out: Path, own: Path) -> Extent | None:
    """Open for *file* what a writer appends to, and return what it stands behind.

    The candidate is `trace_NN.jsonl`; where that cannot be continued and a file follows it as
    it ends now, that one, and so on.  Where the last of the succession cannot be continued
    either, *own* is made.  Call it under the registry's lock.

    Raises:
        OSError: A file could not be made.
    """
    number = step.name.removeprefix("step_")
    path = step / f"trace_{number}.jsonl"
    if not os.path.lexists(path):
        file.create(path, path.relative_to(out).as_posix())
        return None
    followers: dict[str, list[tuple[str, Extent]]] | None = None
    while True:
        name = path.relative_to(out).as_posix()
        continued, behind = file.resume(path, name)
        if continued:
            return behind
        if followers is None:
            followers = _followers(step)
        # No cycle: each follows one other file, and nothing is followed by the first.
        later = [other for other, follows in followers.get(name, []) if _is_end(follows, path)]
        if not later:
            break
        path = out / later[-1]
    behind = _behind(path, name)
    file.create_unseen(own, own.relative_to(out).as_posix())
    return behind


def _behind(path: Path, name: str) -> Extent | None:
    """Return *path* as a new file that follows it names it; None while another writer has it."""
    try:
        left = left_by_another(path, name)
    except OSError as error:
        if is_foreign(error):
            raise
        # A link, a FIFO, a folder: nothing of it can be named but its name.
        return Extent(path=name, writer=None, lines=0, hash=None)
    return None if left is None else left[0]


def _is_end(follows: Extent, path: Path) -> bool:
    """Return whether *follows* names all of *path*: others may have continued it since then."""
    try:
        with open_regular(path, create=False) as stream:
            ending = read_ending(stream.fileno())
            size = os.fstat(stream.fileno()).st_size
    except OSError as error:
        if is_foreign(error):
            raise
        return follows.hash is None and follows.fragment is None
    fragment = 0 if follows.fragment is None else follows.fragment.length
    if ending is None or ending.lines == 0:
        return follows.hash is None and fragment == size
    return follows.hash == ending.hash.decode() and fragment == size - ending.offset


def _followers(step: Path) -> dict[str, list[tuple[str, Extent]]]:
    """Return, by name of a file, those whose first line says they follow it, and how."""
    found: dict[str, list[tuple[str, Extent]]] = {}
    for path, opening in _openings(step):
        if (follows := opening.follows) is not None:
            name = path.relative_to(step.parent.parent).as_posix()
            found.setdefault(follows.path, []).append((name, follows))
    return found


def forks_of(step: Path, writers: set[str]) -> Iterator[Path]:
    """Yield the file of each fork of *writers*, of forks of those, and what follows such files."""
    known = set(writers)
    others = [
        (path, opening.writer, origin.writer)
        for path, opening in _openings(step)
        if (origin := opening.follows or opening.parent) is not None
    ]
    while True:
        found = [(p, w) for p, w, origin in others if origin in known and w not in known]
        if not found:
            return
        for path, writer in found:
            yield path
            known.add(writer)


def _openings(step: Path) -> Iterator[tuple[Path, Opening]]:
    """Yield the files beside the step's trace, each with what its first line says, by name."""
    for name in sorted(os.listdir(step)):
        if not _BESIDE.fullmatch(name):
            continue
        try:
            with open_regular(step / name, create=False) as stream:
                opening = read_opening(stream.fileno())
        except OSError as error:
            if is_foreign(error):
                raise
            continue
        if opening is not None:
            yield step / name, opening
