"""What an audit says: findings as data, and the verdict they add up to.

The codes and the verdict each one forces are design decisions of this project, written down
in docs/auditing.md.  `replay.audit` makes findings; nothing here looks at a file.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, Literal

import msgspec

Severity = Literal["error", "warning", "note"]


class Verdict(StrEnum):
    """What the evidence of one file, or of all files under a path, amounts to."""

    TAMPERED = "tampered"
    INTACT_PREFIX = "intact-prefix"
    UNCHAINED = "unchained"
    COMPLETE = "complete"


# Worst first: a path has the worst verdict of its files.
_WORST_FIRST: Final = tuple(Verdict)

# Code -> the verdict that it forces on its file.  None: it does not judge the evidence
# (outputs and recomputed counts decide the exit status, not the verdict).
VERDICT_OF: Final[dict[str, Verdict | None]] = {
    "bad_frame": Verdict.TAMPERED,
    "bad_hash": Verdict.TAMPERED,
    "bad_seq": Verdict.TAMPERED,
    "malformed": Verdict.TAMPERED,
    "bad_session": Verdict.TAMPERED,
    "cut": Verdict.TAMPERED,
    "diverged": Verdict.TAMPERED,
    "missing": Verdict.TAMPERED,
    "unsealed": Verdict.TAMPERED,
    "unauthorised": Verdict.TAMPERED,
    "not_a_trace": Verdict.TAMPERED,
    "empty": Verdict.INTACT_PREFIX,
    "torn": Verdict.INTACT_PREFIX,
    "not_closed": Verdict.INTACT_PREFIX,
    "unregistered": Verdict.INTACT_PREFIX,
    "unanchored": Verdict.INTACT_PREFIX,
    "newer_version": Verdict.INTACT_PREFIX,
    "live": Verdict.INTACT_PREFIX,
    "alone": Verdict.INTACT_PREFIX,
    "excerpt": Verdict.INTACT_PREFIX,
    "unchained": Verdict.UNCHAINED,
    "output_changed": None,
    "output_missing": None,
    "output_untracked": None,
    "count_differs": None,
    "time_differs": None,
}

# Codes that explain a verdict without being an error.
NOTES: Final = frozenset({"live", "alone", "excerpt"})


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing an audit noticed.

    Attributes:
        severity: `error` makes the audit fail; `warning` and `note` do not.
        code: A key of `VERDICT_OF`.
        path: The file, relative to the path that was audited.
        line: 1-based number of the line, or None when it is about the whole file.
        seq: The `seq` that stands there, where it could be read.
        offset: Byte offset of the line, or of the first byte the finding is about.
        message: Where, got, want, and what is intact; for people.
    """

    severity: Severity
    code: str
    path: str
    line: int | None = None
    seq: int | None = None
    offset: int | None = None
    message: str


def verdict_of(findings: Iterable[Finding]) -> Verdict:
    """Return the worst verdict that *findings* force; `complete` when they force none."""
    forced = {VERDICT_OF[finding.code] for finding in findings}
    return next((v for v in _WORST_FIRST if v in forced), Verdict.COMPLETE)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of *verdicts*; `complete` when there is none.

    >>> worst([Verdict.COMPLETE, Verdict.UNCHAINED])
    <Verdict.UNCHAINED: 'unchained'>
    """
    present = set(verdicts)
    return next((v for v in _WORST_FIRST if v in present), Verdict.COMPLETE)
