"""Bars and prints of a program on their way to stderr or stdout, and as lines in the log.

`TqdmFileWrapper` stands before whatever stderr is at that moment; `Capture` puts such streams
in the place of stdout and stderr for a while.
"""

import contextlib
import io
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TextIO, cast

from observability.log import AuditLog
from observability.redaction.redact import Redact, Redactor
from observability.terminal.screen import put, put_safely
from observability.terminal.streams import LineStream

_NOTHING: Final = io.StringIO()  # answers for a missing stream


class TqdmFileWrapper(LineStream):
    """A text stream for bars and prints: as it comes to stderr, clean whole lines to two logs.

    Stderr is looked up at each write; that it is missing, closed or a broken pipe is no error.
    A line that looks like one of the log's own gets `| ` before it; secrets are redacted.

    Args:
        log_file_path: A log, or None.
        audit_log_file_path: Another one, or None.
        redact: As for the observer.

    Raises:
        ValueError: A rule of *redact* cannot be used.
        TypeError: *redact* is no rule.

    Cost: 10 us a line, beside what stderr costs; past a bar two redraws more.
    """

    def __init__(
        self,
        log_file_path: str | os.PathLike[str] | None,
        audit_log_file_path: str | os.PathLike[str] | None,
        *,
        redact: Redact = None,
    ) -> None:
        paths = (log_file_path, audit_log_file_path)
        self._paths = [Path(os.path.abspath(path)) for path in paths if path is not None]
        self._logs: list[AuditLog] = []
        self._lent = False
        self._clean = str if redact is False else _redacting(Redactor(redact))
        super().__init__(stderr, put=put_safely, log=self.write_log if self._paths else None)

    @classmethod
    def before(cls, log: AuditLog, clean: Callable[[str], str]) -> Self:
        """Return a wrapper for a *log* that somebody else closes; each line is made *clean*."""
        made = cls(None, log.path, redact=False)
        made._logs, made._lent, made._clean = [log], True, clean
        return made

    @property
    def error(self) -> OSError | None:
        """The first failure of a log, or None."""
        return next((log.error for log in self._logs if log.error is not None), None)

    def close(self) -> None:
        """Write what stands in an unfinished line to the logs, and close them."""
        self.finish()
        if not self._lent:
            for log in self._logs:
                log.close()
            self._logs = []

    def write_log(self, lines: list[str]) -> None:
        """Append *lines*, which are clean, to the logs."""
        if not self._logs:
            self._logs = [AuditLog(path) for path in self._paths]
        safe = [_marked(self._without_secrets(line)) for line in lines]
        for log in self._logs:
            log.write(safe)

    def _without_secrets(self, line: str) -> str:
        try:
            return self._clean(line)
        except Exception as error:  # noqa: BLE001 - anybody's rule; a print must not fail by it
            return f"(a line that could not be redacted: {type(error).__name__})"


class Capture(contextlib.ContextDecorator):
    """Sends what the program prints, and bars that it makes, through a wrapper for a while.

    It may be entered again while it is entered, also by other threads; the streams return
    when the last block is left.  A stream that the program has put in their place stays.

    Args:
        wrapper: Has the logs.
    """

    def __init__(self, wrapper: TqdmFileWrapper) -> None:
        self._wrapper = wrapper
        self._lock = threading.RLock()
        self._depth = 0
        self._captured: dict[str, _CapturedStream] = {}

    def __enter__(self) -> TqdmFileWrapper:
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._captured = {
                    "stdout": _CapturedStdout(sys.stdout, put, self._wrapper),
                    "stderr": _CapturedStream(sys.stderr, put_safely, self._wrapper),
                }
                for name, stream in self._captured.items():
                    setattr(sys, name, stream)
        return self._wrapper

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock, contextlib.ExitStack() as left:
            self._depth -= 1
            if self._depth:
                return
            for name, stream in self._captured.items():
                if getattr(sys, name) is stream:
                    setattr(sys, name, _still_captured(stream.replaced))
                left.callback(stream.release)
            self._captured = {}


class _CapturedStream(LineStream):
    """Stands for stdout or stderr; what is not about writing is asked of the replaced stream."""

    def __init__(
        self,
        replaced: TextIO | None,
        write: Callable[[TextIO, str], None],
        wrapper: TqdmFileWrapper,
    ) -> None:
        self.replaced = replaced
        self.active = True
        super().__init__(lambda: replaced, put=write, log=wrapper.write_log)

    def __getattr__(self, name: str) -> Any:
        return getattr(_NOTHING if self.replaced is None else self.replaced, name)

    def release(self) -> None:
        """Become nothing but a way to the replaced stream, for whoever has kept this one."""
        try:
            self.finish()
        finally:
            self._log, self.active = None, False


class _CapturedStdout(_CapturedStream):
    """A broken stdout is an error of the program's own prints, as it was before."""

    def flush_target(self, target: TextIO) -> None:
        target.flush()


def beneath(stream: TextIO | None) -> TextIO | None:
    """Return the stream that was there before all captures."""
    found: Any = stream
    while isinstance(found, _CapturedStream):
        found = found.replaced
    return cast("TextIO | None", found)


def stderr() -> TextIO | None:
    """Return what stderr is now, beneath all captures."""
    stream: Any = beneath(sys.stderr)
    # A program may have put a wrapper there.
    return sys.__stderr__ if isinstance(stream, LineStream) else stream


def stdout() -> TextIO | None:
    """Return what stdout is now, beneath all captures."""
    return beneath(sys.stdout)


def _still_captured(stream: TextIO | None) -> TextIO | None:
    """Return the stream to restore: not one of a capture that has ended in the meantime."""
    found: Any = stream
    while isinstance(found, _CapturedStream) and not found.active:
        found = found.replaced
    return cast("TextIO | None", found)


def _redacting(redactor: Redactor) -> Callable[[str], str]:
    return lambda line: redactor.text("text", line)


def _marked(line: str) -> str:
    """Return *line* so that it is not taken for an event's."""
    return f"| {line}" if line[:1] == "[" and line[1:5].isdecimal() else line
