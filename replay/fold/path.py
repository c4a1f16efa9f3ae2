"""What most programs want of the runs under a PATH, in three calls.

`replay.fold.runs` folds many files, `replay.fold.run_report` and `replay.fold.metadata` say what a
run amounts to; here they meet a PATH and a RUN.
"""

import os
from collections.abc import Sequence
from typing import Any

from replay.fold.choice import choose
from replay.fold.files import Source, sources_of
from replay.fold.lines import report_state
from replay.fold.metadata import metadata
from replay.fold.run import RunState
from replay.fold.run_report import RunReport
from replay.fold.run_report_views import report
from replay.fold.runs import At, Fold, Frozen, fold
from replay.trace.folder import locate
from replay.trace.host import Hosts


class NotYetError(LookupError):
    """As of then the run had not begun.

    Attributes:
        run_id: The run.
        began_at: When it began.
        seq: `seq` of its first event.
        path: The file that this event is in.
    """

    def __init__(self, head: RunState | Frozen) -> None:
        self.run_id, self.began_at = head.run_id, head.start
        self.seq, self.path = head.begun_at, head.begun_in
        super().__init__(
            f"run {head.run_id} began later: at {head.start}, seq {head.begun_at} of "
            f"{head.begun_in}"
        )


def fold_path(path: str | os.PathLike[str]) -> Fold[RunState]:
    """Return what the traces under *path* add up to; `runs()` of it yields each run.

    Raises:
        NoTraceError: There is neither a trace nor a registry.
        TraceError, OSError: A trace cannot be read.
        NewerVersionError: A right line of a newer format version.
    """
    return fold(sources_of(locate(os.fspath(path))))


def read_metadata(
    path: str | os.PathLike[str], run: str = "latest", *, hosts: Hosts | None = None
) -> dict[str, Any]:
    """Return the metadata of a run, as `metadata_XX.json` has it.

    Args:
        path: PATH, as the command line takes it.
        run: `latest`, a step number, or a part of a run id.
        hosts: Who tells which processes live; this machine, now, if None.

    Raises:
        RunChoiceError: No run is meant, or several.
        NoTraceError, TraceError, OSError, NewerVersionError: As `fold_path` does.
    """
    found = fold_path(path)
    state = found.run(choose(found.heads(), run).run_id)
    return metadata(found, state, hosts or Hosts())


def read_report(
    path: str | os.PathLike[str],
    run: str = "latest",
    *,
    at_seq: int | None = None,
    at_time: str | None = None,
    hosts: Hosts | None = None,
) -> dict[str, Any]:
    """Return the report of a run, as `report_XX.json` has it, or as of then.

    Args:
        path: As in `read_metadata`.
        run: As in `read_metadata`.
        at_seq: Stop behind the event of that `seq` in the file where the run began.
        at_time: Leave out what sorts behind that timestamp, in the form that a trace has.
        hosts: As in `read_metadata`.

    Raises:
        NotYetError: As of then it had not begun.
        RunChoiceError, NoTraceError, TraceError, OSError, NewerVersionError: As `read_metadata`
            does.
    """
    sources = sources_of(locate(os.fspath(path)))
    index = fold(sources, spans=True)
    head = choose(index.heads(), run)
    found, state = whole_run(sources, index, head, at_seq=at_seq, at_time=at_time)
    return report(found, state, hosts or Hosts())


def whole_run(
    sources: Sequence[Source],
    index: Fold[RunState],
    head: RunState | Frozen,
    *,
    at_seq: int | None = None,
    at_time: str | None = None,
) -> tuple[Fold[Any], RunReport]:
    """Return all that a report says of a run, and the fold that tells how it stands.

    Args:
        sources: The traces.
        index: What they add up to, with spans.
        head: The run.
        at_seq: As in `read_report`.
        at_time: As in `read_report`.

    Raises:
        NotYetError: As of then it had not begun.
    """
    if at_seq is None and at_time is None:
        return index, report_state(sources, index, head.run_id)
    at = At(time=at_time, name=None if at_seq is None else head.begun_in, seq=at_seq)
    found = fold(sources, kind=RunReport, at=at, only={head.run_id})
    if head.run_id not in found:
        raise NotYetError(head)
    return found, found.run(head.run_id)
