"""Wakes a follower when a file in its folders changes: a hint beside polling, never a fact.

It needs watchfiles, the extra `watch`; where that is missing, or the system has no watches left,
or a file system tells nobody of changes (that of another machine), nothing happens and polling
finds the lines a little later.  `replay.trace.tail` looks at the files either way.
"""

import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

# watchfiles looks for notifications so often, in milliseconds, and passes them on at the next
# look without another one: while changes come, and after ten seconds without any.
_STEP_MS: Final = 1
_IDLE_STEP_MS: Final = 20
_IDLE_AFTER_S: Final = 10.0
# A call lasts so long, so that what stops it is seen by any version.
_CALL_MS: Final = 1000


class Hints:
    """Notices changes in some folders from a thread of its own.

    Use: `cover` the folders, wait for `fileno` to be readable, `take` before looking, `close`.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._covered: list[tuple[str, int, int]] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._available = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Return a descriptor that is readable when something may have changed."""
        return self._read

    def take(self) -> None:
        """Forget the hints so far; what changes from now on is another one."""
        with suppress(BlockingIOError):
            while os.read(self._read, 1 << 12):
                pass

    @property
    def is_watching(self) -> bool:
        """Whether hints are to be expected."""
        return self._thread is not None and self._thread.is_alive()

    def cover(self, folders: Iterable[Path]) -> None:
        """Watch these folders, without what is below them, and no others any more.

        Cost: a stat a folder when they are the same as before.
        """
        wanted = sorted(filter(None, map(_identity, folders)))
        if wanted == self._covered or not self._available:
            return
        self._end()
        self._covered, self._stop = wanted, threading.Event()
        if wanted:
            self._thread = threading.Thread(
                target=self._watch,
                args=([path for path, _, _ in wanted], self._stop),
                name="auditfold-hints",
                daemon=True,
            )
            self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._end()
        self._available = False
        os.close(self._read)
        os.close(self._write)

    def _end(self) -> None:
        self._stop.set()
        thread, self._thread = self._thread, None
        # Ctrl-C may have come while it was being started: then it ends by itself, at once.
        if thread is not None and thread.ident is not None:
            thread.join()

    def _watch(self, folders: list[str], stop: threading.Event) -> None:
        """Write a byte for each batch of changes, until *stop*."""
        notify = None if stop.is_set() else self._notify(folders)
        if notify is None:
            return
        last = time.monotonic()
        # What changed before the watch was there.
        self._hint()
        while not stop.is_set():
            idle = time.monotonic() - last >= _IDLE_AFTER_S
            step = _IDLE_STEP_MS if idle else _STEP_MS
            try:
                changes: Any = notify.watch(step, step, _CALL_MS, stop)
            except (OSError, RuntimeError):
                break
            if isinstance(changes, set):
                last = time.monotonic()
                self._hint()
        with suppress(OSError, RuntimeError):
            notify.close()

    def _notify(self, folders: list[str]) -> "RustNotify | None":
        """Return what watches *folders*; None where it is not installed or cannot."""
        try:
            # In this thread: it loads asyncio, and nobody waits for it.
            from watchfiles._rust_notify import RustNotify

            return RustNotify(folders, False, False, 300, False, True)  # noqa: FBT003
        except ImportError:
            self._available = False
        except (OSError, RuntimeError):
            pass  # no watches left, or a folder went away: polling goes on
        return None

    def _hint(self) -> None:
        # A full pipe says it already.
        with suppress(BlockingIOError):
            os.write(self._write, b"!")


def _identity(folder: Path) -> tuple[str, int, int] | None:
    """Return what is different when another folder stands there."""
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return str(folder), found.st_dev, found.st_ino
