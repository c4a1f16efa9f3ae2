"""Opening evidence: read-only, never through a link, never waiting; decompressed if it is gzip.

What is opened so is read by `replay.trace.reader` and `replay.audit`.
"""

import errno
import gzip
import io
import os
import stat
import sys
import zlib
from contextlib import suppress
from typing import Any, BinaryIO, Final, cast

_BUFFER: Final = 1 << 20

# How compressed files begin, what made them, and how their names end.
_GZIP: Final = b"\x1f\x8b"
_COMPRESSED: Final = {
    _GZIP: ("gzip", ".gz"),
    b"\x28\xb5\x2f\xfd": ("zstd", ".zst"),
    b"\xfd7zXZ": ("xz", ".xz"),
    b"BZh": ("bzip2", ".bz2"),
}
_MAGIC_LENGTH: Final = max(map(len, _COMPRESSED))


class TraceError(Exception):
    """A file that cannot be read as a trace.

    Attributes:
        path: The file.
    """

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        super().__init__(f"{path}: {message}")


def open_evidence(path: str | os.PathLike[str]) -> BinaryIO:
    """Open *path* for reading, never through a link, never waiting; `-` is standard input.

    A name that ends in `.gz` is decompressed, and standard input that begins as such a file.

    Raises:
        TraceError: It is a link, a directory, a FIFO or a device, a closed standard input, or
            its content is compressed and its name does not say so, or the other way round.
        OSError: It cannot be opened.
    """
    name = os.fspath(path)
    if name == "-":
        return plain(standard_input(), name)
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        with suppress(OSError):
            target = os.readlink(name)
            raise TraceError(
                name, f"a symbolic link to {target}, want a regular file: links are not followed"
            ) from error
        if error.errno == errno.ENXIO:  # a socket, or a device that is not there
            raise TraceError(name, "not a regular file") from error
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise TraceError(name, "not a regular file")
    stream = open(fd, "rb", buffering=_BUFFER)  # noqa: SIM115 - the caller closes it
    try:
        _check_name(name, os.pread(fd, _MAGIC_LENGTH, 0))
    except BaseException:
        stream.close()
        raise
    return _decompressed(stream, name) if name.endswith(".gz") else stream


def standard_input() -> BinaryIO:
    """Return standard input as it comes.

    Raises:
        TraceError: The caller closed it, as in: auditfold ls - <&-
    """
    if cast("object", sys.stdin) is None:
        raise TraceError("-", "standard input is closed, want a trace on it")
    buffer = sys.stdin.buffer
    # Whoever replaced it may have put something there that cannot be peeked into.
    return buffer if hasattr(buffer, "peek") else cast("BinaryIO", io.BufferedReader(buffer))


def plain(stream: BinaryIO, name: str) -> BinaryIO:
    """Return *stream*, decompressed if it begins as a gzip file: no trace begins so.

    Args:
        stream: At its beginning; one that can be peeked into.
        name: What messages call it.

    Raises:
        TraceError: It is compressed in another way.
    """
    return _decompressed(stream, name) if is_compressed(stream) else stream


def is_compressed(stream: BinaryIO) -> bool:
    """Return whether *stream*, at its beginning, is to be decompressed; it stays there.

    Raises:
        TraceError: It is compressed in another way.
    """
    head = cast("io.BufferedReader", stream).peek(_MAGIC_LENGTH)[:_MAGIC_LENGTH]
    if not head.startswith(_GZIP):
        _check_name("-", head)
    return head.startswith(_GZIP)


def _check_name(name: str, head: bytes) -> None:
    """Refuse content that is not as its name says; nothing is guessed but the reason."""
    if name.endswith(".gz"):
        if head and not head.startswith(_GZIP):
            right = name.removesuffix(".gz")
            raise TraceError(name, f"not compressed, although its name says so. Try: mv it {right}")
        return
    for magic, (program, suffix) in _COMPRESSED.items():
        if head.startswith(magic):
            known = suffix == ".gz"
            advice = f"give it a name that ends in {suffix}, or: " if known else ""
            raise TraceError(
                name, f"compressed with {program}. Try: {advice}{program} -dc FILE | auditfold ls -"
            )


def _decompressed(stream: BinaryIO, name: str) -> BinaryIO:
    return cast("BinaryIO", io.BufferedReader(_Decompressed(stream, name), _BUFFER))


class _Decompressed(io.RawIOBase):
    """What a compressed file holds; owns the file."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._plain = gzip.GzipFile(fileobj=stream)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._plain.read1(len(buffer))
        except EOFError as error:
            raise TraceError(
                self._name,
                "compressed data ends too early: the file was cut, or is being written",
            ) from error
        except (zlib.error, gzip.BadGzipFile) as error:
            raise TraceError(self._name, f"compressed data is damaged: {error}") from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._plain.close()
        self._stream.close()
        super().close()
