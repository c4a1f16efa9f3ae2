"""What a node used while it ran, as far as the system says: CPU time, memory, input and output.

A meter is read when a node begins and when it ends; the difference is the field `resource` of
its end (`replay.trace.events.ResourceUsage`).  What a system does not say is left out, so a 0
is never a guess.  What is measured, and what nodes at the same time share: docs/environment.md,
"Resources".
"""

import os
import resource
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

Resources = Literal["cheap", "full", "tree"] | bool

# Nodes that take less have no `resource` at the level `cheap`: what it costs them is then some
# percent, and CPU time below a tick of the scheduler is noise.
SHORTEST_NS: Final = 1_000_000
# A node that begins so soon after a reading shares it.
SOON_NS: Final = 200_000

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


_COUNTS: Final = Reading._fields[: Reading._fields.index("max_rss_bytes")]


class Meter:
    """Reads what a process has used, from the beginning of each node to its end.

    Args:
        scope: Whose use it is, as `ResourceUsage` has it.
        read: Returns what getrusage returns, or a `Reading`.
        told: Makes a `Reading` of that.
        monotonic_ns: A clock that never steps back, in nanoseconds.
        shortest_ns: Nodes that took less are not measured.

    Callers hold the journal's lock.  Cost of `begin` and `end` together, for a node of less
    than a millisecond at the level `cheap`: 1 us; for a longer one 8 us.
    """

    def __init__(
        self,
        scope: str,
        read: Callable[[], Any],
        told: Callable[[Any], Reading],
        *,
        monotonic_ns: Callable[[], int],
        shortest_ns: int,
    ) -> None:
        self._scope = scope
        self._read = read
        self._told = told
        self._now = monotonic_ns
        self._shortest_ns = shortest_ns
        # A level that reads more than a few microseconds' worth is wanted for each node.
        self._soon_ns = SOON_NS if shortest_ns else -1
        self._begun: dict[tuple[str, int | None], tuple[int, Any]] = {}
        self._last: Any = None
        self._last_ns = 0
        self._pid = -1

    def begin(self, node_id: str, index: int | None) -> None:
        """Note what was used when a node began, or began again."""
        now = self._now()
        if now - self._last_ns > self._soon_ns or os.getpid() != self._pid:
            self._take(now)
        self._begun[node_id, index] = (now, self._last)

    def end(self, node_id: str, index: int | None) -> dict[str, Any] | None:
        """Return what was used since the node began, as the payload has it.

        None where there is nothing to say: the node was short, or never began.
        """
        noted = self._begun.pop((node_id, index), None)
        if noted is None:
            return None
        now = self._now()
        began_ns, began = noted
        if now - began_ns < self._shortest_ns:
            return None
        # A fork counts from nothing: what its parent noted says nothing about it.
        before = None if os.getpid() != self._pid else self._told(began)
        self._take(now)
        return usage(self._scope, before, with_peak(self._told(self._last)))

    def forget(self, node_id: str, index: int | None) -> None:
        """Drop what was noted for a node that does not end."""
        self._begun.pop((node_id, index), None)

    def _take(self, now: int) -> None:
        pid = os.getpid()
        if pid != self._pid:
            self._pid = pid
            self._begun.clear()
        self._last, self._last_ns = self._read(), now


def meter(level: Resources, *, monotonic_ns: Callable[[], int]) -> Meter | None:
    """Return the meter for *level*; True is `cheap`, and there is none for False.

    Raises:
        ValueError: It is no level.
        ModuleNotFoundError: `tree` without psutil.
    """
    if level is False:
        return None
    if level is True or level == "cheap":
        read = partial(resource.getrusage, resource.RUSAGE_SELF)
        told = partial(of_rusage, quirks=Quirks.here())
        return Meter("process", read, told, monotonic_ns=monotonic_ns, shortest_ns=SHORTEST_NS)
    if level not in {"full", "tree"}:
        raise ValueError(f"resources {level!r}: want True, False, 'cheap', 'full' or 'tree'")
    more = partial(_read_full, Quirks.here(), cgroup_peak_file())
    if level == "full":
        return Meter("process", more, _as_it_is, monotonic_ns=monotonic_ns, shortest_ns=0)
    tree = partial(_read_tree, _psutil(), more)
    return Meter("tree", tree, _as_it_is, monotonic_ns=monotonic_ns, shortest_ns=0)


def usage(scope: str, began: Reading | None, ended: Reading) -> dict[str, Any]:
    """Return the payload for two readings; *began* is None where the beginning is not known.

    A count that went back (a process of a tree is gone and nobody waited for it) is unknown.
    """
    found: dict[str, Any] = {"scope": scope}
    before = Reading() if began is None else began
    for name in _COUNTS:
        then, now = getattr(before, name), getattr(ended, name)
        if then is not None and now is not None and now >= then:
            difference = now - then
            found[name] = round(difference, 6) if isinstance(difference, float) else difference
    if ended.max_rss_bytes is not None:
        found["max_rss_bytes"] = ended.max_rss_bytes
        if before.max_rss_bytes is not None:
            found["max_rss_growth_bytes"] = max(0, ended.max_rss_bytes - before.max_rss_bytes)
    for name in ("tree_rss_bytes", "cgroup_peak_bytes"):
        if getattr(ended, name) is not None:
            found[name] = getattr(ended, name)
    return found


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


def _read_full(quirks: Quirks, peak_file: Path | None) -> Reading:
    used = with_peak(of_rusage(resource.getrusage(resource.RUSAGE_SELF), quirks=quirks))
    calls = calls_of(_PROC)
    return used._replace(
        read_call_bytes=calls.get("rchar"),
        write_call_bytes=calls.get("wchar"),
        cgroup_peak_bytes=None if peak_file is None else _number_in(peak_file),
    )


def _as_it_is(reading: Reading) -> Reading:
    return reading


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError:
        return []


def _number_in(path: Path) -> int | None:
    text = b"".join(_lines(path))
    return int(text) if text.isdigit() else None


# --- The process and its children


def _psutil() -> Any:
    try:
        return import_module("psutil")
    except ModuleNotFoundError as error:
        message = "resources='tree' needs: pip install 'auditfold[resources]'"
        raise ModuleNotFoundError(message, name=error.name) from None


def _read_tree(psutil: Any, read_own: Callable[[], Reading]) -> Reading:
    """Return what the process, the children it waited for and those that run have used.

    The input and output of children that were waited for is in the process's own file `io`.
    """
    own = read_own()
    waited = resource.getrusage(resource.RUSAGE_CHILDREN)
    user = (own.cpu_user_seconds or 0.0) + waited.ru_utime
    system = (own.cpu_system_seconds or 0.0) + waited.ru_stime
    calls = calls_of(_PROC)
    resident = psutil.Process().memory_info().rss
    peak = max(own.max_rss_bytes or 0, waited.ru_maxrss * _RSS_UNIT)
    for child in psutil.Process().children(recursive=True):
        try:
            with child.oneshot():
                times, memory = child.cpu_times(), child.memory_info()
        except psutil.Error:
            continue  # it has ended since
        user += times.user + getattr(times, "children_user", 0.0)
        system += times.system + getattr(times, "children_system", 0.0)
        resident += memory.rss
        more = calls_of(Path("/proc", str(child.pid)))
        calls = {name: calls[name] + more.get(name, 0) for name in calls}
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
