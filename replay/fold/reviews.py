"""Requests for review of a unit or a node, and what people say after the fact.

People say decisions, and remarks.  A decision names the digest of what was looked at; whether that
is still so is asked when it is looked at again.  Rules: docs/review.md.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from replay.digest import json_digest
from replay.trace.events import Message, ReviewResolved

APPROVED: Final = "approved"
REJECTED: Final = "rejected"
REOPENED: Final = "reopened"


class ReviewFlag(msgspec.Struct, frozen=True, gc=False):
    """Whether somebody should look at a unit, and why."""

    flagged: bool = False
    reason: str | None = None


NO_REVIEW: Final = ReviewFlag()


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What a person decided about a unit.

    Attributes:
        decision: `approved`, `rejected` or `reopened`.
        reviewer: Who.
        note: Why, as the person said it.
        decided_at: Timestamp of the event.
        digest: Of what was looked at.
    """

    decision: str
    reviewer: str
    note: str | None
    decided_at: str
    digest: str


class Remark(msgspec.Struct, frozen=True, gc=False):
    """A message about a unit by a person, after the fact."""

    timestamp: str
    author: str
    text: str


class Reviewing(msgspec.Struct, gc=False):
    """A request for review with what became of it, and remarks; few units have it.

    Attributes:
        requested_at: Timestamp of the last request; None if there was none.
        decision: The last one.
        remarks: In order.
    """

    requested_at: str | None = None
    decision: Decision | None = None
    remarks: list[Remark] = []


def decided(found: Reviewing | None, event: ReviewResolved) -> Reviewing:
    """Return *found* with the decision of *event*: the last one counts."""
    found = found or Reviewing()
    found.decision = Decision(
        event.decision, event.reviewer, event.note, event.timestamp, event.digest
    )
    return found


def remarked(found: Reviewing | None, event: Message) -> Reviewing:
    """Return *found* with one more remark, that of *event*."""
    found = found or Reviewing()
    found.remarks.append(Remark(event.timestamp, event.author or "", event.text))
    return found


def awaits(reviewing: Reviewing | None, digest: Callable[[], str]) -> bool:
    """Return whether a request has no decision that holds.

    Args:
        reviewing: What became of it.
        digest: Returns the digest of what is flagged as it is now.
    """
    decision = None if reviewing is None else reviewing.decision
    return decision is None or decision.decision == REOPENED or digest() != decision.digest


def said_digest(view: Mapping[str, Any]) -> str:
    """Return the digest of what a program says of something, without what is null or empty.

    So a field that a later version adds makes no decision stale where it says nothing.  Empty
    where *view* holds what no JSON of this format has.
    """
    try:
        return json_digest(without_empty(view))
    except (TypeError, ValueError):
        return ""


def without_empty(view: Mapping[str, Any]) -> dict[str, Any]:
    """Return *view* without what is null, false or empty in it."""
    return {
        name: value
        for name, value in view.items()
        if value is not None and value is not False and value != ""
        if value not in ([], {})
    }


# --- As JSON


def review_view(
    flag: ReviewFlag, reviewing: Reviewing | None = None, digest: Callable[[], str] = str
) -> dict[str, Any]:
    """Return a request for review, and what became of it; nothing more while it is undecided.

    Args:
        flag: What the program says.
        reviewing: When, and what was decided.
        digest: Returns the digest of what is flagged as it is now.
    """
    found = {"flagged": flag.flagged, "reason": flag.reason}
    if reviewing is None or reviewing.decision is None:
        return found
    return {
        **found,
        "open": flag.flagged and awaits(reviewing, digest),
        "requested_at": reviewing.requested_at,
        **_decision(reviewing.decision),
        "stale": digest() != reviewing.decision.digest,
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "decision": decision.decision,
        "reviewer": decision.reviewer,
        "note": decision.note,
        "decided_at": decision.decided_at,
        "digest": decision.digest,
    }


def remark_view(remark: Remark) -> dict[str, Any]:
    """Return what a person said after the fact."""
    return {"timestamp": remark.timestamp, "author": remark.author, "text": remark.text}
