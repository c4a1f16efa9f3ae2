"""What an audit found, as values; as JSON the object that `auditfold audit --json` prints."""

from typing import TYPE_CHECKING, Literal

import msgspec

from replay.audit.facts import Facts, Item
from replay.findings import VERDICT_OF, Finding, Verdict

if TYPE_CHECKING:
    from replay.audit.seals import Seal


class FileVerdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one file amounts to.

    Attributes:
        path: The file.
        lines: Its whole lines.
        verdict: The worst that a finding forces.
        anchored: How many lines an anchor proves; None, and not in the JSON, where no
            anchor was given.
    """

    path: str
    lines: int
    verdict: Verdict
    anchored: int | None = None


Trust = Literal["certified", "unchecked", "not_verified"]


class Signed(msgspec.Struct, frozen=True):
    """What the signatures of one writer amount to.

    Attributes:
        path: The file.
        writer: Its id.
        signer: Who certified it, `NAME+ID`.
        lines: How many of its lines its last checkpoint covers.
        checkpoints: How many there are that are right.
        trust: `certified` by a key that was given; `unchecked`: signatures are right, and no key
            was given to say whose they should be; `not_verified`: without the extra `sign` no
            signature was looked at, only roots.
        unsealed: How many of its lines no checkpoint covers; 0 if it closed, with a checkpoint of
            all but its last two lines.
    """

    path: str
    writer: str
    signer: str
    lines: int
    checkpoints: int
    trust: Trust
    unsealed: int = 0


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


class AuditReport(msgspec.Struct, omit_defaults=True):
    """What an audit found; as JSON it is the object that `auditfold audit --json` prints.

    `signatures` is not in the JSON where nobody signs.
    """

    verdict: Verdict
    files: list[FileVerdict]
    outputs: Outputs
    findings: list[Finding]
    signatures: list[Signed] = msgspec.field(default_factory=list)

    def exit_code(self) -> int:
        """Return 4 for a newer version; else 3 for an evidence error; else 1 for a bad answer."""
        errors = {found.code for found in self.findings if found.severity == "error"}
        if "newer_version" in errors:
            return 4
        if any(VERDICT_OF[code] is not None for code in errors):
            return 3
        return 1 if errors else 0


def signed_by(facts: Facts) -> list[Signed]:
    """Return what the signatures of all writers in a file amount to."""
    seals: list[Seal] = facts.seals
    return [
        Signed(
            path=facts.path,
            writer=seal.writer,
            signer=seal.signer,
            lines=seal.lines,
            checkpoints=len(seal.roots),
            unsealed=seal.unsealed,
            trust="certified"
            if seal.certified
            else "unchecked"
            if seal.checked
            else "not_verified",
        )
        for seal in seals
    ]
