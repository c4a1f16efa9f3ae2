"""Which run RUN means: `latest`, a whole step number, or a part of one run's id.

docs/cli.md, "RUN".
"""

from collections.abc import Iterable
from typing import Final, Protocol, TypeVar

from replay.fold.files import Key

_MAX_LISTED: Final = 5


class Candidate(Protocol):
    """What a run is chosen by."""

    @property
    def run_id(self) -> str:
        """As in the envelope."""

    @property
    def step_number(self) -> str:
        """As in the envelope."""

    @property
    def sort_key(self) -> Key:
        """Place in the order of the last event."""


AnyCandidate = TypeVar("AnyCandidate", bound=Candidate)


class RunChoiceError(LookupError):
    """No run is meant, or several.

    Attributes:
        run: What was asked for.
        candidates: Ids of the runs that it could mean, newest first.
        reason: What is wrong with it, and what to do.
    """

    def __init__(self, run: str, candidates: list[str]) -> None:
        self.run, self.candidates = run, candidates
        if candidates:
            more = ", ..." if len(candidates) > _MAX_LISTED else ""
            some = ", ".join(candidates[:_MAX_LISTED]) + more
            said = f"{len(candidates)} runs have that in their ids: {some}"
        else:
            said = "no such run; want latest, a step number, or a part of a run id"
        self.reason = f"{said}. List them: auditfold ls"
        super().__init__(f"--run {run}: {self.reason}")


def choose(runs: Iterable[AnyCandidate], run: str) -> AnyCandidate:
    """Return the run that *run* means: the first of these that there is.

    The newest run for `latest`; the newest run of the step of that number; the run of that id;
    the only run that has it in its id.

    Raises:
        RunChoiceError: There is none of these, or several have it in their ids.
    """
    newest_first = sorted(runs, key=lambda one: one.sort_key, reverse=True)
    if run == "latest" and newest_first:
        return newest_first[0]
    for one in newest_first:
        if one.step_number == run:
            return one
    for one in newest_first:
        if one.run_id == run:
            return one
    found = [one for one in newest_first if run and run in one.run_id]
    if len(found) == 1:
        return found[0]
    raise RunChoiceError(run, [one.run_id for one in found])
