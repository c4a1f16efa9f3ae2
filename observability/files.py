"""Writing a derived file as a whole: beside its place, synced, renamed.  And syncing a folder.

Whoever reads the file meets the old one or the new one, never a part; after a power loss too.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_MODE: Final = 0o644
_BUFFER: Final = 1 << 16
# What a file system answers that cannot do what was asked: nothing has gone wrong.
UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOTTY, errno.ENOSYS})


def native(path: str) -> str:
    """Return *path* as the calls of `os` take it: its bytes are UTF-8 whatever the locale says."""
    return os.fsdecode(path.encode("utf-8", "surrogateescape"))


def write_beside(path: str | os.PathLike[str], chunks: Iterable[bytes]) -> None:
    """Make *path* a file that holds *chunks*, whatever stood there; mode 0644.

    A link at *path* is replaced, never followed.  When anything fails, *chunks* included, what
    stood there before stands there still.

    Raises:
        OSError: It could not be written; a directory stands there.
    """
    path = os.fspath(path)
    folder, name = os.path.split(path)
    folder = folder or "."
    # The name may be as long as names may be.
    beside = os.path.join(folder, f".{name[:100]}.{os.urandom(5).hex()}.tmp")
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
    sync_folder(folder)


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
        if error.errno not in UNSUPPORTED:  # some network file systems sync no folders
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
