"""The terminal that stdout, stderr and bars share: which bars are on it, who has begun a line.

tqdm is looked at where the program has loaded it, and never loaded here.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from io import UnsupportedOperation
from typing import Any, NamedTuple, TextIO


class _Screen:
    """What is known of the one terminal of a process.

    Attributes:
        open_line: The stream that has shown a part of a line and by what it did so, or None.
            Bars wait until the line has its end.
        patience: Seconds to wait for a thread that draws; none in a fork, where it is not.
    """

    open_line: "OpenLine | None" = None
    patience = 1.0


class OpenLine(NamedTuple):
    """A line that somebody has begun and not ended."""

    writer: object
    stream: TextIO


def begin_line(writer: object, stream: TextIO) -> None:
    """Say that *writer* has begun a line on the screen of *stream*."""
    _Screen.open_line = OpenLine(writer, stream)


def end_line() -> None:
    """Say that no line is open."""
    _Screen.open_line = None


def open_line(stream: TextIO | None) -> OpenLine | None:
    """Return the open line on the screen of *stream*."""
    found = _Screen.open_line
    if found is None or stream is None or not is_same_screen(found.stream, stream):
        return None
    return found


def is_terminal(stream: TextIO | None) -> bool:
    """Return what the stream says of itself; a closed or odd one is none."""
    isatty = getattr(stream, "isatty", None)
    if isatty is None:
        return False
    try:
        return bool(isatty())
    except Exception as error:
        if not is_refusal(error, stream):
            raise
        return False


def is_same_screen(one: TextIO | None, other: TextIO) -> bool:
    """Return whether both are one stream, or terminals: a process has one."""
    return one is other or (is_terminal(one) and is_terminal(other))


def put(stream: TextIO, text: str) -> None:
    """Write *text*.

    Raises:
        OSError: It cannot be written.
        ValueError: The stream is closed.
    """
    stream.write(text)


def put_safely(stream: TextIO, text: str) -> None:
    """Write *text* to a stream that may be closed, odd, or a broken pipe."""
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = getattr(stream, "encoding", None) or "ascii"
        put_safely(stream, text.encode(encoding, "backslashreplace").decode(encoding))
    except Exception as error:
        if not is_refusal(error, stream):
            raise


def flush_safely(stream: TextIO) -> None:
    """Flush a stream that may be closed, odd, or a broken pipe."""
    try:
        stream.flush()
    except Exception as error:
        if not is_refusal(error, stream):
            raise


def is_refusal(error: Exception, stream: TextIO | None) -> bool:
    """Return whether *stream* raised *error*, and not a signal handler of the program meanwhile.

    A timeout that a handler raises must reach the program, also out of the middle of a write.
    """
    if isinstance(error, UnsupportedOperation):
        return True
    if isinstance(error, OSError):
        return error.errno is not None
    if isinstance(error, ValueError):
        return any(word in str(error) for word in ("closed", "detached"))
    if isinstance(error, RuntimeError):
        return "reentrant" in str(error)  # in a signal handler, of a buffered stream
    return isinstance(error, AttributeError) and not _is_whole(stream)


def _is_whole(stream: TextIO | None) -> bool:
    return hasattr(stream, "write") and hasattr(stream, "flush")


# --- tqdm, where the program has loaded it


def is_tqdm(frame_globals: dict[str, Any]) -> bool:
    """Return whether these are the globals of tqdm, which draws bars piece by piece."""
    name = frame_globals.get("__name__", "")
    return isinstance(name, str) and (name == "tqdm" or name.startswith("tqdm."))


def has_bars() -> bool:
    """Return whether there is any bar at all."""
    return bool(getattr(_tqdm(), "_instances", None))


def bars_on(stream: TextIO) -> list[Any]:
    """Return the bars on the screen of *stream*; the caller holds the lock of `drawing`."""
    return [
        bar
        for bar in list(getattr(_tqdm(), "_instances", ()))
        if not getattr(bar, "disable", True)
        and not getattr(bar, "gui", False)
        and hasattr(bar, "start_t")
        and is_same_screen(_last(bar.fp), stream)
    ]


def other_bars(one: object) -> list[Any]:
    """Return the bars beside *one*, on any screen; the caller holds the lock of `drawing`."""
    bars = list(getattr(_tqdm(), "_instances", ()))
    return [bar for bar in bars if bar is not one and not getattr(bar, "disable", True)]


@contextlib.contextmanager
def drawing() -> Iterator[bool]:
    """Keep other threads from drawing; yields False where one does not stop in time."""
    lock = drawing_lock()
    got = lock is not None and bool(lock.acquire(timeout=_Screen.patience))
    try:
        yield got
    finally:
        if got:
            lock.release()


def drawing_lock() -> Any:
    """Return the lock of this process that tqdm holds while it draws, or None without tqdm.

    Its other lock, which forks share, is left alone: a killed child may hold it for ever.
    """
    tqdm = _tqdm()
    if tqdm is None:
        return None
    lock = tqdm.get_lock()
    return getattr(lock, "th_lock", lock)


def _tqdm() -> Any:
    return getattr(sys.modules.get("tqdm.std"), "tqdm", None)


def _last(stream: Any) -> Any:
    """Return what a bar's stream writes to in the end."""
    stream = getattr(stream, "_wrapped", stream)
    while hasattr(stream, "target"):
        stream = stream.target()
    return stream


def _in_child() -> None:
    _Screen.open_line = None
    _Screen.patience = 0.0


os.register_at_fork(after_in_child=_in_child)
