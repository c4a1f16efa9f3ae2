"""Writing the derived files: after a run by its observer, at any time by `auditfold replay`.

What they are called and what they hold is `replay.show.derived`; docs/reading.md, "Derived
files".  They are never evidence: losing them costs a `replay`.
"""

import fcntl
import os
import time
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple

from observability.files import holds, native, write_beside
from observability.joining import writers_of
from replay.fold.names import LOG_COPY, TRACE_COPY, metadata_path, report_path
from replay.fold.recent import recent_sources
from replay.fold.runs import fold
from replay.show.derived import Derived, derive
from replay.trace.evidence import TraceError
from replay.trace.folder import NoTraceError, step_number
from replay.trace.host import Hosts
from replay.trace.schema import NewerVersionError

State = Literal["same", "differs", "missing", "excess"]

_PATIENCE_S: Final = 10.0


class Written(NamedTuple):
    """What became of a run's derived files.

    Attributes:
        log: Its copy under `logs/`, None if there is none.
        trace: Its copy under `traces/`, likewise.
        failures: What could not be written, and why.
    """

    log: Path | None
    trace: Path | None
    failures: list[tuple[Path, OSError]]


def write_run(
    out: Path, run_id: str, written: Sequence[tuple[Path, int]], *, joined: bool = False
) -> Written:
    """Write the derived files of a run whose writer in this process has closed.

    Metadata and report are written if no other run of the step has the last word.  Writers that
    close at the same time wait for each other, so the last one sees the lines of all.

    Args:
        out: OUT, absolute.
        run_id: The run.
        written: (file, byte offset of the first line) of each writer of this process.
        joined: Other processes may have written lines of this run before.
    """
    done: dict[str, Path] = {}
    failures: list[tuple[Path, OSError]] = []
    if not written:
        return Written(None, None, [])
    with one_at_a_time(written[0][0].parent):
        try:
            first = next(iter(writers_of(out / "audit", run_id)), None) if joined else None
            began = None if first is None else (first.timestamp, first.epoch_seconds)
            sources = recent_sources(out, written, began=began)
            folded = fold(sources, spans=True)
            for derived in derive(sources, folded, Hosts(), only=run_id):
                try:
                    done[derived.kind] = write_derived(out, derived)
                except OSError as error:
                    failures.append((out / derived.path, error))
        except OSError as error:
            failures.append((written[0][0], error))
        except (NoTraceError, TraceError, NewerVersionError, ValueError) as error:
            # Somebody else's file, or the trace was taken away or changed under the run.
            failures.append((written[0][0], OSError(0, str(error))))
    return Written(done.get("logs"), done.get("traces"), failures)


def write_derived(out: Path, derived: Derived) -> Path:
    """Write one derived file and return its path.

    Raises:
        OSError: It could not be written.
    """
    path = out / native(derived.path)
    os.makedirs(path.parent, exist_ok=True)
    write_beside(path, derived.chunks())
    return path


def write_all(out: Path, derived: Iterable[Derived]) -> Iterator[str]:
    """Write derived files, and yield the path of each, relative to OUT, when it is there.

    Raises:
        OSError: One could not be written; those before it are.
    """
    for one in derived:
        write_derived(out, one)
        yield one.path


def check_all(out: Path, derived: Iterable[Derived]) -> Iterator[tuple[str, State]]:
    """Yield how each derived file stands beside what it would be.  Writes nothing."""
    for one in derived:
        path = out / native(one.path)
        if not os.path.lexists(path):
            yield one.path, "missing"
        else:
            yield one.path, "same" if holds(path, one.chunks()) else "differs"


def excess(
    out: Path, steps: Collection[str], *, older: Container[str], expected: Collection[str]
) -> Iterator[str]:
    """Yield the files, relative to OUT, that are named like derived ones of *steps*.

    Args:
        out: OUT.
        steps: Step numbers.
        older: Steps that have runs of the older layout: the program that wrote those made
            copies of its own, under names that nobody can derive.
        expected: Paths that are not to be yielded.

    Raises:
        OSError: A folder cannot be read.
    """
    for step in sorted(steps):
        for path in (metadata_path(step), report_path(step)):
            # In an older step in which nothing can be read they are that program's own.
            if path not in expected and step not in older and os.path.lexists(out / path):
                yield path
    known = frozenset(map(native, expected))
    for folder, pattern in (("logs", LOG_COPY), ("traces", TRACE_COPY)):
        for name in sorted(os.listdir(out / folder)) if (out / folder).is_dir() else ():
            found = pattern.fullmatch(name)
            if found is None or f"{folder}/{name}" in known:
                continue
            step = step_number(found["stem"]) if folder == "logs" else found["stem"]
            if step in steps and step not in older:
                yield f"{folder}/{name}"


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold the lock of a step's folder; go on without it where it cannot be had."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        _wait_for(fd)
        yield
    finally:
        # A child forked meanwhile has the descriptor too: closing alone would keep the lock.
        fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def _wait_for(fd: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.002)
        except OSError:
            return None
    return None
