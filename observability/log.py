"""The log for people: one line an event, blocks for the beginning and the end.

It is no evidence and never read back; every writer of a step appends to the same file.
"""

import contextlib
import fcntl
import os
import threading
import time
import weakref
from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from typing import Final

from observability.files import open_regular
from observability.trace_file import is_foreign
from replay.show.line import harmless

WINDOW_S: Final = 0.25
_NEWLINE: Final = 0x0A
AT_ONCE: Final = 200  # lines in a window that are written at once; a run at leisure has no more


_LOGS: Final[weakref.WeakSet["AuditLog"]] = weakref.WeakSet()


class AuditLog:
    """Appends whole lines to a log file through one descriptor.

    A line is written at once.  In a burst, after the first 200 lines of a quarter of a second,
    lines are gathered and a thread writes them when that time is over: a kill then loses lines
    of the log, never of the trace.

    Args:
        path: The file; made when it is not there.

    Attributes:
        error: The first failure.  Writing it goes on being tried, and the next line that is written
            again says how many were lost; the trace is not concerned.

    Cost: 1.5 us a line at once, 0.2 us in a burst.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: OSError | None = None
        self._stream: FileIO | None = None
        self._fd = -1
        self._gathered: list[str] = []
        self._lost = 0  # lines that a failure has cost, since it was last said
        self._cut = False  # the file ends in a part of a line
        self._lock = threading.RLock()
        self._flushing = False
        self._timer: threading.Timer | None = None
        self._window_end = 0.0
        self._in_window = 0
        _LOGS.add(self)
        try:
            self._stream = _open(path)
            self._fd = self._stream.fileno()
            self._cut = _ends_in_a_part(self._fd)
        except OSError as error:
            if is_foreign(error):
                raise
            self.error = error

    def write(self, lines: Iterable[str]) -> None:
        """Append *lines*; control characters in them are written as escapes."""
        self.put("".join(f"{harmless(line)}\n" for line in lines))

    def put(self, text: str) -> None:
        """Append *text*, which is harmless and ends in a newline."""
        self._gathered.append(text)
        now = time.monotonic()
        if now >= self._window_end:
            self._window_end, self._in_window = now + WINDOW_S, 0
        self._in_window += 1
        if self._in_window <= AT_ONCE:
            self.flush()
        elif self._timer is None:
            self._timer = threading.Timer(WINDOW_S, self._timed)
            self._timer.daemon = True
            try:
                self._timer.start()
            except RuntimeError:  # no thread is to be had, as at the interpreter's end
                self._timed()

    def flush(self) -> None:
        """Write what was gathered.

        A signal handler that comes while its own thread is at it leaves its lines to that one.
        """
        with self._lock:
            if self._flushing:
                return
            self._flushing = True
            try:
                # Lines that come in from now on stay in the list: it is never replaced.
                while self._gathered:
                    n = len(self._gathered)
                    data = "".join(self._gathered[:n]).encode("utf-8", "backslashreplace")
                    del self._gathered[:n]
                    self._write(data)
            except OSError as error:
                if is_foreign(error):
                    raise
                self.error = self.error or error
            finally:
                self._flushing = False

    def _write(self, data: bytes) -> None:
        """Write whole lines, behind a word about those that a failure has cost before."""
        whole = left = self._said() + data
        try:
            while left:
                fd = self._fd
                if fd < 0:
                    return
                # No call in between: whoever closes it must not leave its number to another file.
                written = os.write(fd, left)
                left = left[written:]
        except BaseException:
            if len(left) < len(whole):
                self._cut = whole[-len(left) - 1] != _NEWLINE
            lost = left.count(b"\n")
            self._lost = lost if len(left) <= len(data) else self._lost + data.count(b"\n")
            raise
        self._lost, self._cut = 0, False

    def _said(self) -> bytes:
        begin = b"\n" if self._cut else b""
        if not self._lost:
            return begin
        count = "1 line" if self._lost == 1 else f"{self._lost} lines"
        return begin + f"({count} lost here: the log could not be written)\n".encode()

    def leave_to_parent(self) -> None:
        """Forget, in a fork, what the parent has gathered and will write itself."""
        self._gathered = []
        self._lock = threading.RLock()
        self._flushing = False
        self._timer = None

    def close(self) -> None:
        """Write the rest and close the descriptor; does nothing the second time."""
        self.flush()
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            stream, self._stream, self._fd = self._stream, None, -1
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _timed(self) -> None:
        self._timer = None
        self.flush()


def _ends_in_a_part(fd: int) -> bool:
    """Return whether the file ends in a part of a line, as a full disk or a crash leaves one."""
    size = os.fstat(fd).st_size
    return size > 0 and os.pread(fd, 1, size - 1) != b"\n"


def _in_child() -> None:
    for log in list(_LOGS):
        log.leave_to_parent()


os.register_at_fork(after_in_child=_in_child)


def _open(path: Path) -> FileIO:
    if path.is_symlink():
        _remove_link(path)
    with contextlib.suppress(FileNotFoundError):
        return open_regular(path, create=False)
    with contextlib.suppress(FileExistsError):
        return open_regular(path, create=True)
    return open_regular(path, create=False)  # another process was faster


def _remove_link(path: Path) -> None:
    """Make room for the log; what the link leads to stays.

    The runner around the older observer left links in the place of log and trace.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Otherwise the log that another process has just made could be the one that is removed.
        fcntl.flock(folder, fcntl.LOCK_EX)
        if path.is_symlink():
            path.unlink()
    finally:
        os.close(folder)
