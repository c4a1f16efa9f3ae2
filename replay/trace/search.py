"""Where the last events that are wanted begin in a file, found from its end.

A line that looks like one this project wrote is parsed only if it may be wanted: so the search
for a rare event passes over 300 MB a second.
"""

from dataclasses import dataclass
from typing import Final

from replay.trace.followed import (
    FollowedFile,
    Keep,
    MayKeep,
    Parser,
    looks_right,
    quick_timestamp,
)
from replay.trace.growing import Piece
from replay.trace.line import LineError
from replay.trace.schema import NewerVersionError

# How many bytes older than `since` end the search: where a clock was set back, later lines are
# older than earlier ones.
_MARGIN: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are wanted.

    Attributes:
        keep: Decides by an event's fields; all are wanted if None.
        may_keep: Decides by a line's bytes whether `keep` could want it.
        since: A timestamp: `keep` wants nothing older, so it need not be read.
        run_ids: Whether `keep` asks for run ids, which older traces have only when read from
            their first line.
    """

    keep: Keep | None = None
    may_keep: MayKeep | None = None
    since: str | None = None
    run_ids: bool = False


def beginning(
    followed: FollowedFile, end: int, *, n: int | None, wanted: Wanted
) -> tuple[int, int]:
    """Return the offset where the last *n* wanted events begin, and how many there are.

    Args:
        followed: The file.
        end: Offset behind the last line that counts.
        n: At least 1, or None for all, which are not counted if they are all of the file.
        wanted: Which events count.
    """
    if n is None and wanted.since is None:
        return 0, 0
    search = _Search(followed, end, wanted)
    for offset, line in followed.file.backwards(end):
        if not search.goes_on_after(offset, line) or search.count == n:
            return search.begin, search.count
    # All was read: what is damaged in it has to be told, as it is when all is shown.
    tell_all = search.is_damaged and wanted.since is None
    return (0, search.count) if tell_all else (search.begin, search.count)


class _Search:
    """What was found on the way to the beginning.

    Attributes:
        begin: Offset of the earliest wanted event so far.
        count: Wanted events from there on.
        is_damaged: Whether a line was no event.
    """

    def __init__(self, followed: FollowedFile, end: int, wanted: Wanted) -> None:
        self.begin, self.count, self.is_damaged = end, 0, False
        self._followed = followed
        self._parser = Parser(followed.file.name)
        self._wanted = wanted
        self._recent = end  # where the earliest line stands that `since` leaves in

    def goes_on_after(self, offset: int, line: bytes | None) -> bool:
        """Take in the line at *offset*; return False when those before it are too old."""
        wanted = self._wanted
        if line is not None and _is_passed_over(line, wanted):
            return True
        timestamp = quick_timestamp(line) if line is not None else None
        fields = None
        if line is None or timestamp is None or _may_be(line, timestamp, wanted):
            try:
                fields = self._followed.fields(self._parser, Piece(offset, len(line or b""), line))
            except LineError:
                self.is_damaged = True
                return True
            except NewerVersionError:
                # Reading stops there: what matters is what stands before it.
                self.begin, self.count = offset, 0
                return True
            timestamp = fields["timestamp"]
        if wanted.since is not None and timestamp < wanted.since:
            return self._recent - offset <= _MARGIN
        self._recent = offset
        if wanted.keep is None or (fields is not None and wanted.keep(fields)):
            self.begin, self.count = offset, self.count + 1
        return True


def _is_passed_over(line: bytes, wanted: Wanted) -> bool:
    """Return whether *line* is surely not wanted, and it does not matter when it was written."""
    return (
        wanted.may_keep is not None
        and wanted.since is None
        and looks_right(line)
        and not wanted.may_keep(line)
    )


def _may_be(line: bytes, timestamp: str, wanted: Wanted) -> bool:
    """Return whether *line* has to be parsed to know that it is wanted."""
    return (
        wanted.keep is not None
        and (wanted.since is None or timestamp >= wanted.since)
        and (wanted.may_keep is None or wanted.may_keep(line))
    )
