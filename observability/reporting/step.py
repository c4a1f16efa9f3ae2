"""Steps, and what they stand in: batches and files."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, Self

from observability import context
from observability.reporting.adoption import adopt, begin_again
from observability.reporting.attached import Attached, slug
from observability.reporting.base import FIRST, ReportBase, set_first, split_first
from observability.reporting.fields import Field, Items, a_text_or_none
from observability.reporting.own_fields import filled
from observability.reporting.process import PROCESS, locked
from observability.reporting.recorder import NodeKey
from observability.reporting.unit import LiveUnit
from replay.fold import report as states
from replay.fold.report.base import FILE, STEP
from replay.fold.report.loading import step_of
from replay.trace.events import CheckMade, Event


class StepReport(ReportBase):
    """One step of a batch or a file.

    Args:
        label: Its name for people.
        id: Its name among its siblings; made of the label if None.
        metadata: JSON values.
        defer_start: It is pending until `start`.
        first: What it has from the beginning: notes, warnings, errors, checks, review, percent,
            status, started_at or finished_at; fields of a subclass.
    """

    __slots__ = ()

    KIND = STEP

    checks = Items()
    id = Field[str | None](write=a_text_or_none)

    def __init__(
        self,
        label: str,
        *,
        id: str | None = None,  # noqa: A002 - the name of the field
        metadata: Mapping[str, Any] | None = None,
        defer_start: bool = False,
        **first: Any,
    ) -> None:
        own, rest = split_first(self, first, FIRST | {"checks"})
        self._begin_step(None, label, name=id, metadata=metadata, defer_start=defer_start, own=own)
        set_first(self, rest)

    @classmethod
    def begin(
        cls,
        label_or_id: str | None = None,
        *,
        label: str | None = None,
        id: str | None = None,  # noqa: A002 - the name of the field
        metadata: Mapping[str, Any] | None = None,
        **first: Any,
    ) -> Self:
        """Begin a step: `begin("load", label="Load inputs")` or `begin("Load inputs", id="load")`.

        Raises:
            TypeError: There is no label, or two ids.
        """
        label, name = label_and_id("StepReport.begin", label_or_id, label, id)
        return cls(label, id=name, metadata=metadata, **first)

    @classmethod
    def begin_within(
        cls,
        parent: "WithSteps",
        label: str,
        *,
        id: str | None = None,  # noqa: A002 - the name of the field
        metadata: Mapping[str, Any] | None = None,
    ) -> Self:
        """Begin a step that stands in *parent* from now on."""
        self = cls.__new__(cls)
        with parent.lock:
            self._begin_step(parent, label, name=id, metadata=metadata)
        return self

    def _begin_step(
        self,
        parent: "WithSteps | None",
        label: str,
        *,
        name: str | None,
        metadata: Mapping[str, Any] | None = None,
        defer_start: bool = False,
        own: Mapping[str, Any] | None = None,
    ) -> None:
        self.observer = context.current_observer() if parent is None else parent.observer
        payload = self._head(label, metadata, own, defer_start=defer_start)
        given = a_text_or_none(self, name, "id") or None
        wanted = given or slug(payload["label"]) or "step"
        if parent is not None:
            wanted = parent.own_steps.free(wanted, first=1 if given else 2)
        payload["kind"] = STEP
        payload["id"] = wanted
        self.begin_in(parent, payload, derived=given is None)

    @classmethod
    def begin_node(
        cls, parent: "WithSteps", kind: type[Event], payload: dict[str, Any], node: NodeKey
    ) -> Self:
        """Begin a step of *parent* that is a node, by an event of that node.

        Args:
            parent: A batch that its observer records.
            kind: `NodeStarted` or `NodeSkipped`.
            payload: What the event says, through the gate.
            node: Its id, through the gate, and index.
        """
        self = cls.__new__(cls)
        self.observer = parent.observer
        payload["id"] = parent.own_steps.free(slug(node[0] or "") or "step", first=2)
        self.begin_in(parent, payload, derived=True, kind=kind, node=node)
        return self

    @property
    def node_id(self) -> str | None:
        """The node that this step is, None if it is none."""
        name: str | None = self.state.node_id
        return name

    @property
    def node_index(self) -> int | None:
        """That node's index."""
        index: int | None = self.state.node_index
        return index

    def add_check(self, name: str, ok: bool, detail: str | None = None) -> None:  # noqa: FBT001 - S0's form
        """Record that something was checked; one that is not ok makes `end` fail the step."""
        self.record(
            CheckMade,
            {
                "name": self.clean_text(name, "name"),
                "ok": bool(ok),
                "detail": self.clean_text_or_none(detail),
            },
        )

    @classmethod
    def _of_view(cls, view: Mapping[str, Any]) -> Self:
        return cls.over(filled(step_of(view, PROCESS.new_unit), cls.FIELDS))


class WithSteps(LiveUnit):
    """What batches and files share: steps that stand in them."""

    __slots__ = ("own_steps",)

    own_steps: Attached

    def add_step(
        self,
        label: str,
        status: Literal["succeeded", "failed", "skipped"],
        *,
        text: object,
        metadata: Mapping[str, Any] | None,
        name: str | None,
        review: object = None,
        flag: bool = False,
    ) -> StepReport:
        """Add a step that has ended, and return it."""
        with self.lock:
            parent: Any = self
            step = StepReport.begin_within(parent, label, id=name, metadata=metadata)
            if flag:
                step.request_review(review)
                self.was_flagged(step)
            if status == "failed":
                step.fail(text)
            elif status == "skipped":
                step.skip(text)
            else:
                if text:
                    step.note(text)
                step.succeed()
        return step

    def was_flagged(self, step: ReportBase) -> None:
        """Say so of a file whose step somebody should look at."""

    def has_ended(self, unit: ReportBase) -> None:
        """Take in that a step or file has ended."""

    def attach(self, unit: Any, kind: type[ReportBase]) -> None:
        """Let *unit* stand here, under an id that is free, and end it."""
        refuse_other(unit, kind)
        if unit.parent is self:
            unit.end()
            return
        if unit.parent is not None:
            raise ValueError(f"{unit!r} stands in {unit.parent!r} already")
        joint = unit.observer
        if joint is not None and joint.is_open and not self.is_recorded:
            adopt(self.root, joint)
        with locked(self, unit):
            unit.end()
            attached = self.children_like(unit)
            name = unit.state.id
            if unit.KIND != FILE:
                name = attached.free(name or "step", first=2 if unit.derived else 1)
            if unit.observer is self.observer:
                self._join(unit, name)
            else:
                unit.state.id = name
                begin_again(unit, self.observer, self)
                if joint is not None:
                    joint.reports.discard(unit)
        if unit.requires_human_review:
            self.was_flagged(unit)

    def _join(self, unit: ReportBase, name: str | None) -> None:
        payload: dict[str, Any] = {"parent": self.state.unit, "id": name}
        if self.state.kind == FILE:
            payload["inside"] = True
        unit.join(self, payload)

    def stand_in_again(self, give: Callable[[states.ReportBase], Any]) -> None:
        """Let the units that stand in the state stand here; *give* returns the one of a state."""
        self.own_steps.refill([give(state) for state in self.state.steps])

    def handle_of(self, state: states.ReportBase) -> ReportBase:
        """Return a new handle of a state that stands here."""
        return over_step(state, self).recorded_by(self.observer)

    def iter_steps(self, status: str | None = None) -> Iterator[StepReport]:
        """Yield the steps, or those of one status, in the order in which they began."""
        return (step for step in list(self.own_steps) if status is None or step.status == status)

    def last_step(self) -> StepReport | None:
        """Return the step that began last, None if there is none."""
        return self.own_steps[-1] if self.own_steps else None


def refuse_other(unit: Any, kind: type[ReportBase]) -> None:
    """Raise TypeError unless *unit* may be attached where *kind* stands; files are no steps."""
    if kind.KIND == FILE:
        if not isinstance(unit, kind):
            raise TypeError(f"append_file: got {type(unit).__name__}, want a FileReport")
    elif not isinstance(unit, ReportBase) or unit.KIND == FILE:
        got = type(unit).__name__
        advice = "; a file is appended to a batch, by append_file" if got == "FileReport" else ""
        raise TypeError(f"append_step: got {got}, want a StepReport{advice}")


def over_step(state: states.ReportBase, parent: WithSteps) -> ReportBase:
    """Return a handle of what stands among the steps of *parent*, of whichever kind."""
    kind = StepReport if isinstance(state, states.StepReport) else ReportBase
    return kind.over(state, parent)


def label_and_id(
    call: str, label_or_id: str | None, label: str | None, name: str | None
) -> tuple[str, str | None]:
    """Return (label, id) of a call in either form: id first with a label, or the label alone.

    Raises:
        TypeError: There is no label, or two ids.
    """
    if label_or_id is None:
        if label is None:
            raise TypeError(f"{call}: want a label")
        return label, name
    if label is None:
        return label_or_id, name
    if name is not None:
        raise TypeError(f"{call}: got two ids, {label_or_id!r} and {name!r}")
    return label, label_or_id


def add_review(
    unit: Any,
    label: str,
    reason: object,
    metadata: Mapping[str, Any] | None,
    *,
    mark_success: bool,
    name: str | None,
) -> StepReport:
    """Add a step that somebody should look at, and return it."""
    if mark_success:
        added: StepReport = unit.add_step(
            label, "succeeded", text=None, metadata=metadata, name=name, review=reason, flag=True
        )
        return added
    with unit.lock:
        step = StepReport.begin_within(unit, label, id=name, metadata=metadata)
        step.request_review(reason)
        unit.was_flagged(step)
    return step


def only_added(attached: Attached, units: Any) -> None:
    """Take a list of units for what it was set to; refuse any other."""
    # `report.files += [...]` sets what it has changed already.
    if units is not attached:
        attached.clear()
