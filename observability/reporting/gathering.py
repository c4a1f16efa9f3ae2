"""What a block prints and warns of, kept for its unit.

The streams and the hook of the module `warnings` are the process's; what stands in their place
looks who is writing.  A block keeps what its own thread or task writes and nothing else; what
another one writes goes where it went before, and so does everything once no block is open.
"""

import os
import sys
import threading
import warnings
from contextvars import ContextVar
from typing import Any, Final, TextIO

from observability.context import owner

LARGEST: Final = 64 * 1024  # characters of a stream that are kept
MOST_WARNINGS: Final = 1_000
_HALF: Final = LARGEST // 2


class ExceptionRecordedWarning(RuntimeWarning):
    """An exception was recorded and went no further; no block keeps that among its warnings."""


class Kept:
    """What was written to one stream: its beginning and its end."""

    def __init__(self) -> None:
        self._head: list[str] = []
        self._room = _HALF
        self._tail = ""
        self._left_out = 0

    def write(self, text: str) -> None:
        """Take in one more piece."""
        if self._room:
            first, text = text[: self._room], text[self._room :]
            self._head.append(first)
            self._room -= len(first)
        if text:
            self._tail += text
            if len(self._tail) > 2 * _HALF:
                self._left_out += len(self._tail) - _HALF
                self._tail = self._tail[-_HALF:]

    def text(self) -> tuple[str, bool]:
        """Return what was kept, and whether that is not all."""
        head = "".join(self._head)
        tail, left_out = self._tail[-_HALF:], self._left_out + max(0, len(self._tail) - _HALF)
        if not left_out:
            return head + tail, False
        return f"{head}\n[... {left_out} characters left out ...]\n{tail}", True


class Gathering:
    """What one block gathers, from `begin` to `end`.

    Args:
        streams: Keep stdout and stderr; they are not shown.
        warned: Keep warnings; they are shown as well.
    """

    def __init__(self, *, streams: bool, warned: bool) -> None:
        self.kept = {"stdout": Kept(), "stderr": Kept()} if streams else {}
        self.warned: list[str] | None = [] if warned else None
        self.owner: object = None
        self.outer: Gathering | None = None
        self._streams: list[_Stream] = []
        self._hooks: list[_Hook] = []
        self.ended = False

    def begin(self) -> None:
        """Begin, in this thread or task."""
        self.owner = owner()
        self.outer = _innermost.get()
        _innermost.set(self)
        with _Places.lock:
            for name in self.kept:
                self._streams.append(_stream(name))
                self._streams[-1].users.add(self)
            if self.warned is not None:
                self._hooks.append(_hook())
                self._hooks[-1].users.add(self)

    def end(self) -> None:
        """Let go of what was taken, wherever this is called, and however often."""
        self.ended = True
        if _innermost.get() is self:
            _innermost.set(self.outer)
        with _Places.lock:
            # Those in place as well: an interruption may have come before one was noted.
            for stream in (*self._streams, sys.stdout, sys.stderr):
                if isinstance(stream, _Stream):
                    stream.let_go(self)
            for hook in (*self._hooks, warnings.showwarning):
                if isinstance(hook, _Hook):
                    hook.let_go(self)

    @staticmethod
    def here(name: str) -> "Gathering | None":
        """Return the innermost gathering of this thread or task that keeps *name*."""
        found = _innermost.get()
        me = owner() if found is not None else None
        while found is not None:
            # A task begins with the variables of the code that made it, and is another one.
            if found.owner != me:
                return None
            keeps = found.warned is not None if name == "warnings" else name in found.kept
            if keeps and not found.ended:
                return found
            found = found.outer
        return None


_innermost: Final[ContextVar[Gathering | None]] = ContextVar("auditfold_gathering", default=None)


class _Places:
    """Who may change what stands in the process's places: one thread at a time."""

    lock = threading.RLock()


def _renew() -> None:
    _Places.lock = threading.RLock()


os.register_at_fork(after_in_child=_renew)


class _Stream:
    """Stands for stdout or stderr: to the block that keeps it, else to what was there before."""

    def __init__(self, name: str, before: Any) -> None:
        self._name = name
        self.before = before
        self.users: set[Gathering] = set()

    def let_go(self, user: Gathering) -> None:
        """Give the place back when *user* was the last."""
        self.users = {one for one in self.users if one is not user and not one.ended}
        if not self.users and getattr(sys, self._name) is self:
            setattr(sys, self._name, self.before)

    def write(self, text: str) -> int:
        gathering = Gathering.here(self._name)
        if gathering is None:
            return 0 if self.before is None else int(self.before.write(text) or 0)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        gathering.kept[self._name].write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if self.before is not None:
            self.before.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.before, name)


class _Hook:
    """Stands for `warnings.showwarning`."""

    def __init__(self, before: Any) -> None:
        self.before = before
        self.users: set[Gathering] = set()

    def let_go(self, user: Gathering) -> None:
        """Give the place back when *user* was the last."""
        self.users = {one for one in self.users if one is not user and not one.ended}
        if not self.users and warnings.showwarning is self:
            _show_by(self.before)

    def __call__(  # noqa: PLR0917 - as `warnings` calls it
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        gathering = Gathering.here("warnings")
        warned = None if gathering is None else gathering.warned
        own = issubclass(category, ExceptionRecordedWarning)
        if warned is not None and len(warned) < MOST_WARNINGS and not own:
            warned.append(f"{category.__name__}: {message}"[:LARGEST])
        self.before(message, category, filename, lineno, file, line)


def _stream(name: str) -> _Stream:
    stream = getattr(sys, name)
    if not isinstance(stream, _Stream):
        stream = _Stream(name, stream)
        setattr(sys, name, stream)
    return stream


def _hook() -> _Hook:
    shown: Any = warnings.showwarning
    hook = shown if isinstance(shown, _Hook) else _Hook(shown)
    if hook is not shown:
        _show_by(hook)
    return hook


def _show_by(show: Any) -> None:
    warnings.showwarning = show
