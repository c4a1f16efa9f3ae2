"""Deciding about what awaits review, and saying something about a run after the fact.

A decision is appended to the trace of the run that it is about by a writer of its own, whose
lines are no part of the run's course; then the run's derived files are written again.  What a
decision amounts to is the fold's affair (`replay.fold.review_queue`).  Rules: docs/review.md.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from observability.derived import one_at_a_time, write_derived
from observability.journal import Journal
from observability.log import AuditLog
from replay.fold.files import Source, sources_of
from replay.fold.lines import report_state
from replay.fold.review_queue import (
    Request,
    Target,
    UnclearError,
    choose_named,
    requests_of,
    targets_of,
)
from replay.fold.reviews import APPROVED, REJECTED, REOPENED
from replay.fold.run import RunState
from replay.fold.run_report import RunReport
from replay.fold.runs import Fold, fold
from replay.show.derived import derive
from replay.show.line import log_line
from replay.show.page.wording import instant, short
from replay.trace.events import ASIDE
from replay.trace.folder import check_workflow_id, locate, step_number
from replay.trace.host import Hosts
from replay.trace.schema import decode_event

Action = Literal["approve", "reject", "reopen"]
DECISIONS: Final[dict[Action, str]] = {
    "approve": APPROVED,
    "reject": REJECTED,
    "reopen": REOPENED,
}
_LAST_US: Final = 253_402_300_799_999_999  # of the year 9999, the last that a timestamp can say


class RefusedError(ValueError):
    """A decision or a note that cannot be recorded; says why and what to do.  Nothing was."""


class Recorded(NamedTuple):
    """What was recorded.

    Attributes:
        timestamp: When.
        failures: Derived files that could not be written, and why; the event is in the trace.
    """

    timestamp: str
    failures: list[tuple[Path, OSError]]


def all_requests(
    sources: Sequence[Source], folded: Fold[RunState], run_ids: Sequence[str]
) -> Iterator[Request]:
    """Yield the requests of some runs, run by run; memory for the report of one.

    Args:
        sources: The traces.
        folded: What they add up to, with spans.
        run_ids: Which runs, in the order in which they are wanted.
    """
    for run_id in run_ids:
        if folded.run(run_id).may_await:
            yield from requests_of(report_state(sources, folded, run_id))


def choose_request(requests: Sequence[Request], part: str, action: Action | None) -> Request:
    """Return the request that *part* is a name of or has in its name.

    Args:
        requests: All there are, decided ones too.
        part: A part of the unit's id, of the file's or of the step's name.
        action: Of several that are meant, the one counts that this can be done to.

    Raises:
        UnclearError: None, or several.
    """
    meant = choose_named(requests, part)
    if len(meant) > 1:
        able = [one for one in meant if action is None or why_not(one, action) is None]
        meant = able if action is not None and len(able) == 1 else meant
    if len(meant) != 1:
        among = [_listed(one) for one in requests if one.is_open]
        raise UnclearError(part, [_listed(one) for one in meant], among=among)
    return meant[0]


def why_not(request: Request, action: Action) -> str | None:
    """Return why *action* cannot be done to a request; None if it can."""
    view = request.view
    decision = view.get("decision")
    stands = decision in {APPROVED, REJECTED}
    by = f"by {short(view.get('reviewer'))} at {view.get('decided_at')}"
    if action == "reopen":
        return None if stands else "it is open: nothing was decided that could be reopened"
    if not view["flagged"]:
        return "the program asks for no review any more"
    if stands and not view["stale"]:
        return f"it was {decision} {by}; to decide anew, first: auditfold review reopen"
    return None


def decide(
    path: str, request: Request, action: Action, *, reviewer: str, note: str | None
) -> Recorded:
    """Record what a person decided about what they looked at.

    Args:
        path: PATH.
        request: What it is about, as it was when somebody looked.
        action: What was decided.
        reviewer: Who.
        note: Why.

    Raises:
        RefusedError: It was decided or changed meanwhile, or the trace cannot be continued.
        ValueError: The note is too long for a line.
        JournalError, OSError: It could not be written.
    """
    with _run_of(path, request.run_id) as run:
        now = next((one for one in requests_of(run.state) if one.ident == request.ident), None)
        why = "nobody asks for its review any more" if now is None else why_not(now, action)
        if now is not None and why is None and now.digest != request.digest:
            why = "it has changed since it was looked at: look again"
        if now is None or why is not None:
            raise RefusedError(f"request {short(request.ident)} ({short(request.name)}): {why}")
        decision = DECISIONS[action]
        payload = {"unit": now.unit, "decision": decision, "reviewer": reviewer, "note": note}
        return run.append(
            "review_resolved",
            {**payload, "digest": now.digest},
            texts=("reviewer", "note"),
            message=f"{decision} by {reviewer}: {short(now.name)}",
            node=(now.node_id, now.node_index),
        )


def choose_target(state: RunReport, part: str) -> Target:
    """Return the file, step, unit or node that *part* names.

    Raises:
        UnclearError: None, or several.
    """
    targets = list(targets_of(state))
    # Of FILE:STEP one is empty, as of a shell variable that is not set: no part of another name.
    is_half = part.startswith(":") or part.endswith(":")
    meant = choose_named([one for one in targets if not is_half or part in one.names], part)
    if len(meant) != 1:
        names = [short(one.name) for one in meant]
        raise UnclearError(part, names, among=[short(one.name) for one in targets])
    return meant[0]


def add_note(path: str, run_id: str, part: str, text: str, *, author: str) -> Recorded:
    """Record what a person says about a run, or a file, step or node of it.

    Args:
        path: PATH.
        run_id: The run.
        part: What of it: FILE, FILE:STEP or a node; the run itself if empty.
        text: What is said.
        author: Who says it.

    Raises:
        UnclearError: *part* names nothing, or several things.
        RefusedError: The trace cannot be continued.
        ValueError: The text is too long for a line.
        JournalError, OSError: It could not be written.
    """
    with _run_of(path, run_id) as run:
        target = choose_target(run.state, part) if part else Target(None, None, None, [""])
        about = f" about {short(target.name)}" if part else ""
        return run.append(
            "message",
            {"level": "note", "text": text, "author": author, "unit": target.unit},
            texts=("text", "author"),
            message=f"note by {author}{about}",
            node=(target.node_id, target.node_index),
        )


# --- The run that something is said about


class _Run(NamedTuple):
    """A run whose step nobody else decides about at the moment."""

    out: Path
    state: RunReport
    latest_us: int

    def append(
        self,
        event_type: str,
        payload: dict[str, Any],
        *,
        texts: Sequence[str],
        message: str,
        node: tuple[str | None, int | None],
    ) -> Recorded:
        """Append one event by a writer of its own, and write the run's derived files again."""
        state = self.state
        log = AuditLog(self.out / "audit" / f"step_{state.step_number}" / _log_name(state))

        def logged(name: str, line: bytes, details: bytes) -> None:
            event = decode_event(line)
            said = log_line(event.timestamp, name, event.node_id, event.message, details.decode())
            log.put(said + "\n")

        stamp = ""
        journal = Journal(
            self.out,
            state.workflow_id,
            run_id=state.run_id,
            clock=_NotBefore(self.latest_us + 1),
            on_line=logged,
            purpose=ASIDE,
        )
        try:
            gate = journal.gate
            kept = {name: value for name, value in payload.items() if value is not None}
            # Ids stand in the trace already, as they were redacted then.
            kept |= {name: gate.text(name, kept[name]) for name in texts if name in kept}
            line = journal.append_clean(
                event_type,
                kept,
                *node,
                gate.text("message", message),
            )
            stamp = "" if line is None else decode_event(line).timestamp
        finally:
            journal.close()
            log.close()
        failures = [] if log.error is None else [(log.path, log.error)]
        return Recorded(stamp, [*failures, *_write_again(self.out, state)])


def _log_name(state: RunState) -> str:
    return f"log_{state.step_number}.log"


@contextmanager
def _run_of(path: str, run_id: str) -> Iterator[_Run]:
    """Give a run as it is, and keep others from deciding about its step meanwhile."""
    out = locate(path).out
    if out is None:
        raise RefusedError(f"{path}: a trace by itself; want a folder that has audit/, or its step")
    index = fold(sources_of(locate(path)))
    head = index.run(run_id)
    step = _step_folder(out, head)
    with one_at_a_time(step):
        sources = sources_of(locate(os.fspath(step)))
        folded = fold(sources, spans=True)
        state = report_state(sources, folded, run_id)
        stamps = (instant(folded.files[name].key[0]) for name in state.ends)
        yield _Run(out, state, max((stamp for stamp in stamps if stamp is not None), default=0))


def _step_folder(out: Path, state: RunState) -> Path:
    """Return where the run's traces are.

    Raises:
        RefusedError: They are not such that a writer could go on there.
    """
    where = f"audit/step_{state.step_number}/"
    if not all(end.hash for end in state.ends.values()):
        raise RefusedError(
            f"run {state.run_id}: its trace is of the older layout, which nothing is appended to; "
            "it can be read, shown and audited, and keep what you decide elsewhere"
        )
    traces = locate(os.fspath(out / where)).traces if (out / where).is_dir() else ()
    # A new trace beside a compressed one would be taken for what that was made of.
    packed = next((trace.name for trace in traces if trace.name.endswith(".gz")), None)
    if packed is not None:
        raise RefusedError(f"{packed}: a compressed trace cannot be continued; first: gunzip it")
    try:
        check_workflow_id(state.workflow_id)
        is_ours = step_number(state.workflow_id) == state.step_number
    except ValueError:
        is_ours = False
    if not is_ours or not all(name.startswith(where) for name in state.ends):
        raise RefusedError(
            f"run {short(state.run_id)}: its step {short(state.step_number)} is not that of its "
            f"workflow {short(state.workflow_id)} and folder; no writer can go on there. "
            "Run: auditfold audit"
        )
    return out / where


def _write_again(out: Path, state: RunState) -> list[tuple[Path, OSError]]:
    """Write the derived files of a run; return those that could not be."""
    failures = []
    sources = sources_of(locate(os.fspath(_step_folder(out, state))))
    folded = fold(sources, spans=True)
    for derived in derive(sources, folded, Hosts(), only=state.run_id):
        try:
            write_derived(out, derived)
        except OSError as error:
            failures.append((out / derived.path, error))
    return failures


class _NotBefore:
    """The clocks of this machine, of which the wall clock does not lag behind a trace.

    What is said about lines stands behind them, in the order of all files too, even where
    another machine with a clock that is ahead wrote them.
    """

    def __init__(self, first_us: int) -> None:
        self._first_ns = min(first_us, _LAST_US) * 1000

    def time_ns(self) -> int:
        """Return nanoseconds since 1970, UTC."""
        return max(time.time_ns(), self._first_ns)

    @staticmethod
    def monotonic_ns() -> int:
        """Return nanoseconds of a clock that never steps back."""
        return time.monotonic_ns()


def _listed(request: Request) -> str:
    decision = request.view.get("decision")
    state = "open" if request.is_open else decision
    return f"{short(request.ident)} ({short(request.name)} in {request.run_id}, {state})"
