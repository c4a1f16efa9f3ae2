"""The traces that a run which has just ended needs for its derived files, and no more.

A folder may hold years of runs: of the files that this run's process wrote only its own part is
read, and of the others those that were written since it began.  The result is that of reading
everything, but for clocks that were set back meanwhile: `auditfold replay` has the last word.
"""

import os
import stat
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from replay.fold.files import Source, opener
from replay.trace.evidence import open_evidence
from replay.trace.folder import Place, locate
from replay.trace.growing import GrowingFile
from replay.trace.line import MAX_LINE

# File systems stamp by a clock that lags, some by two seconds.
_LAG_S: Final = 3.0
_SECOND: Final = len("2026-11-21T07:03:12")


class _Stamp(msgspec.Struct):
    """When a line was written, and what it says."""

    timestamp: str
    epoch_seconds: float
    event_type: str = ""


_decode_stamp = msgspec.json.Decoder(_Stamp).decode


def recent_sources(
    out: Path, written: Sequence[tuple[Path, int]], *, began: tuple[str, float] | None = None
) -> list[Source]:
    """Return the traces to read.

    Args:
        out: OUT.
        written: (file, byte offset of the first line) of each writer of this run's process, in
            the order in which they opened.
        began: When another process began the run, if one did: timestamp and seconds since 1970.

    Raises:
        OSError, TraceError, NoTraceError: A file cannot be read.
        msgspec.DecodeError: What stands at the first offset is no line.
    """
    path, offset = written[0]
    first = _stamp_at(path, offset)
    if began is not None and began[0] < first.timestamp:
        first = _Stamp(*began)
    own: dict[str, int] = {}
    for path, offset in written:
        own.setdefault(os.path.abspath(path), offset)
    found = []
    for trace in _step(path).traces:
        name = trace.path.relative_to(out).as_posix()
        begin = own.get(os.path.abspath(trace.path))
        if begin is not None:
            found.append(_own_part(trace.path, name, begin, first.timestamp[:_SECOND]))
        elif _is_recent(trace.path.lstat(), first):
            found.append(Source(name, opener(trace.path)))
    return found


def _is_recent(status: os.stat_result, first: _Stamp) -> bool:
    """Return whether a file, and no link, was written since *first*."""
    is_link = stat.S_ISLNK(status.st_mode)
    return not is_link and status.st_mtime >= first.epoch_seconds - _LAG_S


def _step(path: Path) -> Place:
    return locate(os.path.dirname(os.path.abspath(path)))


def _stamp_at(path: Path, offset: int) -> _Stamp:
    with closing(open_evidence(path)) as stream:
        stream.seek(offset)
        return _decode_stamp(stream.readline(MAX_LINE))


def _own_part(path: Path, name: str, begin: int, second: str) -> Source:
    """Return the file from the last line before *begin* on that is older than *second*, or all.

    The first process of a run may have written before this one; and another run that began in
    the same second may have the name that this one's copies would have.  It begins with a
    writer: the last lines of one that began before would be a run that began there.
    """
    behind, whole = begin, True
    with closing(GrowingFile(path, name)) as file:
        for offset, line in file.backwards(begin):
            if line is None:
                break
            try:
                before = _decode_stamp(line)
            except msgspec.DecodeError:
                break
            if whole and before.timestamp[:_SECOND] < second:
                return Source(name, opener(path), behind, before.timestamp)
            behind, whole = offset, before.event_type == "writer_opened"
    return Source(name, opener(path))
