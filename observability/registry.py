"""The registry: which writers there were, in the one file that many processes append to.

Each line is written under an exclusive lock and synced before the lock is given back.
"""

import errno
import os
from io import FileIO
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from observability.files import open_regular, sync, sync_folder
from observability.trace_file import JournalError, lock_waiting
from replay.trace.ending import fragment, read_cut_ending, read_ending
from replay.trace.events import Extent, Fragment, RegistryEnd
from replay.trace.folder import REGISTRY
from replay.trace.line import Envelope, seal

_PATIENCE_S: Final = 30.0


def payload_json(**fields: Any) -> bytes:
    """Return *fields* that are not None as a JSON object; Structs become objects."""
    return orjson.dumps(
        {name: msgspec.to_builtins(value) for name, value in fields.items() if value is not None}
    )


class Registry:
    """The registry of one `audit/` folder."""

    def __init__(self, audit: Path) -> None:
        self.path = audit / REGISTRY

    def open(self) -> FileIO:
        """Return the registry's file, made if it is not there, to be locked.

        It is to be closed with `with`: a C function that no signal handler keeps from it.

        Raises:
            OSError: It cannot be opened, or is no regular file.
        """
        try:
            return open_regular(self.path, create=False)
        except FileNotFoundError:
            pass
        try:
            stream = open_regular(self.path, create=True)
        except FileExistsError:  # another process was first
            return open_regular(self.path, create=False)
        try:
            sync_folder(self.path.parent)
        except BaseException:
            stream.close()
            raise
        return stream

    def lock(self, stream: FileIO) -> "LockedRegistry":
        """Wait for the lock of an open registry; it is given back when *stream* is closed.

        Raises:
            JournalError: It was not to be had within 30 s, the file is no longer the registry,
                or it does not end in a line that can be continued.
        """
        fd = stream.fileno()
        lock_waiting(fd, self.path, seconds=_PATIENCE_S)
        mine = os.fstat(fd)
        if mine.st_nlink == 0:
            gone = OSError(errno.ESTALE, "removed while its lock was awaited")
            raise JournalError(self.path, gone, "nothing was written there")
        return LockedRegistry(self.path, fd, mine.st_size)


class LockedRegistry:
    """The registry while its lock is held.

    Attributes:
        lines: Right lines in it, so the next `seq`.
        hash: Of the last one, 64 digits.
        size: Bytes, what was cut off included.
    """

    def __init__(self, path: Path, fd: int, size: int) -> None:
        self._path = path
        self._fd = fd
        self._pid = os.getpid()
        self.size = size
        ending = read_ending(fd) or read_cut_ending(fd)
        if ending is None:
            raise JournalError(
                path,
                "does not end in a line of this format version",
                "nothing was written. Run: auditfold audit, and move audit/ away to begin anew",
            )
        self.lines, self.hash = ending.lines, ending.hash
        # A process that was killed between that newline and the `gap` has left the newline.
        self._has_newline = size > ending.offset and os.pread(fd, 1, size - 1) == b"\n"
        self._torn: Fragment | None = fragment(fd, ending.offset, size - self._has_newline)

    def end(self) -> RegistryEnd | None:
        """Return the registry as a `writer_opened` names it; None while it is empty."""
        return RegistryEnd(self.lines, self.hash.decode()) if self.lines else None

    def tells(self, event_type: str, writer: str, *, offset: int) -> bool:
        """Return whether a line behind byte *offset* is of that type and about that writer."""
        data = os.pread(self._fd, self.size - offset, offset)
        return any(
            told.event_type == event_type and told.trace is not None and told.trace.writer == writer
            for told in map(_decode_told, data.split(b"\n")[:-1])
        )

    def append(
        self, envelope: Envelope, event_type: str, payload: bytes, *, epoch_us: int, mono_us: int
    ) -> None:
        """Append one line and sync it; a fragment found at the end gets a newline and a `gap`.

        Raises:
            JournalError: A signal handler forked, and this is the child.
            OSError: It could not be written or synced; a part of it may be there.
        """
        stamp: dict[str, Any] = {"epoch_us": epoch_us, "mono_us": mono_us, "pid": os.getpid()}
        if self._torn is not None:
            torn, self._torn = self._torn, None
            gap = payload_json(reason="a line that was cut off", fragment=torn)
            newline = b"" if self._has_newline else b"\n"
            self._put(newline, envelope.encode("gap", gap, seq=self.lines, **stamp))
        self._put(b"", envelope.encode(event_type, payload, seq=self.lines, **stamp))
        sync(self._fd)

    def _put(self, before: bytes, body: bytes) -> None:
        line, digest = seal(self.hash, body)
        data = before + line
        if os.getpid() != self._pid:  # the lock is the parent's, who writes the same line
            raise JournalError(self._path, "a signal handler forked", "its parent writes there")
        written = os.write(self._fd, data)
        while written < len(data):
            written += os.write(self._fd, data[written:])
        self.lines, self.hash = self.lines + 1, digest


class _Told(msgspec.Struct):
    """The part of a registry line that says which writer it is about."""

    event_type: str
    trace: Extent | None = None


def _decode_told(line: bytes) -> _Told:
    try:
        return msgspec.json.decode(line, type=_Told)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Told("")
