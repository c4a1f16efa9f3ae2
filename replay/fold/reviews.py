"""What people say of a unit after the fact: decisions on requests for review, and remarks.

A decision names the digest of what was looked at; whether that is still so is asked when the
unit is looked at again (`replay.fold.unit_views`).  Rules: docs/review.md.
"""

from typing import Final

import msgspec

from replay.trace.events import Message, ReviewResolved

APPROVED: Final = "approved"
REJECTED: Final = "rejected"
REOPENED: Final = "reopened"


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
