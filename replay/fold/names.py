"""What derived files are called: a function of the trace, checked before it names a path.

docs/reading.md, "Derived files".  Ids in a trace are what somebody wrote: nothing here returns
a name that leads out of OUT.
"""

import re
from collections.abc import Iterable
from posixpath import dirname
from typing import Final, NamedTuple, Protocol

from replay.fold.run import RunState
from replay.trace.folder import check_workflow_id

_DIGITS: Final = re.compile("[0-9]{1,100}")
_STAMP: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\..*", re.DOTALL
)
LOG_COPY: Final = re.compile(r"execution_(?P<stem>.+)_[0-9]{8}_[0-9]{6}(-[0-9]+)?\.log")
TRACE_COPY: Final = re.compile(r"trace_step_(?P<stem>[0-9]+)_[0-9]{8}_[0-9]{6}(-[0-9]+)?\.jsonl")


class Head(Protocol):
    """What tells a run from others."""

    @property
    def run_id(self) -> str:
        """As in the envelope."""

    @property
    def workflow_id(self) -> str:
        """As in the envelope."""

    @property
    def step_number(self) -> str:
        """As in the envelope."""

    @property
    def start(self) -> str:
        """Timestamp of the first event."""


class Copies(NamedTuple):
    """The copies of one run, relative to OUT."""

    log: str
    trace: str


def metadata_path(step: str) -> str:
    """Return where the metadata of a step's newest run is, relative to OUT."""
    return f"audit/step_{step}/metadata_{step}.json"


def report_path(step: str) -> str:
    """Return where the report of a step's newest run is, relative to OUT."""
    return f"audit/step_{step}/report_{step}.json"


def log_path(state: RunState) -> str:
    """Return the log that the run was written to, beside its trace."""
    folder = dirname(state.begun_in)
    name = f"log_{state.step_number}.log"
    return f"{folder}/{name}" if folder else name


def is_nameable(head: Head) -> bool:
    """Return whether step and workflow of a run may stand in a file name."""
    try:
        check_workflow_id(head.workflow_id)
    except ValueError:
        return False
    return bool(_DIGITS.fullmatch(head.step_number) and _STAMP.fullmatch(head.start))


def copies(head: Head, *, log: int = 1, trace: int = 1) -> Copies:
    """Return the names of a run's copies.

    Args:
        head: A run that is nameable.
        log: Which one it is among those whose log would be called the same, from 1.
        trace: Likewise for the trace.
    """
    stamp = _STAMP.sub(r"\1\2\3_\4\5\6", head.start)
    return Copies(
        f"logs/execution_{head.workflow_id}_{stamp}{_suffix(log)}.log",
        f"traces/trace_step_{head.step_number}_{stamp}{_suffix(trace)}.jsonl",
    )


def copies_of_all(heads: Iterable[Head]) -> dict[str, Copies]:
    """Return the names of the copies of all runs, by run id.

    Of runs that would be called the same the one that began first has the plain name, whether
    or not it has a copy yet, the next one `-2`: by the timestamp of their first event, then by
    run id.  So a name depends on nothing that happens after the run began.
    """
    taken: dict[str, int] = {}
    named = {}
    for head in sorted(filter(is_nameable, heads), key=lambda head: (head.start, head.run_id)):
        plain = copies(head)
        for name in plain:
            taken[name] = taken.get(name, 0) + 1
        named[head.run_id] = copies(head, log=taken[plain.log], trace=taken[plain.trace])
    return named


def _suffix(number: int) -> str:
    return "" if number == 1 else f"-{number}"
