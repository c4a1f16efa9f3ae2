"""Files and folders that are written: opened, synced, or put in their place as a whole.

What is appended to is never opened through a link.  What is replaced is written beside its place,
synced and renamed: whoever reads it meets the old file or the new one, never a part; after a power
loss too.
"""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from typing import Final

_APPENDING: Final = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_APPENDED_MODE: Final = 0o640
# On macOS fsync(2) leaves the data in the drive's cache; fcntl(2), F_FULLFSYNC, does not.
_FULL_SYNC: Final = getattr(fcntl, "F_FULLFSYNC", None)
_MODE: Final = 0o644
_BUFFER: Final = 1 << 16
_KINDS: Final = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# What a file system answers that cannot do what was asked: nothing has gone wrong.
_UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOTTY, errno.ENOSYS})


def native(path: str) -> str:
    """Return *path* as the calls of `os` take it: its bytes are UTF-8 whatever the locale says."""
    return os.fsdecode(path.encode("utf-8", "surrogateescape"))


def open_regular(path: Path, *, create: bool) -> FileIO:
    """Open the regular file *path* for appending; never through a link.

    What is returned closes its descriptor itself when an exception of a signal handler keeps
    it from whoever asked for it.

    Args:
        path: The file.
        create: Make it; it must not be there.

    Raises:
        OSError: It is not there, is a link, has several links, or is no regular file.
    """
    flags = _APPENDING | (os.O_CREAT | os.O_EXCL if create else 0)
    # Both calls by one step of a C function, between which no handler runs.
    stream = next(map(FileIO, map(os.open, (path,), (flags,), (_APPENDED_MODE,)), ("r+",)))
    try:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if status.st_nlink != 1:
            raise OSError(errno.EMLINK, f"{status.st_nlink} links, want 1", str(path))
    except BaseException:
        stream.close()
        raise
    return stream


def write_beside(path: str | os.PathLike[str], chunks: Iterable[bytes]) -> None:
    """Make *path* a file that holds *chunks*, in the place of the one that stood there; mode 0644.

    A link at *path* is replaced, never followed.  When anything fails, *chunks* included, what
    stood there before stands there still.

    Raises:
        OSError: It could not be written; a directory, device, FIFO or socket stands there, or a
            link to one of the last three.  Its `filename` is *path*.
    """
    path = os.fspath(path)
    _refuse_what_is_no_file(path)
    folder, name = os.path.split(path)
    folder = folder or "."
    # The name may be as long as names may be.
    beside = os.path.join(folder, f".{name[:100]}.{os.urandom(5).hex()}.tmp")
    try:
        _write_and_rename(path, beside, chunks)
    except OSError as error:
        if error.filename != beside:
            raise
        # Nobody has asked for the file beside it.
        raise OSError(error.errno, error.strerror, path) from None
    sync_folder(folder)


def _write_and_rename(path: str, beside: str, chunks: Iterable[bytes]) -> None:
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
    try:
        with open(fd, "wb", buffering=_BUFFER) as stream:
            os.fchmod(fd, _MODE)  # the umask may have taken from it
            stream.writelines(chunks)
            stream.flush()
            os.fsync(fd)
        os.rename(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def _refuse_what_is_no_file(path: str) -> None:
    """Raise OSError if something stands at *path* that no file may take the place of.

    Root could rename a file over /dev/null, or over the link that /dev/stdout is.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # nothing, or a link that leads nowhere; what else is wrong is told by writing
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # the latter is refused by the renaming
        got = _KINDS.get(stat.S_IFMT(mode), "no regular file")
        raise OSError(errno.EINVAL, f"{got} stands there, want a regular file or nothing", path)


def sync(fd: int) -> None:
    """Return when the data of *fd* is on the medium.

    Raises:
        OSError: It is not, or *fd* is closed.
    """
    if fd < 0:  # closed, in a fork that a signal handler made
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    if _FULL_SYNC is not None:
        try:
            fcntl.fcntl(fd, _FULL_SYNC)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
        else:
            return
    if hasattr(os, "fdatasync"):
        os.fdatasync(fd)
    else:
        os.fsync(fd)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Return when the names in *folder* are on the medium (man 2 fsync).

    After a power loss a synced file whose name was not synced may be gone.

    Raises:
        OSError: It cannot be opened or synced; not where the file system syncs no folders.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:  # some network file systems sync no folders
            raise
    finally:
        os.close(fd)


def holds(path: Path, chunks: Iterable[bytes]) -> bool:
    """Return whether *path* is a regular file that holds exactly *chunks*."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return False
    with open(fd, "rb", buffering=_BUFFER) as stream:
        same = all(stream.read(len(chunk)) == chunk for chunk in chunks)
        return same and not stream.read(1)


def make_folders(path: Path) -> None:
    """Make the folder *path* and those above it, and their names durable.

    Raises:
        OSError: One could not be made or synced, or something else has its name.
    """
    missing = []
    folder = path
    while not _is_folder(folder):
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        try:
            os.mkdir(folder)
        except FileExistsError:
            if not _is_folder(folder):  # else another process was first
                raise
        sync_folder(folder.parent)


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except FileNotFoundError:
        return False
