"""What a digest is: of a file, of a directory, of a JSON value.

A digest is `sha256:` and 64 lower-case hex digits.  Of a file it covers the bytes; of a JSON
value its canonical form (RFC 8785, `canonical_json`); of a directory the canonical form of its
entries (`directory_digest`).  Specified in docs/auditing.md, "Outputs".  No link is followed
and no FIFO, socket or device is opened.
"""

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import Enum
from json.encoder import encode_basestring as quoted
from pathlib import PurePath
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

PREFIX: Final = "sha256:"
MAX_INT: Final = (1 << 53) - 1  # I-JSON, RFC 7493 section 2.2; RFC 8785 section 3.2.2.3

_OPEN_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_DIRECTORY: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
# ECMAScript writes 1e20 and 1e-6 without an exponent, 1e21 and 1e-7 with one.
_FIRST_LARGE: Final = 21
_LAST_SMALL: Final = 6
_EXPONENT: Final = re.compile(r"(-?)(\d)(?:\.(\d+))?e([+-])0*(\d+)")
_ESCAPE: Final = re.compile(rb"\\\\|\\x([0-9a-f]{2})")


# --- JSON values


def canonical_json(value: Any) -> bytes:
    r"""Return the one form of *value* that RFC 8785 (JCS) allows, in UTF-8.

    Args:
        value: None, bool, int, float, str, lists and tuples of these, and mappings from str to
            these.  A tuple is an array.

    Raises:
        TypeError: Something else stands in it; the message names the place (`$.rows[3]`).
        ValueError: NaN, an infinity, an integer beyond 2^53 - 1 either way, a lone surrogate,
            or nesting deeper than the interpreter can follow.

    Source: RFC 8785; numbers by ECMA-262, Number::toString; keys by UTF-16 code units.

    >>> canonical_json({"b": 1.0, "a": [1e21, -0.0, 1e-7], "\u20ac": None})
    b'{"a":[1e+21,0,1e-7],"b":1,"\xe2\x82\xac":null}'
    """
    parts: list[str] = []
    try:
        try:
            _write(value, parts.append, ())
            return "".join(parts).encode()
        except UnicodeEncodeError:
            place = _surrogate_place(value, ())
            raise ValueError(f"{place}: a lone surrogate, want text") from None
    except RecursionError:
        raise ValueError("nested too deep for a canonical form") from None


def json_digest(value: Any) -> str:
    """Return the digest of the canonical form of *value*.

    Raises:
        TypeError, ValueError: As `canonical_json`.
    """
    return PREFIX + hashlib.sha256(canonical_json(value)).hexdigest()


def _write(value: Any, put: Any, place: tuple[object, ...]) -> None:
    if isinstance(value, str):
        put(quoted(value))
    elif value is None or value is True or value is False:
        put("null" if value is None else "true" if value else "false")
    elif isinstance(value, int):
        if not -MAX_INT <= value <= MAX_INT:
            raise ValueError(f"{_shown(place)}: integer beyond 2^53 - 1 either way")
        put(int.__repr__(value))
    elif isinstance(value, float):
        put(_number(value, place))
    elif isinstance(value, Mapping):
        _write_object(value, put, place)
    elif isinstance(value, list | tuple):
        opening = "["
        for index, item in enumerate(value):
            put(opening)
            _write(item, put, (*place, index))
            opening = ","
        put("]" if value else "[]")
    else:
        raise TypeError(f"{_shown(place)}: got {type(value).__name__}, want a JSON value")


def _write_object(value: Mapping[Any, Any], put: Any, place: tuple[object, ...]) -> None:
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"{_shown(place)}: key of type {type(key).__name__}, want str")
    # UTF-16 code units, big-endian, compare as bytes (RFC 8785 section 3.2.3).  For ASCII the
    # order is that of the text.
    ascii_only = all(map(str.isascii, value))
    keys = sorted(value) if ascii_only else sorted(value, key=lambda key: key.encode("utf-16-be"))
    opening = "{"
    for key in keys:
        put(f"{opening}{quoted(key)}:")
        _write(value[key], put, (*place, key))
        opening = ","
    put("}" if value else "{}")


def _number(value: float, place: tuple[object, ...]) -> str:
    """Return *value* as ECMAScript writes it; both print the shortest digits that round-trip.

    Source: ECMA-262, Number::toString (radix 10), steps 6 to 12.
    """
    if value - value != 0:
        raise ValueError(f"{_shown(place)}: {float.__repr__(value)}, want a finite number")
    text = float.__repr__(value)
    if match := _EXPONENT.fullmatch(text):
        return _with_exponent(match)
    if text.endswith(".0"):
        return "0" if value == 0 else text[:-2]
    return text


def _with_exponent(match: re.Match[str]) -> str:
    """Return what ECMAScript writes where Python writes an exponent (below 1e-4, from 1e16)."""
    minus, first, rest, sign, digits = match.groups(default="")
    exponent = int(digits)
    if sign == "+" and exponent < _FIRST_LARGE:
        return minus + first + rest.ljust(exponent, "0")
    if sign == "-" and exponent <= _LAST_SMALL:
        return f"{minus}0.{'0' * (exponent - 1)}{first}{rest}"
    return f"{minus}{first}{'.' + rest if rest else ''}e{sign}{exponent}"


def _shown(place: tuple[object, ...]) -> str:
    steps = (f"[{s}]" if isinstance(s, int) else f".{s}" for s in place)
    return ("$" + "".join(steps))[:200].encode(errors="backslashreplace").decode()


def _surrogate_place(value: Any, place: tuple[object, ...]) -> str:
    """Return where the first lone surrogate in *value* stands, `$` if nowhere."""
    if isinstance(value, str):
        broken = any("\ud800" <= char <= "\udfff" for char in value)
        return _shown(place) if broken else "$"
    inside: Iterator[tuple[object, Any]] = iter(())
    if isinstance(value, Mapping):
        inside = iter(value.items())
    elif isinstance(value, list | tuple):
        inside = iter(enumerate(value))
    for step, item in inside:
        for part in (step, item):
            if (found := _surrogate_place(part, (*place, step))) != "$":
                return found
    return "$"


# --- Files and directories

Entry = tuple[str, int, str]


class DirectoryDigest(NamedTuple):
    """What a directory holds.

    Attributes:
        size: Bytes of all regular files in it.
        digest: Of the canonical form of `entries`.
        entries: `(path, size, digest)` of everything below it but directories, `path` relative
            to it with `/`, in the order of the UTF-8 bytes of `path`.
    """

    size: int
    digest: str
    entries: list[Entry]


def file_digest(path: str | os.PathLike[str]) -> tuple[int, str]:
    """Return the number of bytes in the regular file *path*, and their digest.

    Memory: constant.  Speed: that of SHA-256.

    Raises:
        OSError: It cannot be read, is a symbolic link (ELOOP), or no regular file (EINVAL).
    """
    return _digest_of(os.open(path, _OPEN_FILE), os.fspath(path))


def _digest_of(fd: int, name: str) -> tuple[int, str]:
    with open(fd, "rb", buffering=0) as stream:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", name)
        digest = hashlib.file_digest(cast("Any", stream), "sha256").hexdigest()
        # Where reading stopped, not the size of the file, which may have grown since.
        return stream.tell(), PREFIX + digest


def directory_digest(path: str | os.PathLike[str]) -> DirectoryDigest:
    r"""Return what the directory *path* holds; a directory without files does not count.

    An entry's digest is that of a file's bytes; `link:<target>` for a symbolic link, which is
    not followed; `special:fifo`, `special:socket`, `special:char`, `special:block` for what is
    never opened; the size is 0 for all but files.  A path that is not UTF-8 is written as `/`
    and the path with `\` doubled and each byte that is no text as `\xNN`; no other relative
    path begins with `/`.  Such a link target is written `link-bytes:` in the same form.

    Memory: the entries.  One descriptor is open for each level.

    Raises:
        OSError: It, or something in it, cannot be read; it is no directory, or a link to one; it
            is nested too deep.
    """
    entries = _sorted_entries(path, read=True)
    size = sum(size for _, size, digest in entries if digest.startswith(PREFIX))
    return DirectoryDigest(size, json_digest(entries), entries)


def directory_listing(path: str | os.PathLike[str]) -> list[Entry]:
    """Return the entries of the directory *path* without reading files: their digest is empty.

    Raises:
        OSError: As `directory_digest`.
    """
    return _sorted_entries(path, read=False)


def _sorted_entries(path: str | os.PathLike[str], *, read: bool) -> list[Entry]:
    top = os.fspath(path)
    try:
        entries = list(_entries(os.open(top, _OPEN_DIRECTORY), b"", top, read=read))
    except RecursionError:
        raise OSError(errno.ENAMETOOLONG, "nested too deep", top) from None
    return sorted(entries, key=_utf8_path)


def _utf8_path(entry: Entry) -> bytes:
    return entry[0].encode()


def _entries(fd: int, below: bytes, top: str, *, read: bool) -> Iterator[Entry]:
    """Yield what stands in the directory open at *fd*, in any order; closes *fd*."""
    try:
        for name in sorted(os.listdir(fd)):
            relative = below + os.fsencode(name)
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            mode = status.st_mode
            if stat.S_ISDIR(mode):
                inner = os.open(name, _OPEN_DIRECTORY, dir_fd=fd)
                yield from _entries(inner, relative + b"/", top, read=read)
            elif stat.S_ISREG(mode):
                size, digest = status.st_size, ""
                if read:
                    opened = os.open(name, _OPEN_FILE, dir_fd=fd)
                    size, digest = _digest_of(opened, os.path.join(top, os.fsdecode(relative)))
                yield _path_text(relative), size, digest
            elif stat.S_ISLNK(mode):
                target = os.fsencode(os.readlink(name, dir_fd=fd))
                yield _path_text(relative), 0, link_digest(target)
            else:
                yield _path_text(relative), 0, special_digest(mode)
    finally:
        os.close(fd)


def link_digest(target: bytes) -> str:
    """Return what stands for the digest of a symbolic link that leads to *target*."""
    text = _utf8(target)
    return f"link-bytes:{_escaped(target)}" if text is None else f"link:{text}"


def _path_text(relative: bytes) -> str:
    text = _utf8(relative)
    return "/" + _escaped(relative) if text is None else text


def _utf8(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _escaped(raw: bytes) -> str:
    return raw.replace(b"\\", b"\\\\").decode(errors="backslashreplace")


def entry_path(path: str) -> str:
    r"""Return the *path* of an entry as the system spells it: the inverse of what is recorded.

    >>> entry_path(r"/a\\b\xff") == os.fsdecode(b"a\\b\xff")
    True
    """
    if not path.startswith("/"):
        return path
    raw = _ESCAPE.sub(
        lambda m: b"\\" if m[1] is None else bytes([int(m[1], 16)]), path[1:].encode()
    )
    return os.fsdecode(raw)


def special_digest(mode: int) -> str:
    """Return what stands for the digest of a FIFO, a socket or a device."""
    kinds = {stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket", stat.S_IFCHR: "char"}
    return f"special:{kinds.get(stat.S_IFMT(mode), 'block')}"


# --- The 16 digits of the older layout

_TEXTUAL: Final = (
    str,
    bytes,
    int,  # and bool
    float,
    type(None),
    PurePath,
    date,  # and datetime
    Decimal,
    UUID,
    Enum,
)


def hash_output(data: Any) -> str:
    """Return the first 16 hex digits of the SHA-256 of *data* as text.

    The text of a dict is `json.dumps(data, sort_keys=True)`, of anything else `str(data)`.
    These are 64 bits, and `1` and `"1"` have the same ones: they tell an accidental change,
    not a forged one.  `json_digest` and `file_digest` do both.

    Args:
        data: str, bytes, int, float, bool, None, Path, date, datetime, Decimal, UUID, Enum,
            lists and tuples of these (and of such lists and tuples), or a dict that json.dumps
            accepts.

    Raises:
        TypeError: *data* is of another type, whose text may differ from run to run: a set, an
            object, a dict inside a list.
        ValueError: A lone surrogate, a cycle, or an integer with too many digits for text.

    >>> hash_output("hello")
    '2cf24dba5fb0a30e'
    """
    if isinstance(data, dict):
        text = json.dumps(data, sort_keys=True)
    else:
        _check_textual(data)
        text = str(data)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_textual(data: Any) -> None:
    waiting, inside = [data], 0
    # By identity: a list that is met twice is checked once, so a cycle ends.
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Enum) and inside:
            # The text of a list has its items by `repr`, which has that of an enum's value.
            waiting.append(value.value)
            continue
        if isinstance(value, _TEXTUAL):
            continue
        if not isinstance(value, list | tuple):
            where = " inside a list or tuple" if inside else ""
            raise TypeError(
                f"hash_output: got {type(value).__name__}{where}, whose text may differ from run "
                "to run; want str, bytes, int, float, bool, None, Path, date, datetime, Decimal, "
                "UUID, Enum, lists and tuples of these, or a dict that json.dumps accepts"
            )
        inside = 1
        if id(value) not in seen:
            seen.add(id(value))
            waiting.extend(cast("Sequence[Any]", value))
