"""A unit of any kind as a state: what the events of it add up to, and what follows from that.

Nothing here reads a clock or a disk.  What an event means is `replay.fold.report.handlers`; the
live units of the same names are in `observability.reporting`.  Rules: docs/reports.md.
"""

from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from replay.fold.reviews import (
    NO_REVIEW,
    ReviewFlag,
    Reviewing,
    awaits,
    review_view,
    said_digest,
    without_empty,
)
from replay.fold.status import FAILED, PENDING, RUNNING, SUCCEEDED

SCHEMA_VERSION: Final = "v2"  # of the JSON

PIPELINE: Final = "pipeline"
FILE: Final = "file"
STEP: Final = "step"

ALL: Final = 100  # percent

# What depends on the moment, on decisions or on this form: no part of what somebody looks at.
_NOT_REVIEWED: Final = (
    "duration_ms",
    "requires_human_review",
    "human_review_reason",
    "report_version",
)

Tally: TypeAlias = dict[str, int]
"""How many of a unit's own units have each status; none of what is not there."""


class ReportBase(msgspec.Struct, gc=False, kw_only=True):
    """What a unit of any kind has.

    Attributes:
        unit: Its id in the trace.
        kind: `step`, `file`, `pipeline`, or the name of a kind of the user's own.
        label: Its name for people.
        id: Its name among its siblings.
        status: As last set.
        percent: As last set, 0 to 100.
        started_at: Timestamp of its start.
        finished_at: Timestamp of its end, None while it runs.
        began_us: CLOCK_MONOTONIC of the start, None where that is not known any more.
        ended_us: The same of the end.
        kept_ms: The duration of a unit that was loaded, whose clock is gone.
        reopened: It went on, or was ended again, after its end.
        notes: None until there is one; like the other lists.
        reviewing: When a review was asked for, what was decided, remarks; None without any.
        fields: What a kind of the user's own has besides, or a subclass of another one.
    """

    unit: str
    kind: str
    label: str = ""
    id: str | None = None
    status: str = PENDING
    percent: int = 0
    started_at: str | None = None
    finished_at: str | None = None
    began_us: int | None = None
    ended_us: int | None = None
    kept_ms: float | None = None
    reopened: bool = False
    notes: list[str] | None = None
    warnings: list[str] | None = None
    errors: list[str] | None = None
    metadata: dict[str, Any] | None = None
    review: ReviewFlag = NO_REVIEW
    reviewing: Reviewing | None = None
    fields: dict[str, Any] | None = None

    @property
    def ok(self) -> bool:
        """Whether it would succeed if it ended now; it changes nothing."""
        if self.status == FAILED or self.errors:
            return False
        return self.status == SUCCEEDED or self.parts_ok

    @property
    def parts_ok(self) -> bool:
        """Whether what it consists of is as it should be."""
        return True

    @property
    def progress(self) -> int:
        """How far it is, in percent."""
        return self.percent

    def failure_reasons(self) -> list[str]:
        """Return what it has failed of if it ends as it stands, besides its own errors."""
        known = set(self.errors or ())
        return [reason for reason in self.failures_of_parts() if reason not in known]

    def failures_of_parts(self) -> list[str]:
        """Return what is not as it should be in what it consists of."""
        return []

    def duration_ms(self, now_us: int | None) -> float | None:
        """Return how long it took, or has taken up to *now_us*, in milliseconds.

        By the monotonic clock; by the timestamps where that is not known any more.
        """
        if self.kept_ms is not None:
            return self.kept_ms
        if self.started_at is None:
            return None
        end_us = now_us if self.finished_at is None else self.ended_us
        if self.began_us is not None and end_us is not None:
            return round(max(0, end_us - self.began_us) / 1000, 3)
        if self.finished_at is None:
            return None
        try:
            took = instant(self.finished_at) - instant(self.started_at)
        except (ValueError, TypeError):
            return None
        return round(max(0.0, took.total_seconds() * 1000), 3)

    # --- Review

    @property
    def awaits_review(self) -> bool:
        """Whether somebody should look at the unit itself."""
        return self.review.flagged and awaits(self.reviewing, self.reviewed_digest)

    @property
    def requires_human_review(self) -> bool:
        """Whether somebody should look at it, or at one of its steps."""
        return self.awaits_review

    @property
    def is_review_taken_over(self) -> bool:
        """Whether its flag is that of a step, so that it is no request of its own."""
        return False

    def reviewed_digest(self) -> str:
        """Return the digest of the unit as somebody looks at it: without what decisions change.

        It does not depend on the time, nor on which processes live.  Empty where the trace holds
        what no JSON of this format has; then nothing that was decided holds.
        """
        return said_digest(self.reviewed())

    def reviewed(self) -> dict[str, Any]:
        """Return what that digest covers."""
        view = self.head()
        asked = None if self.reviewing is None else self.reviewing.requested_at
        view["review"] = {**review_view(self.review), "requested_at": asked}
        for name in _NOT_REVIEWED:
            view.pop(name, None)
        return without_empty(view)

    # --- As JSON

    def head(self, now_us: int | None = None, *, running_as: str = RUNNING) -> dict[str, Any]:
        """Return the unit as JSON, without what was decided of it and what stands in it.

        Args:
            now_us: Where the duration of what runs ends, CLOCK_MONOTONIC.
            running_as: The status of what runs: `interrupted` when nobody runs it any more.
        """
        return self.with_own({"kind": self.kind, **self.common_head(now_us, running_as)})

    def with_own(self, view: dict[str, Any]) -> dict[str, Any]:
        """Return *view* with the unit's own fields; none takes the place of another one."""
        for name, value in (self.fields or {}).items():
            view.setdefault(name, value)
        return view

    def common_head(self, now_us: int | None, running_as: str) -> dict[str, Any]:
        """Return of `head` what every unit that begins and ends has."""
        return {
            "label": self.label,
            "id": self.id,
            "status": running_as if self.status == RUNNING else self.status,
            "percent": self.progress,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "duration_ms": self.duration_ms(now_us),
            "notes": list(self.notes or ()),
            "warnings": list(self.warnings or ()),
            "errors": list(self.errors or ()),
            "metadata": dict(self.metadata or ()),
            "review": review_view(self.review),
            "reopened": self.reopened,
            "report_version": SCHEMA_VERSION,
        }


def instant(timestamp: str) -> datetime:
    """Return a timestamp as a datetime."""
    return datetime.fromisoformat(timestamp)
