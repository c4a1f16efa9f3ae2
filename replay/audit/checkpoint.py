"""Checkpoints: how many lines there were, and the root of the tree over them.

The body of a checkpoint is the text of a signed note (`replay.audit.notes`).  Pure.

Format: C2SP tlog-checkpoint (https://c2sp.org/tlog-checkpoint): origin, size, root, and lines
that extend it.
"""

import re
from base64 import b64decode, b64encode
from typing import Final

import msgspec

from replay.audit.notes import (
    KeyTextError,
    Note,
    NoteError,
    Signature,
    VerifierKey,
    open_note,
    split_note,
)

__all__ = [
    "ORIGIN",
    "Certificate",
    "Checkpoint",
    "KeyTextError",
    "Note",
    "NoteError",
    "Signature",
    "VerifierKey",
    "open_note",
    "split_note",
]

ORIGIN: Final = "auditfold/"
_CERTIFICATE: Final = "auditfold/certificate"
_SIZE: Final = re.compile("0|[1-9][0-9]{0,18}")
_ROOT: Final = re.compile("[A-Za-z0-9+/]{43}=")
_HEAD: Final = 3
_MOST_LEAVES: Final = (1 << 63) - 1


class Checkpoint(msgspec.Struct, frozen=True):
    """What a checkpoint says.

    Attributes:
        origin: Which log: `auditfold/<writer>`, or `auditfold/registry/<hash>`.
        size: Leaves of its tree, at most 2^63 - 1.
        root: Of the tree, 32 bytes.
        extensions: Further lines.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Return the checkpoint that *text*, the text of a note, is.

        Raises:
            NoteError: It is none; says why.
        """
        lines = text.split("\n")
        if lines.pop() or len(lines) < _HEAD or not all(lines):
            raise NoteError("no checkpoint: want origin, size and root, a line each")
        origin, size, root = lines[:_HEAD]
        fits = _SIZE.fullmatch(size) and int(size) <= _MOST_LEAVES
        if not fits or not _ROOT.fullmatch(root):
            raise NoteError(f"no checkpoint: size {size[:20]!r}, root {root[:44]!r}")
        raw = b64decode(root)
        if b64encode(raw).decode() != root:
            raise NoteError(f"no checkpoint: root {root!r} is not in its one form")
        return cls(origin, int(size), raw, tuple(lines[_HEAD:]))

    def text(self) -> str:
        """Return it as the text of a note."""
        lines = (self.origin, str(self.size), b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


class Certificate(msgspec.Struct, frozen=True):
    """An operator's word for the first key of a writer.

    Attributes:
        key: The key.
        writer: Whose it is; None where the certificate was made before there was a writer, for
            whoever has the key first.
    """

    key: VerifierKey
    writer: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Certificate":
        """Return the certificate that *text*, the text of a note, is.

        Raises:
            NoteError: It is none.
        """
        lines = text.split("\n")
        if lines.pop() or len(lines) not in {2, 3} or lines[0] != _CERTIFICATE:
            raise NoteError(f"no certificate: want {_CERTIFICATE}, a key and a writer, a line each")
        try:
            key = VerifierKey.parse(lines[1])
        except KeyTextError as error:
            raise NoteError(f"no certificate: {error}") from None
        made = cls(key, lines[2] if len(lines) > 2 else None)  # noqa: PLR2004 - the third line
        if made.text() != text:
            raise NoteError("no certificate: its key is not in its one form")
        return made

    def text(self) -> str:
        """Return it as the text of a note."""
        writer = "" if self.writer is None else f"{self.writer}\n"
        return f"{_CERTIFICATE}\n{self.key}\n{writer}"
