"""Opening files for an audit: what a file is, all of it read once, some of it looked up again.

The only module of the audit that reads traces and registries.
"""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO, Final

import msgspec

from replay.audit.facts import Facts, Kind, Mark, Spot, Torn
from replay.audit.lines import Lines, Progress, seq_of
from replay.audit.registry import RegistryScan
from replay.audit.scan import Options, TraceScan
from replay.audit.seals import check_seals, sealing_lines
from replay.trace.evidence import TraceError, is_compressed, open_evidence, standard_input
from replay.trace.folder import TraceFile
from replay.trace.line import MAX_LINE, stored_hash
from replay.trace.reader import raw_lines
from replay.trace.schema import older_fields

_OPENING: Final = b'{"v":'
_STEP_FOLDER: Final = re.compile(r"step_[0-9]+")
_COPY: Final = re.compile(r"trace_.*\.jsonl(\.gz)?")
_BLOCK: Final = 1 << 20
# As long as any file: what cannot say how long it is, is read to its end.
_ENDLESS: Final = 1 << 62


class Place(msgspec.Struct, frozen=True):
    """A file to read.

    Attributes:
        path: Where to open it.
        name: As events call it.
        shown: As findings call it.
    """

    path: str
    name: str
    shown: str

    @classmethod
    def of(cls, file: TraceFile) -> "Place":
        """Return the place of *file*."""
        return cls(os.fspath(file.path), file.name, file.shown)


@contextmanager
def opened(place: Place) -> Iterator[tuple[BinaryIO, int]]:
    """Open *place* at its beginning; give the stream and its length as of now.

    Only a file that is not compressed can be sought in.

    Raises:
        TraceError: It is no regular file.
        OSError: It cannot be opened.
    """
    with open_evidence(place.path) as stream:
        if place.path.endswith(".gz"):
            yield stream, _ENDLESS
        else:
            yield stream, os.fstat(stream.fileno()).st_size


@contextmanager
def kept(place: Place) -> Iterator[Place]:
    """Give a place that can be read several times: standard input is copied to a file."""
    if place.path != "-":
        yield place
        return
    stream = standard_input()
    suffix = ".gz" if is_compressed(stream) else ""
    with NamedTemporaryFile(prefix="auditfold-", suffix=suffix) as copy:
        shutil.copyfileobj(stream, copy, _BLOCK)
        copy.flush()
        yield Place(copy.name, place.name, place.shown)


def size_of(place: Place) -> int | None:
    """Return the size of *place* as of now, None if it is not there."""
    try:
        return Path(place.path).lstat().st_size
    except OSError:
        return None


def age_of(place: Place) -> float:
    """Return the seconds since *place* was last written; infinity if it is not there."""
    try:
        return time.time() - Path(place.path).lstat().st_mtime
    except OSError:
        return float("inf")


def read_trace(
    place: Place,
    options: Options,
    *,
    known_as_trace: bool = False,
    progress: Progress | None = None,
) -> Facts:
    """Read a whole trace file.

    Args:
        place: The file.
        options: What to look at.
        known_as_trace: Something at hand names it as a trace of version 1.
        progress: Called with the number of bytes read, now and then.

    Raises:
        OSError: It cannot be read.
    """
    facts = Facts(name=place.name, path=place.shown)
    try:
        first, kind = _look(place)
    except TraceError as error:
        _refuse(facts, error)
        return facts
    facts.kind = "chained" if known_as_trace and first else kind
    with opened(place) as (stream, length):
        if facts.kind == "chained":
            outside = not options.inside and is_outside(place.path)
            excerpt = outside and _is_excerpt(place.path, first)
            _read(TraceScan(facts, options, excerpt=excerpt), stream, length, progress)
        elif facts.kind != "empty":
            _count(facts, stream)
    look_at_seals(place, facts, options)
    return facts


def look_at_seals(place: Place, facts: Facts, options: Options) -> None:
    """Add to the facts of a file what signatures say of it; nothing of one that is damaged."""
    vkeys = options.vkeys
    if facts.kind == "empty" or facts.damaged or facts.newer is not None:
        return
    if facts.kind != "chained" or facts.excerpt:
        if vkeys:
            what = "an excerpt" if facts.excerpt else "no trace of this version"
            facts.report("unauthorised", None, f"{what}: no key vouches for it")
    elif vkeys or (not options.chain_only and any(span.signing for span in facts.spans)):
        if options.chain_only:  # nobody has looked what lines say
            with opened(place) as (stream, _):
                facts.sealing = sealing_lines(islice(stream, facts.count))
        with opened(place) as (stream, _):
            check_seals(islice(stream, facts.count), facts, vkeys)
    facts.n_own = len(facts.findings)


def read_registry(place: Place) -> RegistryScan:
    """Read a registry; its `kind` is `absent` if it is not there.

    Raises:
        OSError: It cannot be read.
    """
    facts = Facts(name=place.name, path=place.shown)
    scan = RegistryScan(facts)
    try:
        with opened(place) as (stream, length):
            if length == 0:
                facts.kind = "empty"
            _read(scan, stream, length, None)
    except FileNotFoundError:
        facts.kind = "absent"
    except TraceError as error:
        _refuse(facts, error)
    return scan


def _refuse(facts: Facts, error: TraceError) -> None:
    """Report what cannot be opened as a trace."""
    facts.kind = "other"
    facts.report("not_a_trace", None, str(error).partition(": ")[2])
    facts.n_own = 1


def _read(scan: Lines, stream: BinaryIO, length: int, progress: Progress | None) -> None:
    """Let *scan* take *stream* to its end."""
    try:
        scan.read(stream, length=length, progress=progress)
    except TraceError as error:
        facts = scan.facts
        if isinstance(error.__cause__, EOFError):
            # What was there of the last line is not known.
            facts.torn = Torn(facts.size, 0)
        else:
            facts.report("bad_frame", facts.behind(), str(error).partition(": ")[2])
            facts.damaged = facts.ends_damaged = True
    scan.end()


def _look(place: Place) -> tuple[bytes, Kind]:
    """Return the first line of a file, and what it is by its bytes."""
    with opened(place) as (stream, _):
        first = _first_line(stream)
        if not first:
            return first, "empty"
        if not first.endswith(b"\n") and len(first) < MAX_LINE:
            # The beginning of a first line, of a process that was killed in its first write.
            return first, "chained" if _OPENING.startswith(first[: len(_OPENING)]) else "other"
        if stored_hash(first) is not None:
            return first, "chained"
    with opened(place) as (stream, _):
        return first, _kind(stream)


def _first_line(stream: BinaryIO) -> bytes:
    try:
        return stream.readline(MAX_LINE)
    except TraceError as error:
        return b"" if isinstance(error.__cause__, EOFError) else b"?"


def _kind(stream: BinaryIO) -> Kind:
    """Return what a file is: chained if any line is framed, else older if one is of that layout."""
    older = False
    with suppress(TraceError):  # compressed data that is damaged further on
        for line in raw_lines(stream):
            if line.torn:
                break
            if stored_hash(line.data) is not None:
                return "chained"
            older = older or (older_fields(line.data) is not None)
    return "older" if older else "other"


def _count(facts: Facts, stream: BinaryIO) -> None:
    """Count the lines of a file that is no trace of this version."""
    with suppress(TraceError):
        for line in raw_lines(stream):
            facts.size += line.length
            facts.count += not line.torn


def is_outside(path: str) -> bool:
    """Return whether *path* is not a file of an `audit/` folder."""
    step = Path(os.path.abspath(path)).parent
    return not (_STEP_FOLDER.fullmatch(step.name) and step.parent.name == "audit")


def _is_excerpt(path: str, first: bytes) -> bool:
    """Return whether a file outside `audit/` is a part of a trace."""
    where = Path(os.path.abspath(path))
    is_copy = where.parent.name == "traces" and _COPY.fullmatch(where.name) is not None
    return is_copy or (seq_of(first) or 0) > 0


# --- Looking up


def digest_of_part(place: Place, offset: int, length: int) -> str | None:
    """Return the SHA-256 of a part of a file, None if it is not there."""
    digest, left = sha256(), length
    with opened(place) as (stream, _):
        skipped = 0
        while skipped < offset and (block := stream.read(min(_BLOCK, offset - skipped))):
            skipped += len(block)
        while left > 0 and (block := stream.read(min(_BLOCK, left))):
            digest.update(block)
            left -= len(block)
    return None if left else digest.hexdigest()


def mark_of(place: Place, facts: Facts, lines: int) -> Mark | None:
    """Return the last of so many *lines* of a trace, None if none has that `seq`."""
    with opened(place) as (stream, _):
        for line in raw_lines(stream):
            if line.offset >= facts.size:
                break
            if seq_of(line.data) == lines - 1:
                stored = stored_hash(line.data)
                spot = Spot(facts.path, line.number, lines - 1, line.offset)
                return None if stored is None else Mark((stored,), spot)
    return None


class _Stamp(msgspec.Struct):
    timestamp: str


_stamp_of = msgspec.json.Decoder(_Stamp).decode


def sort_times(place: Place, offsets: set[int]) -> dict[int, str]:
    """Return, for the lines at *offsets*, the largest timestamp up to each (their sort time)."""
    latest, found, last = "", {}, max(offsets, default=-1)
    with opened(place) as (stream, _):
        for line in raw_lines(stream):
            if line.offset > last:
                break
            latest = max(latest, _stamp(line.data))
            if line.offset in offsets:
                found[line.offset] = latest
    return found


def _stamp(line: bytes) -> str:
    try:
        return _stamp_of(line).timestamp
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
