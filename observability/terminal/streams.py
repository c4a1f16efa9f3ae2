"""What is printed while bars are drawn: past the bars on the screen, as clean lines to a log.

`LineStream` clears the bars of its screen, writes whole lines, and draws the bars again, as
`tqdm.write` does.  Which bars there are knows `observability.terminal.screen`, what stays of
escapes `observability.terminal.text`.
"""

import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, TextIO

from observability.terminal.screen import (
    bars_on,
    begin_line,
    drawing,
    end_line,
    flush_safely,
    has_bars,
    is_refusal,
    is_terminal,
    is_tqdm,
    open_line,
)
from observability.terminal.text import LineCleaner

_MOST_CLEANERS: Final = 64  # threads that may have an open line before those that ended are sought
_BARS: Final = 0  # the key of bars among threads; no thread has it
# Who has written: somebody, a bar that draws, a bar that goes up or down to its place.
Origin = Literal["print", "bar", "step"]
_STREAMS: Final["weakref.WeakSet[LineStream]"] = weakref.WeakSet()


class LineStream:
    """A text stream before another one, past the bars that are drawn on the same screen.

    Where no bar is drawn text goes on as it comes.  Where one is, an unfinished line waits for
    its end or for `flush`, as terminals are line-buffered.  What tqdm writes goes on as it is.

    Args:
        target: Returns the stream before which this one stands now, or None.
        put: Writes to it.
        log: Takes clean lines, or None.

    Threads have a line each, so that two that print do not share one.
    """

    def __init__(
        self,
        target: Callable[[], Any],
        *,
        put: Callable[[TextIO, str], None],
        log: Callable[[list[str]], None] | None = None,
    ) -> None:
        self.target = target
        self._put = put
        self._log = log
        self._cleaners: dict[int, LineCleaner] = {}
        self._held: dict[int, str] = {}
        self._logging: set[int] = set()
        self._lock = threading.RLock()
        _STREAMS.add(self)

    @property
    def has_log(self) -> bool:
        """Whether lines go to a log."""
        return self._log is not None

    @property
    def encoding(self) -> str:
        """The terminal's encoding, which decides how a bar is drawn."""
        return getattr(self.target(), "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Return whether this is a terminal."""
        return is_terminal(self.target())

    def fileno(self) -> int:
        """Return the descriptor, for the width of the terminal.

        Raises:
            OSError: There is none.
        """
        target = self.target()
        if target is None:
            raise OSError("there is no stream, so it has no descriptor")
        return int(target.fileno())

    def writable(self) -> bool:
        """Return True: the log is written where the stream is not."""
        return True

    def write(self, text: str) -> int:
        """Write *text*, and each line that it ends to the log.

        Raises:
            TypeError: It is no text.
        """
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self.send(text, origin=_caller())
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of *lines*, to which nothing is added."""
        for line in lines:
            self.write(line)

    def send(self, text: str, *, origin: Origin) -> None:
        """Write *text* that came from there."""
        target = self.target()
        try:
            if isinstance(target, LineStream):
                target.send(text, origin=origin)
            elif target is not None and origin != "print":
                # Never on a line that somebody has begun.
                self._put(target, self._behind(target, None) + text)
            elif target is not None:
                self._show(target, self._unheld() + text)
        finally:
            if self._log is not None:
                # On its way to its place a bar goes down the lines of others and ends none.
                seen = text.replace("\n", "\x1b[B") if origin == "step" else text
                ended = self._take(seen, threading.get_ident() if origin == "print" else _BARS)
                if ended and origin == "bar" and target is not None:
                    # A bar that ends takes the place of the observer's, which goes a line down.
                    _each((bar for bar in bars_on(target) if not _is_logged(bar)), "refresh")

    def flush(self) -> None:
        """Show what there is of a line, and flush the stream before which this one stands."""
        held = self._unheld() if _caller() == "print" else ""
        target = self.target()
        if target is None:
            return
        if held:
            self._past_bars(target, held)
        self.flush_target(target)

    def flush_target(self, target: TextIO) -> None:
        """Flush *target* as far as it can be."""
        flush_safely(target)

    def finish(self) -> None:
        """Show lines that have no end yet, and write them to the log."""
        with self._lock:
            held, self._held = "".join(self._held.values()), {}
            cleaners, self._cleaners = self._cleaners, {}
            for cleaner in cleaners.values():
                self._to_log(cleaner.finish())
        target = self.target()
        if held and target is not None:
            self._past_bars(target, held)

    def forget(self) -> None:
        """Forget, in a fork, lines that have no end: the parent will end them."""
        self._cleaners, self._held, self._logging = {}, {}, set()
        self._lock = threading.RLock()

    # --- The log

    def _take(self, text: str, key: int) -> bool:
        """Write the lines that *text* ends to the log, and return whether there are any."""
        me = threading.get_ident()
        with self._lock:
            if me in self._logging:
                return False  # a print in what is asked about a line, as a rule of redaction
            cleaner = self._cleaners.get(key)
            if cleaner is None:
                self._forget_threads()
                cleaner = self._cleaners[key] = LineCleaner()
            self._logging.add(me)
            try:
                lines = cleaner.feed(text)
                self._to_log(lines)
            finally:
                self._logging.discard(me)
        return bool(lines)

    def _to_log(self, lines: list[str]) -> None:
        if lines and self._log is not None:
            self._log(lines)

    def _forget_threads(self) -> None:
        """End the lines of threads that have ended, once there are many."""
        if len(self._cleaners) < _MOST_CLEANERS:
            return
        alive = {thread.ident for thread in threading.enumerate()}
        for key in [key for key in self._cleaners if key != _BARS and key not in alive]:
            self._to_log(self._cleaners.pop(key).finish())

    # --- The screen

    def _unheld(self) -> str:
        return self._held.pop(threading.get_ident(), "")

    def _show(self, target: TextIO, text: str) -> None:
        if has_bars():
            with drawing() as may_draw:
                bars = bars_on(target) if may_draw else []
                if bars and not getattr(target, "write_through", False):
                    text, unfinished = _cut(text)
                    if unfinished:
                        self._held[threading.get_ident()] = unfinished
                if text:
                    self._past_bars(target, text)
        elif text:
            self._put(target, self._behind(target, self) + text)
            self._note(target, text)

    def _past_bars(self, target: TextIO, text: str) -> None:
        """Clear the bars, write *text*, and draw them again behind a whole line."""
        with drawing() as may_draw:
            bars = bars_on(target) if may_draw else []
            if open_line(target) is None:
                _each(bars, "clear")
            try:
                self._put(target, self._behind(target, self) + text)
                if bars:
                    self.flush_target(target)
            finally:
                self._note(target, text)
                if open_line(target) is None:
                    _each(bars, "refresh")

    def _behind(self, target: TextIO, writer: object) -> str:
        """Return the end of a line that somebody else than *writer* has begun on the screen."""
        line = open_line(target)
        if line is None or line.writer is writer:
            return ""
        end_line()
        return "\n"

    def _note(self, target: TextIO, text: str) -> None:
        """Note whether *text* has left a line on the screen without its end."""
        if not text.endswith("\n"):
            if is_terminal(target):
                begin_line(self, target)
        elif open_line(target) is not None:
            end_line()


def _cut(text: str) -> tuple[str, str]:
    """Return the whole lines of *text*, and what stands behind them."""
    at = text.rfind("\n") + 1
    return text[:at], text[at:]


def _each(bars: Iterable[Any], method: str) -> None:
    for bar in bars:
        try:
            getattr(bar, method)(nolock=True)
        except Exception as error:
            # A bar whose own stream is closed; tqdm keeps it.
            if not is_refusal(error, bar.fp):
                raise


def _is_logged(bar: Any) -> bool:
    """Return whether a redraw of *bar* may end a line of a log, as those of the program may."""
    stream = getattr(bar.fp, "_wrapped", bar.fp)
    return not isinstance(stream, LineStream) or stream.has_log


def _caller() -> Origin:
    """Return who called the method that asks: tqdm draws bars piece by piece, in several writes."""
    frame = sys._getframe(2)  # noqa: SLF001
    if not is_tqdm(frame.f_globals):
        return "print"
    outer = frame.f_back  # tqdm wraps the writes of its streams
    codes = {frame.f_code.co_name, "" if outer is None else outer.f_code.co_name}
    return "step" if "moveto" in codes else "bar"


def _in_child() -> None:
    for stream in list(_STREAMS):
        stream.forget()


os.register_at_fork(after_in_child=_in_child)
