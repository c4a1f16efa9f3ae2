"""The streams of a command: a pipe or a terminal each, read, passed on and recorded.

Terminals: docs/exec.md.
"""

import errno
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

STDIN, STDOUT, STDERR = 0, 1, 2

CHUNK: Final = 1 << 16
# What a pipe takes without waiting once it takes anything (POSIX: PIPE_BUF is at least 512).
AT_ONCE: Final = 4096 if sys.platform == "linux" else 512

OnOutput = Callable[[bytes], None]


def occupy_streams() -> None:
    """Open `/dev/null` in the place of each standard stream that is closed.

    To be called before any file is opened, which would get the number of a stream, and all that
    is meant for it.
    """
    for fd in (STDIN, STDOUT, STDERR):
        if not _is_open(fd):
            null = os.open(os.devnull, os.O_RDWR)
            if null != fd:
                os.dup2(null, fd)
                os.close(null)


def terminal_streams() -> tuple[int, ...]:
    """Return which of stdout and stderr are terminals."""
    return tuple(fd for fd in (STDOUT, STDERR) if _is_terminal(fd))


@contextmanager
def raw(fd: int) -> Iterator[None]:
    """Let a terminal pass on every key as it is, and restore it in any case."""
    try:
        before = termios.tcgetattr(fd)
    except termios.error:
        yield
        return
    try:
        tty.setraw(fd, termios.TCSADRAIN)
        yield
    finally:
        with suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


class Relay:
    """One stream on its way: read from the command, passed on, and recorded."""

    def __init__(self, stream: int, source: int, on_output: OnOutput) -> None:
        self.stream = stream
        self.source = source
        self.is_open = True
        self.failure: OSError | None = None  # why not all was passed on
        self.pending = memoryview(b"")
        self._on_output = on_output
        self._shown = _is_open(stream)
        # A disk never makes anybody wait for another program.
        self._at_once = AT_ONCE if _may_block(stream) else CHUNK

    def read(self) -> bool:
        """Take in what there is; return False where there is nothing now, or nothing more."""
        try:
            data = os.read(self.source, CHUNK)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal whose other side was closed
                raise
            data = b""
        if not data:
            self.close()
            return False
        self._on_output(data)
        if self._shown:
            self.pending = memoryview(data)
        return True

    def write(self) -> None:
        """Pass on a part of what was read, after the stream was found ready."""
        try:
            done = os.write(self.stream, self.pending[: self._at_once])
        except BlockingIOError:
            return
        except OSError as error:
            self.give_up()
            if error.errno != errno.EPIPE:
                self.failure = error
            if not os.isatty(self.source):
                # The command is to meet the broken pipe as well, or the full disk as one.
                self.close()
            return
        self.pending = self.pending[done:]

    def give_up(self) -> None:
        """Pass nothing on any more."""
        self._shown, self.pending = False, memoryview(b"")

    def close(self) -> None:
        """Read no more."""
        if self.is_open:
            self.is_open = False
            os.close(self.source)

    def hand_over(self) -> None:
        """Let a process of its own pass on what comes yet, as long as it comes."""
        if self._shown and self.is_open:
            os.set_blocking(self.source, True)
            actions = [
                (os.POSIX_SPAWN_DUP2, self.source, STDIN),
                (os.POSIX_SPAWN_DUP2, self.stream, STDOUT),
            ]
            with suppress(OSError):
                os.posix_spawnp("cat", ["cat"], os.environ, file_actions=actions, setsigmask=[])
        self.close()


class Streams:
    """The streams of a command: what it gets, and what is read of it.

    Attributes:
        relays: What is read.
        is_session: It gets a terminal as a session of its own, and this process passes on what
            is typed: where it alone is the job in the foreground of a terminal.
        master: Our side of its terminal, or None.
    """

    def __init__(self, stack: ExitStack, on_output: Mapping[int, OnOutput]) -> None:
        self._theirs: dict[int, int] = {}
        self.relays: list[Relay] = []
        self.master: int | None = None
        self._terminal_name = ""
        on_terminal = terminal_streams()
        self.is_session = STDOUT in on_terminal and _is_alone_in_foreground()
        if on_terminal:
            self._open_terminal(on_terminal, on_output)
        for stream in (STDOUT, STDERR):
            if stream not in on_terminal:
                source, theirs = os.pipe()
                self._theirs[stream] = theirs
                self._add(stream, source, on_output[stream])
        stack.callback(self._close)

    def _open_terminal(
        self, on_terminal: tuple[int, ...], on_output: Mapping[int, OnOutput]
    ) -> None:
        self.master, theirs = os.openpty()
        with suppress(termios.error):
            attributes = termios.tcgetattr(on_terminal[0])
            termios.tcsetattr(theirs, termios.TCSANOW, attributes)
            if not self.is_session:
                # The terminal behind this one does what is to be done.
                tty.setraw(theirs, termios.TCSANOW)
        self._terminal_name = os.ttyname(theirs)
        self._theirs.update(dict.fromkeys(on_terminal, theirs))
        self._add(on_terminal[0], self.master, on_output[on_terminal[0]])
        self.copy_size()

    def _add(self, stream: int, source: int, on_output: OnOutput) -> None:
        os.set_blocking(source, False)
        self.relays.append(Relay(stream, source, on_output))

    def file_actions(self) -> list[tuple[Any, ...]]:
        """Return what gives the command its streams."""
        actions: list[tuple[Any, ...]] = []
        if self.is_session:
            # The first terminal that the leader of a session opens is the one it is governed by.
            actions.append((os.POSIX_SPAWN_OPEN, STDIN, self._terminal_name, os.O_RDWR, 0))
        actions += [(os.POSIX_SPAWN_DUP2, fd, stream) for stream, fd in self._theirs.items()]
        return actions

    def copy_size(self) -> None:
        """Give the command's terminal the size of the one behind it."""
        if self.master is not None:
            with suppress(termios.error, OSError):
                size = termios.tcgetwinsize(terminal_streams()[0])
                termios.tcsetwinsize(self.master, size)

    def close_theirs(self) -> None:
        """Close what only the command is to have."""
        for fd in {*self._theirs.values()}:
            os.close(fd)
        self._theirs = {}

    def leave(self) -> tuple[int, ...]:
        """Let go of streams that others still have, and return which."""
        left = tuple(relay.stream for relay in self.relays if relay.is_open)
        for relay in self.relays:
            relay.hand_over()
        return left

    def _close(self) -> None:
        self.close_theirs()
        for relay in self.relays:
            relay.close()


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _may_block(fd: int) -> bool:
    import stat

    try:
        return not stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return False


def _is_terminal(fd: int) -> bool:
    return _is_open(fd) and os.isatty(fd)


def _is_alone_in_foreground() -> bool:
    """Return whether this process leads the job that a terminal on stdin has in its foreground.

    Under make or in a script it does not: there the terminal serves all processes of the job, and
    its keys must go on to interrupt all of them.
    """
    try:
        group = os.getpgrp()
        return group == os.getpid() and os.tcgetpgrp(STDIN) == group
    except OSError:
        return False
