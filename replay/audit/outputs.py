"""Are the outputs that runs recorded still as they were?

The newest record of a path counts, older ones are superseded.  A path comes from a trace, which
anybody may have written: a relative one never leads out of OUT, no link is followed below OUT,
and nothing but regular files is opened.
"""

import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from replay.audit.facts import Item, Output, State
from replay.digest import (
    PREFIX,
    directory_digest,
    directory_listing,
    entry_path,
    file_digest,
    json_digest,
    link_digest,
    special_digest,
)

# A file that is not as large as recorded is changed; up to this size it is read nevertheless, to
# say what is there.
_SMALL: Final = 64 << 20
_EMPTY: Final = PREFIX + sha256(b"").hexdigest()

CODES: Final[dict[State, str]] = {
    "changed": "output_changed",
    "missing": "output_missing",
    "untracked": "output_untracked",
}

# Place of a record among all: (sort time, writer, seq), docs/reading.md, "Order".
Order = Callable[[Output], tuple[str, str, int]]


class Found(NamedTuple):
    """How an output stands.

    Attributes:
        output: The record that says how it should.
        item: How it does.
        why: Got and want, for a state that is bad; what is in the way, for `unverified`.
    """

    output: Output
    item: Item
    why: str


def newest(outputs: Iterable[Output], order: Order) -> tuple[list[Output], list[Output]]:
    """Return, of *outputs*, those that count and those that later ones supersede.

    A record of a directory supersedes the older ones of files that it lists.

    Args:
        outputs: In the order of lines within each file.
        order: Asked only about records in different files.
    """

    def later(one: Output, other: Output) -> bool:
        if one.spot.path == other.spot.path:
            return one.spot.offset > other.spot.offset
        return order(one) > order(other)

    latest: dict[str, Output] = {}
    older: list[Output] = []
    for output in outputs:
        before = latest.get(output.path)
        if before is None or later(output, before):
            latest[output.path] = output
            older += [] if before is None else [before]
        else:
            older.append(output)
    for folder in [output for output in latest.values() if output.kind == "directory"]:
        for path, _, _ in _entries_of(folder) or ():
            inside = latest.get(f"{folder.path}/{path}")
            if inside is not None and later(folder, inside):
                older.append(latest.pop(inside.path))
    return list(latest.values()), older


class OutputCheck:
    """Compares recorded outputs with what is there.

    Args:
        out: OUT; None where it is not known, and relative paths cannot be checked.
        outputs: One for each path.
    """

    def __init__(self, out: Path | None, outputs: Sequence[Output]) -> None:
        self._out = out
        self._outputs = outputs

    def check(self, *, jobs: int = 1) -> list[Found]:
        """Return how each output stands; *jobs* of them are read at a time."""
        if jobs == 1 or len(self._outputs) == 1:
            return [found for output in self._outputs for found in self._checked(output)]
        with ThreadPoolExecutor(jobs) as pool:
            return [found for each in pool.map(self._checked, self._outputs) for found in each]

    def _checked(self, output: Output) -> list[Found]:
        try:
            path = self._where(output.path)
            if output.digest is None:
                return [_found(output, "unverified", "recorded without a digest")]
            if output.kind == "directory":
                return self._directory(output, path)
            state, actual, why = _file(path, output.size, output.digest)
            return [_found(output, state, why, actual=actual)]
        except (FileNotFoundError, NotADirectoryError):
            return [_found(output, "missing", "not there")]
        except (OSError, ValueError) as error:
            # Nothing is known, so nothing is said to be wrong.
            return [_found(output, "unverified", str(error))]

    def _where(self, path: str) -> Path:
        """Return where *path* is.

        Raises:
            ValueError: It leads out of OUT, or a part of it below OUT is a link.
        """
        if path.startswith("/"):
            return Path(path)
        if self._out is None:
            raise ValueError("relative to a folder that is not at hand")
        parts = path.split("/")
        if not {"", ".", ".."}.isdisjoint(parts):
            raise ValueError("not a path below the folder it is relative to")
        inner = self._out
        for part in parts[:-1]:
            inner /= part
            if inner.is_symlink():
                raise ValueError("a part of the path is a symbolic link, which is not followed")
        return inner / parts[-1]

    def _directory(self, output: Output, path: Path) -> list[Found]:
        mode = path.lstat().st_mode
        if not stat.S_ISDIR(mode):
            return [
                _found(output, "changed", "not a directory any more", actual=_other(path, mode))
            ]
        listing = {name: (size, digest) for name, size, digest in directory_listing(path)}
        entries = _entries_of(output)
        if entries is None:
            return [_whole_directory(output, path, sum(size for size, _ in listing.values()))]
        differing: list[Found] = []
        for name, size, digest in entries:
            there = listing.pop(name, None)
            if not self._is_own(output, name):
                differing += _entry(output, path, (name, size, digest), there)
        state: State = "changed" if differing else "ok"
        untracked = [
            _inside(output, name, "untracked", "not there when the directory was recorded")
            for name in listing
            if not self._is_own(output, name)
        ]
        why = f"{len(differing)} of its {len(entries)} files are not as recorded"
        actual = output.digest if not differing and not untracked else None
        return [_found(output, state, why, actual=actual), *differing, *untracked]

    def _is_own(self, folder: Output, name: str) -> bool:
        """Return whether *name* in *folder* has a record of its own, which is a later one."""
        path = f"{folder.path}/{name}"
        while path != folder.path:
            if path in self._paths:
                return True
            path = path.rpartition("/")[0]
        return False

    @cached_property
    def _paths(self) -> Mapping[str, Output]:
        return {output.path: output for output in self._outputs}


def _entries_of(output: Output) -> list[tuple[str, int, str]] | None:
    """Return what the directory held, None if its record does not say so reliably."""
    if output.entries is None or json_digest(output.entries) != output.digest:
        return None
    return output.entries


def _entry(
    output: Output, path: Path, entry: tuple[str, int, str], there: tuple[int, str] | None
) -> list[Found]:
    """Return how *entry* of a directory differs, nothing if it does not."""
    name, size, digest = entry
    if there is None:
        return [_inside(output, name, "missing", "not there", expected=digest)]
    if there[1]:  # a link, or what is never opened
        state: State = "ok" if there[1] == digest else "changed"
        actual, why = there[1], f"{there[1]}, recorded {digest}"
    elif not digest.startswith(PREFIX):
        state, actual, why = "changed", "", f"a file, recorded {digest}"
    else:
        state, found, why = _file(path / entry_path(name), size, digest)
        actual = found or ""
    if state == "ok":
        return []
    return [_inside(output, name, state, why, expected=digest, actual=actual or None)]


def _whole_directory(output: Output, path: Path, size: int) -> Found:
    """Compare a directory of which only the digest was recorded."""
    if output.size is not None and size != output.size:
        return _found(output, "changed", f"{size} bytes in it, recorded {output.size}")
    actual = directory_digest(path).digest
    state: State = "ok" if actual == output.digest else "changed"
    return _found(output, state, f"{actual}, recorded {output.digest}", actual=actual)


def _file(path: Path, size: int | None, digest: str) -> tuple[State, str | None, str]:
    """Return (state, digest as of now, why) of the file *path*.

    Raises:
        OSError: It is not there, or cannot be read.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        actual = _other(path, status.st_mode)
        return "changed", actual, f"{actual or 'a directory'} now, recorded a file"
    got = status.st_size
    read: str | None = None
    if got == 0:
        read = _EMPTY  # files of the kernel say so and may be endless
    elif size is None or got == size or got <= _SMALL:
        got, read = file_digest(path)
    if read == digest:
        return "ok", read, ""
    return (
        "changed",
        read,
        f"{got} bytes with {read or 'another digest'}, recorded {size} with {digest}",
    )


def _other(path: Path, mode: int) -> str | None:
    """Return what stands for the digest of *path*, which is no file; None for a directory."""
    if stat.S_ISLNK(mode):
        return link_digest(os.fsencode(os.readlink(path)))
    return None if stat.S_ISDIR(mode) else special_digest(mode)


def _found(output: Output, state: State, why: str, *, actual: str | None = None) -> Found:
    item = Item(
        path=output.path,
        state=state,
        expected=output.digest,
        actual=actual,
        run_id=output.run_id,
        node_id=output.node_id,
    )
    return Found(output, item, why)


def _inside(
    output: Output,
    name: str,
    state: State,
    why: str,
    *,
    expected: str | None = None,
    actual: str | None = None,
) -> Found:
    item = Item(
        path=f"{output.path}/{name}",
        state=state,
        expected=expected,
        actual=actual,
        run_id=output.run_id,
        node_id=output.node_id,
    )
    return Found(output, item, why)


def superseded(output: Output) -> Item:
    """Return how an output stands that a later record is about."""
    return _found(output, "superseded", "").item
