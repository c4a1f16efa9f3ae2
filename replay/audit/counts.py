"""Counts in terminal events, computed again from the lines that they are about.

A terminal event counts the nodes of its own process: of its writer, and of the writers that
this one follows in the run.  A node is (node_id, node_index) and stands as its last attempt does;
the rules are those of `replay.fold.run`, in a form that costs one dict entry a line.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import msgspec
import orjson

from replay.audit.facts import Spot

TOLERANCE_S: Final = 0.010

START: Final = b"node_start"
SUCCESS: Final = b"node_success"
FAILURE: Final = b"node_failure"
SKIPPED: Final = b"node_skipped"
NODE_EVENTS: Final = frozenset({START, SUCCESS, FAILURE, SKIPPED})

_COUNTED: Final = (
    ("nodes_completed", SUCCESS),
    ("nodes_failed", FAILURE),
    ("nodes_skipped", SKIPPED),
)


class Tally(msgspec.Struct):
    """The nodes of one process in one run, as far as its lines were read.

    Attributes:
        run_id: The run.
        nodes: The last event about each node, by its id and index as JSON.
        began_us: `mono_us` of `workflow_start`.
        own: That was read among the lines of this writer: the process has no lines before it,
            whatever else its run has.
        began_epoch: `epoch_seconds` of it.
        ended: A terminal event was read.
        doubtful: A line was damaged, so nothing can be said of the counts.
        behind: The writer that this one follows in the run, in another file.
        partial: What came before is in another part of the file.
        loose: An end without an index was read: what it is about depends on all before it.
    """

    run_id: str | None
    nodes: dict[bytes, bytes] = msgspec.field(default_factory=dict)
    began_us: int | None = None
    began_epoch: float | None = None
    own: bool = False
    ended: bool = False
    doubtful: bool = False
    behind: str | None = None
    partial: bool = False
    loose: bool = False
    _by_id: dict[bytes, list[bytes]] = msgspec.field(default_factory=dict)
    _n_known: int = 0

    def note(self, event_type: bytes, fields: Mapping[str, Any]) -> None:
        """Take notice of a node event."""
        key = orjson.dumps(fields.get("node_id"))
        index = fields.get("node_index")
        if index is not None:
            self.nodes[key + b',"node_index":%d' % index] = event_type
            return
        if event_type != START:
            self.loose = True
            key = self._node_of(key)
        self.nodes[key] = event_type

    def begin(self, mono_us: int, epoch_seconds: float) -> None:
        """Take notice of a `workflow_start`.

        What this writer follows in its run, if anything, is another process, which was killed.
        """
        if self.own:
            return
        self.own, self.behind, self.nodes = True, None, {}
        self._by_id, self._n_known = {}, 0
        self.began_us, self.began_epoch = mono_us, epoch_seconds

    def _node_of(self, key: bytes) -> bytes:
        """Return the node that an end without an index is about.

        The first node of that id, if it is the only one or open; else the oldest open one; else
        the one that came last.
        """
        for node in reversed(list(islice(reversed(self.nodes), len(self.nodes) - self._n_known))):
            self._by_id.setdefault(node.partition(b',"node_index":')[0], []).append(node)
        self._n_known = len(self.nodes)
        same = self._by_id.get(key, [key])
        if len(same) == 1:
            return same[0]
        return next((node for node in same if self.nodes[node] == START), same[-1])

    def follow(self, before: "Tally") -> None:
        """Begin where *before* ended, unless that is the end of another process."""
        if self.own:
            self.behind = None
            self.partial = before.partial
            return
        self.nodes = {**before.nodes, **self.nodes}
        self._by_id, self._n_known = {}, 0
        self.behind = before.behind
        if self.partial:  # the lines before are those of the same writer
            self.own = before.own
        self.doubtful = self.doubtful or before.doubtful
        self.partial = before.partial
        if before.began_us is not None:
            self.began_us, self.began_epoch = before.began_us, before.began_epoch


class Recount(msgspec.Struct, frozen=True):
    """A terminal event, and the nodes that its counts are about.

    Attributes:
        tally: The nodes, as of the event.
        logged: The event's fields.
        spot: The line.
    """

    tally: Tally
    logged: dict[str, Any]
    spot: Spot

    def differences(self) -> list[tuple[str, str]]:
        """Return (code, message) for what the event says and its lines do not."""
        if self.tally.doubtful:
            return []
        nodes = list(self.tally.nodes.values())
        wrong = [
            f"{name} {self.logged[name]}, want {nodes.count(event_type)}"
            for name, event_type in _COUNTED
            if name in self.logged and self.logged[name] != nodes.count(event_type)
        ]
        found = [("count_differs", f"{', '.join(wrong)}, recomputed")] if wrong else []
        if (time := self._time()) is not None:
            found.append(("time_differs", time))
        return found

    def _time(self) -> str | None:
        """Return what is wrong with `total_time_seconds`, None if nothing is.

        The wall clock counts as well: the monotonic one stands still while a machine sleeps.
        """
        total, began = self.logged.get("total_time_seconds"), self.tally.began_us
        if began is None or self.tally.began_epoch is None or not isinstance(total, int | float):
            return None
        mono = (self.logged["mono_us"] - began) / 1e6
        wall = self.logged["epoch_seconds"] - self.tally.began_epoch
        if min(abs(total - mono), abs(total - wall)) <= TOLERANCE_S:
            return None
        return f"total_time_seconds {total}, want {mono:.3f} within {TOLERANCE_S}, recomputed"


def terminal_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `Recount` needs of a terminal event."""
    names = (*(name for name, _ in _COUNTED), "total_time_seconds", "mono_us", "epoch_seconds")
    return {name: fields[name] for name in names if name in fields}
