"""Key files: an operator's key, and one-time keys that it has certified beforehand.

An operator's key is one line, `PRIVATE+KEY+NAME+ID+BASE64`, in the form that Go's sumdb/note
gave it.  A file of certified keys is JSON: a line that says whose they are, then a key and its
certificate a line; whoever takes one takes it out.  Both are for their owner's eyes alone (0600).
"""

import errno
import os
import stat
from base64 import b64encode
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self

import msgspec

from observability.files import sync_folder
from observability.trace_file import lock_waiting
from replay.audit.checkpoint import Certificate, KeyTextError, Signature, VerifierKey
from replay.audit.notes import ED25519, split_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

VARIABLE: Final = "AUDITFOLD_SIGNING_KEY"
MODE: Final = 0o600
MOST_CERTIFIED: Final = 100_000

_PRIVATE: Final = "PRIVATE+KEY+"
_SEED_LENGTH: Final = 32
_LARGEST: Final = 1 << 16  # bytes of a line
# Whoever takes a key holds the lock while two syncs last; what others hold it for is no reason to
# keep a program from its work for ever.
_PATIENCE_S: Final = 10.0


class KeyFileError(OSError):
    """A key file cannot be used; `errno` and `filename` say why and where."""

    def __init__(
        self, path: str | os.PathLike[str], reason: str, number: int = errno.EINVAL
    ) -> None:
        super().__init__(number, reason, os.fspath(path))


class SigningKey:
    """An Ed25519 key with its name.

    Args:
        name: Who that is.
        private: The key.

    Raises:
        ModuleNotFoundError: The extra `sign` is not installed.
    """

    __slots__ = ("_private", "verifier")

    def __init__(self, name: str, private: "Ed25519PrivateKey") -> None:
        self._private = private
        self.verifier = VerifierKey(name, private.public_key().public_bytes_raw())

    @classmethod
    def new(cls, name: str) -> Self:
        """Return a new key.  Cost: 60 us."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key that `PRIVATE+KEY+NAME+ID+BASE64` is.

        Raises:
            KeyTextError: It is none; what it says is not repeated.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        text = text.strip()
        if not text.startswith(_PRIVATE):
            raise KeyTextError(f"no signing key: want {_PRIVATE}NAME+ID+BASE64")
        name, id_, data = split_key(text.removeprefix(_PRIVATE), "signing key")
        if len(data) != 1 + _SEED_LENGTH or data[0] != ED25519:
            raise KeyTextError("no signing key of Ed25519, which is type 1")
        key = cls(name, Ed25519PrivateKey.from_private_bytes(data[1:]))
        if key.verifier.id != id_:
            raise KeyTextError(f"signing key {name}: id {id_}, want {key.verifier.id}")
        return key

    def text(self) -> str:
        """Return the key as its file has it, without a newline."""
        seed = bytes([ED25519]) + self._private.private_bytes_raw()
        return f"{_PRIVATE}{self.verifier.name}+{self.verifier.id}+{b64encode(seed).decode()}"

    def sign(self, text: str) -> str:
        """Return the signature line for a note that says *text*.  Cost: 50 us."""
        verifier = self.verifier
        made = self._private.sign(text.encode())
        return Signature(verifier.name, verifier.id, made).line()

    def __repr__(self) -> str:
        return f"<SigningKey {self.verifier.name}+{self.verifier.id}>"


class FirstKey(msgspec.Struct, frozen=True):
    """What a writer begins to sign with.

    Attributes:
        key: Its first key.
        certificate: The operator's word for it, a signed note.
        operator: The operator's key, where that is at hand: it signs the closing checkpoint too.
    """

    key: SigningKey
    certificate: str
    operator: SigningKey | None = None


class Credential(Protocol):
    """What gives each writer its first key."""

    def first_key(self, writer: str) -> FirstKey:
        """Return the first key of *writer*.

        Raises:
            OSError: There is none.
        """

    def take_back(self, first: FirstKey) -> None:
        """Take back a key that stands in no line; the writer has forgotten it."""


class OperatorKey:
    """An operator's key at hand: it certifies each writer's first key.

    Args:
        key: The key.
    """

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    def first_key(self, writer: str) -> FirstKey:
        """Return a new key, certified for *writer* alone."""
        key = SigningKey.new(f"auditfold/{writer}")
        return FirstKey(key, certify(key, self._key, writer=writer), self._key)

    def take_back(self, first: FirstKey) -> None:
        """Let go of *first*: it was certified for one writer, and a new one costs nothing."""


class CertifiedKeys:
    """A file of keys that an operator has certified beforehand.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unused: tuple[int, FirstKey] | None = None  # and whose process that is

    def take_back(self, first: FirstKey) -> None:
        """Keep *first* for the next writer of this process: a full disk uses up no keys."""
        self._unused = (os.getpid(), first)

    def first_key(self, writer: str) -> FirstKey:
        """Take the last key out of the file; nobody has it any more but the writer.

        Raises:
            OSError: The file has none left, cannot be written, or is locked by another process
                for 10 seconds.
        """
        del writer  # it was certified for whoever comes first
        unused, self._unused = self._unused, None
        if unused is not None and unused[0] == os.getpid():  # else it is the parent's of a fork
            return unused[1]
        fd = _open(self._path, os.O_RDWR)
        try:
            lock_waiting(fd, self._path, seconds=_PATIENCE_S)
            line, begin = _last_line(fd)
            if begin == 0:  # nothing is left but whose keys they were
                reason = "no certified key is left in it. Run: auditfold key certify"
                raise KeyFileError(self._path, reason, errno.ENOKEY)
            # Overwritten before it is cut off, as far as a file system lets anybody do that.
            os.pwrite(fd, b" " * (os.fstat(fd).st_size - begin), begin)
            os.fsync(fd)
            os.ftruncate(fd, begin)
            os.fsync(fd)
        finally:
            os.close(fd)
        try:
            held = msgspec.json.decode(line, type=_Held)
            return FirstKey(SigningKey.parse(held.key), held.certificate)
        except (msgspec.DecodeError, UnicodeDecodeError, KeyTextError) as error:
            raise KeyFileError(self._path, f"its last line was no certified key: {error}") from None


class _Header(msgspec.Struct):
    """The first line of a file of certified keys: the verifier key of the operator."""

    certified_by: str


class _Held(msgspec.Struct):
    """Another line of it."""

    key: str
    certificate: str


def certify(key: SigningKey, operator: SigningKey, *, writer: str | None = None) -> str:
    """Return the operator's certificate for *key*, a signed note."""
    text = Certificate(key.verifier, writer).text()
    return f"{text}\n{operator.sign(text)}"


def load_credential(path: str | os.PathLike[str]) -> Credential:
    """Return what the key file *path* gives writers.

    Raises:
        KeyFileError: It is no key file, or others may read it.
        OSError: It cannot be read.
        ModuleNotFoundError: The extra `sign` is not installed.
    """
    if find_spec("cryptography") is None:
        message = "a signing key needs: pip install 'auditfold[sign]'"
        raise ModuleNotFoundError(message, name="cryptography")
    place = Path(os.path.abspath(path))
    first = _first_line(place)
    if first.startswith(b"{"):
        _signer(first, place)
        return CertifiedKeys(place)
    return OperatorKey(load_key(place))


def load_key(path: str | os.PathLike[str]) -> SigningKey:
    """Return the operator's key in the file *path*.

    Raises:
        KeyFileError: It is none, or others may read it.
        OSError: It cannot be read.
        ModuleNotFoundError: The extra `sign` is not installed.
    """
    try:
        return SigningKey.parse(_first_line(Path(path)).decode())
    except (KeyTextError, UnicodeDecodeError) as error:
        said = error if isinstance(error, KeyTextError) else "it is not text"
        raise KeyFileError(path, f"{said}. Make one by: auditfold key new -o FILE") from None


def certified_keys(path: str | os.PathLike[str]) -> tuple[int, str] | None:
    """Return how many keys are left in a file of certified keys, and who certified them.

    Returns:
        The number and the operator's verifier key; None where the file is an operator's key.

    Raises:
        KeyFileError: It is no key file, or others may read it.
        OSError: It cannot be read.
    """
    first = _first_line(Path(path))
    if not first.startswith(b"{"):
        return None
    signer = _signer(first, path)
    with open(_open(Path(path), os.O_RDONLY), "rb") as stream:
        return sum(bool(line.strip()) for line in stream) - 1, signer


def _signer(header: bytes, path: str | os.PathLike[str]) -> str:
    """Return the verifier key in the first line of a file of certified keys."""
    try:
        return str(VerifierKey.parse(msgspec.json.decode(header, type=_Header).certified_by))
    except (msgspec.DecodeError, UnicodeDecodeError, KeyTextError) as error:
        raise KeyFileError(path, f"no file of certified keys: {error}") from None


def write_key(path: str | os.PathLike[str], key: SigningKey) -> None:
    """Make the key file *path*, which must not be there.

    Raises:
        OSError: It is there, or could not be made.
    """
    _make(path, f"{key.text()}\n".encode())


def write_certified(path: str | os.PathLike[str], operator: SigningKey, *, count: int) -> None:
    """Make a file of *count* certified keys at *path*, which must not be there.

    Raises:
        OSError: It is there, or could not be made.
        ValueError: *count* is not 1 to 100,000.
    """
    if not 1 <= count <= MOST_CERTIFIED:
        raise ValueError(f"count {count}: want 1 to {MOST_CERTIFIED}")
    lines = [msgspec.json.encode(_Header(str(operator.verifier))) + b"\n"]
    for _ in range(count):
        key = SigningKey.new(f"{operator.verifier.name}/{os.urandom(5).hex()}")
        lines.append(msgspec.json.encode(_Held(key.text(), certify(key, operator))) + b"\n")
    _make(path, b"".join(lines))


def _make(path: str | os.PathLike[str], data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, MODE)
    try:
        with open(fd, "wb") as stream:
            os.fchmod(fd, MODE)  # the umask may have taken from it
            stream.write(data)
            stream.flush()
            os.fsync(fd)
        # What is signed may outlive a power cut, and the key has to as well.
        sync_folder(os.path.dirname(os.path.abspath(path)))
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise


def _open(path: Path, flags: int) -> int:
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and not status.st_mode & 0o077:
        return fd
    os.close(fd)
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(path, "not a regular file, want a key file")
    mode = f"mode {stat.S_IMODE(status.st_mode):o}, want {MODE:o}"
    raise KeyFileError(path, f"{mode}: others may read the key. Run: chmod {MODE:o} {path}")


def _first_line(path: Path) -> bytes:
    with open(_open(path, os.O_RDONLY), "rb") as stream:
        return stream.readline(_LARGEST)


def _last_line(fd: int) -> tuple[bytes, int]:
    """Return the last line of *fd* that is not blank, and where it begins."""
    size = os.fstat(fd).st_size
    begin = max(0, size - _LARGEST)
    data = os.pread(fd, size - begin, begin).rstrip()
    at = data.rfind(b"\n") + 1
    return data[at:], begin + at
