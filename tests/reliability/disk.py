"""What a power cut may leave of recorded writes: the states of a disk, enumerated.

`record` notes every change that a program makes below a folder, and what it makes durable.  The
model is that of POSIX with what every file system in use adds to it:

- of the bytes that were appended to a file since its last sync, any number may be there, from the
  first on, and the last block may be zeros;
- of the changes of names in a folder since its last sync, any number may be there, in order.

Different files and folders do not wait for each other.
"""

import dataclasses
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, product
from pathlib import Path
from typing import Any, Final
from unittest import mock

BLOCK: Final = 4096


@dataclasses.dataclass
class Inode:
    """A file: its bytes, and how many of them are on the medium."""

    data: bytearray = dataclasses.field(default_factory=bytearray)
    synced: int = 0


@dataclasses.dataclass(frozen=True)
class Named:
    """A change of a name in a folder; no inode: it goes."""

    name: str
    inode: int | None = None
    folder: bool = False
    old: str | None = None


class Disk:
    """What a program did below a folder, as far as it is durable, and what is not.

    Args:
        root: The folder, which is there.
        n_inside: At so many places anywhere a file may end, besides ends of lines and blocks.
    """

    def __init__(self, root: Path, *, n_inside: int = 2) -> None:
        self.n_inside = n_inside
        self.root = root
        self.inodes: dict[int, Inode] = {}
        self.durable: dict[str, dict[str, Named]] = {"": {}}
        self.pending: dict[str, list[Named]] = {"": []}
        self._known: dict[tuple[int, int], int] = {}
        self._paths: dict[int, Path] = {}  # where each was opened
        self._folders: dict[int, str] = {}

    # --- What is recorded

    def _below(self, path: Any) -> str | None:
        name = os.path.relpath(os.fspath(path), self.root)
        return None if name.startswith("..") else ("" if name == "." else name)

    def opened(self, path: Any, fd: int, *, fresh: bool) -> None:
        name = self._below(path)
        if name is None:
            return
        if Path(path).is_dir():
            self._folders[fd] = name
            return
        status = os.fstat(fd)
        key = status.st_dev, status.st_ino
        if fresh or key not in self._known:
            self._known[key] = len(self.inodes)
            self._paths[len(self.inodes)] = Path(path)
            data = bytearray(Path(path).read_bytes())
            self.inodes[self._known[key]] = Inode(data, len(data))
            folder, _, last = name.rpartition("/")
            self.pending[folder].append(Named(last, self._known[key]))

    def of(self, fd: int) -> Inode | None:
        status = os.fstat(fd)
        number = self._known.get((status.st_dev, status.st_ino))
        return None if number is None else self.inodes[number]

    def grown(self, fd: int) -> None:
        """Take in what was written by a stream, which calls no function of `os`."""
        inode = self.of(fd)
        if inode is not None and os.fstat(fd).st_size > len(inode.data):
            number = next(n for n, known in self.inodes.items() if known is inode)
            inode.data += self._paths[number].read_bytes()[len(inode.data) :]

    def made(self, path: Any) -> None:
        name = self._below(path)
        if name:
            folder, _, last = name.rpartition("/")
            self.durable[name], self.pending[name] = {}, []
            self.pending[folder].append(Named(last, folder=True))

    def renamed(self, source: Any, target: Any) -> None:
        old, new = self._below(source), self._below(target)
        if old and new:
            folder, _, last = new.rpartition("/")
            before = old.rpartition("/")[2]
            entry = self._view(folder, len(self.pending[folder]))[before]
            self.pending[folder].append(Named(last, entry.inode, old=before))

    def removed(self, path: Any) -> None:
        name = self._below(path)
        if name:
            folder, _, last = name.rpartition("/")
            self.pending[folder].append(Named(last))

    def synced_folder(self, fd: int) -> None:
        name = self._folders.pop(fd, None)
        if name in self.durable:
            self.durable[name] = self._view(name, len(self.pending[name]))
            self.pending[name] = []

    # --- What may be left

    def _view(self, folder: str, n_pending: int) -> dict[str, Named]:
        """Return the names in *folder* with so many of its pending changes."""
        names = dict(self.durable[folder])
        for change in self.pending[folder][:n_pending]:
            if change.old is not None:
                names.pop(change.old, None)
            if change.inode is None and not change.folder:
                names.pop(change.name, None)
            else:
                names[change.name] = change
        return names

    def states(self, most: int, rng: random.Random) -> Iterator[dict[str, bytes | None]]:
        """Yield what a cut may leave now, by path; None for a folder.

        All of it where that are at most *most* states, else the two extremes and a sample.
        """
        unsynced = [n for n, inode in self.inodes.items() if inode.synced < len(inode.data)]
        changed = [folder for folder, changes in self.pending.items() if changes]
        lengths = [cuts(self.inodes[n], rng, self.n_inside) for n in unsynced]
        counts = [range(len(self.pending[folder]) + 1) for folder in changed]
        n_states = 1
        for options in (*lengths, *counts):
            n_states *= len(options)
        if n_states <= most:
            chosen: Iterator[Any] = product(*lengths, *counts)
        else:
            ends = [[options[0] for options in (*lengths, *counts)]]
            ends.append([options[-1] for options in (*lengths, *counts)])
            picks = ([rng.choice(options) for options in (*lengths, *counts)] for _ in range(most))
            chosen = iter([*ends, *islice(picks, most - 2)])
        for choice in chosen:
            left = dict(zip(unsynced, choice, strict=False))
            views = dict(zip(changed, choice[len(unsynced) :], strict=True))
            yield self._state("", left, views)

    def _state(
        self, folder: str, left: dict[int, tuple[int, int]], views: dict[str, int]
    ) -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        for name, entry in self._view(folder, views.get(folder, 0)).items():
            path = f"{folder}/{name}" if folder else name
            if entry.folder:
                found[path] = None
                found |= self._state(path, left, views)
            elif entry.inode is not None:
                inode = self.inodes[entry.inode]
                length, zeros = left.get(entry.inode, (len(inode.data), 0))
                found[path] = bytes(inode.data[: length - zeros]) + b"\0" * zeros
        return found


def cuts(inode: Inode, rng: random.Random, n_inside: int) -> list[tuple[int, int]]:
    """Return how far a file may reach, and how many bytes at its end may be zeros."""
    begin, end = inode.synced, len(inode.data)
    blocks = range(begin // BLOCK * BLOCK + BLOCK, end, BLOCK)
    lines = [n + 1 for n in range(begin, end - 1) if inode.data[n] == 10]
    inside = {rng.randrange(begin, end + 1) for _ in range(n_inside)}
    lengths = sorted({begin, end, *blocks, *lines[-3:], *inside})
    zeros = [(end, end - max(begin, (end - 1) // BLOCK * BLOCK, begin + (end - begin) // 2))]
    return [(length, 0) for length in lengths] + [pair for pair in zeros if pair[1] > 0]


@contextmanager
def record(disk: Disk, step: Any) -> Iterator[None]:
    """Note what is done below the folder of *disk*, and call *step* before and behind each."""
    os_open, os_write, os_mkdir = os.open, os.write, os.mkdir
    os_rename, os_unlink, os_fsync, os_fdatasync = os.rename, os.unlink, os.fsync, os.fdatasync

    def opening(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        fd = os_open(path, flags, mode, **more)
        disk.opened(path, fd, fresh=bool(flags & os.O_CREAT))
        step()
        return fd

    def writing(fd: int, data: bytes) -> int:
        n = os_write(fd, data)
        inode = disk.of(fd)
        if inode is not None:
            inode.data += data[:n]
            step()
        return n

    def syncing(fd: int) -> None:
        disk.grown(fd)
        os_fsync(fd)
        inode = disk.of(fd)
        if inode is not None:
            inode.synced = len(inode.data)
        else:
            disk.synced_folder(fd)
        step()

    def making(path: Any, *more: Any, **options: Any) -> None:
        os_mkdir(path, *more, **options)
        disk.made(path)
        step()

    def renaming(source: Any, target: Any) -> None:
        os_rename(source, target)
        disk.renamed(source, target)
        step()

    def removing(path: Any) -> None:
        os_unlink(path)
        disk.removed(path)
        step()

    assert os_fdatasync is not None
    with mock.patch.multiple(
        os,
        open=opening,
        write=writing,
        fsync=syncing,
        fdatasync=syncing,
        mkdir=making,
        rename=renaming,
        unlink=removing,
    ):
        yield


def put(state: dict[str, bytes | None], out: Path) -> None:
    """Make the folder *out* what a cut has left."""
    out.mkdir(parents=True, exist_ok=True)
    for name, data in state.items():
        path = out / name
        if data is None:
            path.mkdir()
        else:
            path.write_bytes(data)
            if not data:  # else an audit waits for a writer that is about to fill it
                os.utime(path, (1, 1))
