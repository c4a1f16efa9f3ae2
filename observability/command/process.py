"""Runs a command as if nobody looked on: its streams passed on untouched, its signals handed over.

What is read of its output also goes to whoever records it; how it ended and what it used come
from `wait4`.  Nothing here knows of traces.  Terminals, signals and ends: docs/exec.md.
"""

import errno
import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final, NamedTuple

STDIN, STDOUT, STDERR = 0, 1, 2
NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
BY_SIGNAL: Final = 128

_CHUNK: Final = 1 << 16
# What a pipe takes without waiting once it takes anything (POSIX: PIPE_BUF is at least 512).
_AT_ONCE: Final = 4096 if sys.platform == "linux" else 512
_LOOK_MS: Final = 500  # between two looks whether it has ended, where nothing tells
_PATIENCE_S: Final = 1.0  # with a reader that does not read, when an end is wanted
_GRACE_S: Final = 0.2  # for what others write who still have its output, when it has ended
_HANDED_OVER: Final = frozenset(
    {
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
    }
)
_WAKE: Final = signal.SIGURG  # ends the thread that waits for the others
_BY_TERMINAL: Final = frozenset({signal.SIGINT, signal.SIGQUIT})
_ENDING: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
_KERNEL: Final = 0x80  # si_code of a signal that the terminal sent (Linux)
# What Python ignores and a program expects to have.
_RESTORED: Final = [signal.SIGPIPE, signal.SIGXFSZ]

OnOutput = Callable[[bytes], None]


class NotStartedError(OSError):
    """A command could not be started.

    Attributes:
        exit_code: 127 when there is none of that name, otherwise 126.
    """

    def __init__(self, name: str, error: OSError) -> None:
        super().__init__(error.errno, error.strerror, name)
        self.exit_code = NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE


class Ended(NamedTuple):
    """How a command ended.

    Attributes:
        status: What it returned; None if a signal ended it.
        signal: The name of that signal, `SIGTERM`; None if it returned.
        exit_code: As a shell gives it: the status, or 128 and the signal's number.
        seconds: From its start to its end.
        usage: What it and the processes that it waited for used, as `wait4` has it.
        interrupted: A Ctrl-C or another SIGINT came while it ran.
        left_open: Streams that a process it left behind still has.
        not_shown: Streams on which not all could be passed on, and why: a full disk.
    """

    status: int | None
    signal: str | None
    exit_code: int
    seconds: float
    usage: Any
    interrupted: bool
    left_open: tuple[int, ...]
    not_shown: tuple[tuple[int, OSError], ...] = ()


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


def run(argv: Sequence[str], on_output: Mapping[int, OnOutput], *, env: Mapping[str, str]) -> Ended:
    """Run *argv* to its end.

    A stream that is a terminal is one for the command too, a pseudo-terminal; any other is a
    pipe.  It has the stdin of this process.

    Args:
        argv: The program, found as a shell finds it, and its arguments.
        on_output: By stream, 1 and 2, what is given each piece of output; where both are
            terminals, that of 1 gets both.  All three standard streams must be open.
        env: Its environment.

    Raises:
        NotStartedError: There is no such program, or it cannot be run.
        OSError: The system has no pipe, terminal or process left.
    """
    with ExitStack() as stack:
        streams = _Streams(stack, on_output)
        signals = stack.enter_context(_Signals.taken_over())
        if streams.is_session:
            stack.enter_context(_raw(STDIN))
        began = time.monotonic()
        pid = _spawn(argv, env, streams, signals)
        streams.close_theirs()
        signals.begin(pid, streams)
        status, usage = _Pump(streams, signals, pid).run()
        seconds = time.monotonic() - began
        left_open = streams.leave()
        failures = [(relay.stream, relay.failure) for relay in streams.relays]
    killed_by = signal.Signals(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else None
    code = os.waitstatus_to_exitcode(status)
    return Ended(
        status=None if killed_by else code,
        signal=None if killed_by is None else killed_by.name,
        exit_code=code if killed_by is None else BY_SIGNAL + killed_by,
        seconds=seconds,
        usage=usage,
        interrupted=signals.interrupted,
        left_open=left_open,
        not_shown=tuple((stream, why) for stream, why in failures if why is not None),
    )


# --- Starting


def _spawn(
    argv: Sequence[str], env: Mapping[str, str], streams: "_Streams", signals: "_Signals"
) -> int:
    try:
        return _spawned(argv, env, streams, signals)
    except OSError as error:
        if error.errno == errno.ENOEXEC and (path := _found(argv[0], env)) is not None:
            # A script without `#!`: what a shell, execvp and env do with it.
            return _spawned(["/bin/sh", path, *argv[1:]], env, streams, signals)
        raise NotStartedError(argv[0], error) from error


def _spawned(
    argv: Sequence[str], env: Mapping[str, str], streams: "_Streams", signals: "_Signals"
) -> int:
    # No fork: nothing of this process runs in the child, whatever threads it has.
    return os.posix_spawnp(
        argv[0],
        list(argv),
        env,
        file_actions=streams.file_actions(),
        setsid=streams.is_session,
        setsigmask=signals.mask_before,
        setsigdef=_RESTORED,
    )


def _found(name: str, env: Mapping[str, str]) -> str | None:
    import shutil

    return shutil.which(name, path=env.get("PATH"))


# --- Streams


class _Relay:
    """One stream on its way: read from the command, passed on, and recorded."""

    def __init__(self, stream: int, source: int, on_output: OnOutput) -> None:
        self.stream = stream
        self.source = source
        self.is_open = True
        self.is_whole = False  # its end has come
        self.failure: OSError | None = None  # why not all was passed on
        self.pending = memoryview(b"")
        self._on_output = on_output
        self._shown = _is_open(stream)
        # A disk never makes anybody wait for another program.
        self._at_once = _AT_ONCE if _may_block(stream) else _CHUNK

    def read(self) -> bool:
        """Take in what there is; return False where there is nothing now, or nothing more."""
        try:
            data = os.read(self.source, _CHUNK)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal whose other side was closed
                raise
            data = b""
        if not data:
            self.close()
            self.is_whole = True
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


class _Streams:
    """The streams of a command: what it gets, and what is read of it.

    Attributes:
        relays: What is read.
        is_session: It gets a terminal as a session of its own, and this process passes on what
            is typed: where it alone is the job in the foreground of a terminal.
        master: Our side of its terminal, or None.
    """

    def __init__(self, stack: ExitStack, on_output: Mapping[int, OnOutput]) -> None:
        self._theirs: dict[int, int] = {}
        self.relays: list[_Relay] = []
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
        self.relays.append(_Relay(stream, source, on_output))

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


@contextmanager
def _raw(fd: int) -> Iterator[None]:
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


# --- Signals


class _Signals:
    """Takes the signals of this process, and hands them to the command at once.

    A thread waits for them, so that a reader of our output who does not read delays none.

    Attributes:
        mask_before: The signals that were blocked before.
        interrupted: A SIGINT came.
        ending: Signals that ask for an end have come.
        arrived: A descriptor that is ready to be read when a signal has come.
    """

    def __init__(self, taken: set[signal.Signals], mask_before: set[Any]) -> None:
        self.mask_before = mask_before
        self.interrupted = False
        self.ending = False
        self.arrived, self._tell = os.pipe()
        self._taken = taken
        self._pid: int | None = None
        self._streams: _Streams | None = None
        self._lock = threading.Lock()
        self._over = False
        self._early: list[tuple[int, bool]] = []
        self._thread = threading.Thread(target=self._wait, daemon=True)

    @classmethod
    @contextmanager
    def taken_over(cls) -> Iterator["_Signals"]:
        """Take the signals until the block is left."""
        # What is ignored stays ignored, for the command too: nohup, and jobs in the background.
        taken = {number for number in _HANDED_OVER if signal.getsignal(number) != signal.SIG_IGN}
        taken.add(_WAKE)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, taken)
        signals = cls(taken, before)
        signals._thread.start()
        try:
            yield signals
        finally:
            signals._end()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def begin(self, pid: int, streams: _Streams) -> None:
        """Say who gets them from now on, and hand over those that came before."""
        with self._lock:
            self._pid, self._streams = pid, streams
            early, self._early = self._early, []
            for number, by_terminal in early:
                self._hand_over(number, by_terminal=by_terminal)

    def wait(self, pid: int) -> tuple[int, Any] | None:
        """Return status and usage of the command if it has ended; nobody gets signals then."""
        with self._lock:
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if ended == 0:
                return None
            self._pid = None
        return status, usage

    def _wait(self) -> None:
        while True:
            number, by_terminal = _next_signal(self._taken)
            if self._over:
                return
            if number == _WAKE:
                continue
            with self._lock:
                self.interrupted |= number == signal.SIGINT
                self.ending |= number in _ENDING
                if self._pid is None:
                    self._early.append((number, by_terminal))
                else:
                    self._hand_over(number, by_terminal=by_terminal)
            os.write(self._tell, b"\0")

    def _hand_over(self, number: int, *, by_terminal: bool) -> None:
        """Give the command a signal, unless it got it itself.  Called under the lock."""
        streams, pid = self._streams, self._pid
        if streams is None or pid is None:
            return
        if number == signal.SIGWINCH:
            streams.copy_size()
            if streams.is_session or streams.master is None:
                return  # its terminal, or ours, tells it
        elif by_terminal and not streams.is_session and number in _BY_TERMINAL:
            return
        with suppress(ProcessLookupError, PermissionError):
            if streams.is_session:
                os.killpg(pid, number)
            else:
                os.kill(pid, number)

    def _end(self) -> None:
        self._over = True
        signal.pthread_kill(self._thread.ident or 0, _WAKE)
        self._thread.join()
        os.close(self.arrived)
        os.close(self._tell)


def _next_signal(taken: set[signal.Signals]) -> tuple[int, bool]:
    """Wait for a signal; return it, and whether the terminal sent it, to all of its job."""
    if hasattr(signal, "sigwaitinfo"):
        found = signal.sigwaitinfo(taken)
        return found.si_signo, found.si_code == _KERNEL
    number = signal.sigwait(taken)
    return number, _is_in_foreground()


def _is_in_foreground() -> bool:
    """Return whether keys of a terminal can have sent a signal; what to believe without more."""
    try:
        with open("/dev/tty", "rb") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


# --- Running


class _Pump:
    """Passes on what comes, until the command has ended and all of its output came."""

    def __init__(self, streams: _Streams, signals: _Signals, pid: int) -> None:
        self._streams = streams
        self._signals = signals
        self._pid = pid
        self._typed = b""
        self._stdin_open = streams.is_session

    def run(self) -> tuple[int, Any]:
        """Return the status and the usage of the command."""
        with ExitStack() as stack:
            watched = _watch(self._pid, stack)
            while (ended := self._signals.wait(self._pid)) is None:
                self._turn(watched, _LOOK_MS if watched is not None else 20)
        self._stdin_open = False
        self._drain()
        return ended

    def _drain(self) -> None:
        """Pass on what is there yet, and what comes at once from others who have the streams."""
        until = moved = time.monotonic()
        until += _GRACE_S
        while any(relay.is_open or relay.pending for relay in self._streams.relays):
            left = self._pending()
            wait_s = _PATIENCE_S if left else max(0.0, until - time.monotonic())
            has_read = self._turn(None, wait_s * 1000)
            now = time.monotonic()
            if has_read or self._pending() < left:
                until, moved = now + _GRACE_S, now
            elif not left and now >= until:
                return
            elif left and self._signals.ending and now >= moved + _PATIENCE_S:
                # Nobody reads, and somebody wants an end.
                for relay in self._streams.relays:
                    relay.give_up()

    def _pending(self) -> int:
        """Return how many bytes are still to be passed on."""
        return sum(len(relay.pending) for relay in self._streams.relays)

    def _turn(self, watched: int | None, wait_ms: float) -> bool:
        """Wait until something can be done, and do it; return whether output was read."""
        poll, by_fd = self._waiting_for()
        if watched is not None:
            poll.register(watched, select.POLLIN)
        has_read = False
        for fd, event in poll.poll(wait_ms):
            relay = by_fd.get(fd)
            if fd == self._signals.arrived:
                os.read(fd, _CHUNK)
            elif fd == STDIN:
                self._take_keys()
            elif relay is not None and relay.pending:
                relay.write()
            elif relay is not None and event & ~select.POLLOUT:
                has_read |= relay.read()
            if fd == self._streams.master and event & select.POLLOUT:
                self._give_keys()
        return has_read

    def _waiting_for(self) -> "tuple[select.poll, dict[int, _Relay]]":
        """Return what to wait with, and which relay a descriptor is that of."""
        poll = select.poll()
        poll.register(self._signals.arrived, select.POLLIN)
        by_fd: dict[int, _Relay] = {}
        for relay in self._streams.relays:
            if relay.pending:
                poll.register(relay.stream, select.POLLOUT)
                by_fd[relay.stream] = relay
            elif relay.is_open:
                poll.register(relay.source, select.POLLIN)
                by_fd[relay.source] = relay
        self._wait_for_keys(poll, by_fd)
        return poll, by_fd

    # --- Keys

    def _wait_for_keys(self, poll: "select.poll", by_fd: Mapping[int, _Relay]) -> None:
        master = self._streams.master
        if not self._stdin_open or master is None:
            return
        if self._typed:
            # What is echoed is read meanwhile.
            poll.register(master, select.POLLOUT | (select.POLLIN if master in by_fd else 0))
        else:
            poll.register(STDIN, select.POLLIN)

    def _take_keys(self) -> None:
        try:
            self._typed = os.read(STDIN, _AT_ONCE)
        except OSError:
            self._typed = b""
        self._stdin_open = bool(self._typed)

    def _give_keys(self) -> None:
        master = self._streams.master
        try:
            if master is not None and self._typed:
                self._typed = self._typed[os.write(master, self._typed) :]
        except BlockingIOError:
            return
        except OSError:
            self._typed = b""


def _watch(pid: int, stack: ExitStack) -> int | None:
    """Return a descriptor that is ready when the process has ended, where the system has such."""
    try:
        fd = os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
    stack.callback(os.close, fd)
    return fd
