"""The last lines of a trace, and those that come: what `auditfold tail` prints.

What is there at the start comes in the order of docs/reading.md; it is found from the end of
each file, so that the last ten lines of a gigabyte cost what those of a kilobyte cost.  After
that the files are looked at again and again, which works on every file system, and lines come
as they arrive, sorted within one look.  `replay.trace.hints` may end the pause between two looks.
"""

import heapq
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, Self

from replay.trace.evidence import TraceError
from replay.trace.folder import Place, TraceFile, locate
from replay.trace.followed import (
    FollowedFile,
    Item,
    Keep,
    Keyed,
    MayKeep,
    Notice,
    Parser,
    Shown,
    Torn,
    last_of_stream,
    stream_items,
)
from replay.trace.growing import Change, GrowingFile
from replay.trace.hints import Hints
from replay.trace.left_out import link_at
from replay.trace.line import MAX_LINE
from replay.trace.listing import Listing
from replay.trace.schema import NewerVersionError
from replay.trace.search import Wanted, beginning

__all__ = ["Item", "Notice", "Shown", "Tail", "Torn", "pause_after"]

# Of one file in one look; when there is more, the next look follows without a pause.
_PORTION: Final = MAX_LINE
# With more files than may be open at once, each is read in smaller portions and closed again.
_SMALL_PORTION: Final = 1 << 14
_MAX_OPEN: Final = 64

# Looks are so far apart while events come, and when none came for a while.
_POLL_S: Final = 0.05
_IDLE_POLL_S: Final = 0.1
_IDLE_AFTER_S: Final = 10.0
# A look that takes long is followed by a pause of this many times its duration, and by one of
# at least so many times when a hint came.
_REST: Final = 10
_HINTED_REST: Final = 2

# Below this many bytes in several files together, sort times are exact from their first line;
# above, a clock that was set back before what is read is not seen.
_EXACT_BELOW: Final = 8 << 20


def pause_after(cost_s: float, *, idle_s: float) -> float:
    """Return how long to wait before the next look, in seconds, 0.05 to 0.1.

    Args:
        cost_s: What the last look took.
        idle_s: How long no event has come.

    >>> pause_after(0.001, idle_s=1), pause_after(0.008, idle_s=1), pause_after(0, idle_s=60)
    (0.05, 0.08, 0.1)
    """
    usual = _IDLE_POLL_S if idle_s >= _IDLE_AFTER_S else _POLL_S
    return min(max(usual, _REST * cost_s), _IDLE_POLL_S)


def _keep_nothing(fields: Mapping[str, Any]) -> bool:
    del fields
    return False


class Tail:
    """The end of the traces under a PATH: `last`, then `follow`, then `close`.

    Args:
        given: PATH, as `replay.trace.folder.locate` takes it.
        keep: Which events are wanted, by their fields; all if None.
        may_keep: Which lines `keep` could want, by their bytes; others are not looked at closely.
        since: A timestamp: `keep` wants nothing older, so `last` need not read it.
        run_ids: Whether `keep` asks for run ids, which older traces have only when read from
            their first line.
        clock: Seconds that never step back.
        sleep: Waits so many seconds, or until there is a hint.
        hints: Says when to look before that.
    """

    def __init__(
        self,
        given: str,
        *,
        keep: Keep | None = None,
        may_keep: MayKeep | None = None,
        since: str | None = None,
        run_ids: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        hints: Hints | None = None,
    ) -> None:
        self.given = given
        self._wanted = Wanted(keep, may_keep, since, run_ids)
        self._clock = clock
        self._sleep = sleep
        self._hints = hints
        self._files: dict[Path, FollowedFile] = {}
        self._parsers: list[Parser] = []
        self._recent: dict[FollowedFile, None] = {}
        self._refused: dict[Path, tuple[int, int, int] | None] = {}
        self._listing = Listing(given)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        for followed in self._files.values():
            followed.file.close()
        self._files.clear()

    @property
    def has_events(self) -> bool:
        """Whether anything that was read is an event, wanted or not."""
        return any(parser.has_events for parser in self._parsers)

    # --- what is there

    def last(self, n: int | None) -> Iterator[Item]:
        """Yield the last *n* events that are wanted; all of them for None.

        Lines among them that are no events come as `Damage`; what is `Torn` comes at the end.
        Memory: a few portions; for a compressed trace or standard input, *n* lines.

        Raises:
            NoTraceError: There is neither a trace nor a registry.
            TraceError: PATH is a link, a FIFO or a device, or no trace in it can be opened.
            OSError: It cannot be opened or read.
            NewerVersionError: The line that follows is of a newer version.
        """
        place = self._listing.list(self._clock())
        growing, streams = _by_kind(place)
        _, notices = self._open(growing, alone=place.kind == "file")
        if growing and not self._files and not streams:
            raise TraceError(self.given, f"no trace can be opened: {notices[0].message}")
        yield from notices
        ends = {followed: self._end(followed) for followed in self._files.values()}
        parts = [self._part(followed, ends, n) for followed in ends]
        parts += [self._stream_part(trace, n) for trace in streams]
        yield from _newest(parts, n)
        for followed, end in ends.items():
            if followed.file.size > end:
                yield Torn(followed.file.name, end, followed.file.size - end)

    def _end(self, followed: FollowedFile) -> int:
        end = followed.file.whole_end()
        self._close_if_crowded(followed)
        return end

    def _part(
        self, followed: FollowedFile, ends: Mapping[FollowedFile, int], n: int | None
    ) -> tuple[int, Iterator[Keyed]]:
        """Return how many wanted events are in what is to be read of a file, and its items."""
        end = ends[followed]
        begin, count = self._beginning(followed, end, n)
        if len(ends) > 1 and sum(ends.values()) <= _EXACT_BELOW:
            self._read_sort_time(followed, begin)
        followed.file.go_to(begin)
        self._close_if_crowded(followed)
        return count, self._items(followed, end, self._wanted.keep)

    def _read_sort_time(self, followed: FollowedFile, begin: int) -> None:
        followed.file.go_to(0)
        with suppress(NewerVersionError):
            for _ in self._items(followed, begin, _keep_nothing):
                pass

    def _items(self, followed: FollowedFile, end: int, keep: Keep | None) -> Iterator[Keyed]:
        portion = _PORTION if len(self._files) <= _MAX_OPEN else _SMALL_PORTION
        while (left := end - followed.file.offset) > 0:
            items, more = followed.read(min(left, portion), keep, self._wanted.may_keep)
            self._close_if_crowded(followed)
            yield from items
            if not more:
                return

    def _beginning(self, followed: FollowedFile, end: int, n: int | None) -> tuple[int, int]:
        """Return where the last *n* wanted events begin, and how many there are; 0 for all."""
        if n == 0:
            return end, 0
        if self._wanted.run_ids and followed.is_older():
            items = self._items(followed, end, self._wanted.keep)
            count = sum(isinstance(item, Shown) for _, item in items)
            self._restart(followed)
            return 0, count
        return beginning(followed, end, n=n, wanted=self._wanted)

    def _restart(self, followed: FollowedFile) -> None:
        followed.parser = self._parser(followed.file.name)

    def _parser(self, name: str) -> Parser:
        self._parsers.append(Parser(name))
        return self._parsers[-1]

    def _stream_part(self, trace: TraceFile, n: int | None) -> tuple[int, Iterator[Keyed]]:
        items = stream_items(trace, self._parser(trace.shown), self._wanted.keep)
        return (0, items) if n is None else last_of_stream(items, n)

    # --- what comes

    def follow(self) -> Iterator[list[Item]]:
        """Yield what comes, a list a look, for ever; standard input until its end.

        Files and folders may appear later, and all of a file that appears is new.  A file that
        shrank, was removed or replaced comes as a `Notice`, and reading goes on with what is
        there now.  Compressed traces do not grow and are left alone.

        Raises:
            NewerVersionError: A line of a newer version came.
        """
        if self.given == "-":
            stdin = locate("-").traces[0]
            for _, item in stream_items(stdin, self._parser("-"), self._wanted.keep):
                yield [item]
            return
        last_event = self._clock()
        while True:
            began = self._clock()
            if self._hints is not None:
                # Before looking: what changes meanwhile is a hint for the next look.
                self._hints.cover(self._listing.folders)
                self._hints.take()
            items, more = self.look()
            cost = self._clock() - began
            if items:
                last_event = began
                yield items
            if not more:
                self._pause(cost, idle_s=began - last_event)

    def _pause(self, cost_s: float, *, idle_s: float) -> None:
        pause = pause_after(cost_s, idle_s=idle_s)
        if self._hints is not None:
            # A writer that never rests is no reason to do nothing but look.
            rest = min(_HINTED_REST * cost_s, pause)
            time.sleep(rest)
            pause -= rest
        self._sleep(pause)

    def look(self) -> tuple[list[Item], bool]:
        """Return what came since the last look, and whether there is more already."""
        keyed: list[Keyed] = []
        more = False
        for path, followed in list(self._files.items()):
            items, unread = self._look_at(path, followed)
            keyed += items
            more = more or unread
        place = self._listing.changed(self._clock())
        if place is not None:
            appeared, notices = self._open(_by_kind(place)[0], alone=False)
            keyed += ((("", "", -1), notice) for notice in notices)
            for followed in appeared:
                self._stays_open(followed)
                items, unread = followed.read(_PORTION, self._wanted.keep, self._wanted.may_keep)
                keyed += items
                more = more or unread
        keyed.sort(key=itemgetter(0))
        return [item for _, item in keyed], more

    def _look_at(self, path: Path, followed: FollowedFile) -> tuple[list[Keyed], bool]:
        """Return what came in a file, and whether to look again at once."""
        file = followed.file
        offset = file.offset
        change = file.look()
        if change is Change.NONE:
            if file.is_open and followed not in self._recent:
                file.close()  # only its times had changed
            return [], False
        if change in {Change.REMOVED, Change.REPLACED}:
            del self._files[path]
            self._recent.pop(followed, None)
            items = self._rest(followed)
            file.close()
            return [*items, (followed.parser.key, _notice(file, change, offset))], False
        self._stays_open(followed)
        if change is Change.GROWN:
            return followed.read(_PORTION, self._wanted.keep, self._wanted.may_keep)
        if change is Change.CUT:
            file.go_to(file.whole_end())
        else:
            file.go_to(0)
            self._restart(followed)
        return [(followed.parser.key, _notice(file, change, offset))], True

    def _rest(self, followed: FollowedFile) -> list[Keyed]:
        """Return what was written to a file before its name was taken away, while it is open."""
        rest: list[Keyed] = []
        more = followed.file.is_open
        while more:
            items, more = followed.read(_PORTION, self._wanted.keep, self._wanted.may_keep)
            rest += items
        return rest

    def _open(
        self, traces: Iterable[TraceFile], *, alone: bool
    ) -> tuple[list[FollowedFile], list[Notice]]:
        """Open those of *traces* that are not open yet.

        Returns:
            The files that were opened, and what kept others from it, each told once.

        Raises:
            TraceError, OSError: One cannot be opened, and *alone* says that it is the only one.
        """
        opened, notices = [], []
        for trace in traces:
            if trace.path in self._files or self._refused.get(trace.path) == _identity(trace.path):
                continue
            try:
                followed = FollowedFile(
                    GrowingFile(trace.path, trace.shown), self._parser(trace.shown)
                )
            except FileNotFoundError:
                if alone:
                    raise
                continue  # it was there when the folder was listed
            except (TraceError, OSError) as error:
                if alone:
                    raise
                self._refused[trace.path] = _identity(trace.path)
                link = link_at(trace, self._listing.out)
                reason = _reason(error) if link is None else link.message()
                notices.append(Notice(trace.shown, reason))
                continue
            self._files[trace.path] = followed
            opened.append(followed)
            self._stays_open(followed)
        return opened, notices

    def _close_if_crowded(self, followed: FollowedFile) -> None:
        if len(self._files) > _MAX_OPEN:
            followed.file.close()

    def _stays_open(self, followed: FollowedFile) -> None:
        """Keep its descriptor, and not that of the file that has not grown for longest."""
        self._recent.pop(followed, None)
        self._recent[followed] = None
        if len(self._recent) > _MAX_OPEN:
            oldest = next(iter(self._recent))
            del self._recent[oldest]
            oldest.file.close()


def _by_kind(place: Place) -> tuple[list[TraceFile], list[TraceFile]]:
    """Return the traces of *place* that can be read at any place, and those that cannot."""
    streams = [t for t in place.traces if place.kind == "stdin" or t.path.suffix == ".gz"]
    return [trace for trace in place.traces if trace not in streams], streams


def _newest(parts: Iterable[tuple[int, Iterator[Keyed]]], n: int | None) -> Iterator[Item]:
    """Yield the last *n* events of *parts* in order, and the other items among them."""
    parts = list(parts)
    surplus = 0 if n is None else sum(count for count, _ in parts) - n
    for _, item in heapq.merge(*(items for _, items in parts), key=itemgetter(0)):
        if isinstance(item, Shown) and surplus > 0:
            surplus -= 1
        elif surplus <= 0:
            yield item


def _notice(file: GrowingFile, change: Change, offset: int) -> Notice:
    if change is Change.CUT:
        return Notice(
            file.name,
            f"shrank to {file.size} bytes, {offset} were read: lines shown before are no longer "
            "in it; going on at its end",
        )
    if change is Change.REWRITTEN:
        return Notice(file.name, "was written over; going on with what is in it now")
    if change is Change.REMOVED:
        return Notice(file.name, "was removed; going on with what appears in its place")
    return Notice(file.name, "was replaced; going on with what is in its place")


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Return what is different when something else stands at *path*."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return found.st_ino, found.st_mode, found.st_ctime_ns


def _reason(error: Exception) -> str:
    if isinstance(error, TraceError):
        return str(error).removeprefix(f"{error.path}: ")
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
