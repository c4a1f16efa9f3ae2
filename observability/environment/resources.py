"""What a node used while it ran, as far as the system says: CPU time, memory, input and output.

A meter is read (`observability.environment.readings`) when a node begins and when it ends; the
difference is the field `resource` of its end (`replay.trace.events.ResourceUsage`).  What a
system does not say is left out, so a 0 is never a guess.  What nodes at the same time share:
docs/environment.md, "Resources".
"""

import os
import resource
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, Final, Literal

from observability.environment.readings import (
    Quirks,
    Reading,
    TreeReader,
    cgroup_peak_file,
    of_rusage,
    read_full,
    with_peak,
)

Resources = Literal["cheap", "full", "tree"] | bool

# Nodes that take less have no `resource` at the level `cheap`: what it costs them is then some
# percent, and CPU time below a tick of the scheduler is noise.
SHORTEST_NS: Final = 1_000_000
# A node that begins so soon after a reading shares it.
SOON_NS: Final = 200_000


_COUNTS: Final = Reading._fields[: Reading._fields.index("max_rss_bytes")]


class Meter:
    """Reads what a process has used, from the beginning of each node to its end.

    Args:
        scope: Whose use it is, as `ResourceUsage` has it.
        read: Returns what getrusage returns, or a `Reading`.
        told: Makes a `Reading` of that.
        monotonic_ns: A clock that never steps back, in nanoseconds.
        shortest_ns: Nodes that took less are not measured.

    Callers hold the journal's lock.  Cost of `begin` and `end` together, for a node of less
    than a millisecond at the level `cheap`: 1 us; for a longer one 8 us.
    """

    def __init__(
        self,
        scope: str,
        read: Callable[[], Any],
        told: Callable[[Any], Reading],
        *,
        monotonic_ns: Callable[[], int],
        shortest_ns: int,
    ) -> None:
        self._scope = scope
        self._read = read
        self._told = told
        self._now = monotonic_ns
        self._shortest_ns = shortest_ns
        # A level that reads more than a few microseconds' worth is wanted for each node.
        self._soon_ns = SOON_NS if shortest_ns else -1
        self._begun: dict[tuple[str, int | None], tuple[int, Any]] = {}
        self._last: Any = None
        self._last_ns = 0
        self._pid = -1

    def begin(self, node_id: str, index: int | None) -> None:
        """Note what was used when a node began, or began again."""
        now = self._now()
        if now - self._last_ns > self._soon_ns or os.getpid() != self._pid:
            self._take(now)
        self._begun[node_id, index] = (now, self._last)

    def end(self, node_id: str, index: int | None) -> dict[str, Any] | None:
        """Return what was used since the node began, as the payload has it.

        None where there is nothing to say: the node was short, or never began.
        """
        noted = self._begun.pop((node_id, index), None)
        if noted is None:
            return None
        now = self._now()
        began_ns, began = noted
        if now - began_ns < self._shortest_ns:
            return None
        # A fork counts from nothing: what its parent noted says nothing about it.
        before = None if os.getpid() != self._pid else self._told(began)
        self._take(now)
        return usage(self._scope, before, with_peak(self._told(self._last)))

    def forget(self, node_id: str, index: int | None) -> None:
        """Drop what was noted for a node that does not end."""
        self._begun.pop((node_id, index), None)

    def _take(self, now: int) -> None:
        pid = os.getpid()
        if pid != self._pid:
            self._pid = pid
            self._begun.clear()
        self._last, self._last_ns = self._read(), now


def meter(level: Resources, *, monotonic_ns: Callable[[], int]) -> Meter | None:
    """Return the meter for *level*; True is `cheap`, and there is none for False.

    Raises:
        ValueError: It is no level.
        ModuleNotFoundError: `tree` without psutil.
    """
    if level is False:
        return None
    if level is True or level == "cheap":
        read = partial(resource.getrusage, resource.RUSAGE_SELF)
        told = partial(of_rusage, quirks=Quirks.here())
        return Meter("process", read, told, monotonic_ns=monotonic_ns, shortest_ns=SHORTEST_NS)
    if level not in {"full", "tree"}:
        raise ValueError(f"resources {level!r}: want True, False, 'cheap', 'full' or 'tree'")
    more = partial(read_full, Quirks.here(), cgroup_peak_file())
    if level == "full":
        return Meter("process", more, _as_it_is, monotonic_ns=monotonic_ns, shortest_ns=0)
    tree = TreeReader(_psutil(), more)
    return Meter("tree", tree, _as_it_is, monotonic_ns=monotonic_ns, shortest_ns=0)


def usage(scope: str, began: Reading | None, ended: Reading) -> dict[str, Any]:
    """Return the payload for two readings; *began* is None where the beginning is not known.

    A count that went back (a process of a tree is gone and nobody waited for it) is unknown.
    """
    found: dict[str, Any] = {"scope": scope}
    before = Reading() if began is None else began
    for name in _COUNTS:
        then, now = getattr(before, name), getattr(ended, name)
        if then is not None and now is not None and now >= then:
            difference = now - then
            found[name] = round(difference, 6) if isinstance(difference, float) else difference
    if ended.max_rss_bytes is not None:
        found["max_rss_bytes"] = ended.max_rss_bytes
        if before.max_rss_bytes is not None:
            found["max_rss_growth_bytes"] = max(0, ended.max_rss_bytes - before.max_rss_bytes)
    for name in ("tree_rss_bytes", "cgroup_peak_bytes"):
        if getattr(ended, name) is not None:
            found[name] = getattr(ended, name)
    return found


def _as_it_is(reading: Reading) -> Reading:
    return reading


def _psutil() -> Any:
    try:
        return import_module("psutil")
    except ModuleNotFoundError as error:
        message = "resources='tree' needs: pip install 'auditfold[resources]'"
        raise ModuleNotFoundError(message, name=error.name) from None
