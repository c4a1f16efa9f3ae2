"""What a command prints and is typed, passed on until it has ended and all of its output came."""

import os
import select
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Final

from observability.command.signals import Signals
from observability.command.streams import AT_ONCE, CHUNK, STDIN, Relay, Streams

_LOOK_MS: Final = 500  # between two looks whether it has ended, where nothing tells
_PATIENCE_S: Final = 1.0  # with a reader that does not read, when an end is wanted
_GRACE_S: Final = 0.2  # for what others write who still have its output, when it has ended


class Pump:
    """Passes on what comes, until the command has ended and all of its output came."""

    def __init__(self, streams: Streams, signals: Signals, pid: int) -> None:
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
                os.read(fd, CHUNK)
            elif fd == STDIN:
                self._take_keys()
            elif relay is not None and relay.pending:
                relay.write()
            elif relay is not None and event & ~select.POLLOUT:
                has_read |= relay.read()
            if fd == self._streams.master and event & select.POLLOUT:
                self._give_keys()
        return has_read

    def _waiting_for(self) -> "tuple[select.poll, dict[int, Relay]]":
        """Return what to wait with, and which relay a descriptor is that of."""
        poll = select.poll()
        poll.register(self._signals.arrived, select.POLLIN)
        by_fd: dict[int, Relay] = {}
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

    def _wait_for_keys(self, poll: "select.poll", by_fd: Mapping[int, Relay]) -> None:
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
            self._typed = os.read(STDIN, AT_ONCE)
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
