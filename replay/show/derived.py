"""Derived files: what is written from the trace, for people and for the older layout.

Names and bytes depend on the trace and on which runs are alive, nothing else.  Nothing here
writes; `observability.derived` does.  What there is: docs/reading.md, "Derived files".
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from replay.fold.files import Source
from replay.fold.lines import report_state
from replay.fold.metadata import metadata, metadata_bytes
from replay.fold.names import Copies, copies_of_all, is_nameable, metadata_path, report_path
from replay.fold.run import RunState
from replay.fold.run_report_views import report_chunks
from replay.fold.runs import Fold, Frozen, has_begun, newest_of_each_step
from replay.show.copies import log_copy, trace_copy
from replay.trace.host import Hosts

Kind = Literal["metadata", "report", "logs", "traces"]
KINDS: Final[tuple[Kind, ...]] = ("metadata", "report", "logs", "traces")


class Derived(NamedTuple):
    """One derived file.

    Attributes:
        path: Relative to OUT, with `/`.
        kind: What it is.
        run_id: The run it is about.
        chunks: Makes its bytes, in pieces; may be called more than once.
    """

    path: str
    kind: Kind
    run_id: str
    chunks: Callable[[], Iterator[bytes]]


def derive(
    sources: Sequence[Source],
    fold: Fold[RunState],
    hosts: Hosts,
    *,
    kinds: Collection[Kind] = KINDS,
    only: str | None = None,
) -> Iterator[Derived]:
    """Return the derived files of all runs, or of the run *only*.

    Metadata and report are those of the newest run of a step, copies those of every run that is
    not running.  Runs of the older layout have no copies: the program that wrote them made its
    own.  A run whose ids may not stand in a file name has no derived file at all.

    Args:
        sources: The traces.
        fold: What they add up to, with spans.
        hosts: Who tells which processes live.
        kinds: Which files.
        only: Id of a run; metadata and report are left out if it is not its step's newest.
    """
    found = _all(sources, fold, hosts, only)
    return (derived for derived in found if derived.kind in kinds)


def reserved(fold: Fold[RunState], hosts: Hosts) -> set[str]:
    """Return the names of copies that are still to be made: of runs that are running."""
    found: set[str] = set()
    for run_id, names in copies_of_all(_begun(fold)).items():
        if not _has_copies(fold, run_id, hosts):
            found.update(names)
    return found


def _all(
    sources: Sequence[Source], fold: Fold[RunState], hosts: Hosts, only: str | None
) -> Iterator[Derived]:
    for head in newest_of_each_step(fold):
        if only in {None, head.run_id} and has_begun(head) and is_nameable(head):
            yield from _of_newest(sources, fold, hosts, run_id=head.run_id)
    for run_id, names in copies_of_all(_begun(fold)).items():
        if only in {None, run_id} and _has_copies(fold, run_id, hosts):
            yield from _copies(sources, fold, names, run_id=run_id)


def _begun(fold: Fold[RunState]) -> list[RunState | Frozen]:
    return [head for head in fold.heads() if has_begun(head)]


def _of_newest(
    sources: Sequence[Source], fold: Fold[RunState], hosts: Hosts, *, run_id: str
) -> Iterator[Derived]:
    step = fold.kept[run_id].step_number
    yield Derived(
        metadata_path(step),
        "metadata",
        run_id,
        lambda: iter([metadata_bytes(metadata(fold, fold.run(run_id), hosts))]),
    )
    yield Derived(
        report_path(step),
        "report",
        run_id,
        lambda: report_chunks(fold, report_state(sources, fold, run_id), hosts),
    )


def _has_copies(fold: Fold[RunState], run_id: str, hosts: Hosts) -> bool:
    state = fold.run(run_id)
    chained = all(end.hash for end in state.ends.values())
    return chained and fold.standing(state, hosts).status != "running"


def _copies(
    sources: Sequence[Source], fold: Fold[RunState], names: Copies, *, run_id: str
) -> Iterator[Derived]:
    yield Derived(names.log, "logs", run_id, lambda: log_copy(sources, fold, run_id, names))
    yield Derived(names.trace, "traces", run_id, lambda: trace_copy(sources, fold, run_id))
