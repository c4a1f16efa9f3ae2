"""Python's warnings as messages of the current node, while a program wants it.

The hook of the module `warnings` (`showwarning`) is one for the whole process: whoever was shown
warnings before is shown them still, and a warning belongs to the observer that is current where
it was raised, not to the one whose block began last.
"""

import os
import threading
import warnings
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

from observability.context import current_observer
from observability.messages.message import complain, say
from observability.payloads import first_part
from observability.values import Gate

if TYPE_CHECKING:
    from observability.observer import ExecutionObserver


class _Hook:
    """Who may change the hook: one thread at a time; the child of a fork begins with a new lock."""

    lock = threading.Lock()


def _renew() -> None:
    _Hook.lock = threading.Lock()


os.register_at_fork(after_in_child=_renew)


class _Thread(threading.local):
    """For which observers the warning that a thread is showing has been recorded."""

    recorded: "tuple[ExecutionObserver, ...]" = ()


_thread: Final = _Thread()


class CapturedWarnings:
    """A block in which warnings are recorded; made by `ExecutionObserver.capture_warnings`."""

    def __init__(self, observer: "ExecutionObserver") -> None:
        self._observer = observer
        self._before: Any = None
        self._over = True

    def __enter__(self) -> Self:
        if not self._over:
            raise RuntimeError("capture_warnings: this block is open already; make another one")
        with _Hook.lock:
            self._over = False
            self._before = warnings.showwarning
            _install(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A block of another thread may have begun in this one, and end later.  What the program
        # itself has put there since stays, and what it keeps of this one hands on.
        with _Hook.lock:
            self._over = True
            while isinstance(shown := warnings.showwarning, CapturedWarnings) and shown._over:  # noqa: SLF001
                _install(shown._before)  # noqa: SLF001

    def __call__(  # noqa: PLR0917 - as `warnings` calls it
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Record a warning, and show it as it was shown before."""
        recorded = _thread.recorded
        try:
            if not self._over and file is None and self._observer not in recorded:
                self._record(message, category, f"{filename}:{lineno}")
                _thread.recorded = (*recorded, self._observer)
            self._before(message, category, filename, lineno, file, line)
        finally:
            _thread.recorded = recorded

    def _record(self, message: Warning | str, category: type[Warning], place: str) -> None:
        if current_observer() is not self._observer:
            return

        def fields(gate: Gate) -> dict[str, Any]:
            return {
                "level": "warning",
                "text": first_part(gate, "text", str(message)),
                "category": gate.name("category", category.__name__),
                "place": first_part(gate, "place", place),
            }

        try:
            say(fields, observer=self._observer)
        except Exception as error:  # noqa: BLE001 - a warning never fails the program
            complain(error)


def _install(show: Any) -> None:
    warnings.showwarning = show
