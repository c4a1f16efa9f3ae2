"""Row 3 of docs/auditing.md: is everything there that some line at hand names?

A line may say how far a file reached when it was written: `follows`, `settled`, `trace` in the
registry, `registry` in a trace.  Files only grow, so what was named must still be there.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

import msgspec

from replay.audit.facts import Claim, Facts, Mark, Spot
from replay.trace.events import Fragment
from replay.trace.folder import REGISTRY

PathKind = Literal["folder", "step", "file", "stdin"]
# (file, offset, length) -> SHA-256 of these bytes, None if they cannot be read.
ReadDigest = Callable[[Facts, int, int], str | None]
# (file, lines) -> the last of so many lines, None if it cannot be found.
ReadMark = Callable[[Facts, int], Mark | None]

REGISTRY_NAME: Final = f"audit/{REGISTRY}"
EXPECTED: Final = "expect"  # what the claims of an anchor stand under
_PARTS: Final = 3


class Named(msgspec.Struct):
    """What the names at hand amount to.

    Attributes:
        proven: Files, by key, of which `follows` or `settled` names all that is there.
        absent: Files that are named and not there, by key.
        not_at_hand: Some line names a file that is not under the PATH that was given.
        suspects: Files that a second look may find longer.
        held: What is named and there, a hash of so many lines, with the file.
    """

    proven: set[str] = msgspec.field(default_factory=set)
    absent: dict[str, Facts] = msgspec.field(default_factory=dict)
    not_at_hand: bool = False
    suspects: list[Facts] = msgspec.field(default_factory=list)
    held: list[tuple[Claim, Facts]] = msgspec.field(default_factory=list)


def key_of(name: str) -> str:
    """Return *name* without what it may be called otherwise: the folder, and `.gz`.

    >>> key_of("audit/step_04/trace_04.jsonl.gz")
    'step_04/trace_04.jsonl'
    """
    return "/".join(name.removesuffix(".gz").split("/")[-2:])


class Names:
    """Compares what lines say of files with the files.

    Args:
        kind: What PATH is.
        files: The trace files at hand, by key.
        registry: The registry, None where it is not at hand.
        prefix: What stands before `step_NN/` in the paths of findings.
        read_digest: Reads a part of a file.
        read_mark: Reads one line.
    """

    def __init__(
        self,
        kind: PathKind,
        files: Mapping[str, Facts],
        registry: Facts | None,
        *,
        prefix: str,
        read_digest: ReadDigest,
        read_mark: ReadMark,
    ) -> None:
        self._kind = kind
        self._files = files
        self._registry = registry
        self._prefix = prefix
        self._read_digest = read_digest
        self._read_mark = read_mark
        self._by_writer = {span.writer: key for key, f in files.items() for span in f.spans}
        self._cut: dict[str, Claim] = {}
        self._said: set[tuple[str, object]] = set()
        self.found = Named()

    def compare(self, claims: Iterable[Claim], late: Iterable[Claim] = ()) -> Named:
        """Report what *claims* name and the files do not hold.

        What *late* ones name may have come after the files were read: it need not be there.
        """
        for claim in (*claims, *filter(self._is_reached, late)):
            if claim.extent.path == REGISTRY_NAME:
                if self._registry is not None and self._registry.kind != "absent":
                    self._check("registry", self._registry, claim)
                continue
            key = self._key(claim)
            if key is None:
                self.found.not_at_hand = True
            elif key in self._files:
                if not self._files[key].excerpt:
                    self._check(key, self._files[key], claim)
            else:
                self._missing(key, claim)
        for key, claim in self._cut.items():
            self._report_cut(self._target(key), claim)
        return self.found

    def _is_reached(self, claim: Claim) -> bool:
        """Return whether so much as *claim* names was read."""
        target = self._registry if claim.said_as == "registry" else None
        if claim.said_as != "registry":
            target = self._files.get(self._key(claim) or "")
        if target is None or claim.extent.lines > target.lines:
            return False
        fragment = claim.extent.fragment
        return fragment is None or fragment.offset + fragment.length <= target.whole()

    def _target(self, key: str) -> Facts:
        if key == "registry" and self._registry is not None:
            return self._registry
        return self._files[key]

    def _key(self, claim: Claim) -> str | None:
        """Return the key of the file that *claim* names, None if it is not under PATH."""
        extent = claim.extent
        parts = extent.path.split("/")
        key = key_of(extent.path)
        if self._kind == "folder":
            if len(parts) == _PARTS and parts[0] == "audit":
                return key
            return extent.path
        if extent.writer in self._by_writer:
            return self._by_writer[extent.writer]
        if self._kind == "step" and len(parts) == _PARTS:
            # The step's folder may have been copied elsewhere: its own files go by their names.
            for mine in self._files:
                if mine.split("/")[0] == parts[1]:
                    return key
        if self._kind == "file" and claim.said_as == EXPECTED:
            key = key_of(parts[-1])  # a file that was given goes by its name alone
        return key if key in self._files else None

    def _check(self, key: str, target: Facts, claim: Claim) -> None:
        extent, fragment, end = claim.extent, claim.extent.fragment, target.size
        if extent.lines > target.lines:
            before = self._cut.get(key)
            # How many lines a damaged or a newer one stands for is not known.
            known = not target.ends_damaged and not target.ends_newer
            if known and (before is None or before.extent.lines < extent.lines):
                self._cut[key] = claim
            return
        if extent.hash is not None:
            if not self._same_hash(key, target, claim):
                return
            self.found.held.append((claim, target))
        if fragment is not None:
            if not self._same_fragment(key, target, claim, fragment):
                return
            end = fragment.offset + fragment.length
        # Without a hash only a digest of all bytes says which lines there are: a bare path proves
        # nothing, not even behind itself.
        whole = fragment is not None and fragment.offset == 0
        said = whole if extent.hash is None else extent.lines == target.lines
        if said and claim.said_as in {"follows", "settled"} and end == target.whole():
            self.found.proven.add(key)

    def _same_hash(self, key: str, target: Facts, claim: Claim) -> bool:
        """Return whether the last line that *claim* names is there; report another one."""
        extent = claim.extent
        mark = target.marks.get(extent.lines)
        if mark is None and extent.lines > 0:
            mark = self._read_mark(target, extent.lines)
        if mark is not None and extent.hash is not None and extent.hash.encode() in mark.hashes:
            return True
        # Which hash a damaged line had is not known, nor which line it was.
        if mark is None or len(mark.hashes) > 1:
            return False
        got = mark.hashes[0].decode()
        self._diverged(key, target, mark.spot, f"hash {got}, want {extent.hash}, as {_by(claim)}")
        return False

    def _same_fragment(self, key: str, target: Facts, claim: Claim, named: Fragment) -> bool:
        """Return whether bytes that are no line are those that *claim* names; report others."""
        if named.offset + named.length > target.whole():
            self._cut.setdefault(key, claim)
            return False
        got = self._read_digest(target, named.offset, named.length)
        if got == named.sha256:
            return True
        spot = target.behind() if named.offset else Spot(target.path, 1, None, 0)
        message = f"{named.length} bytes with SHA-256 {got}, want {named.sha256}, as {_by(claim)}"
        self._diverged(key, target, spot, message)
        return False

    def _diverged(self, key: str, target: Facts, spot: Spot | None, message: str) -> None:
        """Report once that a line is another one than some line says."""
        if (key, spot) not in self._said:
            self._said.add((key, spot))
            target.report("diverged", spot, message)

    def _report_cut(self, target: Facts, claim: Claim) -> None:
        self.found.suspects.append(target)
        got = f"{target.lines} lines ({target.whole()} bytes)"
        target.report(
            "cut",
            target.behind(),
            f"{got}, want {_reach(claim)}, as {_by(claim)}; what is there is a beginning",
        )

    def _missing(self, key: str, claim: Claim) -> None:
        if key in self.found.absent:
            return
        path = f"{self._prefix}{key}" if claim.extent.path.startswith("audit/") else key
        absent = Facts(name=claim.extent.path, path=path, kind="absent")
        absent.report("missing", None, f"not there, want {_reach(claim)}, as {_by(claim)}")
        self.found.absent[key] = absent


def _reach(claim: Claim) -> str:
    fragment = claim.extent.fragment
    more = f" and {fragment.length} bytes" if fragment is not None else ""
    return f"{claim.extent.lines} lines{more}"


def _by(claim: Claim) -> str:
    return f"{claim.spot} names under {claim.said_as!r}"
