"""Signed notes: a text and the signatures of those who vouch for it, readable by people.

Format: C2SP signed-note (https://c2sp.org/signed-note), with Ed25519 keys.  Pure, but for
`cryptography`, the extra `sign`, which loads when a signature is checked.  What a note says is
`replay.audit.checkpoint`; who makes one, `observability.signing`.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

ED25519: Final = 0x01  # the type of a key and its signatures
MAX_NOTE: Final = 1_000_000  # bytes
MAX_SIGNATURES: Final = 100

_ID_LENGTH: Final = 4
_KEY_LENGTH: Final = 32
# Base64 in whole groups of four: Python's own decoder passes over padding that nothing needs.
_SIGNATURE: Final = re.compile(
    "\u2014 ([^ ]+) ((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)"
)
_ID: Final = re.compile("[0-9a-fA-F]{8}")
_CONTROL: Final = re.compile("[\x00-\x09\x0b-\x1f]")
_PARTS: Final = 3


class NoteError(ValueError):
    """A text is no signed note, or nobody that was asked about has signed it."""


class KeyTextError(ValueError):
    """A text is no key."""


class Signature(NamedTuple):
    """One signature line.

    Attributes:
        name: Of the key.
        key_id: The first 4 bytes of the key's hash, 8 hex digits.
        signature: What the key made.
    """

    name: str
    key_id: str
    signature: bytes

    def line(self) -> str:
        """Return the line, with its newline."""
        data = b64encode(bytes.fromhex(self.key_id) + self.signature).decode()
        return f"\u2014 {self.name} {data}\n"


class VerifierKey(msgspec.Struct, frozen=True):
    """The public half of an Ed25519 key and its name.

    Attributes:
        name: Who that is; no space and no `+`.
        public: The key, 32 bytes.
    """

    name: str
    public: bytes

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Return the key that `NAME+ID+BASE64` is.

        Raises:
            KeyTextError: It is none; says why.
        """
        name, id_, data = split_key(text.strip(), "verifier key")
        if len(data) != 1 + _KEY_LENGTH or data[0] != ED25519:
            raise KeyTextError(f"verifier key {name}: not of Ed25519, which is type 1")
        key = cls(name, data[1:])
        if key.id != id_:
            raise KeyTextError(f"verifier key {name}: id {id_}, want {key.id}: it was changed")
        return key

    @property
    def id(self) -> str:
        """The first 4 bytes of the hash of name and key, 8 hex digits."""
        typed = bytes([ED25519]) + self.public
        return sha256(self.name.encode() + b"\n" + typed).digest()[:_ID_LENGTH].hex()

    def __str__(self) -> str:
        return f"{self.name}+{self.id}+{b64encode(bytes([ED25519]) + self.public).decode()}"

    def accepts(self, text: str, signature: bytes) -> bool:
        """Return whether *signature* is this key's of *text*.  Cost: 70 us.

        Raises:
            ModuleNotFoundError: The extra `sign` is not installed.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


class Note(msgspec.Struct, frozen=True):
    """A signed note.

    Attributes:
        text: What is signed; ends in a newline.
        signatures: Those that were checked and are right.
        unverified: Those of keys that nobody asked about.
    """

    text: str
    signatures: tuple[Signature, ...]
    unverified: tuple[Signature, ...]


def open_note(text: str | bytes, vkeys: str | VerifierKey | Iterable[str | VerifierKey]) -> Note:
    """Return the note in *text*, signed by at least one of *vkeys*.

    Args:
        text: The whole note.
        vkeys: Keys that count, as `NAME+ID+BASE64` or parsed.  A second signature by the same
            key is passed over, those by any other key are `unverified`, each once.

    Raises:
        NoteError: It is no note, a signature of one of *vkeys* is wrong, or none of them has
            signed it.
        KeyTextError: One of *vkeys* is no key.
        ModuleNotFoundError: The extra `sign` is not installed.

    Source: C2SP signed-note.
    """
    given = [vkeys] if isinstance(vkeys, str | VerifierKey) else vkeys
    parsed = [VerifierKey.parse(key) if isinstance(key, str) else key for key in given]
    known = {(key.name, key.id): key for key in parsed}
    said, signatures = split_note(text)
    right: dict[tuple[str, str], Signature] = {}
    others: dict[Signature, None] = {}
    for one in signatures:
        whose = (one.name, one.key_id)
        key = known.get(whose)
        if key is None:
            others[one] = None
        elif whose not in right:
            if not key.accepts(said, one.signature):
                raise NoteError(f"the signature of {one.name}+{one.key_id} is wrong")
            right[whose] = one
    if not right:
        names = ", ".join(f"{name}+{id_}" for name, id_ in known) or "no key"
        raise NoteError(f"not signed by {names}")
    return Note(said, tuple(right.values()), tuple(others))


def split_note(text: str | bytes, *, most: int = MAX_NOTE) -> tuple[str, list[Signature]]:
    """Return what a note says, and its signatures, none of them checked.

    Args:
        text: The whole note.
        most: How long it may be, in bytes, or in characters where it is text.

    Raises:
        NoteError: It is no note; says why.
    """
    if len(text) > most:
        raise NoteError(f"a note of over {most} bytes")
    try:
        whole = text if isinstance(text, str) else text.decode()
        whole.encode()
    except UnicodeError:
        raise NoteError("a note is UTF-8") from None
    if _CONTROL.search(whole):
        raise NoteError("a control character stands in it")
    said, found, lines = whole.rpartition("\n\n")
    if not found or not lines.endswith("\n") or lines == "\n":
        raise NoteError("no signature behind an empty line")
    many = lines[:-1].split("\n")
    if len(many) > MAX_SIGNATURES:
        raise NoteError(f"over {MAX_SIGNATURES} signatures")
    return f"{said}\n", [_signature(line) for line in many]


def _signature(line: str) -> Signature:
    found = _SIGNATURE.fullmatch(line)
    try:
        data = b64decode(found[2], validate=True) if found else b""
    except Base64Error:
        data = b""
    if found is None or not is_name(found[1]) or len(data) <= _ID_LENGTH:
        raise NoteError(f"no signature line: {line[:80]!r}")
    return Signature(found[1], data[:_ID_LENGTH].hex(), data[_ID_LENGTH:])


def is_name(name: str) -> bool:
    """Return whether a key may be called that: not empty, no space, no `+`."""
    return bool(name) and "+" not in name and not any(map(str.isspace, name)) and _is_text(name)


def _is_text(name: str) -> bool:
    return not _CONTROL.search(name) and not any("\ud800" <= char <= "\udfff" for char in name)


def split_key(text: str, what: str) -> tuple[str, str, bytes]:
    """Return name, id and data of a key as text.

    Args:
        text: `NAME+ID+BASE64`.
        what: What it should be, for messages.

    Raises:
        KeyTextError: It is none; what it says is not repeated, it may be secret.
    """
    parts = text.split("+", _PARTS - 1)
    if len(parts) == _PARTS and is_name(parts[0]) and _ID.fullmatch(parts[1]):
        # Base64Error, and the ValueError of what is not ASCII.
        with suppress(ValueError):
            data = b64decode(parts[2], validate=True)
            if b64encode(data).decode() == parts[2]:
                return parts[0], parts[1].lower(), data
    raise KeyTextError(f"no {what}: want NAME+ID+BASE64")
