"""All runs under one PATH: the lines of many files, in the one order, applied to their runs.

What an event means for its run is `replay.fold.run` alone; here is the walk over the files, what
that tells about who still writes, and where each run's lines are.  Rules: docs/reading.md.
"""

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from heapq import heapify, heappop, heapreplace
from typing import Any, Final, Generic, NamedTuple, overload

import msgspec

from replay.fold.collector import paused_collector
from replay.fold.files import (
    BEFORE_ALL,
    END,
    LAST,
    MOST_OPEN,
    TIMESTAMP,
    Cursor,
    FileState,
    Key,
    OpenFiles,
    Resumed,
    Source,
)
from replay.fold.frozen import freeze, thaw
from replay.fold.run import AnyRun, End, RunState, beginning
from replay.fold.status import Status, status_of
from replay.trace.events import ASIDE, Event, WriterClosed, WriterOpened, WriterSettled
from replay.trace.host import Hosts
from replay.trace.reader import Damage, EventReader, Readable


class Standing(NamedTuple):
    """The status of a run as somebody looks at it.

    Attributes:
        status: By the rule in docs/reading.md.
        liveness: `assumed` where the status rests on whether a process lives that cannot be
            asked about, else `checked`.
    """

    status: Status
    liveness: str


class Span(NamedTuple):
    """A stretch of a file with lines of one run: `[begin, end)` in bytes.

    Damaged lines, which belong to no run, may stand in it.
    """

    place: int
    begin: int
    end: int


class At(NamedTuple):
    """Where a fold is cut.

    Attributes:
        time: A timestamp; events whose sort time is later are left out.
        name: A file; what comes behind `seq` there is left out, in every file.
        seq: See `name`.
    """

    time: str | None = None
    name: str | None = None
    seq: int | None = None


class Frozen(msgspec.Struct, gc=False):
    """A run that is over in a file, as bytes: a tenth of the objects' size.

    The other attributes are those of `RunState`, for those who look for a run.
    """

    run_id: str
    workflow_id: str
    step_number: str
    start: str
    begun_in: str
    begun_at: int
    begin_key: Key
    sort_key: Key
    data: bytes


class Fold(Generic[AnyRun]):
    """The runs of some files, and how the files ended.

    Attributes:
        kind: What is kept of a run.
        files: By name, in the order they were given.
        damage: Lines that are no event.
    """

    def __init__(self, kind: type[AnyRun], *, spans: bool = False) -> None:
        self.kind = kind
        self.files: dict[str, FileState] = {}
        self.damage: list[Damage] = []
        self.kept: dict[str, AnyRun | Frozen] = {}
        self.ended: set[str] = set()
        self._spans: dict[str, array[int]] | None = {} if spans else None
        self._handlers = kind.HANDLERS

    # --- What was found

    def __len__(self) -> int:
        return len(self.kept)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self.kept

    def heads(self) -> Iterator[AnyRun | Frozen]:
        """Yield what tells the runs apart, in the order in which they began."""
        return iter(sorted(self.kept.values(), key=lambda kept: kept.begin_key))

    def run(self, run_id: str) -> AnyRun:
        """Return the state of a run, for reading."""
        kept = self.kept[run_id]
        return thaw(kept.data) if isinstance(kept, Frozen) else kept  # type: ignore[return-value]

    def runs(self) -> Iterator[AnyRun]:
        """Yield the states of all runs, in the order in which they began."""
        return (self.run(head.run_id) for head in self.heads())

    def standing(self, state: RunState, hosts: Hosts) -> Standing:
        """Return the status of a run as of now, or as of the cut."""
        if state.terminal is not None:
            return Standing(status_of(state, alive=False), "checked")
        alive, liveness = False, "checked"
        for name in state.ends:
            file = self.files[name]
            if file.more is not None:
                seen, how = file.more == state.run_id, "checked"
            elif file.run_id != state.run_id or file.writer in self.ended:
                # Only the last writer of a file can be running.
                continue
            elif file.writer in file.aside:
                continue
            else:
                process = file.process if file.opened == file.writer else None
                seen, how = hosts.alive(process, file.epoch_seconds)
            if seen and not alive:
                alive, liveness = True, how
            elif not alive and how == "assumed":
                liveness = how
        return Standing(status_of(state, alive=alive), liveness)

    def spans(self, run_id: str) -> list[Span]:
        """Return where the run's lines are, in the order.

        Raises:
            ValueError: The fold was made without spans.
        """
        if self._spans is None:
            raise ValueError("the fold was made without spans")
        flat = self._spans.get(run_id, array("Q"))
        return [Span(*flat[at : at + 3]) for at in range(0, len(flat), 3)]

    # --- Folding

    def cursors(
        self, sources: Sequence[Source], stack: ExitStack, at: At | None = None
    ) -> list[Cursor]:
        """Return what reads each of *sources* from where its file was left; *stack* closes it."""
        found = []
        files = OpenFiles()
        stack.callback(files.close)
        for place, source in enumerate(sources):
            file = self.files[source.name]
            stream: Readable = Resumed(source, files, file.offset)
            if len(sources) <= MOST_OPEN:
                stream = files.at(source, file.offset)
            reader = EventReader(stream, source.name, offset=file.offset, lines=file.lines)
            stop = at.seq if at is not None and at.name == source.name else None
            found.append(Cursor(file, place, reader, decode=self.kind.DECODE, stop=stop))
        return found

    def walk(
        self, cursors: Iterable[Cursor], *, cut: Key = END, only: Collection[str] | None = None
    ) -> None:
        """Apply the events of all *cursors* in the order.

        Args:
            cursors: One a file, before its first event.
            cut: The last key that counts.
            only: The runs that are wanted; all if None.
        """
        every = list(cursors)
        heap = [(cursor.key(cursor.at), cursor.place, cursor) for cursor in every if cursor.load()]
        heapify(heap)
        while heap:
            key, place, cursor = heap[0]
            if key > cut or cursor.is_cut():
                break
            bound = min([cut, *(entry[0] for entry in heap[1:3])])
            while not (more := self._advance(cursor, bound, only)) and cursor.load():
                pass
            if cursor.is_cut():
                break
            if more:
                heapreplace(heap, (cursor.key(cursor.at), place, cursor))
            else:
                heappop(heap)
        for cursor in every:
            cursor.settle()
            self.damage += cursor.reader.damage

    @staticmethod
    def late(cursors: Iterable[Cursor], last: Key) -> set[str]:
        """Return the runs of the events that do not sort behind *last*; uses *cursors* up."""
        found: set[str] = set()
        for cursor in cursors:
            while cursor.load():
                early = cursor.up_to(last)
                found.update(event.run_id for event in early if event.run_id is not None)
                if len(early) < len(cursor.batch):
                    break
                latest = max(map(TIMESTAMP, early))
                cursor.file.key = (max(cursor.file.key[0], latest), *cursor.file.key[1:])
        return found

    def _advance(self, cursor: Cursor, bound: Key, only: Collection[str] | None) -> bool:
        """Apply what *cursor* has at hand up to *bound*; return whether some of it is left."""
        begin = at = cursor.at
        run_id: Any = _NOBODY
        state: AnyRun | None = None
        handler_of = _NO_HANDLERS.get
        for event in cursor.up_to(bound):
            if event.run_id != run_id:
                self._leave(cursor, state, begin=begin, end=at)
                run_id, begin = event.run_id, at
                state = self._enter(cursor, at, only)
                handler_of = (_NO_HANDLERS if state is None else self._handlers).get
            handler = handler_of(type(event))
            if handler is not None:
                handler(state, event)
            elif type(event) in _OF_WRITERS:
                if type(event) is WriterOpened:
                    # What was written before may be of the run's course, and this aside, or not.
                    self._leave(cursor, state, begin=begin, end=at)
                    begin = at
                self._take_in(cursor.file, event)
            at += 1
        self._leave(cursor, state, begin=begin, end=at)
        cursor.at = at
        return at < len(cursor.batch)

    def _enter(self, cursor: Cursor, at: int, only: Collection[str] | None) -> AnyRun | None:
        """Return the state of the run of event *at*, None if it has none or is not wanted."""
        file, event = cursor.file, cursor.reader.event(at)
        run_id = cursor.batch[at].run_id
        if file.run_id is not None and file.run_id != run_id:
            self._freeze(file.run_id, older=not file.hash)
        if run_id is None or (only is not None and run_id not in only):
            return None
        kept = self.kept.get(run_id)
        if isinstance(kept, Frozen):
            kept = self.kept[run_id] = thaw(kept.data)  # type: ignore[assignment]
        if kept is None and event is not None:
            kept = self.kept[run_id] = beginning(event, self.kind)
            kept.begun_in, kept.begun_at = file.name, event.seq
            kept.begin_key = cursor.key(at)
        return kept  # type: ignore[return-value]

    def _leave(self, cursor: Cursor, state: AnyRun | None, *, begin: int, end: int) -> None:
        """Note how far the file and the run are behind the events `[begin, end)`."""
        last = next(filter(None, map(cursor.reader.event, range(end - 1, begin - 1, -1))), None)
        if last is None:
            return
        file = cursor.file
        latest = max(map(TIMESTAMP, cursor.batch[begin:end]))
        file.writer = last.writer
        file.key = (max(file.key[0], latest), last.writer, last.seq)
        file.hash, file.run_id, file.epoch_seconds = last.hash, last.run_id, last.epoch_seconds
        if state is None:
            return
        if last.writer not in file.aside:
            state.last = last
            state.sort_key = file.key
        state.ends[file.name] = End(last.seq, last.hash)
        if self._spans is not None:
            flat = self._spans.setdefault(state.run_id, array("Q"))
            begins, ends = cursor.offset(begin), cursor.offset(end)
            if flat and flat[-3] == cursor.place and flat[-1] == begins:
                flat[-1] = ends
            else:
                flat.extend((cursor.place, begins, ends))

    def _take_in(self, file: FileState, event: Event) -> None:
        """Note what an event tells about writers: who writes now, whose end is proven."""
        if isinstance(event, WriterOpened):
            if event.follows is not None and event.follows.writer:
                self.ended.add(event.follows.writer)
            file.opened, file.process = event.writer, event.process
            file.aside.pop(event.writer, None)
            if event.purpose == ASIDE:
                file.aside[event.writer] = True
        elif isinstance(event, WriterClosed):
            self.ended.add(event.writer)
        elif isinstance(event, WriterSettled) and event.settled.writer:
            self.ended.add(event.settled.writer)

    def _freeze(self, run_id: str, *, older: bool) -> None:
        """Keep a run that another one follows in a file as bytes."""
        state = self.kept.get(run_id)
        # A report is what was asked for; in the older layout runs may take turns.
        if self.kind is not RunState or not isinstance(state, RunState):
            return
        if older and state.terminal is None:
            return
        self.kept[run_id] = Frozen(
            run_id=run_id,
            workflow_id=state.workflow_id,
            step_number=state.step_number,
            start=state.start,
            begun_in=state.begun_in,
            begun_at=state.begun_at,
            begin_key=state.begin_key,
            sort_key=state.sort_key,
            data=freeze(state),
        )


class _Nobody:
    """Equal to no run id."""


_NOBODY: Final = _Nobody()
_NO_HANDLERS: Final[dict[type, Callable[[Any, Any], Any]]] = {}
_OF_WRITERS: Final = frozenset({WriterOpened, WriterClosed, WriterSettled})


@overload
def fold(
    sources: Sequence[Source],
    *,
    at: At | None = None,
    only: Collection[str] | None = None,
    spans: bool = False,
) -> Fold[RunState]: ...


@overload
def fold(
    sources: Sequence[Source],
    *,
    kind: type[AnyRun],
    at: At | None = None,
    only: Collection[str] | None = None,
    spans: bool = False,
) -> Fold[AnyRun]: ...


def fold(
    sources: Sequence[Source],
    *,
    kind: Any = RunState,
    at: At | None = None,
    only: Collection[str] | None = None,
    spans: bool = False,
) -> Fold[Any]:
    """Return what the traces *sources* add up to.

    Args:
        sources: One a file.
        kind: What is kept of a run: `RunState`, or `replay.fold.run_report.RunReport`.
        at: Where to stop; at the end if None.
        only: Ids of the runs that are wanted; all if None.
        spans: Note where the lines of each run are.

    Raises:
        NewerVersionError: A right line of a newer format version.
        TraceError: A file is no regular file.
        OSError: A file cannot be read.
    """
    folded: Fold[Any] = Fold(kind, spans=spans)
    for source in sources:
        folded.files[source.name] = FileState(
            name=source.name, offset=source.begin, key=(source.before, "", -1)
        )
    with paused_collector(), ExitStack() as stack:
        cut = END if at is None or at.time is None else (at.time, LAST, 0)
        folded.walk(folded.cursors(sources, stack, at), cut=cut, only=only)
    return folded


def has_begun(head: RunState | Frozen) -> bool:
    """Return whether anything of a run's course was read: not only what was said of it later."""
    return head.sort_key != BEFORE_ALL


def newest_of_each_step(folded: Fold[AnyRun]) -> list[AnyRun | Frozen]:
    """Return, by step, the run whose last event is last in the order."""
    found: dict[str, AnyRun | Frozen] = {}
    for head in folded.kept.values():
        other = found.get(head.step_number)
        if other is None or head.sort_key > other.sort_key:
            found[head.step_number] = head
    return [found[step] for step in sorted(found)]
