"""Units of a report: nodes, and where it has them files and steps, with what is said of each.

A unit is a thin look at its part of the report (docs/reading.md, "Report"): a million of them
cost nothing until they are looked at.  Fields of a file and a step that are not there are
empty: reports are older and newer than this module.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from replay.show.node_steps import with_node
from replay.show.page.wording import short
from replay.show.text import count_text, second_text

Kind = Literal["node", "file", "step", "unit"]
View = Mapping[str, Any]

# In the order in which a page has them.
KINDS: Final[tuple[Kind, ...]] = ("file", "step", "unit", "node")
TITLES: Final[dict[Kind, str]] = {
    "file": "Files",
    "step": "Steps",
    "unit": "Other units",
    "node": "Nodes",
}
BAD: Final = frozenset({"failed", "interrupted"})
_LETTER: Final[dict[Kind, str]] = {"node": "n", "file": "f", "step": "s", "unit": "u"}
_NAMES: Final[dict[Kind, tuple[str, ...]]] = {
    "node": ("node_id",),
    "file": ("path", "name", "label", "file_id"),
    "step": ("label", "id"),
    "unit": ("label", "id"),
}
_FINISHED: Final = frozenset({"succeeded", "failed", "skipped"})
_DETAILS: Final = (
    "errors",
    "warnings",
    "notes",
    "remarks",
    "messages",
    "checks",
    "steps",
    "outputs",
    "results",
    "retries",
    "output_hash",
    "output_summary",
    "resource",
    "metadata",
    "traceback",
)


class Review(NamedTuple):
    """A request that a person looks at a unit, and what became of it.

    Attributes:
        reason: Why, as the program said it.
        decision: What was decided; empty if nothing was.
        by: Who decided.
        at: When, as in the report.
        note: Why, as that person said it.
        stale: What was decided about has changed since.
        is_open: Whether somebody has to look.
    """

    reason: str
    decision: str
    by: str
    at: str
    note: str
    stale: bool
    is_open: bool


class Unit(NamedTuple):
    """A node, file or step.

    Attributes:
        kind: Which of these.
        anchor: Its id on a page.
        view: What the report says.
    """

    kind: Kind
    anchor: str
    view: View

    @property
    def name(self) -> str:
        """What the unit is called."""
        view = self.view
        names = (str(view.get(key) or "") for key in _NAMES[self.kind])
        name = next((name for name in names if name.strip()), "(no name)")
        index = view.get("node_index")
        named = short(name)
        return named if index is None else f"{named} #{index}"

    @property
    def status(self) -> str:
        """The canonical status."""
        return short(self.view.get("status") or "pending")

    @property
    def seconds(self) -> float | str | None:
        """How long it took; of the last attempt, where there were several."""
        milliseconds = self.view.get("duration_ms")
        if isinstance(milliseconds, int | float):
            return milliseconds / 1000
        found: float | str | None = self.view.get("duration_seconds")
        return found

    @property
    def error(self) -> str:
        """The reasons of a failure, a line or more each; empty if there is none."""
        return "\n".join(self.reasons)

    @property
    def reasons(self) -> list[str]:
        """What it failed of: first what it says itself, then what its steps say."""
        of_steps = [f"{step.name}: {step.error or step.status}" for step in self._bad_steps]
        return list(dict.fromkeys([*self.own_reasons, *of_steps]))

    @property
    def own_reasons(self) -> list[str]:
        """The same without what its steps say: first the exception that stopped it."""
        view = self.view
        if view.get("error") is not None:
            kind = self._last_attempt.get("error_type")
            return [f"{kind}: {view['error']}" if kind else str(view["error"])]
        if self.status not in BAD:
            return []
        bad_checks = [check for check in view.get("checks") or () if not check.get("ok")]
        checks = [
            f"check {check.get('name')}: {check['detail']}"
            if check.get("detail")
            else _check_failed(check)
            for check in bad_checks
        ]
        # What an end adds to the errors is what steps and checks have said, of a step in a row.
        known = {str(check.get("detail") or _check_failed(check)) for check in bad_checks}
        for step in self._bad_steps:
            known.update(_told_again(step.view))
        texts = dict.fromkeys(str(text) for text in view.get("errors") or () if text)
        own = [
            text
            for text in texts
            if text not in known and any(part not in known for part in text.split("; "))
        ]
        if len(own) > 1 and self._was_stopped_by(own[-1]):
            own.insert(0, own.pop())
        return [*own, *checks]

    def _was_stopped_by(self, error: str) -> bool:
        """Return whether it is the exception of the traceback, which may name a module before."""
        first = error.partition("\n")[0]
        lines = self.own_traceback.split("\n")
        return any(line == first or line.endswith(f".{first}") for line in lines)

    @property
    def traceback(self) -> str:
        """The traceback of the last attempt, or one that was captured; perhaps empty."""
        of_steps = (step.traceback for step in self._bad_steps)
        return self.own_traceback or next(of_steps, "")

    @property
    def own_traceback(self) -> str:
        """The same without what its steps have."""
        view = self.view
        last = self._last_attempt.get("traceback")
        captured = view.get("metadata")
        more = captured.get("traceback") if isinstance(captured, Mapping) else None
        return str(last or view.get("traceback") or more or "")

    @property
    def _last_attempt(self) -> View:
        attempts: Sequence[View] = self.view.get("attempts") or ()
        return attempts[-1] if attempts else {}

    @property
    def steps(self) -> list["Unit"]:
        """The steps of a file."""
        return [self._step(place, step) for place, step in enumerate(self._step_views, 1)]

    @property
    def _bad_steps(self) -> "Iterator[Unit]":
        steps = enumerate(self._step_views, 1)
        return (self._step(*step) for step in steps if step[1].get("status") in BAD)

    @property
    def _step_views(self) -> Sequence[View]:
        return self.view.get("steps") or ()

    def _step(self, place: int, view: View) -> "Unit":
        return Unit("step", f"{self.anchor}s{place}", view)

    @property
    def review(self) -> Review | None:
        """Whether a person is to look at it; of a file, not what its steps say."""
        return review_of(self.view)

    @property
    def reviews(self) -> "list[tuple[Unit, Review]]":
        """The requests of the unit and of its steps, each of them once."""
        of_steps = [
            (self._step(place, step), found)
            for place, step in enumerate(self._step_views, 1)
            if (found := review_of(step)) is not None
        ]
        own = self.review
        # A file takes over the flag of its first step that has one.
        taken = {review.reason for _, review in of_steps}
        taken |= {f"Step '{step.view.get('id')}' requested review" for step, _ in of_steps}
        if own is None or (own.reason in taken and not own.decision):
            return of_steps
        return [(self, own), *of_steps]

    @property
    def is_urgent(self) -> bool:
        """Whether somebody who has little time wants to see it."""
        if self.status in BAD or self.status == "running":
            return True
        return any(review.is_open for _, review in self.reviews)

    @property
    def has_more(self) -> bool:
        """Whether there is more to say than fits a row."""
        view = self.view
        return len(view.get("attempts") or ()) > 1 or any(map(view.get, _DETAILS)) or self.has_tail

    @property
    def has_tail(self) -> bool:
        """Whether its row leaves out something of a failure."""
        return bool(self.error) or bool(self.traceback)

    @property
    def facts(self) -> str:
        """What a row says beside status and time."""
        return "; ".join(_facts(self))


def units(kind: Kind, views: Iterable[View]) -> Iterator[Unit]:
    """Yield the units of one kind, in their order."""
    letter = _LETTER[kind]
    for place, view in enumerate(views, 1):
        yield Unit(kind, f"{letter}{place}", view)


class Tree(NamedTuple):
    """All units of a run; each can be gone through more than once.

    Attributes:
        files: As the report has them.
        steps: Steps that stand in no file, with the nodes that they are.
        others: Units of kinds of the user's own.
        nodes: The other nodes, which are the rest of the same tree.
    """

    files: Iterable[View]
    steps: Iterable[View]
    others: Iterable[View]
    nodes: Iterable[View]

    def of(self, kind: Kind) -> Iterator[Unit]:
        """Yield the units of one kind, in their order."""
        views = {"file": self.files, "step": self.steps, "unit": self.others, "node": self.nodes}
        return units(kind, views[kind])

    def every(self) -> Iterator[Unit]:
        """Yield all of them."""
        for kind in KINDS:
            yield from self.of(kind)


def tree_of(report: View) -> Tree:
    """Return the units of a whole report; an older one has nodes only."""
    nodes = {node["unit"]: node for node in report["nodes"] if "unit" in node}
    found = [(step, nodes.pop(step.get("unit"), None)) for step in report.get("steps", ())]
    # What is left of `nodes` are steps that the report does not have.
    lone = [n for n in report["nodes"] if "unit" not in n or n["unit"] in nodes]
    steps = [step if node is None else with_node(step, node) for step, node in found]
    return Tree(report.get("files", ()), steps, report.get("units", ()), lone)


def review_of(view: View) -> Review | None:
    """Return the request for a person's look in *view*, None if there is none.

    Nor is there one in a file whose flag was its steps', and that has been answered there.
    """
    found = view.get("review")
    # Not Mapping: to ask that takes longer than all the rest, and a report is JSON.
    if not isinstance(found, dict) or not (found.get("flagged") or found.get("decision")):
        return None
    decision = found.get("decision")
    is_open = bool(found.get("open", not decision or found.get("stale")))
    if not is_open and not decision:
        return None
    return Review(
        reason=str(found.get("reason") or ""),
        decision=str(decision or ""),
        by=str(found.get("reviewer") or ""),
        at=str(found.get("decided_at") or ""),
        note=str(found.get("note") or ""),
        stale=bool(found.get("stale")),
        is_open=is_open,
    )


def remarks_of(view: View) -> list[View]:
    """Return what people said afterwards; a kind of the user's own may call something else so."""
    found = view.get("remarks")
    if not isinstance(found, list):
        return []
    return [one for one in found if isinstance(one, Mapping) and "author" in one and "text" in one]


def decision_text(review: Review) -> str:
    """Return how a request stands, in words: what was decided, by whom and when."""
    if not review.decision:
        return "awaits review"
    by = f" by {review.by}" if review.by else ""
    at = f", {second_text(review.at)} UTC" if review.at else ""
    stale = "; changed since" if review.stale else ""
    still = ", so open again" if review.stale and review.is_open else ""
    return f"review: {review.decision}{by}{at}{stale}{still}"


def _told_again(step: View) -> Iterator[str]:
    """Yield what may stand again among the errors of the file that a step is in."""
    for text in step.get("errors") or ():
        yield str(text)
        yield from str(text).split("; ")
    for check in step.get("checks") or ():
        yield str(check.get("detail") or _check_failed(check))
    yield f"Step {step.get('id')!r} failed"


def _check_failed(check: View) -> str:
    return f"Check {str(check.get('name'))!r} failed"


def checks_fact(view: View) -> Iterator[str]:
    """Yield how many checks went well; nothing where there was none."""
    checks = view.get("checks") or ()
    if checks:
        good = sum(1 for check in checks if check.get("ok"))
        yield f"{good} of {count_text(len(checks), 'check')} ok"


def _facts(unit: Unit) -> Iterator[str]:
    view = unit.view
    steps = view.get("steps") or ()
    if steps:
        done = sum(1 for step in steps if step.get("status") in _FINISHED)
        planned = max(view.get("planned_steps") or 0, len(steps))
        yield f"{done} of {count_text(planned, 'step')}"
    attempts = len(view.get("attempts") or ())
    if attempts > 1:
        yield f"{attempts} attempts"
    if view.get("reopened"):
        yield "ended twice"
    if view.get("reason"):
        yield short(view["reason"])
    yield from checks_fact(view)
    levels = [said.get("level") for said in view.get("messages") or ()]
    for key, one in (("errors", "error"), ("warnings", "warning"), ("notes", "note")):
        remarks = len(remarks_of(view)) if one == "note" else 0
        count = len(view.get(key) or ()) + levels.count(one) + remarks
        if count and not (one == "error" and unit.error):
            yield count_text(count, one)
    outputs = view.get("outputs") or ()
    if outputs:
        first = f"-> {short(outputs[0].get('path'))}"
        yield first if len(outputs) == 1 else f"{first} and {len(outputs) - 1} more"
