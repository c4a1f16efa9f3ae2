"""What a folder can do: every operation that a trace depends on, tried out in it.

A folder of its own is made for it, and removed.  Specified by docs/trace-format.md, "Writer's
duties"; `auditfold doctor` prints what is found.
"""

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from observability.doctor.installed import Check

_LITTLE: Final = 100 << 20  # bytes of room: some 250,000 events
_NONE: Final = 1 << 20
_OTHER_CLOCK_S: Final = 2.0
_SECONDS_2020: Final = 1_577_836_800
_SECONDS_2100: Final = 4_102_444_800
# Where files of other machines are; their locks and renames are not those of a disk.
_REMOTE: Final = re.compile(r"nfs|cifs|smb|9p|afs|ceph|gluster|lustre|sshfs|fuse\.|virtiofs")
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


def probe(folder: str) -> list[Check]:
    """Try everything in *folder*; nothing of it stays.

    Raises:
        OSError: *folder* cannot be looked at.
    """
    os.stat(folder)
    kind = filesystem(folder)
    checks = [_filesystem_check(kind), _space(folder)]
    try:
        made = tempfile.mkdtemp(prefix=".auditfold-doctor-", dir=folder)
    except OSError as error:
        failed = Check("write", "failed", f"no folder can be made in it: {_said(error)}", _OTHER)
        names = [name for name, _ in _TRIALS if name != "write"]
        return [*checks, failed, *(Check(name, "not_tried", "") for name in names)]
    try:
        checks += [_try(name, trial, Path(made)) for name, trial in _TRIALS]
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return checks


_OTHER: Final = "Give the observer another folder, or the user the right to write there"


def _try(name: str, trial: Callable[[Path], str | Check], folder: Path) -> Check:
    place = folder / name.replace(" ", "_")
    try:
        place.mkdir()
        found = trial(place)
    except OSError as error:
        return Check(name, "failed", _said(error), _OTHER)
    except AssertionError as error:
        return Check(name, "failed", str(error), "Keep traces on a local disk")
    return found if isinstance(found, Check) else Check(name, "ok", found)


def _said(error: OSError) -> str:
    return f"{error.strerror or error}"


def _expect(condition: object, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)


# --- The trials: each has a folder for itself, says what it found, or raises


def _write(folder: Path) -> str:
    descriptor = _create(folder / "a")
    try:
        _expect(os.write(descriptor, b"line\n") == 5, "a write was cut short")  # noqa: PLR2004
        _expect(os.pread(descriptor, 9, 0) == b"line\n", "what was written is not what is read")
        _expect(os.fstat(descriptor).st_nlink == 1, "a new file does not have one link")
    finally:
        os.close(descriptor)
    return "a file can be made, written and read"


def _append(folder: Path) -> str:
    one, two = _create(folder / "a"), os.open(folder / "a", os.O_WRONLY | os.O_APPEND)
    try:
        for descriptor, data in ((one, b"1\n"), (two, b"2\n"), (one, b"3\n")):
            os.write(descriptor, data)
    finally:
        os.close(one)
        os.close(two)
    _expect((folder / "a").read_bytes() == b"1\n2\n3\n", "appending overwrote what another wrote")
    return "two writers append behind each other"


def _exclusive(folder: Path) -> str:
    os.close(_create(folder / "a"))
    try:
        os.close(_create(folder / "a"))
    except FileExistsError:
        return "a file that exists is not made again"
    raise AssertionError("O_EXCL made a file that existed")


def _lock(folder: Path) -> str:
    one, two = _create(folder / "a"), os.open(folder / "a", os.O_RDWR)
    try:
        fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(one, fcntl.LOCK_UN)
            fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return "flock keeps a second writer out"
    finally:
        os.close(one)
        os.close(two)
    raise AssertionError("flock was given to two writers at once")


def _sync(folder: Path) -> str:
    descriptor, parent = _create(folder / "a"), os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.write(descriptor, b"line\n")
        began = time.monotonic()
        os.fsync(descriptor)
        took = time.monotonic() - began
        os.fsync(parent)
    finally:
        os.close(descriptor)
        os.close(parent)
    return f"fsync of file and folder works, {took * 1e3:.1f} ms a file"


def _rename(folder: Path) -> str:
    (folder / "old").write_bytes(b"old")
    (folder / "new").write_bytes(b"new")
    inode = (folder / "new").stat().st_ino
    os.replace(folder / "new", folder / "old")
    _expect((folder / "old").read_bytes() == b"new", "a rename did not replace what was there")
    _expect((folder / "old").stat().st_ino == inode, "a rename made another file")
    _expect(not (folder / "new").exists(), "a renamed file is still there")
    return "a file takes another one's place at once"


def _links(folder: Path) -> str | Check:
    os.close(_create(folder / "a"))
    try:
        os.link(folder / "a", folder / "b")
    except OSError as error:
        return Check("hard links", "ok", f"there are none here ({_said(error)})")
    count = os.stat(folder / "a").st_nlink
    _expect(count == 2, f"a file with two names has {count} links")  # noqa: PLR2004
    return "a second name of a file is seen"


def _no_follow(folder: Path) -> str | Check:
    os.close(_create(folder / "a"))
    try:
        os.symlink("a", folder / "b")
    except OSError as error:
        return Check("symbolic links", "ok", f"there are none here ({_said(error)})")
    try:
        os.close(os.open(folder / "b", os.O_RDONLY | os.O_NOFOLLOW))
    except OSError:
        return "O_NOFOLLOW refuses a link"
    raise AssertionError("O_NOFOLLOW opened a link")


def _clock(folder: Path) -> str | Check:
    before = time.time()
    os.close(_create(folder / "a"))
    off = os.stat(folder / "a").st_mtime - before
    if not _SECONDS_2020 < before < _SECONDS_2100:
        year = time.gmtime(before).tm_year
        return Check("clock", "warning", f"this machine says it is {year}", "Set the clock")
    if abs(off) > _OTHER_CLOCK_S:
        said = f"the clock of the file system is {off:+.1f} s off"
        return Check("clock", "warning", said, "Let both machines ask the same time server")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(before))
    return f"{now}, and the file system agrees"


def _case(folder: Path) -> str | Check:
    os.close(_create(folder / "a"))
    if not (folder / "A").exists():
        return "names that differ in case are different files"
    advice = "Give no two workflows ids that differ only in case"
    return Check("case", "warning", "names that differ only in case are one file", advice)


def _create(path: Path) -> int:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, 0o640)


_TRIALS: Final[tuple[tuple[str, Callable[[Path], str | Check]], ...]] = (
    ("write", _write),
    ("append", _append),
    ("exclusive", _exclusive),
    ("lock", _lock),
    ("sync", _sync),
    ("rename", _rename),
    ("hard links", _links),
    ("symbolic links", _no_follow),
    ("clock", _clock),
    ("case", _case),
)


# --- What is known without trying


def _space(folder: str) -> Check:
    found = os.statvfs(folder)
    room = found.f_bavail * found.f_frsize
    said = f"{room / 2**30:.1f} GiB free" if room >= 2**30 else f"{room / 2**20:.0f} MiB free"
    advice = "Free some space: a trace takes about 400 bytes an event"
    if found.f_files and not found.f_favail:
        return Check("space", "failed", "no room for another file", advice)
    if room < _NONE:
        return Check("space", "failed", said, advice)
    return Check("space", "warning" if room < _LITTLE else "ok", said, advice * (room < _LITTLE))


def _filesystem_check(kind: str | None) -> Check:
    if kind is None:
        return Check("file system", "ok", "of unknown type")
    if not _REMOTE.search(kind):
        return Check("file system", "ok", kind)
    return Check(
        "file system",
        "warning",
        f"{kind}: files of another machine",
        "Let one machine write a folder, or write to a local disk and copy: locks between "
        "machines may not hold",
    )


def filesystem(folder: str, mounts: str = "/proc/self/mountinfo") -> str | None:
    """Return the type of the file system that *folder* is on, None where nothing says.

    Args:
        folder: An existing folder.
        mounts: The mounts in the form of proc_pid_mountinfo(5).
    """
    path = os.path.realpath(folder)
    best, kind = -1, None
    try:
        lines = Path(mounts).read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) <= _MOUNT_POINT or not after:
            continue
        point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[_MOUNT_POINT])
        # The last mount of a point hides the ones before.
        if _is_under(path, point) and len(point) >= best:
            best, kind = len(point), after.split(" ")[0]
    return kind


_MOUNT_POINT: Final = 4


def _is_under(path: str, point: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")
