"""How a run, a node or a unit stands: the words for it, and the one rule for runs.

Which runs are alive is no part of a state: `status_of` is told.  Rules: docs/reading.md, "Status".
"""

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from replay.fold.run import RunState

Status = Literal["pending", "running", "succeeded", "failed", "skipped", "interrupted"]

PENDING: Final = "pending"
RUNNING: Final = "running"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"
INTERRUPTED: Final = "interrupted"
STATUSES: Final = (PENDING, RUNNING, SUCCEEDED, FAILED, SKIPPED)  # that an event can set
TERMINAL: Final = frozenset({SUCCEEDED, FAILED, SKIPPED})


def status_of(state: "RunState", *, alive: bool) -> Status:
    """Return the status of the run; *alive*: a process that writes to it is there."""
    if state.terminal is None:
        return "running" if alive else "interrupted"
    if (
        state.terminal == "workflow_error"
        or state.nodes_failed
        or state.broken
        or state.failed_units
    ):
        return "failed"
    return "succeeded"
