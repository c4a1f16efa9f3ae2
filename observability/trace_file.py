"""One trace file, open and locked: whole lines appended, never a guess about what is on disk.

This is the only module that writes evidence.  What a line says is decided in
`observability.journal`; docs/trace-format.md, "Writing", is the contract.
"""

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from observability.files import open_regular, sync
from replay.trace.ending import Ending, extent, fragment, read_ending
from replay.trace.events import Extent, Fragment
from replay.trace.line import GENESIS, seal

if TYPE_CHECKING:
    from io import FileIO


class JournalError(OSError):
    """Evidence could not be written.  `errno` and `filename` say why and where."""

    def __init__(self, path: str | os.PathLike[str], cause: OSError | str, advice: str) -> None:
        number = cause.errno if isinstance(cause, OSError) and cause.errno else errno.EIO
        reason = cause.strerror or str(cause) if isinstance(cause, OSError) else cause
        super().__init__(number, f"{reason}; {advice}", os.fspath(path))

    def __reduce__(self) -> tuple[Any, ...]:
        # As OSError would do it, whose arguments are not ours: pools pickle exceptions.
        return _unpickled, (self.errno, self.strerror, self.filename), self.__dict__ or None


def _unpickled(number: int, reason: str, path: str) -> JournalError:
    error = JournalError.__new__(JournalError)
    OSError.__init__(error, number, reason, path)
    return error


def is_foreign(error: OSError) -> bool:
    """Return whether a signal handler raised *error* in the middle of a call.

    `TimeoutError` is an OSError that people raise in handlers.  What the system refuses has an
    errno, what a program raises by itself hardly ever.
    """
    return error.errno is None


class TraceFile:
    """A trace file that this process writes and has locked, and where its chain stands.

    It is made before its file is opened, so that whoever made it can close it whenever an
    exception of a signal handler comes.

    Attributes:
        path: Absolute; where it is, or will be once it has its first line.
        name: As events call it: relative to OUT, with `/`.
        fd: The descriptor, -1 when closed.
        lines: Whole lines in the file, so the next `seq`.
        hash: Of the last line, 64 digits.
        size: Bytes, all of them whole lines.
        recent: The hashes of the last lines, (those before, the last); None where nobody asks.
        synced: (lines, hash) as of the last sync.
        made: The file was not there before.
    """

    __slots__ = (
        "_intent",
        "_place",
        "_stream",
        "_sync_failed",
        "fd",
        "hash",
        "lines",
        "made",
        "name",
        "path",
        "recent",
        "size",
        "synced",
    )

    def __init__(self) -> None:
        self.path = self._place = Path()
        self.name = ""
        self.fd = -1
        self._stream: FileIO | None = None
        self.made = False
        self._sync_failed = False
        self._intent: tuple[int, bytes, int, bytes, Any] | None = None
        self.recent: Any = None
        self._stand_at(Ending(0, GENESIS, None, None, 0, 0))

    def _stand_at(self, ending: Ending) -> None:
        self.lines, self.hash, self.size = ending.lines, ending.hash, ending.offset
        self.synced = (self.lines, self.hash)

    def create(self, path: Path, name: str) -> None:
        """Make the file *path*, which must not be there, and lock it.

        Raises:
            OSError: That could not be done.
        """
        self.path, self.name = path, name
        self._make(path)

    def create_unseen(self, path: Path, name: str) -> None:
        """Make a file that is at *path* once `appear` was called; no reader takes it for a trace.

        Whoever is killed before the first line is written leaves no empty trace that nobody names.

        Raises:
            OSError: That could not be done.
        """
        self.path, self.name = path, name
        try:
            self._make(unseen(path))
        except OSError as error:
            if error.filename is not None:
                error.filename = str(path)
            raise

    def _make(self, place: Path) -> None:
        self._place = place
        self._stream = open_regular(place, create=True)
        self.made = True
        self.fd = self._stream.fileno()
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.discard()
            raise

    def appear(self) -> None:
        """Give a file that was made unseen its name; its lines are on the medium before.

        Raises:
            OSError: That could not be done.
        """
        if self._place == self.path:
            return
        sync(self.fd)
        try:
            os.rename(self._place, self.path)
        except FileNotFoundError:
            # An exception of a signal handler may have come right behind it.
            if not os.path.lexists(self.path):
                raise
        self._place = self.path

    def resume(self, path: Path, name: str) -> tuple[bool, Extent | None]:
        """Open *path* to continue it, where that can be.

        It is continued if it can be opened and locked without waiting, and is empty or ends in
        a whole, right line of this version.

        Returns:
            Whether it is continued, and what the new writer stands behind: None in an empty file.

        Raises:
            OSError: It could be opened and locked, but not be read or synced.
        """
        self.path = self._place = path
        self.name = name
        try:
            self._stream = open_regular(path, create=False)
            self.fd = self._stream.fileno()
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            if is_foreign(error):
                raise
            return False, None
        ending = read_ending(self.fd)
        if ending is None or ending.offset != ending.size:
            self.close()
            return False, None
        # A later line may only name what is on the medium.
        sync(self.fd)
        self._stand_at(ending)
        return True, extent(self.fd, name) if ending.lines else None

    def append(self, body: bytes) -> bytes:
        """Seal *body* behind the last line, append the line with one `os.write`, and return it.

        What the state will be is noted before and taken over after the write, so that an
        exception of a signal handler in between is settled by the file's size (`settle`).

        Raises:
            OSError: Nothing, or only a part, was written; the file must not be written again.
        """
        line, digest = seal(self.hash, body)
        size, recent = len(line), self.recent
        if recent is not None:
            recent = (recent, digest)
        self._intent = (self.lines + 1, digest, self.size + size, line, recent)
        written = os.write(self.fd, line)
        while written < size:
            written += os.write(self.fd, line[written:])
        # No call from here on: a signal handler cannot run between these assignments.
        self.lines, self.hash, self.size, _, self.recent = self._intent
        self._intent = None
        return line

    @property
    def unsettled(self) -> bool:
        """Whether a write was interrupted and `settle` has to find out what became of it."""
        return self._intent is not None

    @property
    def may_be_longer(self) -> bool:
        """Whether the line at which an error came may stand in the file as a whole."""
        if self._intent is None:
            return False
        try:
            return os.fstat(self.fd).st_size >= self._intent[2]
        except OSError as error:
            if is_foreign(error):
                raise
            return True

    def settle(self) -> None:
        """Find out by the file's size whether an interrupted `append` took place.

        A line of which a part is there is completed.

        Raises:
            OSError: That failed, or the file is not as this writer left it.
        """
        intent = self._intent
        if intent is None:
            return
        line, target = intent[3], intent[2]
        there = os.fstat(self.fd).st_size
        # Nobody else has settled it meanwhile: a signal handler may append as well.
        while self._intent is intent and self.size < there < target:
            there += os.write(self.fd, line[there - self.size :])
        if self._intent is not intent:
            return
        if there == target:
            self.lines, self.hash, self.size, _, self.recent = intent
        elif there != self.size:
            raise OSError(errno.EIO, f"{there} bytes, want {self.size}", str(self.path))
        self._intent = None

    def sync(self) -> None:
        """Return when all lines are on the medium, at the file's own name.

        Raises:
            OSError: They are not, or the name leads to another file or to none, or the file is
                not as long as it was written.
        """
        try:
            sync(self.fd)
        except OSError:
            self._sync_failed = True
            raise
        mine = os.fstat(self.fd)
        try:
            named = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            raise OSError(errno.ENOENT, "removed while it was written", str(self.path)) from None
        if (mine.st_dev, mine.st_ino) != (named.st_dev, named.st_ino):
            raise OSError(errno.ESTALE, "replaced while it was written", str(self.path))
        if mine.st_size != self.size:
            what = f"changed while it was written: {mine.st_size} bytes, want {self.size}"
            raise OSError(errno.ESTALE, what, str(self.path))
        self.synced = (self.lines, self.hash)

    def proven(self) -> tuple[int, bytes, Fragment | None]:
        """Return what a line elsewhere may say of this file after a failure.

        Returns:
            Lines, the hash of the last of them, and the bytes behind them.  Nothing is named that
            may not be on the medium: after a sync that failed, a later one proves nothing, since
            the system may have dropped the pages (fsyncgate, LWN 752063).
        """
        lines, digest = self.synced
        if self._sync_failed:
            return lines, digest, None
        try:
            size = os.fstat(self.fd).st_size
            if self._intent is not None and size == self._intent[2]:
                self.lines, self.hash, self.size, _, self.recent = self._intent
            if size < self.size:  # somebody shortened it
                return lines, digest, None
            sync(self.fd)
            return self.lines, self.hash, fragment(self.fd, self.size)
        except OSError as error:
            if is_foreign(error):
                raise
            return lines, digest, None

    def close(self) -> None:
        """Close the descriptor, and with it the lock; does nothing the second time.

        It is closed, never unlocked: after a fork the lock belongs to the other process too.
        """
        stream, self._stream, self.fd = self._stream, None, -1
        if stream is not None:
            # Somebody else may have closed the descriptor: what was to be kept is synced.
            with contextlib.suppress(OSError):
                stream.close()

    def discard(self) -> None:
        """Close a file of which nothing came, and take it away again if this writer made it."""
        if self._stream is not None and self.made:
            remove(self._place)
        self.close()


def unseen(path: Path) -> Path:
    """Return what the file *path* is called before its first line is written."""
    return path.parent / f".{path.name}.new"


def remove(path: Path) -> None:
    """Remove *path* where that can be done."""
    try:
        os.unlink(path)
    except OSError as error:
        if is_foreign(error):
            raise


def left_by_another(path: Path, name: str) -> tuple[Extent, str | None] | None:
    """Return what a writer that is gone left in *path*; None while a writer has it.

    Returns:
        What a line elsewhere may say of the file, and the type of its last event.

    Raises:
        OSError: It is no regular file, or cannot be read.
    """
    # A C function closes the descriptor, which no signal handler can keep from it.
    with open_regular(path, create=False) as stream:
        fd = stream.fileno()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        sync(fd)  # only what is on the medium may be named
        ending = read_ending(fd)
        return extent(fd, name), None if ending is None else ending.event_type


def lock_waiting(fd: int, path: Path, *, seconds: float) -> None:
    """Take the lock of *fd* as soon as it is free.

    Raises:
        JournalError: It was not within *seconds*, or the file system has no locks.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise JournalError(
                    path, error, f"another process has held its lock for {seconds:.0f} s"
                ) from None
            time.sleep(0.002)
        except OSError as error:
            if is_foreign(error):
                raise
            raise JournalError(path, error, "the file system must support flock(2)") from error
