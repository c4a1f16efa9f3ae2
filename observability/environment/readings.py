"""Readings of what a process has used since it began, and what of them is to be believed.

getrusage is asked first, `/proc`, the control group and psutil where more is wanted.  What a
system does not say is None.  When nodes are measured: `observability.environment.resources`.
"""

import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

# Source: getrusage(2) of Linux and of macOS.
_RSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024
_BLOCK: Final = 512  # bytes, in Linux; elsewhere a block is an operation of any size
_MEBIBYTE: Final = 1 << 20

_CGROUPS: Final = Path("/sys/fs/cgroup")
_PROC: Final = Path("/proc/self")


class Reading(NamedTuple):
    """What was used from the beginning of a process until now; None where unknown."""

    cpu_user_seconds: float | None = None
    cpu_system_seconds: float | None = None
    read_bytes: int | None = None
    write_bytes: int | None = None
    read_call_bytes: int | None = None
    write_call_bytes: int | None = None
    max_rss_bytes: int | None = None  # from here on not a count, but a state
    tree_rss_bytes: int | None = None
    cgroup_peak_bytes: int | None = None


# --- The process


class Quirks(NamedTuple):
    """What getrusage says wrong here.

    Attributes:
        inherited_rss: A peak, in units of `ru_maxrss`, that is not this process's own.  Linux
            keeps the peak of the program that was there before `exec`: a program that a larger
            one starts begins with the size of that one.
        counts_blocks: The kernel counts the input and output of a process.
    """

    inherited_rss: int = 0
    counts_blocks: bool = False

    @classmethod
    def here(cls) -> "Quirks":
        """Return what holds for this process.  Cost: 50 us."""
        own = resident_peak(_PROC)
        said = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
        inherited = own is not None and said > own + _MEBIBYTE
        return cls(
            inherited_rss=said // _RSS_UNIT if inherited else 0,
            # Where the kernel was built without these counts both this file and they are missing.
            counts_blocks=sys.platform == "linux" and (_PROC / "io").exists(),
        )


def of_rusage(used: resource.struct_rusage, *, quirks: Quirks) -> Reading:
    """Return what getrusage says as a reading: its zeros for unknown things are None."""
    user, system, peak = used.ru_utime, used.ru_stime, used.ru_maxrss
    known = user > 0 or system > 0  # no process has come so far without any
    return Reading(
        cpu_user_seconds=user if known else None,
        cpu_system_seconds=system if known else None,
        read_bytes=used.ru_inblock * _BLOCK if quirks.counts_blocks else None,
        write_bytes=used.ru_oublock * _BLOCK if quirks.counts_blocks else None,
        max_rss_bytes=peak * _RSS_UNIT if peak > quirks.inherited_rss else None,
    )


def of_child(used: resource.struct_rusage) -> Reading:
    """Return what wait4(2) says of a child and all that it waited for.

    Its peak of memory begins at what this process had when it forked, so one that stayed below
    that is unknown.
    """
    # The peak of this process itself: getrusage has that of whoever started it, where that was
    # larger, and a child does not inherit that.
    own = resident_peak(_PROC)
    if own is None:
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
    return of_rusage(used, quirks=Quirks.here()._replace(inherited_rss=own // _RSS_UNIT))


def with_peak(reading: Reading) -> Reading:
    """Return *reading*, taken now, with the peak of memory that getrusage did not know."""
    if reading.max_rss_bytes is not None:
        return reading
    return reading._replace(max_rss_bytes=resident_peak(_PROC))


def resident_peak(proc: Path) -> int | None:
    """Return the most memory that was resident, by `VmHWM` of Linux; None elsewhere."""
    for line in _lines(proc / "status"):
        if line.startswith(b"VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def calls_of(proc: Path) -> Mapping[str, int]:
    """Return the counts in the file `io` of a process; none where there is no such file.

    Source: proc_pid_io(5).
    """
    pairs = (line.split(b":") for line in _lines(proc / "io"))
    return {name.decode(): int(value) for name, value in pairs}


def cgroup_peak_file(proc: Path = _PROC, mount: Path = _CGROUPS) -> Path | None:
    """Return the file with the peak of memory of this process's control group, if there is one.

    Source: cgroups(7); `memory.peak` of version 2, `memory.max_usage_in_bytes` of version 1.
    """
    candidates = []
    for line in _lines(proc / "cgroup"):
        _, controllers, path = line.decode(errors="surrogateescape").split(":", 2)
        if not controllers:
            # In a container the path may be one of the host, and the group is at the top.
            candidates += [mount / path.lstrip("/"), mount]
        elif "memory" in controllers.split(","):
            candidates += [mount / "memory" / path.lstrip("/"), mount / "memory"]
    for folder in candidates:
        for name in ("memory.peak", "memory.max_usage_in_bytes"):
            if _number_in(folder / name) is not None:
                return folder / name
    return None


def read_full(quirks: Quirks, peak_file: Path | None) -> Reading:
    """Return what the process has used, by all that Linux says of it.  Cost: 100 us."""
    used = with_peak(of_rusage(resource.getrusage(resource.RUSAGE_SELF), quirks=quirks))
    calls = calls_of(_PROC)
    return used._replace(
        read_call_bytes=calls.get("rchar"),
        write_call_bytes=calls.get("wchar"),
        cgroup_peak_bytes=None if peak_file is None else _number_in(peak_file),
    )


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError:
        return []


def _number_in(path: Path) -> int | None:
    text = b"".join(_lines(path))
    return int(text) if text.isdigit() else None


# --- The process and its children


class TreeReader:
    """Reads what the process, the children it waited for and those that run have used.

    Args:
        psutil: The module.
        read_own: Reads the process alone.

    To ask about children takes milliseconds of CPU time, which are not counted as the node's.
    """

    def __init__(self, psutil: Any, read_own: Callable[[], Reading]) -> None:
        self._psutil = psutil
        self._read_own = read_own
        self._spent = (0.0, 0.0)

    def __call__(self) -> Reading:
        """Return the sums; of memory, the largest process and what all have now."""
        own = self._read_own()
        if own.cpu_user_seconds is None or own.cpu_system_seconds is None:
            return self._sums(own)
        reading = self._sums(own)
        ended = resource.getrusage(resource.RUSAGE_SELF)
        user, system = self._spent
        self._spent = (
            user + ended.ru_utime - own.cpu_user_seconds,
            system + ended.ru_stime - own.cpu_system_seconds,
        )
        # Rounded, so that a sum of the same parts is never less than before.
        return reading._replace(
            cpu_user_seconds=round((reading.cpu_user_seconds or 0.0) - user, 6),
            cpu_system_seconds=round((reading.cpu_system_seconds or 0.0) - system, 6),
        )

    def _sums(self, own: Reading) -> Reading:
        waited = resource.getrusage(resource.RUSAGE_CHILDREN)
        user = (own.cpu_user_seconds or 0.0) + waited.ru_utime
        system = (own.cpu_system_seconds or 0.0) + waited.ru_stime
        # What children read and wrote that were waited for is in the process's own file.
        calls = dict(calls_of(_PROC))
        process = self._psutil.Process()
        resident = process.memory_info().rss
        for child in process.children(recursive=True):
            try:
                with child.oneshot():
                    times, memory = child.cpu_times(), child.memory_info()
            except self._psutil.Error:
                continue  # it has ended since
            user += times.user + getattr(times, "children_user", 0.0)
            system += times.system + getattr(times, "children_system", 0.0)
            resident += memory.rss
            more = calls_of(Path("/proc", str(child.pid)))
            calls = {name: count + more.get(name, 0) for name, count in calls.items()}
        peak = max(own.max_rss_bytes or 0, waited.ru_maxrss * _RSS_UNIT)
        return own._replace(
            cpu_user_seconds=user,
            cpu_system_seconds=system,
            read_bytes=calls.get("read_bytes"),
            write_bytes=calls.get("write_bytes"),
            read_call_bytes=calls.get("rchar"),
            write_call_bytes=calls.get("wchar"),
            max_rss_bytes=peak or None,
            tree_rss_bytes=resident,
        )
