"""What an audit found, for people: the verdict at a glance, then what is wrong, then what is open.

`auditfold audit` prints these lines; meanings are those of docs/auditing.md.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from replay.audit.facts import Item, State
from replay.audit.report import AuditReport, Signed, Trust
from replay.findings import NOTES, Finding, Verdict
from replay.show.line import harmless
from replay.show.text import Line, Piece, count_text

_MEANING: Final = {
    Verdict.COMPLETE: "every line is as it was written, and the end is there",
    Verdict.INTACT_PREFIX: "what is there is as it was written; more may be missing, or to come",
    Verdict.UNCHAINED: "an older layout without hashes: nothing proves that it is unchanged",
    Verdict.TAMPERED: "something is not as it was written",
}
_STYLE: Final = {
    Verdict.COMPLETE: "green",
    Verdict.INTACT_PREFIX: "yellow",
    Verdict.UNCHAINED: "yellow",
    Verdict.TAMPERED: "red",
}
_STATES: Final[tuple[State, ...]] = (
    "ok",
    "changed",
    "missing",
    "untracked",
    "superseded",
    "unverified",
)
_TRUST: Final[dict[Trust, str]] = {
    "certified": "a key you gave",
    "unchecked": "not checked against a key you gave",
    "not_verified": "not looked at: that needs pip install 'auditfold[sign]'",
}
_BAD: Final = frozenset({"changed", "missing", "untracked"})


def audit_lines(
    report: AuditReport, path: str, *, every_output: bool = False, chain_only: bool = False
) -> Iterator[Line]:
    """Yield the lines.

    Args:
        report: What was found.
        path: The PATH that was audited.
        every_output: List outputs that are as recorded, too.
        chain_only: The report is of the chain only.
    """
    yield _headline(report, path)
    width = max((len(file.path) for file in report.files), default=0)
    for file in report.files:
        name, lines = harmless(file.path).ljust(width), count_text(file.lines, "line")
        anchored = "" if file.anchored is None else f"  {_anchored(file.anchored, file.lines)}"
        verdict = Piece(file.verdict, _STYLE[file.verdict])
        yield [Piece(f"  {name}  {lines:>14}  "), verdict, Piece(anchored)]
    yield from _signed(report.signatures)
    if not chain_only:
        yield from _outputs(report, every_output=every_output)
    for finding in report.findings:
        yield _finding(finding)
    for open_question in _unproven(report, chain_only=chain_only):
        yield [Piece(f"not proven: {open_question}", "dim")]


def _headline(report: AuditReport, path: str) -> Line:
    shown = harmless(path)
    meaning = _MEANING[report.verdict]
    if report.verdict is Verdict.COMPLETE and report.exit_code() != 0:
        meaning += "; outputs or counts differ"
    return [Piece(f"{report.verdict}", _STYLE[report.verdict]), Piece(f"  {shown}: {meaning}")]


def _anchored(anchored: int, lines: int) -> str:
    """Return which lines an anchor proves, and which are behind it."""
    if anchored >= lines:
        return "anchored"
    if anchored == 0:
        return "not anchored"
    return f"{_from_to(1, anchored)} anchored, {_from_to(anchored + 1, lines)} not"


def _from_to(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}-{last}"


def signers(signatures: Iterable[Signed]) -> Iterator[tuple[str, Trust, str, str]]:
    """Yield (signer, trust, the same in words, how many lines of how many writers) for each."""
    found: dict[tuple[str, Trust], list[int]] = {}
    for signed in signatures:
        found.setdefault((signed.signer, signed.trust), []).append(signed.lines)
    for (signer, trust), sealed in found.items():
        lines, writers = count_text(sum(sealed), "line"), count_text(len(sealed), "writer")
        yield signer or "nobody", trust, _TRUST[trust], f"{lines} of {writers}"


def _signed(signatures: list[Signed]) -> Iterator[Line]:
    """Yield by whom, a line for each who signed, and whether that was checked."""
    for signer, trust, words, what in signers(signatures):
        style = "green" if trust == "certified" else "yellow"
        yield [Piece(f"  signed by {harmless(signer)}, "), Piece(words, style), Piece(f": {what}")]


def _outputs(report: AuditReport, *, every_output: bool) -> Iterator[Line]:
    counts = {state: getattr(report.outputs, state) for state in _STATES}
    if not any(counts.values()):
        yield [Piece("  outputs: none recorded")]
        return
    pieces = [Piece("  outputs: ")]
    for state in _STATES:
        if counts[state] or state == "ok":
            separator = ", " if len(pieces) > 1 else ""
            style = "red" if state in _BAD else ""
            pieces += [Piece(separator), Piece(f"{counts[state]} {state}", style)]
    yield pieces
    for item in report.outputs.items if every_output else ():
        yield _item(item)


def _item(item: Item) -> Line:
    what = "result" if item.path is None else harmless(item.path)
    by = "" if item.node_id is None else f" of {harmless(item.node_id)}"
    style = "red" if item.state in _BAD else ""
    return [Piece("    "), Piece(f"{item.state:<10}", style), Piece(f"  {what}{by}")]


def _finding(finding: Finding) -> Line:
    style = "" if finding.code in NOTES else "red"
    return [
        Piece(f"{finding.severity} {finding.code}", style),
        Piece(f"  {harmless(finding.message)}"),
    ]


def _unproven(report: AuditReport, *, chain_only: bool) -> Iterator[str]:
    """Yield what an audit without signatures leaves open, whatever it found."""
    chained = any(file.verdict is not Verdict.UNCHAINED for file in report.files)
    anchored = any(file.anchored for file in report.files)
    certified = any(signed.trust == "certified" for signed in report.signatures)
    unsealed = [signed.unsealed for signed in report.signatures if signed.unsealed]
    if certified and unsealed:
        lines, writers = count_text(sum(unsealed), "line"), count_text(len(unsealed), "writer")
        yield (
            f"who wrote the last {lines} of {writers} not closed: no checkpoint covers them, only "
            "what names them later"
        )
    if chained and not anchored and certified:
        yield (
            "that nobody put an older state of the folder back; an anchor (auditfold checkpoint), "
            "kept where they cannot reach, would show it"
        )
    elif chained and not anchored:
        yield (
            "that nobody rewrote all files with new hashes; a copy of the registry's last line, "
            "kept where they cannot reach, would show it"
        )
    if chain_only:
        yield "what lines say, counts and outputs: they were not looked at (--chain)"
    elif report.outputs.unverified:
        unverified = count_text(report.outputs.unverified, "output")
        yield f"{unverified} recorded with a hash of the program's own, too large, or unreadable"
