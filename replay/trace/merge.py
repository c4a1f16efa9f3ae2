"""Many files, one order: by (sort time, writer, seq), as docs/reading.md explains.

Each file is in `seq` order; its sort time is the largest timestamp so far in it, so a clock
that steps back moves no event before one that its own writer wrote earlier.
"""

from collections.abc import Iterable, Iterator

from replay.trace.events import Event

Key = tuple[str, str, int]


def with_keys(events: Iterable[Event]) -> Iterator[tuple[Key, Event]]:
    """Yield (sort key, event) for the *events* of one file, in their order."""
    latest = ""
    for event in events:
        if event.timestamp > latest:
            latest = event.timestamp
        yield (latest, event.writer, event.seq), event
