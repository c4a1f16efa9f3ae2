"""Runs `auditfold` as people do: a process of its own, in a folder, perhaps on a terminal."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

AUDITFOLD = (sys.executable, "-m", "observability")
TIMEOUT_S = 60
SIGPIPE_CODE = 141


def environment(**more: str) -> dict[str, str]:
    """Return what a plain shell would hand on, and *more*."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ}
    # The packages of the checkout, wherever the process is started.
    root = str(Path(__file__).resolve().parent.parent.parent)
    return {**kept, "LC_ALL": "C.UTF-8", "PYTHONPATH": root, **more}


def auditfold(
    *arguments: str | Path,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end and keep both streams."""
    return subprocess.run(
        [*AUDITFOLD, *map(str, arguments)],
        cwd=cwd,
        env=environment(**(env or {})),
        input=b"" if stdin is None else stdin,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def on_terminal(
    *arguments: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    columns: int = 10_000,
) -> tuple[bytes, int]:
    """Run a command with both streams on a terminal; return what it shows, and its exit code."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    with subprocess.Popen(
        [*AUDITFOLD, *map(str, arguments)],
        cwd=cwd,
        env=environment(**{"TERM": "xterm", **(env or {})}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                data = os.read(ours, 1 << 16)
            except OSError:  # EIO: nobody has the other end any more
                break
            if not data:
                break
            shown += data
        os.close(ours)
        return shown.replace(b"\r\n", b"\n"), process.wait(TIMEOUT_S)


class Running:
    """A command that goes on until it is told to stop."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.stdout = b""
        self.stderr = b""
        assert process.stdout is not None
        assert process.stderr is not None
        self._open = {process.stdout.fileno(): "stdout", process.stderr.fileno(): "stderr"}

    def read(self, seconds: float) -> Self:
        """Take in what it writes within so many *seconds*."""
        until = time.monotonic() + seconds
        while self._open:
            left = max(0.0, until - time.monotonic())
            ready, _, _ = select.select(list(self._open), [], [], left)
            if not ready:
                break
            for descriptor in ready:
                data = os.read(descriptor, 1 << 16)
                name = self._open[descriptor]
                setattr(self, name, getattr(self, name) + data)
                if not data:
                    del self._open[descriptor]
        return self

    def until(self, *, stdout: bytes = b"", stderr: bytes = b"") -> Self:
        """Wait until it has written these bytes."""
        limit = time.monotonic() + TIMEOUT_S
        while stdout not in self.stdout or stderr not in self.stderr:
            assert time.monotonic() < limit, (self.stdout, self.stderr)
            assert self._open, (self.stdout, self.stderr)
            self.read(0.01)
        return self

    def interrupt(self) -> int:
        """Press Ctrl-C; return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; return the exit code."""
        self.read(TIMEOUT_S)
        return self.process.wait(TIMEOUT_S)


@contextmanager
def running(
    *arguments: str | Path, cwd: Path | None = None, stdin: int | None = subprocess.DEVNULL
) -> Iterator[Running]:
    """Start a command; end it at the latest when the block is left."""
    with subprocess.Popen(
        [*AUDITFOLD, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()
