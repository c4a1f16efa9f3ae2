"""The signals of this process while a command runs: taken, and handed to the command at once.

Signals: docs/exec.md.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from observability.command.streams import Streams

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


class Signals:
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
        self._streams: Streams | None = None
        self._lock = threading.Lock()
        self._over = False
        self._early: list[tuple[int, bool]] = []
        self._thread = threading.Thread(target=self._wait, daemon=True)

    @classmethod
    @contextmanager
    def taken_over(cls) -> Iterator["Signals"]:
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

    def begin(self, pid: int, streams: Streams) -> None:
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
