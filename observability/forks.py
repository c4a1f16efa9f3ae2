"""The open journals of this process: what becomes of them at a fork and at its end.

Before a fork all of their locks are taken, in one order everywhere; the parent goes on, and in the
child each journal leaves its file to the parent.  docs/trace-format.md, "Writing".
"""

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol


class OpenJournal(Protocol):
    """An open journal, as far as a fork and the end of its process concern it."""

    @property
    def lock(self) -> threading.RLock:
        """Held while a line is written or a file is opened."""

    def note_fork(self) -> None:
        """Remember, in the parent, that there was a fork."""

    def become_child(self) -> None:
        """Leave the file to the parent."""

    def close(self) -> None:
        """Write the end."""


OPEN: Final[set[OpenJournal]] = set()
_held: Final[dict[int, list[OpenJournal]]] = {}  # by forking thread, from before a fork until after


def close_with_multiprocessing(journal: OpenJournal) -> Any:
    """Close *journal* at the end of a child of multiprocessing, which skips atexit.

    Finalisers from before a fork are cleared at the child's start (multiprocessing.util), so
    this is done when the child opens its file.

    Returns:
        What cancels that; None in any other process.
    """
    process = sys.modules.get("multiprocessing.process")
    if process is None or process.parent_process() is None:
        return None
    from multiprocessing.util import Finalize

    return Finalize(journal, journal.close, exitpriority=100)


def _before_fork() -> None:
    # With all locks held no line is half written, and no registry open.  In one order everywhere.
    held = _held[threading.get_ident()] = []
    for journal in sorted(OPEN, key=id):
        journal.lock.acquire()
        held.append(journal)


def _in_parent() -> None:
    # Those that were locked, not those that are open now: other threads open and close them.
    for journal in _held.pop(threading.get_ident(), ()):
        journal.note_fork()
        journal.lock.release()


def _in_child() -> None:
    _held.clear()
    for journal in list(OPEN):
        journal.become_child()


def _at_exit() -> None:
    for journal in list(OPEN):
        close_at_exit(journal.close)


def close_at_exit(close: Callable[[], None]) -> None:
    """Call *close* where no caller is left to raise to: a failure is one line on stderr."""
    try:
        close()
    except Exception as error:  # noqa: BLE001 - OSErrors, and what a report of a user's kind raises
        # A stderr that is closed or gone is no reason for another error.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"auditfold: {error}\n")


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
atexit.register(_at_exit)
