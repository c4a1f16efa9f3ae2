"""A file as a state, with its steps."""

from typing import Any, Final

import msgspec

from replay.fold.report.base import ALL, ReportBase, Tally
from replay.fold.status import RUNNING, SUCCEEDED, TERMINAL

_NAMED: Final = 5  # steps that the reason for a review names


class FileReport(ReportBase, gc=False, kw_only=True):
    """A file with its steps.

    Attributes:
        path: As the program gave it.
        name: As the program gave it, or the last part of the path.
        file_id: As the program gave it.
        size_bytes: As of its beginning.
        mime_type: By the name's extension, as of its beginning.
        n_steps: How many steps there will be, where that is known.
        steps: In the order in which they began.
        tally: Their statuses.
    """

    path: str = ""
    name: str = ""
    file_id: str | None = None
    size_bytes: int | None = None
    mime_type: str | None = None
    n_steps: int | None = None
    steps: list[ReportBase] = msgspec.field(default_factory=list)
    tally: Tally = msgspec.field(default_factory=dict)

    @property
    def parts_ok(self) -> bool:
        """Whether every step is."""
        return all(step.ok for step in self.steps)

    def failures_of_parts(self) -> list[str]:
        """Return what each step that is not ok has failed of."""
        return [_why_not(step) for step in self.steps if not step.ok]

    @property
    def progress(self) -> int:
        """How far it is, in percent: by its steps, of those planned where that is known."""
        if self.status == SUCCEEDED:
            return self.percent
        total = max(len(self.steps), self.n_steps or 0)
        if not total:
            return self.percent
        finished = sum(self.tally.get(status, 0) for status in TERMINAL)
        return int(ALL * finished / total + 0.5)

    def is_processed(self, *, require_success: bool = False) -> bool:
        """Return whether it has ended, or ended well."""
        if require_success:
            return self.status == SUCCEEDED
        return self.status in TERMINAL or self.finished_at is not None

    # --- Review

    @property
    def awaits_review(self) -> bool:
        """Whether somebody should look at the file itself.

        A flag that it took over from its steps is answered when theirs are.
        """
        undecided = self.reviewing is None or self.reviewing.decision is None
        if undecided and (givers := self._givers()):
            return any(step.awaits_review for step in givers)
        return super().awaits_review

    @property
    def requires_human_review(self) -> bool:
        """Whether somebody should look at it, or at one of its steps."""
        return self.awaits_review or any(step.awaits_review for step in self.steps)

    @property
    def human_review_reason(self) -> str | None:
        """Why somebody should look at it: its own reason, and those of its steps."""
        parts = []
        if self.awaits_review:
            parts.append(f"File-level review: {self.review.reason or 'Review requested'}")
        steps = [step for step in self.steps if step.awaits_review]
        if steps:
            names = ", ".join(step.label for step in steps[:_NAMED])
            more = f", +{len(steps) - _NAMED} more" if len(steps) > _NAMED else ""
            count = "step" if len(steps) == 1 else f"{len(steps)} steps"
            first = next((step.review.reason for step in steps if step.review.reason), None)
            why = f" First reason: {first}." if first else ""
            parts.append(f"{count} flagged human review: {names}{more}.{why}")
        return " ".join(parts) or None

    @property
    def is_review_taken_over(self) -> bool:
        """Whether its flag is that of a step, so that it is no request of its own."""
        return bool(self._givers())

    def _givers(self) -> list[ReportBase]:
        """Return the flagged steps whose flag it has taken over."""
        if not self.review.flagged:
            return []
        reason = self.review.reason
        return [
            step
            for step in self.steps
            if step.review.flagged
            and reason == (step.review.reason or f"Step '{step.id}' requested review")
        ]

    def reviewed(self) -> dict[str, Any]:
        """Return what the digest of the file covers: its steps too."""
        view = super().reviewed()
        if self.steps:
            view["steps"] = [step.reviewed() for step in self.steps]
        return view

    # --- As JSON

    def head(self, now_us: int | None = None, *, running_as: str = RUNNING) -> dict[str, Any]:
        """Return the file as JSON, without what was decided of it and its steps."""
        view = self.common_head(now_us, running_as)
        del view["id"]
        view |= {
            "label": self.name,
            "file_id": self.file_id,
            "path": self.path,
            "name": self.name,
            "size_bytes": self.size_bytes,
            "mime_type": self.mime_type,
            "n_steps": len(self.steps),
            "planned_steps": self.n_steps,
            "requires_human_review": False,
            "human_review_reason": None,
            "steps": [],
        }
        return self.with_own(view)


def _why_not(step: ReportBase) -> str:
    reasons = "; ".join(step.errors or ()) or "; ".join(step.failure_reasons())
    return reasons or f"Step {step.id!r} failed"
