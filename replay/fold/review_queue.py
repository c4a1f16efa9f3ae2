"""The review queue of a run: what somebody asked to be looked at, and what may be named in it.

A request is a fact of the trace, and so is a decision; whether one is open is what they add up
to.  Deciding is `observability.review`; rules: docs/review.md.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from replay.fold.nodes import nodes_of
from replay.fold.report.base import ReportBase
from replay.fold.report.file import FileReport
from replay.fold.report.pipeline import PipelineReport
from replay.fold.report.units import Units
from replay.fold.reviews import review_view
from replay.fold.run_report import RunReport
from replay.fold.run_report_views import node_digest

_MAX_LISTED: Final = 8
_LONGEST: Final = 200  # characters of a name in a message


class Request(NamedTuple):
    """A request for review, and what became of it.

    Attributes:
        run_id: The run.
        unit: The unit, as events name it; None for a node.
        node_id: The node; None for a unit.
        node_index: Likewise.
        file: The file, or empty.
        step: The step, or empty; what is neither is here as well.
        view: What a report says of it.
        is_open: Whether somebody has to look.
        requested_at: When it was asked for; None where the trace does not say.
        digest: Of what is to be looked at, as it is now.
    """

    run_id: str
    unit: str | None
    node_id: str | None
    node_index: int | None
    file: str
    step: str
    view: dict[str, Any]
    is_open: bool
    requested_at: str | None
    digest: str

    @property
    def ident(self) -> str:
        """What tells it from others of its run: the unit, or the node and its index."""
        return self.unit or _node_name(self.node_id or "", self.node_index)

    @property
    def name(self) -> str:
        """What it is about, for people."""
        return ":".join(filter(None, (self.file, self.step)))

    @property
    def names(self) -> Sequence[str]:
        """What an ID is compared with."""
        return (self.ident, self.name, self.file, self.step, self.node_id or "")


class Target(NamedTuple):
    """A unit or a node that something can be said about.

    Attributes:
        unit: The unit, as events name it; None for a node.
        node_id: The node.
        node_index: Likewise.
        names: What it is called; the first for people.
    """

    unit: str | None
    node_id: str | None
    node_index: int | None
    names: Sequence[str]

    @property
    def name(self) -> str:
        """What it is called, for people."""
        return self.names[0]


class UnclearError(LookupError):
    """Nothing is meant, or several things.

    Attributes:
        part: What was asked for.
        candidates: What it could mean; empty if nothing.
    """

    def __init__(self, part: str, candidates: Sequence[str], *, among: Sequence[str]) -> None:
        self.part, self.candidates = part, list(candidates)
        listed = self.candidates or list(among)
        some = ", ".join(name[:_LONGEST] for name in listed[:_MAX_LISTED])
        more = f", and {len(listed) - _MAX_LISTED} more" if len(listed) > _MAX_LISTED else ""
        if self.candidates:
            said = f"that is a part of {len(listed)}: {some}{more}"
        else:
            said = f"no such name; there is {some}{more}" if listed else "there is none"
        super().__init__(f"{part[:_LONGEST]!r}: {said}")


Named = TypeVar("Named", Request, Target)


def choose_named(found: Sequence[Named], part: str) -> list[Named]:
    """Return what *part* is a name of, else what has it in a name."""
    exact = [one for one in found if part in one.names]
    return exact or [one for one in found if part and any(part in name for name in one.names)]


def requests_of(state: RunReport) -> Iterator[Request]:
    """Yield the requests of a run, decided ones too, in the order in which their units began."""
    for file, unit in named_units(state.units):
        found = unit.reviewing
        has_decision = found is not None and found.decision is not None
        if not has_decision and (not unit.review.flagged or unit.is_review_taken_over):
            continue
        digest = unit.reviewed_digest()
        yield Request(
            run_id=state.run_id,
            unit=unit.unit,
            node_id=None,
            node_index=None,
            file="" if file is None else _names(file)[0],
            step="" if unit is file else _names(unit)[0],
            view=review_view(unit.review, found, partial(str, digest)),
            is_open=unit.awaits_review,
            requested_at=None if found is None else found.requested_at,
            digest=digest,
        )
    yield from _of_nodes(state)


def _of_nodes(state: RunReport) -> Iterator[Request]:
    for node_id, node in nodes_of(state):
        extras = node.extras
        if node_id is None or extras is None:
            continue
        found = extras.reviewing
        has_decision = found is not None and found.decision is not None
        if not extras.review.flagged and not has_decision:
            continue
        digest = node_digest(node_id, node)
        view = review_view(extras.review, found, partial(str, digest))
        yield Request(
            run_id=state.run_id,
            unit=None,
            node_id=node_id,
            node_index=node.index,
            file="",
            step=_node_name(node_id, node.index),
            view=view,
            is_open=bool(view.get("open", extras.review.flagged)),
            requested_at=None if found is None else found.requested_at,
            digest=digest,
        )


def targets_of(state: RunReport) -> Iterator[Target]:
    """Yield what something can be said about: files, steps, other units, and nodes."""
    for file, unit in named_units(state.units):
        names = _names(unit)
        if file is not None and unit is not file:
            names = [f"{of}:{name}" for of in _names(file) for name in names]
        yield Target(unit.unit, None, None, (*names, unit.unit))
    for node_id, node in nodes_of(state):
        if node_id is not None:
            yield Target(None, node_id, node.index, (_node_name(node_id, node.index), node_id))


def _node_name(node_id: str, index: int | None) -> str:
    return node_id if index is None else f"{node_id}#{index}"


def named_units(units: Units) -> Iterator[tuple[FileReport | None, ReportBase]]:
    """Yield (the file that it is or stands in, unit) of what can be looked at: no batches."""
    for root in units.roots():
        inside = [*root.steps, *root.files] if isinstance(root, PipelineReport) else [root]
        for unit in inside:
            if not isinstance(unit, FileReport):
                yield None, unit
                continue
            yield unit, unit
            for step in unit.steps:
                yield unit, step


def _names(unit: ReportBase) -> list[str]:
    """Return what a unit is called, the clearest first."""
    if isinstance(unit, FileReport):
        names: list[str | None] = [unit.path, unit.name, unit.file_id]
    else:
        names = [unit.label, unit.id]
    return list(dict.fromkeys(name for name in names if name)) or [unit.unit]
