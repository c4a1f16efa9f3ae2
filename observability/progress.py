"""Progress: a bar on the terminal, and whole lines without escapes in the log.

tqdm is loaded when a bar is drawn or its state is due in the log, not before.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from observability.log import AuditLog
from observability.terminal_text import LineCleaner, plain_text

if TYPE_CHECKING:
    from tqdm import tqdm

# `node` is ours: tqdm puts a comma before its own `postfix`, also where nothing precedes it.
BAR_FORMAT: Final = "{desc} |{bar}| [{n_fmt}/{total_fmt}] {node}"
WIDTH: Final = 100  # columns, at most
_LOG_SHARE: Final = 0.1
_LOG_SECONDS: Final = 30.0


class TqdmFileWrapper:
    """A text stream for progress bars: raw to the terminal, clean whole lines to two logs.

    Args:
        log_file_path: A log, or None.
        audit_log_file_path: Another one, or None.

    A missing, closed or broken stderr is no error.
    """

    def __init__(
        self,
        log_file_path: str | os.PathLike[str] | None,
        audit_log_file_path: str | os.PathLike[str] | None,
    ) -> None:
        paths = (log_file_path, audit_log_file_path)
        self._paths = [Path(path) for path in paths if path is not None]
        self._logs: list[AuditLog] = []
        self._cleaner = LineCleaner()

    @property
    def encoding(self) -> str:
        """The terminal's encoding, which decides how a bar is drawn."""
        return getattr(sys.stderr, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Return whether stderr is a terminal."""
        return is_terminal(sys.stderr)

    def fileno(self) -> int:
        """Return the descriptor of stderr, for the width of the terminal.

        Raises:
            OSError: There is none.
        """
        if sys.stderr is None:
            raise OSError("there is no stderr")
        return sys.stderr.fileno()

    def write(self, text: str) -> int:
        """Write *text* to stderr as it is, and each line that it ends to the logs."""
        _to_stream(sys.stderr, text)
        self._log(self._cleaner.feed(text))
        return len(text)

    def flush(self) -> None:
        """Flush stderr."""
        _to_stream(sys.stderr, "")

    def close(self) -> None:
        """Write what stands in an unfinished line to the logs, and close them."""
        self._log(self._cleaner.finish())
        for log in self._logs:
            log.close()
        self._logs = []

    def _log(self, lines: list[str]) -> None:
        if not lines:
            return
        if not self._logs:
            self._logs = [AuditLog(path) for path in self._paths]
        for log in self._logs:
            log.write(lines)


def is_terminal(stream: TextIO | None) -> bool:
    """Return what the stream says of itself; a closed or odd one is none."""
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError, OSError):
        return False


def _to_stream(stream: TextIO | None, text: str) -> None:
    """Write to a *stream* that may be missing, closed, or a broken pipe."""
    try:
        if stream is not None:
            stream.write(text)
            stream.flush()
    except UnicodeEncodeError:
        _to_stream(stream, text.encode("ascii", "backslashreplace").decode())
    except (OSError, ValueError, AttributeError):
        return


class Bar:
    """How many of the nodes are done: drawn with tqdm, and at times a line for the log.

    Args:
        total: Nodes to come, or None.
        title: What stands before the bar.
        log: Takes a line for the log.
        stream: Where to draw, or None not to.

    The log gets a line when another 10 % is done or 30 s have passed, and at the end.
    Cost: 0.3 us a node when nothing is due.
    """

    def __init__(
        self,
        total: int | None,
        title: str,
        *,
        log: Callable[[str], None],
        stream: TqdmFileWrapper | None,
    ) -> None:
        self.n = 0
        self.failed = 0
        self.total = total
        self.drawn: tqdm[Any] | None = None
        self._title = title
        self._log = log
        self._node = ""
        self._share = max(1, int((total or 0) * _LOG_SHARE))
        self._next_n = self._share if total else sys.maxsize
        self._began = time.monotonic()
        self._next_time = self._began + _LOG_SECONDS
        self._said: str | None = None
        if stream is not None:
            self.drawn = _tqdm(total, title, stream, node=lambda: self._node)

    def say(self, text: str) -> None:
        """Show *text* behind the bar at its next redraw."""
        self._node = f"{text} ({self.failed} failed)".lstrip() if self.failed else text

    def move(self, n: int, *, failed: int) -> None:
        """Say that *n* nodes are done in all, and how many of them failed."""
        change, self.n, self.failed = n - self.n, n, failed
        if self.drawn is not None:
            self.drawn.update(change)
        if n >= self._next_n or time.monotonic() >= self._next_time:
            self._say_in_log()

    def leave_terminal(self) -> None:
        """Draw no more: a fork, whose parent's bar is on the terminal."""
        if self.drawn is not None:
            self.drawn.disable = True
            self.drawn = None

    def close(self, text: str) -> None:
        """Draw and log the last state, with *text* behind it; does nothing the second time."""
        self.say(text)
        if self.drawn is not None and not self.drawn.disable:
            self.drawn.refresh()
            self.drawn.close()
        self._say_in_log()

    def _say_in_log(self) -> None:
        self._next_n = self.n - self.n % self._share + self._share if self.total else sys.maxsize
        self._next_time = time.monotonic() + _LOG_SECONDS
        line = plain_text(self._rendered())
        if line != self._said:
            self._said = line
            self._log(line)

    def _rendered(self) -> str:
        from tqdm import tqdm

        return str(
            tqdm.format_meter(
                self.n,
                self.total,  # type: ignore[arg-type]  # None is what tqdm itself passes
                time.monotonic() - self._began,
                ncols=WIDTH,
                prefix=self._title,
                unit="node",
                bar_format=BAR_FORMAT,
                ascii=False,
                node=self._node,  # type: ignore[call-arg] # its stubs leave out **extra_kwargs
            )
        )


def _tqdm(
    total: int | None, title: str, stream: TqdmFileWrapper, *, node: Callable[[], str]
) -> "tqdm[Any]":
    from tqdm import tqdm

    class Quiet(tqdm):  # type: ignore[type-arg]
        """A bar without a thread of its own, which a fork would lose."""

        monitor_interval = 0

        @property
        def format_dict(self) -> dict[str, Any]:
            return {**super().format_dict, "node": node()}

    return Quiet(
        total=total,
        desc=title,
        unit="node",
        ncols=_columns(stream),
        bar_format=BAR_FORMAT,
        file=stream,
        # Not at once: the header comes first.
        delay=1e-3,
    )


def _columns(stream: TqdmFileWrapper) -> int:
    """Return the width of a bar: a redraw of one that is wrapped leaves a line behind."""
    try:
        return min(WIDTH, os.get_terminal_size(stream.fileno()).columns or WIDTH)
    except (OSError, ValueError):
        return WIDTH
