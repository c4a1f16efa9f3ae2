"""Reading many files, and large ones in parts, by several processes."""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Final

from replay.audit.facts import Facts
from replay.audit.parts import Piece, join, parts_of, read_part
from replay.audit.reading import Place, look_at_seals, read_trace, size_of
from replay.audit.scan import Options

if TYPE_CHECKING:
    from concurrent.futures import Future

# Below this starting another process takes longer than reading.
_WORTH: Final = 8 << 20
_PARTS_A_JOB: Final = 4

Progress = Callable[[int, int], None]


def read_traces(
    places: Mapping[str, Place],
    options: Options,
    as_trace: Collection[str],
    *,
    jobs: int,
    progress: Progress | None,
) -> dict[str, Facts]:
    """Return what was found of all *places*, by their keys; what is gone by now is left out.

    Args:
        places: The files.
        options: What to look at.
        as_trace: Keys of files that something at hand names as traces of version 1.
        jobs: Processes that read at a time.
        progress: Called with (bytes read, bytes in all) now and then.

    Raises:
        OSError: A file cannot be read.
    """
    sizes = {key: size_of(place) or 0 for key, place in places.items()}
    counter = _Counter(sum(sizes.values()), progress)
    if jobs > 1 and counter.total >= _WORTH:
        return _by_processes(places, options, as_trace, jobs=jobs, counter=counter)
    found = {}
    for key, place in places.items():
        try:
            found[key] = read_trace(
                place, options, known_as_trace=key in as_trace, progress=counter.add
            )
        except FileNotFoundError:
            continue
    return found


class _Counter:
    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total = total
        self._done = 0
        self._progress = progress

    def add(self, n: int) -> None:
        self._done += n
        if self._progress is not None:
            self._progress(self._done, self.total)


def _by_processes(
    places: Mapping[str, Place],
    options: Options,
    as_trace: Collection[str],
    *,
    jobs: int,
    counter: _Counter,
) -> dict[str, Facts]:
    from concurrent.futures import ProcessPoolExecutor

    found: dict[str, Facts] = {}
    sizes = {key: size_of(place) or 0 for key, place in places.items()}
    with ProcessPoolExecutor(jobs) as pool:
        waiting: list[tuple[str, list[Future[Piece]] | Future[Facts | None]]] = []
        # Large files first: small ones fill the gap at the end.
        for key in sorted(places, key=sizes.__getitem__, reverse=True):
            place = places[key]
            if parts := parts_of(place, jobs * _PARTS_A_JOB):
                pieces = [pool.submit(read_part, place, part, options) for part in parts]
                waiting.append((key, pieces))
            else:
                waiting.append((key, pool.submit(_read, place, options, key in as_trace)))
        for key, work in waiting:
            if isinstance(work, list):
                facts = join([piece.result() for piece in work])
                if facts is None:
                    facts = _read(places[key], options, key in as_trace)
                else:
                    look_at_seals(places[key], facts, options)
            else:
                facts = work.result()
            if facts is not None:
                found[key] = facts
            counter.add(sizes[key])
    return {key: found[key] for key in places if key in found}


def _read(place: Place, options: Options, as_trace: bool) -> Facts | None:  # noqa: FBT001
    """Read a whole trace; None if it is not there any more."""
    try:
        return read_trace(place, options, known_as_trace=as_trace)
    except FileNotFoundError:
        return None
