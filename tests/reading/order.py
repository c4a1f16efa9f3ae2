"""The one order of many files, said plainly once more: folds and tails are held against it."""

import heapq
from collections.abc import Iterable, Iterator

from replay.trace.events import Event
from replay.trace.merge import Key, with_keys
from replay.trace.reader import EventReader


def merged(readers: Iterable[EventReader]) -> Iterator[tuple[str, Event]]:
    """Yield (file name, event) of all *readers* in the one order.

    Memory: one event a file.  Cost: nothing for one file, 1 us an event for several.
    """
    files = list(readers)
    if len(files) == 1:
        name = files[0].name
        for event in files[0]:
            yield name, event
        return
    for _, _, name, event in heapq.merge(*(_keyed(n, file) for n, file in enumerate(files))):
        yield name, event


def _keyed(place: int, reader: EventReader) -> Iterator[tuple[Key, int, str, Event]]:
    # `place` decides between equal keys (copies of one file), before events are compared.
    for key, event in with_keys(reader):
        yield key, place, reader.name, event
