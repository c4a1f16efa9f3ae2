"""When something was written, and the time between two such instants."""

import msgspec

from replay.trace.events import Event


class Instant(msgspec.Struct, gc=False):
    """When something was written, and by whom; an event is one as well."""

    timestamp: str
    epoch_seconds: float
    mono_us: int
    writer: str


def instant_of(when: Event | Instant) -> Instant:
    """Return *when* without the rest of the event."""
    return Instant(when.timestamp, when.epoch_seconds, when.mono_us, when.writer)


def seconds_between(begin: Instant, end: Instant | Event) -> float:
    """Return the time from *begin* to *end*, in seconds, never negative.

    By the monotonic clock where one writer wrote both, else by the wall clock.
    """
    if begin.writer == end.writer:
        return max(0, end.mono_us - begin.mono_us) / 1e6
    return max(0.0, round(end.epoch_seconds - begin.epoch_seconds, 6))
