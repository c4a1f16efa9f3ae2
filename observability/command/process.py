"""Runs a command as if nobody looked on: its streams passed on untouched, its signals handed over.

What is read of its output also goes to whoever records it; how it ended and what it used come
from `wait4`.  Nothing here knows of traces.  Terminals, signals and ends: docs/exec.md.
"""

import errno
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

from observability.command.pump import Pump
from observability.command.signals import Signals
from observability.command.streams import STDIN, OnOutput, Streams, raw

NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
BY_SIGNAL: Final = 128

# What Python ignores and a program expects to have.
_RESTORED: Final = [signal.SIGPIPE, signal.SIGXFSZ]


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
        streams = Streams(stack, on_output)
        signals = stack.enter_context(Signals.taken_over())
        if streams.is_session:
            stack.enter_context(raw(STDIN))
        began = time.monotonic()
        pid = _spawn(argv, env, streams, signals)
        streams.close_theirs()
        signals.begin(pid, streams)
        status, usage = Pump(streams, signals, pid).run()
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


def _spawn(argv: Sequence[str], env: Mapping[str, str], streams: Streams, signals: Signals) -> int:
    try:
        return _spawned(argv, env, streams, signals)
    except OSError as error:
        if error.errno == errno.ENOEXEC and (path := _found(argv[0], env)) is not None:
            # A script without `#!`: what a shell, execvp and env do with it.
            return _spawned(["/bin/sh", path, *argv[1:]], env, streams, signals)
        raise NotStartedError(argv[0], error) from error


def _spawned(
    argv: Sequence[str], env: Mapping[str, str], streams: Streams, signals: Signals
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
