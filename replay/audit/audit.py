"""The audit of a PATH: is the evidence true and whole, are outputs and counts as recorded.

Read first the registry, then the traces, then what the registry got meanwhile: what a line
names was on disk before it, so a run that writes during the audit is never called tampered.
Verdicts, codes and exit status are those of docs/auditing.md.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import msgspec

from replay.audit.anchors import Anchor, Head, make_anchor
from replay.audit.checkpoint import Checkpoint
from replay.audit.facts import Facts, Mark, Output
from replay.audit.judge import Evidence, Judgement, judge
from replay.audit.names import key_of
from replay.audit.notes import MAX_NOTE, VerifierKey
from replay.audit.outputs import CODES, OutputCheck, newest, superseded
from replay.audit.reading import (
    Place,
    age_of,
    digest_of_part,
    kept,
    mark_of,
    read_registry,
    read_trace,
    size_of,
    sort_times,
)
from replay.audit.report import AuditReport, FileVerdict, Outputs, signed_by
from replay.audit.scan import Options
from replay.audit.work import read_traces
from replay.findings import Verdict, verdict_of, worst
from replay.trace.ending import read_opening
from replay.trace.evidence import TraceError, open_evidence
from replay.trace.folder import NoTraceError, TraceFile, locate
from replay.trace.folder import Place as Located
from replay.trace.host import Hosts

if TYPE_CHECKING:
    from pathlib import Path

# A run that writes on while it is audited is looked at again so often.
_ROUNDS: Final = 8
# A writer opens within so much time, most of which the disk takes for syncing.
_PATIENCE_S: Final = 0.5
_PAUSE_S: Final = 0.02
_YOUNG_S: Final = 2.0
_NEWER: Final = 4

# (bytes read, bytes in all)
Progress = Callable[[int, int], None]


def audit(
    path: str,
    *,
    chain_only: bool = False,
    outputs: bool = True,
    strict: bool = False,
    jobs: int = 1,
    hosts: Hosts | None = None,
    progress: Progress | None = None,
    vkeys: Iterable[str] = (),
    anchors: Iterable[Anchor] = (),
    require_anchor: bool = False,
) -> AuditReport:
    """Audit what *path* means.

    Args:
        path: A folder that has `audit/`, an `audit/` folder, a `step_XX` folder, a trace, or `-`.
        chain_only: Judge frames, hashes, order, writers and names, not what lines say: no JSON,
            no counts, no outputs.
        outputs: Compare recorded outputs with the disk.
        strict: Each event of a known type must fit its declaration.
        jobs: Processes and threads that read at a time.
        hosts: Who runs; this machine by default.
        progress: Called with (bytes read, bytes in all) now and then.
        vkeys: The verifier keys that have to have certified every writer; none: nobody has to.
        anchors: What the files have to extend.
        require_anchor: Lines that no anchor proves are an error.

    Raises:
        KeyTextError: One of *vkeys* is no verifier key.
        ModuleNotFoundError: There are *vkeys*, and the extra `sign` is not installed.
        NoTraceError: There is neither a trace nor a registry.
        TraceError: *path* itself is a link, a FIFO or a device.
        OSError: Something cannot be read.

    Memory: what is found, and 100 MiB at most.
    """
    with ExitStack() as stack:
        run = _Audit(path, stack, jobs=jobs, hosts=hosts or Hosts(), progress=progress)
        run.read(
            Options(
                chain_only=chain_only,
                strict=strict,
                vkeys=tuple(VerifierKey.parse(key) for key in vkeys),
            )
        )
        run.evidence.anchors = list(anchors)
        run.evidence.require_anchor = require_anchor
        run.judge()
        return run.report(check_outputs=outputs and not chain_only)


def anchor(path: str, *, jobs: int = 1) -> tuple[AuditReport, Checkpoint | None]:
    """Audit the chains of a folder, and return its anchor: a note to keep elsewhere.

    Args:
        path: A folder that has `audit/`, or an `audit/` folder.
        jobs: Processes that read at a time.

    Returns:
        What was found; and the checkpoint, None where something is damaged: an anchor says that
        what it names is right.

    Raises:
        NoTraceError: There is no registry.
        OSError: Something cannot be read.
    """
    with ExitStack() as stack:
        run = _Audit(path, stack, jobs=jobs, hosts=Hosts(), progress=None)
        run.read(Options(chain_only=True))
        run.judge()
        report, evidence = run.report(check_outputs=False), run.evidence
        if evidence.registry is None or not evidence.registry.lines:
            raise NoTraceError(path, "audit/registry.jsonl with a line in it")
        if report.verdict is Verdict.TAMPERED or report.exit_code() == _NEWER:
            return report, None
        return report, make_anchor(evidence.registry, evidence.traces.values())


class _Audit:
    """One audit: the files of a PATH, read and compared."""

    def __init__(
        self,
        path: str,
        stack: ExitStack,
        *,
        jobs: int,
        hosts: Hosts,
        progress: Progress | None,
    ) -> None:
        self._path = path
        self._stack = stack
        self._jobs = jobs
        self._hosts = hosts
        self._progress = progress
        self._options = Options()
        self._places: dict[str, Place] = {}
        self._registry_place: Place | None = None
        self._absent: list[Facts] = []
        self._anchored: dict[str, int] = {}
        self._out: Path | None = None

    def read(self, options: Options) -> None:
        """Read the registry, the traces, and what the registry got meanwhile."""
        located = locate(self._path)
        if located.kind in {"file", "stdin"}:
            _refuse_special(located)
        registry = None
        if located.registry is not None:
            self._registry_place = Place.of(located.registry)
            registry = read_registry(self._registry_place)
            located = locate(self._path)  # files that were made before the registry was read
        # Before the traces: what a head names was on disk before it.
        heads = [head for head in map(_read_head, located.heads) if head is not None]
        self._out = located.out
        self._places = {
            key_of(file.name): self._stack.enter_context(kept(Place.of(file)))
            for file in located.traces
        }
        self._options = msgspec.structs.replace(
            options, followed=_followed(self._places), inside=located.kind == "folder"
        )
        as_trace = {
            key_of(claim.extent.path)
            for claim in (registry.facts.claims if registry else [])
            if claim.extent.hash is not None
        }
        traces = read_traces(
            self._places, self._options, as_trace, jobs=self._jobs, progress=self._progress
        )
        prefix = "" if located.registry is None else located.registry.shown.rpartition("/")[0]
        self.evidence = Evidence(
            kind=located.kind,
            traces=traces,
            registry=None if registry is None else registry.facts,
            known=set() if registry is None else registry.known,
            claims_upto=0 if registry is None else len(registry.facts.claims),
            prefix=f"{prefix}/" if prefix else "",
            heads=heads,
        )
        self._reread_registry()

    def judge(self) -> None:
        """Compare files; look again at those that a writer may have gone on with."""
        patience = time.monotonic() + _PATIENCE_S
        for n in range(_ROUNDS):
            late = n >= _ROUNDS // 2
            if n == _ROUNDS // 2:
                self._freeze()
            judged = self._compare()
            # Looking at what is not suspect is for what it may say of those that are, and ends: a
            # file that grows all the time would be read for ever.  What proves the end of a fork
            # stands in another file.
            few = not judged.suspects or (late and not self._has_fork(judged.suspects))
            keys = judged.suspects if few else self._places
            while not self._changed(judged, keys):
                if time.monotonic() > patience or not self._is_opening():
                    return
                time.sleep(_PAUSE_S)
        self._compare()

    def _compare(self) -> Judgement:
        judged = judge(self.evidence, self._hosts, read_digest=self._digest, read_mark=self._mark)
        self._absent, self._anchored = judged.absent, judged.anchored
        return judged

    def _freeze(self) -> None:
        """Let what is read from now on prove ends, and name nothing that would have to be read."""
        self.evidence.read_upto = {key: f.size for key, f in self.evidence.traces.items()}

    def _has_fork(self, keys: Iterable[str]) -> bool:
        """Return whether the last writer of one of the files is a fork."""
        found = [self.evidence.traces[key] for key in keys if key in self.evidence.traces]
        return any(facts.spans and facts.spans[-1].parent is not None for facts in found)

    def report(self, *, check_outputs: bool) -> AuditReport:
        """Return what was found."""
        self._recount()
        found = self._outputs(check=check_outputs)
        files = [f for f in self.evidence.facts() if f.kind != "absent" or f.findings]
        files = sorted([*files, *self._absent], key=lambda facts: facts.path)
        findings = [finding for facts in files for finding in facts.findings]
        verdicts = [
            FileVerdict(
                facts.path, facts.count, verdict_of(facts.findings), self._anchored_of(facts)
            )
            for facts in files
        ]
        return AuditReport(
            verdict=worst(verdict.verdict for verdict in verdicts),
            files=verdicts,
            outputs=found,
            signatures=[signed for facts in files for signed in signed_by(facts)],
            findings=sorted(findings, key=lambda f: (f.path, f.line or 0, f.code)),
        )

    def _anchored_of(self, facts: Facts) -> int | None:
        """Return how many lines of a file anchors prove; None where that cannot be asked."""
        if not self.evidence.anchors or facts.kind != "chained":
            return None
        return self._anchored.get(facts.path, 0)

    # --- Looking again

    def _changed(self, judged: Judgement, keys: Iterable[str]) -> bool:
        """Read again what has changed among *keys*; return whether anything has."""
        changed = bool(judged.absent) and self._read_new()
        for key in list(keys):
            changed = self._reread(key) or changed
        changed = self._reread_as_traces() or changed
        # Last: a writer stands there, and is named, before it writes on.
        return self._reread_registry() or changed

    def _is_opening(self) -> bool:
        """Return whether a file is empty and so young that a writer may be about to fill it."""
        empty = [place for key, place in self._places.items() if self._is_empty(key)]
        registry = self.evidence.registry
        if self._registry_place is not None and registry is not None and registry.kind == "empty":
            empty.append(self._registry_place)
        return any(age_of(place) < _YOUNG_S for place in empty)

    def _is_empty(self, key: str) -> bool:
        facts = self.evidence.traces.get(key)
        return facts is not None and facts.kind == "empty"

    def _reread(self, key: str) -> bool:
        """Read a trace again if it is not as long as it was; return whether that was so."""
        place = self._places.get(key)
        facts = self.evidence.traces.get(key)
        if place is None or facts is None or size_of(place) in {None, facts.whole()}:
            return False
        if place.path.endswith(".gz"):
            return False
        self.evidence.traces[key] = read_trace(
            place, self._options, known_as_trace=facts.kind == "chained"
        )
        return True

    def _read_new(self) -> bool:
        """Read traces that were made since the folder was listed; return whether there are any."""
        new = {}
        for file in locate(self._path).traces:
            if key_of(file.name) not in self._places:
                new[key_of(file.name)] = Place.of(file)
        self._places.update(new)
        self.evidence.traces.update(read_traces(new, self._options, (), jobs=1, progress=None))
        return bool(new)

    def _reread_registry(self) -> bool:
        """Read the registry again if it has grown; return whether it had."""
        place, before = self._registry_place, self.evidence.registry
        if place is None or before is None or size_of(place) in {None, before.whole()}:
            return False
        again = read_registry(place)
        self.evidence.registry, self.evidence.known = again.facts, again.known
        return True

    def _reread_as_traces(self) -> bool:
        """Read files as traces that other files name as such; return whether there were any."""
        named = {
            key_of(claim.extent.path)
            for facts in self.evidence.traces.values()
            for claim in facts.claims
            if claim.extent.hash is not None
        }
        again = [
            key
            for key, facts in self.evidence.traces.items()
            if facts.kind in {"older", "other"} and key in named and facts.count
        ]
        for key in again:
            self.evidence.traces[key] = read_trace(
                self._places[key], self._options, known_as_trace=True
            )
        return bool(again)

    def _digest(self, facts: Facts, offset: int, length: int) -> str | None:
        return digest_of_part(self._places[key_of(facts.name)], offset, length)

    def _mark(self, facts: Facts, lines: int) -> Mark | None:
        place = self._places.get(key_of(facts.name))
        return None if place is None else mark_of(place, facts, lines)

    # --- Counts and outputs

    def _recount(self) -> None:
        """Compare counts whose lines stand in several files."""
        unfinished = {
            writer: tally
            for facts in self.evidence.traces.values()
            for writer, tally in facts.unfinished.items()
        }
        for facts in self.evidence.traces.values():
            for recount in facts.recounts:
                tally, seen = recount.tally, set()
                while tally.behind is not None and tally.behind not in seen:
                    seen.add(tally.behind)
                    before = unfinished.get(tally.behind)
                    tally.behind = None
                    if before is not None and before.run_id == tally.run_id:
                        tally.follow(before)
                for code, message in recount.differences():
                    facts.report(code, recount.spot, message)

    def _outputs(self, *, check: bool) -> Outputs:
        found = Outputs()
        traces = self.evidence.traces
        for facts in traces.values():
            for item in facts.items:
                found.add(item)
        if not check:
            return found
        current, older = newest(
            [output for facts in traces.values() for output in facts.outputs], self._order()
        )
        by_path = {facts.path: facts for facts in traces.values()}
        for output, item, why in OutputCheck(self._out, current).check(jobs=self._jobs):
            found.add(item)
            code = CODES.get(item.state)
            if code is not None:
                by_path[output.spot.path].report(code, output.spot, f"output {item.path}: {why}")
        for output in older:
            found.add(superseded(output))
        return found

    def _order(self) -> Callable[[Output], tuple[str, str, int]]:
        """Return what gives the place of a record among all; files are read when it is asked."""
        times: dict[str, dict[int, str]] = {}

        def order(output: Output) -> tuple[str, str, int]:
            path = output.spot.path
            if path not in times:
                facts = next(f for f in self.evidence.traces.values() if f.path == path)
                offsets = {one.spot.offset for one in facts.outputs}
                times[path] = sort_times(self._places[key_of(facts.name)], offsets)
            time = times[path].get(output.spot.offset, output.timestamp)
            return time, output.writer, output.spot.seq or 0

        return order


def _refuse_special(located: Located) -> None:
    """Raise TraceError if the file that was given is a link, a FIFO or a device."""
    if located.kind == "file":
        open_evidence(located.traces[0].path).close()


def _read_head(head: TraceFile) -> Head | None:
    """Read a head, so much of it as a note may have; None if it has gone since it was listed.

    Raises:
        OSError: It cannot be read, which says nothing of what stands there.
    """
    try:
        with open_evidence(head.path) as stream:
            text = stream.read(MAX_NOTE + 1).decode()
    except FileNotFoundError:
        return None
    except (TraceError, UnicodeDecodeError):
        return Head(head.shown, head.name, None)
    return Head(head.shown, head.name, text)


def _followed(places: dict[str, Place]) -> frozenset[str]:
    """Return the writers that a file follows which is not their own."""
    found = set()
    for place in places.values():
        try:
            with open_evidence(place.path) as stream:
                opening = None if place.path.endswith(".gz") else read_opening(stream.fileno())
        except (OSError, TraceError):
            continue
        if opening is not None and opening.follows is not None and opening.follows.writer:
            found.add(opening.follows.writer)
    return frozenset(found)
