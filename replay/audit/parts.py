"""A large file in parts: where to cut it, and how what was found of the parts goes together.

A part needs nothing from the one before it but the hash of its last line.  Parts are put
together only where every line is right; a file with damage is read again as a whole.
"""

from typing import BinaryIO, Final

import msgspec

from replay.audit.counts import Tally
from replay.audit.facts import Facts
from replay.audit.lines import seq_of
from replay.audit.reading import Place, opened
from replay.audit.scan import Options, TraceScan
from replay.audit.writers import Seam
from replay.trace.line import GENESIS, MAX_LINE, SUFFIX_LENGTH, stored_hash

_SMALLEST: Final = 8 << 20


class Part(msgspec.Struct, frozen=True):
    """A part of a file: whole lines.

    Attributes:
        begin: Offset of its first byte.
        length: In bytes.
        previous: The hash that its first line follows.
        seq: Of its first line.
    """

    begin: int
    length: int
    previous: bytes = GENESIS
    seq: int = 0


class Piece(msgspec.Struct):
    """What was found of a part."""

    facts: Facts
    seam: Seam


def parts_of(place: Place, n: int) -> list[Part]:
    """Return about *n* parts of a trace; one or none if it is too small or cannot be cut."""
    if place.path.endswith(".gz"):
        return []
    with opened(place) as (stream, length):
        n = min(n, length // _SMALLEST)
        if n <= 1:
            return []
        starts = [Part(0, 0)]
        for k in range(1, n):
            start = _start(stream, length * k // n)
            if start is not None and start.begin > starts[-1].begin:
                starts.append(start)
        ends = [*(start.begin for start in starts[1:]), length]
        return [
            msgspec.structs.replace(start, length=end - start.begin)
            for start, end in zip(starts, ends, strict=True)
        ]


def _start(stream: BinaryIO, near: int) -> Part | None:
    """Return a part that begins at the first line behind the offset *near*, None if none does."""
    stream.seek(near)
    if not stream.readline(MAX_LINE).endswith(b"\n"):
        return None
    begin = stream.tell()
    if begin <= SUFFIX_LENGTH:
        return None
    seq = seq_of(stream.readline(MAX_LINE))
    stream.seek(begin - SUFFIX_LENGTH)
    previous = stored_hash(b"." + stream.read(SUFFIX_LENGTH))
    return None if previous is None or not seq else Part(begin, 0, previous, seq)


def read_part(place: Place, part: Part, options: Options) -> Piece:
    """Read one part of a trace."""
    facts = Facts(name=place.name, path=place.shown, size=part.begin)
    scan = TraceScan(facts, options, previous=part.previous, seq=part.seq)
    with opened(place) as (stream, _):
        stream.seek(part.begin)
        scan.read(stream, length=part.length)
    scan.end()
    return Piece(facts, scan.writers.seam)


def join(pieces: list[Piece]) -> Facts | None:
    """Return what *pieces*, all parts of a file in order, amount to.

    None if some line is not right, or not of this version: the parts do not tell what it means.
    """
    if any(piece.facts.damaged or piece.facts.newer is not None for piece in pieces):
        return None
    whole, rest = pieces[0], pieces[1:]
    for piece in rest:
        if not _fits(whole, piece):
            return None
        _append(whole, piece)
    whole.facts.n_own = len(whole.facts.findings)
    return whole.facts


def _fits(before: Piece, piece: Piece) -> bool:
    facts, seam = before.facts, piece.seam
    if facts.torn is not None or seam.seq != facts.lines or facts.lines != facts.count:
        return False
    if piece.seam.tally is not None and piece.seam.tally.loose:
        return False
    if any(recount.tally.loose for recount in piece.facts.recounts):
        return False
    if seam.opens:
        return before.seam.closed or seam.names == before.seam.owner
    return not before.seam.closed and seam.writer == before.seam.owner


def _append(before: Piece, piece: Piece) -> None:
    """Put *piece* behind *before*."""
    facts, more = before.facts, piece.facts
    continued = not piece.seam.opens
    if continued:
        facts.spans[-1].closed = more.spans[0].closed
        facts.unfinished.pop(before.seam.owner, None)
    facts.spans += more.spans[1:] if continued else more.spans
    facts.size, facts.count, facts.lines = more.size, more.count, more.lines
    facts.last, facts.last_epoch, facts.torn = more.last, more.last_epoch, more.torn
    facts.marks.update(more.marks)
    facts.claims += more.claims
    facts.sealing += more.sealing
    facts.findings += more.findings
    facts.outputs += more.outputs
    facts.items += more.items
    earlier = before.seam.tally
    for recount in more.recounts:
        _settle(recount.tally, before.seam.owner, earlier)
        if recount.tally.partial or recount.tally.behind is not None:
            facts.recounts.append(recount)
            continue
        for code, message in recount.differences():
            facts.report(code, recount.spot, message)
    for writer, tally in more.unfinished.items():
        _settle(tally, before.seam.owner, earlier)
        if not tally.ended:
            facts.unfinished[writer] = tally
    if piece.seam.tally is not None:
        _settle(piece.seam.tally, before.seam.owner, earlier)
    before.seam.owner, before.seam.closed = piece.seam.owner, piece.seam.closed
    before.seam.tally = piece.seam.tally


def _settle(tally: Tally, owner: str, earlier: Tally | None) -> None:
    """Let *tally* go on where the part before it ended, if it does."""
    if tally.partial and earlier is not None:
        tally.ended = tally.ended or earlier.ended
        tally.follow(earlier)
    elif tally.behind == owner:
        tally.behind = None
        if earlier is not None and earlier.run_id == tally.run_id:
            tally.follow(earlier)
