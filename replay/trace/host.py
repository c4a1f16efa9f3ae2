"""Which process is this, and does a recorded one still run?

The one place of the core that asks the operating system about processes.
"""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from replay.trace.events import Process

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def this_process() -> Process:
    """Return the identity of the calling process.  Cost: about 50 us; not cached (forks)."""
    pid = os.getpid()
    return Process(
        # A name that is no text is still to stand in a line.
        host=socket.gethostname().encode("utf-8", "backslashreplace").decode(),
        boot_id=boot_id(),
        pid=pid,
        start_time=start_time(pid),
        pid_ns=pid_namespace(),
    )


def boot_id() -> str | None:
    """Return what is different after every boot of this machine, or None if unknown."""
    if sys.platform == "darwin":
        # kern.boottime is no identity: it changes when the clock is set.
        return _output_of("sysctl", "-n", "kern.bootsessionuuid")
    return _text_of(_BOOT_ID)


def start_time(pid: int) -> str | None:
    """Return when process *pid* started, in the system's own unit; None if it does not run.

    A zombie has ended: it writes no more.

    Source: proc(5), fields 3 and 22 of /proc/[pid]/stat.
    """
    if sys.platform == "darwin":
        return _output_of("ps", "-o", "lstart=", "-p", str(pid))
    text = _text_of(Path(f"/proc/{pid}/stat"))
    if text is None:
        return None
    # The command, in parentheses, may hold spaces and parentheses of its own.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def pid_namespace() -> str | None:
    """Return the namespace that this process's pids count in (Linux), or None."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


class Hosts:
    """Answers whether recorded processes are alive, each one asked once.

    Args:
        stale_s: How long after its last event a writer on another host counts as running,
            in seconds.
        now: Seconds since 1970, for that comparison.
    """

    def __init__(self, *, stale_s: float = 3600.0, now: float | None = None) -> None:
        self.stale_s = stale_s
        self.now = time.time() if now is None else now
        self._here = this_process()
        self._known: dict[tuple[object, ...], bool | None] = {}

    def alive(self, process: Process | None, last_event: float) -> tuple[bool, str]:
        """Return whether *process* runs, and `checked` or `assumed`.

        Args:
            process: Identity in the writer's `writer_opened`, or None where there is none.
            last_event: `epoch_seconds` of its last event.
        """
        seen = self._seen(process) if process is not None else None
        if seen is None:
            # A clock that is ahead is as far off as one that is behind.
            return abs(self.now - last_event) <= self.stale_s, "assumed"
        return seen, "checked"

    def _seen(self, process: Process) -> bool | None:
        """Return whether the process runs here, or None where that cannot be known."""
        here = self._here
        if process.host != here.host or process.boot_id is None:
            return None
        if process.boot_id != here.boot_id:
            return False
        if process.pid_ns != here.pid_ns:
            return None
        key = (process.pid, process.start_time)
        if key not in self._known:
            self._known[key] = start_time(process.pid) == process.start_time is not None
        return self._known[key]


def _text_of(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("ascii", "replace").strip()
    except OSError as error:
        if error.errno is None:  # raised by a signal handler, such as TimeoutError
            raise
        return None


def _output_of(*command: str) -> str | None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=5,
            # A time is to be written the same way in every process that asks.
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
