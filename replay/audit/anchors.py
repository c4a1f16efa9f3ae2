"""Heads and anchors: notes beside the traces, or out of reach, that say how far files reached.

A head is the newest checkpoint of a file's last writer; an anchor is a checkpoint of the registry
with the reach of all traces, which somebody keeps elsewhere (`auditfold checkpoint`).  Pure.
Rules: docs/trace-format.md, "Heads" and "Anchors"; what they prove: docs/signing.md.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from replay.audit.checkpoint import (
    ORIGIN,
    Checkpoint,
    NoteError,
    Signature,
    VerifierKey,
    split_note,
)
from replay.audit.facts import Claim, Facts, Spot
from replay.audit.merkle import root
from replay.audit.names import EXPECTED, REGISTRY_NAME, key_of
from replay.trace.events import Extent
from replay.trace.folder import HEAD_SUFFIX

if TYPE_CHECKING:
    from replay.audit.seals import Seal

_REACH: Final = re.compile(r"([^ ]+) ([1-9][0-9]{0,15}) ([0-9a-f]{64})")
_REGISTRY: Final = f"{ORIGIN}registry/"
_BODY: Final = 3  # lines of a checkpoint before what extends it
MAX_ANCHOR: Final = 64_000_000  # bytes: the reach of 400,000 files


class Head(msgspec.Struct, frozen=True):
    """A head as it was read.

    Attributes:
        path: As findings call it.
        name: As events would call it, relative to OUT.
        text: What stands in it; None where it cannot be read as text.
    """

    path: str
    name: str
    text: str | None

    @property
    def key(self) -> str:
        """The key of its trace."""
        return key_of(f"{self.name.removesuffix(HEAD_SUFFIX)}.jsonl")


class Anchor(msgspec.Struct, frozen=True):
    """An anchor that the files have to extend.

    Attributes:
        checkpoint: Of the registry.
        claims: How far each file reached.
    """

    checkpoint: Checkpoint
    claims: tuple[Claim, ...]

    @classmethod
    def parse(cls, text: str, *, path: str) -> "Anchor":
        """Return the anchor in *text*, a note signed or not; *path* is for messages.

        Raises:
            NoteError: It is none; says why.
        """
        if len(text) > MAX_ANCHOR:
            raise NoteError(f"over {MAX_ANCHOR} bytes")
        checkpoint = Checkpoint.parse(_signed_part(text)[0])
        if not checkpoint.origin.startswith(_REGISTRY) or checkpoint.size == 0:
            of = f"{checkpoint.size} lines of {checkpoint.origin}"
            raise NoteError(f"a checkpoint of {of}, want one of a registry")
        claims = []
        for line, extension in enumerate(checkpoint.extensions, _BODY + 1):
            found = _REACH.fullmatch(extension)
            if found is None:
                raise NoteError(f"line {line} is no path, lines and hash")
            extent = Extent(path=found[1], writer=None, lines=int(found[2]), hash=found[3])
            claims.append(Claim(extent, EXPECTED, Spot(path, line, None, 0), ""))
        return cls(checkpoint, tuple(claims))


def signers_of(text: str, vkeys: Iterable[VerifierKey]) -> list[VerifierKey]:
    """Return which of *vkeys* have signed the anchor in *text*; none where nobody has.

    Raises:
        NoteError: A signature by one of them is wrong.
        ModuleNotFoundError: One is there, and the extra `sign` is not installed.
    """
    said, signatures = _signed_part(text)
    known = {(key.name, key.id): key for key in vkeys}
    found = []
    for one in signatures:
        key = known.pop((one.name, one.key_id), None)  # a second one by the same key is passed over
        if key is None:
            continue
        if not key.accepts(said, one.signature):
            raise NoteError(f"the signature of {key.name}+{key.id} is wrong")
        found.append(key)
    return found


def _signed_part(text: str) -> tuple[str, list[Signature]]:
    """Return the text of an anchor and its signatures, none where it is not signed."""
    bare = text.rstrip()
    return (f"{bare}\n", []) if "\n\n" not in bare else split_note(text, most=MAX_ANCHOR)


def make_anchor(registry: Facts, traces: Iterable[Facts]) -> Checkpoint:
    """Return the anchor of files as they were read; nothing in them is damaged.

    Files go by the names that events give them, whatever their folder is called now.
    """
    named = [(REGISTRY_NAME, registry), *((f"audit/{key_of(one.name)}", one) for one in traces)]
    extensions = []
    for name, facts in named:
        if facts.kind == "chained" and facts.lines:
            digits = facts.marks[facts.lines].hashes[0].decode()
            extensions.append(f"{name} {facts.lines} {digits}")
    hashes = _hashes(registry, registry.lines)
    origin = f"{_REGISTRY}{hashes[0]}"
    return Checkpoint(origin, len(hashes), root(hashes), tuple(extensions))


def compare_heads(heads: Iterable[Head], traces: Mapping[str, Facts]) -> list[Facts]:
    """Report what heads name and traces do not hold; return the traces that are not there."""
    absent = []
    for head in heads:
        facts = traces.get(head.key)
        if facts is None:
            shown = f"{head.path.removesuffix(HEAD_SUFFIX)}.jsonl"
            gone = Facts(name=head.key, path=shown, kind="absent")
            gone.report("missing", None, f"not there, want the trace of which {head.path} speaks")
            absent.append(gone)
        elif not facts.damaged and facts.newer is None:
            _compare_head(head, facts)
    return absent


def _compare_head(head: Head, facts: Facts) -> None:
    try:
        said = Checkpoint.parse(split_note(head.text or "")[0])
    except NoteError as error:
        facts.report("unsealed", None, f"{head.path}: {error}, want the newest checkpoint")
        return
    writer = said.origin.removeprefix(ORIGIN)
    # The lines of a writer end where the next one begins, or the file does.
    begins = [span.spot.line for span in facts.spans] + [facts.count + 1]
    lines = {
        span.writer: end - span.spot.line for span, end in zip(facts.spans, begins[1:], strict=True)
    }
    got = lines.get(writer, 0)
    if said.size >= got:  # the checkpoint's own line stands behind those that it covers
        message = f"{got} lines of writer {writer}, want over {said.size}, as {head.path} names"
        facts.report("cut", facts.behind(), message)
        return
    seals: list[Seal] = facts.seals
    # Without a seal of a writer that signs nobody has looked at its checkpoints.
    signs = any(span.writer == writer and span.signing is not None for span in facts.spans)
    roots = next((seal.roots for seal in seals if seal.writer == writer), None if signs else {})
    if roots is not None and (said.extensions or roots.get(said.size) != said.root):
        message = f"no checkpoint of {said.size} lines with root {said.root.hex()}"
        facts.report("diverged", None, f"{message}, want it, as {head.path} names")


def compare_anchors(anchors: Iterable[Anchor], registry: Facts | None) -> int:
    """Report a registry that does not begin as anchors say; return how much of it they prove.

    What they claim of files is compared where all claims are.
    """
    proven = 0
    for anchor in anchors:
        want = anchor.checkpoint
        if registry is None or registry.damaged or registry.newer is not None:
            continue
        if registry.lines < want.size:
            if all(found.code != "cut" for found in registry.findings):
                got = f"{registry.lines} lines, want {want.size}"
                registry.report(
                    "cut", registry.behind(), f"{got}, as the anchor of {want.origin} says"
                )
            continue
        hashes = _hashes(registry, want.size)
        if root(hashes) != want.root or want.origin != f"{_REGISTRY}{hashes[0]}":
            message = f"its first {want.size} lines are not those of the anchor of {want.origin}"
            registry.report("diverged", None, message)
        else:
            proven = max(proven, want.size)
    return proven


def _hashes(registry: Facts, lines: int) -> list[str]:
    return [registry.marks[n + 1].hashes[0].decode() for n in range(lines)]


def anchored_lines(
    held: Sequence[tuple[Claim, Facts]], registry: Facts | None, proven: int
) -> dict[str, int]:
    """Return how many lines of each file anchors prove, by the file's path; 0 is left out.

    An anchor names lines, and these name lines of other files.

    Args:
        held: What lines and anchors name that is there, with the file.
        registry: The registry, None where it is not at hand.
        proven: How many lines of it the roots of anchors prove.
    """
    reach = {} if registry is None else {registry.path: proven}
    moved = True
    while moved:
        moved = False
        for claim, target in held:
            anchored = claim.said_as == EXPECTED or (
                (claim.spot.seq or 0) < reach.get(claim.spot.path, 0)
            )
            lines = claim.extent.lines
            right = target.intact is None or lines <= target.intact
            if anchored and right and lines > reach.get(target.path, 0):
                moved, reach[target.path] = True, lines
    return reach
