"""What git says of the work tree that a program runs in, asked so that it cannot hold a run up.

Git is started in the background and given a fifth of a second in all; what it has not said by
then is unknown.  It is asked to take no lock and to run no hook, monitor, pager or prompt, in a
session of its own, so it has no terminal, and all of it is killed and waited for at the end.
What the answer is for: `observability.environment.capture`.
"""

import contextlib
import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

# 0.2 s in all: for an answer, and for what is killed to be gone.
ANSWER_S: Final = 0.15
_END_S: Final = 0.04
_MOST_BYTES: Final = 1 << 16  # one changed file is enough to know; git lists them all
_MOST_LEVELS: Final = 64  # folders above the first one

_QUIET: Final = (
    "--no-optional-locks",
    "--no-pager",
    "-c",
    "core.fsmonitor=false",
    "-c",
    f"core.hooksPath={os.devnull}",
    "-c",
    "protocol.allow=never",
)
_STATUS: Final = (
    "status",
    "--porcelain=v2",
    "--branch",
    "--no-ahead-behind",
    "--no-renames",
    "--untracked-files=no",
    "--ignore-submodules=dirty",
)
# In a work tree so large that its status takes too long this still has an answer.
_HEAD: Final = ("rev-parse", "HEAD", "--abbrev-ref", "HEAD")

_COMMIT: Final = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_ENTRY: Final = re.compile(rb"[12u] ")
_NO_PROMPT: Final = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "LC_ALL": "C",
}


def work_tree(folder: str) -> str | None:
    """Return the folder that has `.git`: *folder*, or the nearest one above it; or None."""
    for _ in range(_MOST_LEVELS):
        if os.path.lexists(os.path.join(folder, ".git")):
            return folder
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above
    return None


class GitQuestion:
    """Git at work in the background, from its start until `answer` or the end of the `with`.

    Args:
        folder: Where it is asked; a folder in a work tree.
        environ: The environment that it gets.

    Cost: 1 ms to begin.  An answer takes some 4 ms from then, `ANSWER_S` at most; a git that is
    missing or cannot be started has none.
    """

    def __init__(self, folder: str, *, environ: Mapping[str, str] = os.environ) -> None:
        self._until = time.monotonic() + ANSWER_S
        self._asked: list[_Asked] = []
        quiet = {**environ, **_NO_PROMPT}
        try:
            for words in (_STATUS, _HEAD):
                self._asked.append(_Asked([*_QUIET, *words], folder, quiet))
        except (OSError, ValueError, subprocess.SubprocessError):
            # Not there, not allowed, no process or descriptor to be had, a NUL in a name.
            self.close()
            self._asked = []
        except BaseException:  # of a signal handler
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def answer(self) -> dict[str, Any] | None:
        """Return `commit`, `branch` and `dirty`, each None where unknown; None if all are.

        Waits until git has answered, or its time is over; then nothing of it is left.
        """
        try:
            self._read()
        finally:
            self.close()
        if not self._asked:
            return None
        status, head = (asked.said() for asked in self._asked)
        found = _from_status(*status)
        if found["commit"] is None and found["branch"] is None:
            found = _from_head(*head)
        return found if any(value is not None for value in found.values()) else None

    def close(self) -> None:
        """End what still runs, and wait for it."""
        for asked in self._asked:
            asked.end()

    def _read(self) -> None:
        waiting = {asked.fd: asked for asked in self._asked}
        poll = select.poll()
        for fd in waiting:
            poll.register(fd, select.POLLIN)
        while waiting:
            # Once in any case: it may have answered while the program did something else.
            left_ms = max(0, round((self._until - time.monotonic()) * 1000))
            ready = poll.poll(left_ms)
            if not ready:
                return
            for fd, _ in ready:
                if not waiting[fd].read():
                    poll.unregister(fd)
                    del waiting[fd]


class _Asked:
    """One git, and what it has said so far."""

    def __init__(self, words: list[str], folder: str, environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["git", *words],  # noqa: S607 - the one that the user would call
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        self._stream = self._process.stdout
        self.fd = self._stream.fileno()
        self._text = b""
        self._whole = False

    def read(self) -> bool:
        """Take in what is there; return whether more is wanted."""
        chunk = os.read(self.fd, _MOST_BYTES)
        self._text += chunk
        self._whole = not chunk
        return bool(chunk) and len(self._text) < _MOST_BYTES

    def end(self) -> None:
        """Wait for the process, which is killed first if it has more to do."""
        if self._stream.closed:
            return
        try:
            if self._whole:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_END_S / 4)
        finally:
            if self._process.returncode is None:
                self._kill()
            self._stream.close()

    def _kill(self) -> None:
        # Not waited for, so the number is still that of its session and of nothing else: what it
        # has started ends as well, even when it has ended itself.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        try:
            self._process.wait(_END_S / 4)
        except subprocess.TimeoutExpired:
            _wait_later(self._process)

    def said(self) -> tuple[list[bytes], bool]:
        """Return its whole lines, and whether there are no more and it ended well."""
        lines = self._text.split(b"\n")[:-1]
        return lines, self._whole and self._process.returncode == 0


def _wait_later(process: "subprocess.Popen[bytes]") -> None:
    """Wait for what was killed and is not gone, on a busy machine or a disk that hangs."""
    waiting = threading.Thread(target=process.wait, name="auditfold git", daemon=True)
    # Without a thread to be had it is waited for when the next child is made.
    with contextlib.suppress(RuntimeError):
        waiting.start()


def _from_status(lines: list[bytes], done: bool) -> dict[str, Any]:  # noqa: FBT001
    """Return what `git status --porcelain=v2 --branch` says.

    Source: git-status(1), "Porcelain Format Version 2".
    """
    heads = dict(_heads(lines))
    oid = heads.get(b"branch.oid", b"")
    if oid != b"(initial)" and not _COMMIT.fullmatch(oid):
        return _state(None, None, None)
    entries = [line for line in lines if not line.startswith(b"# ")]
    dirty: bool | None = None
    if entries and _ENTRY.match(entries[0]):
        dirty = True
    elif done and not entries:
        dirty = False
    return _state(oid, heads.get(b"branch.head"), dirty)


def _heads(lines: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for line in lines:
        if line.startswith(b"# "):
            name, _, value = line[2:].partition(b" ")
            yield name, value


def _from_head(lines: list[bytes], done: bool) -> dict[str, Any]:  # noqa: FBT001
    """Return what `git rev-parse HEAD --abbrev-ref HEAD` says: a commit and a name."""
    commit, branch = lines if len(lines) == 2 else (b"", b"")  # noqa: PLR2004 - as asked
    if not done or not _COMMIT.fullmatch(commit):
        return _state(None, None, None)
    return _state(commit, None if branch == b"HEAD" else branch, None)


def _state(commit: bytes | None, branch: bytes | None, dirty: bool | None) -> dict[str, Any]:  # noqa: FBT001
    there = branch is not None and branch not in {b"", b"(detached)"}
    return {
        "commit": commit.decode() if commit and _COMMIT.fullmatch(commit) else None,
        "branch": branch.decode("utf-8", "backslashreplace") if branch and there else None,
        "dirty": dirty,
    }
