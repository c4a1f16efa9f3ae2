"""Progress: how many nodes are done, as a bar on the terminal and as lines in the log.

tqdm is loaded when a bar is drawn or its state is due in the log, not before.
"""

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from observability.terminal.capture import stderr
from observability.terminal.screen import (
    drawing_lock,
    is_terminal,
    open_line,
    other_bars,
    put_safely,
)
from observability.terminal.streams import LineStream
from replay.show.line import harmless

if TYPE_CHECKING:
    from typing import TextIO

    from tqdm import tqdm

BAR_FORMAT: Final = "{desc} |{bar}| [{n_fmt}/{total_fmt}] {postfix}"
WIDTH: Final = 100  # columns, at most
_LEAST_BAR: Final = 10  # columns that texts leave to the bar itself, where there are as many
_LOG_SHARE: Final = 0.1
_LOG_SECONDS: Final = 30.0
_DRAW_SECONDS: Final = 0.1
_NEVER: Final = float("inf")

_BARS: Final["weakref.WeakSet[Bar]"] = weakref.WeakSet()


class Bar:
    """How many of the nodes are done: drawn with tqdm, and at times a line for the log.

    Args:
        total: Nodes to come, or None.
        title: What stands before the bar.
        log: Takes a line for the log.
        stream: Where to draw, or None not to.
        clock: Seconds of a clock that is never set.

    The log gets a line when another 10 % is done or 30 s have passed, and at the end.  The
    terminal gets a redraw at most every 0.1 s; when events come faster, a thread draws the last
    state as soon as that time is over.

    Cost: 0.4 us a node when nothing is due (python -m benchmarks.run bar).
    """

    def __init__(
        self,
        total: int | None,
        title: str,
        *,
        log: Callable[[str], None],
        stream: LineStream | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.n = 0
        self.failed = 0
        self.total = total
        self.stale = False  # what is drawn is not what is
        self.drawn: tqdm[Any] | None = None
        self._title = harmless(title)
        self._node = ""
        self._log = log
        self._said: str | None = None
        self._share = max(1, int((total or 0) * _LOG_SHARE))
        self._next_n: float = self._share if total else _NEVER
        self.clock = clock
        self._began = clock()
        self._next_log = self._began + _LOG_SECONDS
        self.next_draw = _NEVER
        self._due = self._next_log
        self.drawer: _Drawer | None = None
        if stream is not None:
            self.drawn = _tqdm(self, stream)
            if not self.drawn.disable:  # as TQDM_DISABLE in the environment asks
                self.next_draw = self._due = self._began
        _BARS.add(self)

    def say(self, node: str) -> None:
        """Show *node*, which begins, behind the bar."""
        self._node = node
        self.stale = True
        if self.clock() >= self._due:
            self._look()

    def move(self, n: int, *, failed: int) -> None:
        """Say that *n* nodes are done in all, and how many of them failed."""
        self.n, self.failed = n, failed
        self.stale = True
        if self.drawn is not None:
            self.drawn.n = n
        if n >= self._next_n or self.clock() >= self._due:
            self._look()

    def _look(self) -> None:
        """Draw and log what is due."""
        now = self.clock()
        if now >= self.next_draw:
            self.draw()
        elif self.next_draw < _NEVER and self.drawer is None:
            self.drawer = _Drawer.begun(self)
        if now >= self._next_log or self.n >= self._next_n:
            self._say_in_log()
        self._plan()

    def _plan(self) -> None:
        """Set when the next event has anything to do; at once if no thread draws what it says."""
        if self.next_draw < _NEVER and self.drawer is None:
            self._due = 0.0
        else:
            self._due = min(self.next_draw, self._next_log)

    def draw(self) -> None:
        """Draw, unless another thread is drawing or somebody has begun a line."""
        self.next_draw = self.clock() + _DRAW_SECONDS
        lock = drawing_lock()
        # Never wait: this thread may hold the journal, and the other one may want it.
        if self.drawn is None or open_line(stderr()) or not lock.acquire(timeout=0):
            return
        try:
            self.stale = False
            self.drawn.refresh(nolock=True)
        finally:
            lock.release()

    def pause(self) -> None:
        """End the thread, if there is one; the next event brings another."""
        drawer = self.drawer
        self.without_drawer()
        if drawer is not None:
            drawer.end()

    def without_drawer(self) -> None:
        """Know that no thread draws what the next event says."""
        self.drawer = None
        self._plan()

    def leave_terminal(self) -> None:
        """Draw no more: a fork, whose parent's bar is on the terminal."""
        self.drawn, self.next_draw = None, _NEVER
        self.without_drawer()

    def close(self) -> None:
        """Draw and log the last state; does nothing the second time."""
        self._node = ""
        self.next_draw = _NEVER
        self.pause()
        if self.drawn is not None:
            self.drawn.close()
        self._say_in_log()

    def _say_in_log(self) -> None:
        self._next_n = self.n - self.n % self._share + self._share if self.total else _NEVER
        self._next_log = self.clock() + _LOG_SECONDS
        line = self._rendered()
        if line != self._said:
            self._said = line
            self._log(line)

    def _rendered(self) -> str:
        from tqdm import tqdm

        fields = {**self.fields(WIDTH), "elapsed": self.clock() - self._began}
        return str(tqdm.format_meter(self.n, ascii=False, **fields)).rstrip()

    def fields(self, columns: int, *, more: str = "", encoding: str = "utf-8") -> dict[str, Any]:
        """Return what `tqdm.format_meter` is to show.

        Args:
            columns: How wide it may be.
            more: What the program itself has put behind the bar.
            encoding: What the texts must fit in.
        """
        said = harmless(self._node)
        failed = f"({self.failed} failed)" if self.failed else ""
        total = "?" if self.total is None else str(self.total)
        room = columns - len(f" || [{self.n}/{total}] ") - _LEAST_BAR
        title, behind = _fitted(
            _encodable(self._title, encoding),
            _encodable(" ".join(filter(None, (failed, said, more))), encoding),
            room,
        )
        return {
            "ncols": columns,
            # More nodes than were announced fill the bar, and are shown as they are.
            "total": self.total and max(self.total, self.n),
            "total_fmt": total,
            "prefix": title,
            # tqdm puts a comma before its own `postfix`, also where nothing precedes it.
            "bar_format": BAR_FORMAT.replace("{postfix}", "{behind}"),
            "behind": behind,
        }


class _Drawer(threading.Thread):
    """Draws a bar's last state when no event comes after it that would draw it."""

    def __init__(self, bar: Bar) -> None:
        super().__init__(name="auditfold-bar", daemon=True)
        self._bar = bar
        self._ended = threading.Event()

    @classmethod
    def begun(cls, bar: Bar) -> "_Drawer | None":
        """Return a thread that runs, or None where none is to be had."""
        drawer = cls(bar)
        try:
            drawer.start()
        except RuntimeError:
            return None
        return drawer

    def run(self) -> None:
        bar = self._bar
        while not self._ended.wait(_DRAW_SECONDS * 1.5):
            if bar.stale:
                if bar.clock() >= bar.next_draw:
                    bar.draw()
                continue
            bar.without_drawer()
            if not self._is_needed():
                return
            bar.drawer = self

    def _is_needed(self) -> bool:
        """Return whether something came while this thread was about to end."""
        return self._bar.stale

    def end(self) -> None:
        """Return when it draws no more."""
        self._ended.set()
        if self is not threading.current_thread():
            self.join(_DRAW_SECONDS * 10)


def bar_stream(*, always: bool) -> LineStream:
    """Return the stream of a bar: what stderr is now, if that is a terminal, or *always*."""

    def target() -> "TextIO | None":
        stream = stderr()
        return stream if always or is_terminal(stream) else None

    return LineStream(target, put=put_safely)


def _tqdm(bar: Bar, stream: LineStream) -> "tqdm[Any]":
    from tqdm import tqdm

    pid = os.getpid()

    class Drawn(tqdm):  # type: ignore[type-arg]
        """The bar of this process: what it shows is computed at each redraw."""

        monitor_interval = 0  # the monitor is a thread that a fork would lose

        @property
        def format_dict(self) -> dict[str, Any]:
            known = super().format_dict
            more, encoding = known["postfix"] or "", stream.encoding
            return {**known, **bar.fields(_columns(stream), more=more, encoding=encoding)}

        def display(self, msg: str | None = None, pos: int | None = None) -> Any:
            if msg is None:
                msg = f"{self}{_erasing(stream, alone=not other_bars(self))}"
            return super().display(msg, pos)

        def close(self) -> None:
            if os.getpid() == pid:
                super().close()

    Drawn.set_lock(drawing_lock())
    drawn = Drawn(
        total=bar.total,
        unit="node",
        ncols=WIDTH,
        bar_format=BAR_FORMAT,
        file=stream,
        delay=1e-9,  # not at once: the header comes first
    )
    drawn.delay = 0  # otherwise one that was drawn by us alone would not be closed
    return drawn


def _columns(stream: LineStream) -> int:
    """Return the width of a bar: a redraw of one that is wrapped leaves a line behind.

    The last column stays free, as tqdm leaves it: bars that take turns in a line cover each other.
    """
    try:
        return min(WIDTH, (os.get_terminal_size(stream.fileno()).columns or WIDTH + 1) - 1)
    except (OSError, ValueError, AttributeError):
        return WIDTH


def _erasing(stream: LineStream, *, alone: bool) -> str:
    """Return what erases what other bars have left: behind this one, and *alone* also below.

    A wider bar leaves its end, one that stood below leaves an earlier redraw (ECMA-48: EL, ED).
    """
    if not stream.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return ""
    return "\x1b[J" if alone else "\x1b[K"


def _encodable(text: str, encoding: str) -> str:
    try:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:
        return text.encode("ascii", "backslashreplace").decode()


def _fitted(title: str, behind: str, room: int) -> tuple[str, str]:
    """Return both texts in at most *room* columns together; the longer one is cut first."""
    from tqdm.utils import disp_len

    width_behind = disp_len(behind)
    title = _clipped(title, max(room // 2, room - width_behind))
    return title, _clipped(behind, room - disp_len(title))


def _clipped(text: str, columns: int) -> str:
    """Return *text* in at most *columns* columns, with `~` for what is left out."""
    from tqdm.utils import disp_len

    if disp_len(text) <= columns:
        return text
    text = text[: max(0, columns - 1)]
    while text and disp_len(text) >= columns:
        text = text[:-1]
    return f"{text}~" if columns > 0 else ""


def _before_fork() -> None:
    for bar in list(_BARS):
        bar.pause()


def _in_child() -> None:
    for bar in list(_BARS):
        bar.leave_terminal()


os.register_at_fork(before=_before_fork, after_in_child=_in_child)
