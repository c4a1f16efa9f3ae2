"""What an audit found, as values; as JSON the object that `auditfold audit --json` prints."""

import msgspec

from replay.audit.facts import Item
from replay.findings import VERDICT_OF, Finding, Verdict


class FileVerdict(msgspec.Struct, frozen=True):
    """What one file amounts to; `lines` are its whole lines."""

    path: str
    lines: int
    verdict: Verdict


class Outputs(msgspec.Struct):
    """How many outputs are in which state, and each of them."""

    ok: int = 0
    changed: int = 0
    missing: int = 0
    untracked: int = 0
    superseded: int = 0
    unverified: int = 0
    items: list[Item] = msgspec.field(default_factory=list)

    def add(self, item: Item) -> None:
        """Count *item*."""
        self.items.append(item)
        setattr(self, item.state, getattr(self, item.state) + 1)


class AuditReport(msgspec.Struct):
    """What an audit found; as JSON it is the object that `auditfold audit --json` prints."""

    verdict: Verdict
    files: list[FileVerdict]
    outputs: Outputs
    findings: list[Finding]

    def exit_code(self) -> int:
        """Return 4 for a newer version; else 3 for an evidence error; else 1 for a bad answer."""
        errors = {found.code for found in self.findings if found.severity == "error"}
        if "newer_version" in errors:
            return 4
        if any(VERDICT_OF[code] is not None for code in errors):
            return 3
        return 1 if errors else 0
