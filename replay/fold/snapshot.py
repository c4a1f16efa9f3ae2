"""A fold as JSON, and going on from it with what was written since.

When a fold continues and when runs are folded again: docs/reading.md, "Snapshots".
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

import msgspec

from replay.fold.files import BEFORE_ALL, FileState, Key, Source
from replay.fold.frozen import dump, load
from replay.fold.run import RunState
from replay.fold.runs import Fold, fold
from replay.trace.line import SUFFIX_LENGTH, stored_hash
from replay.trace.reader import Damage

VERSION: Final = 1


class _Snapshot(msgspec.Struct):
    snapshot: int
    files: list[FileState]
    ended: list[str]
    damage: list[tuple[str, int, int, str]]
    runs: list[dict[str, object]]


def to_snapshot(folded: Fold[RunState]) -> bytes:
    """Return the fold as JSON; `from_snapshot` is the inverse.

    Raises:
        ValueError: The fold was cut, or not begun at the beginning of its files.
    """
    if any(file.more is not None for file in folded.files.values()):
        raise ValueError("a fold that was cut has no snapshot: what follows is there already")
    return msgspec.json.encode(
        _Snapshot(
            snapshot=VERSION,
            files=list(folded.files.values()),
            ended=sorted(folded.ended),
            damage=[(d.path, d.line, d.offset, d.message) for d in folded.damage],
            runs=[dump(state) for state in folded.runs()],
        )
    )


def from_snapshot(data: bytes) -> Fold[RunState]:
    """Return the fold that `to_snapshot` was given.

    Raises:
        ValueError: It is no snapshot, or one of another version.
    """
    try:
        found = msgspec.json.decode(data, type=_Snapshot)
        folded = Fold(RunState)
        for plain in found.runs:
            state = load(plain)
            folded.kept[state.run_id] = state
    except (msgspec.DecodeError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"no snapshot of a fold: {error}") from None
    if found.snapshot != VERSION:
        raise ValueError(f"a snapshot of version {found.snapshot}, want {VERSION}")
    folded.files = {file.name: file for file in found.files}
    folded.ended = set(found.ended)
    folded.damage = [Damage(*damage) for damage in found.damage]
    return folded


def proceed(folded: Fold[RunState], sources: Sequence[Source]) -> Fold[RunState]:
    """Return what the traces *sources* add up to, going on from *folded* where that is right.

    Args:
        folded: An earlier fold of the same traces; used up by the call.
        sources: The traces, new ones among them.

    Events that sort behind all of *folded* are applied to it; a run that has one which does not
    is folded again.  A file that does not have the lines any more that were folded, or an older
    one that grew, makes everything be folded again.

    Raises:
        NewerVersionError, TraceError, OSError: As `fold` does.
    """
    known = {source.name for source in sources}
    if not known.issuperset(folded.files) or not all(
        _continues(folded.files[source.name], source)
        for source in sources
        if source.name in folded.files
    ):
        return fold(sources)
    last = max((file.key for file in folded.files.values()), default=BEFORE_ALL)
    # In the order of the sources, for places of equal keys.
    files = folded.files
    folded.files = {
        source.name: files.get(source.name) or FileState(name=source.name) for source in sources
    }
    late = _late(folded, sources, last)
    with ExitStack() as stack:
        folded.walk(folded.cursors(sources, stack))
    if late:
        again = fold(sources, only=late)
        folded.kept.update(again.kept)
    return folded


def _late(folded: Fold[RunState], sources: Sequence[Source], last: Key) -> set[str]:
    """Return the runs that have a new event which does not sort behind *last*."""
    ahead = Fold(RunState)
    ahead.files = {name: msgspec.structs.replace(file) for name, file in folded.files.items()}
    with ExitStack() as stack:
        return ahead.late(ahead.cursors(sources, stack), last)


def _continues(file: FileState, source: Source) -> bool:
    """Return whether what was folded of a file still stands there."""
    if file.lines == 0:
        return file.offset == 0
    with ExitStack() as stack:
        stream = stack.enter_context(source.open())
        if not stream.seekable():
            return False
        if not file.hash:
            # The older layout proves nothing, and its runs are told apart from the beginning.
            return stream.seek(0, 2) == file.offset + file.torn and not file.torn
        begin = max(0, file.offset - SUFFIX_LENGTH - 1)
        stream.seek(begin)
        end = stream.read(file.offset - begin)
    return len(end) == file.offset - begin and stored_hash(end) == file.hash.encode()
