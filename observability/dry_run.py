"""What redaction would hide in a text or a trace that is already there.

It changes nothing.  An object of JSON on a line of its own is looked at as a payload, by the
names of its keys and by its texts; anything else as one text, so that a secret of several lines
is found, and is told by the line it begins in.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any, Final, NamedTuple

import orjson

from observability.redaction.redact import RULES, Redactor
from observability.values import Gate

LARGEST_PIECE: Final = 4 << 20  # bytes of a line, and of lines that are looked at as one text
_MARKER: Final = re.compile(r"\[REDACTED:([\w-]{1,40})\]")
_LAST_PEM_LINE: Final = re.compile(r"-----(BEGIN|END) [0-9A-Z ]{0,40}PRIVATE KEY")

Numbered = tuple[int, str]


class Exposure(NamedTuple):
    """A line in which something would be hidden.

    Attributes:
        line: Its number, from 1.
        rules: Those whose markers would stand there, one for each marker.
        place: The keys that lead to the text in an object of JSON, joined by dots; else None.
        text: What would be written, markers included.
    """

    line: int
    rules: tuple[str, ...]
    place: str | None
    text: str


class Described(NamedTuple):
    """What is hidden under one name of the marker.

    Attributes:
        name: What the marker says.
        says: What is hidden.
        source: Where the form is published.
    """

    name: str
    says: str
    source: str


def described_rules() -> list[Described]:
    """Return what each marker stands for; several rules may share one."""
    found = {_BY_KEY.name: _BY_KEY}
    for rule in RULES:
        before = found.get(rule.name)
        if before is None:
            found[rule.name] = Described(rule.name, rule.says, rule.source)
        else:
            found[rule.name] = before._replace(says=f"{before.says} {rule.says}")
    return list(found.values())


_BY_KEY: Final = Described(
    "key",
    "What stands under a key that is called a secret, such as `db_password` or `apiKey`.",
    "what programs write",
)


def numbered_lines(stream: IO[bytes]) -> Iterator[Numbered]:
    r"""Yield number and text of each line of *stream*; a line beyond 4 MiB in pieces.

    Bytes that are no UTF-8 come as `\xHH`; UTF-16 is told by the mark at its beginning.
    """
    first = stream.readline(LARGEST_PIECE)
    if first.startswith((b"\xff\xfe", b"\xfe\xff")):
        whole = (first + stream.read()).decode("utf-16", "backslashreplace")
        yield from enumerate(whole.split("\n"), 1)
        return
    number, piece = 1, first.removeprefix(b"\xef\xbb\xbf")
    while piece:
        rest = b""
        ends = piece.endswith(b"\n")
        if not ends:
            # At a space where there is one: most secrets have none in them.
            cut = piece.rfind(b" ", LARGEST_PIECE // 2) + 1
            if len(piece) >= LARGEST_PIECE // 2 and cut:
                piece, rest = piece[:cut], piece[cut:]
        yield number, piece.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
        number += ends
        piece = rest + stream.readline(LARGEST_PIECE - len(rest))


def exposures(lines: Iterable[Numbered], redactor: Redactor) -> Iterator[Exposure]:
    """Yield what *redactor* would hide in *lines*, in their order."""
    gate = Gate(redactor)
    block: list[Numbered] = []
    size = 0
    for number, line in lines:
        payload = _payload(line)
        if payload is None:
            block.append((number, line))
            size += len(line)
            if size < LARGEST_PIECE or _is_inside_key(block):
                continue
        yield from _in_text(block, redactor)
        block, size = [], 0
        if payload is not None:
            yield from _in_payload(payload, number, gate)
    yield from _in_text(block, redactor)


def _is_inside_key(block: list[Numbered]) -> bool:
    """Return whether a private key has begun and not ended in the last lines of *block*."""
    found = [m[1] for _, line in block[-200:] for m in _LAST_PEM_LINE.finditer(line)]
    return bool(found) and found[-1] == "BEGIN"


def _payload(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        return dict(orjson.loads(line))
    except ValueError:
        return None


def _in_text(block: list[Numbered], redactor: Redactor) -> Iterator[Exposure]:
    before = "\n".join(line for _, line in block)
    after = redactor.scrub_lines(before)
    if after == before:
        return
    for (number, old), new in zip(block, after.split("\n"), strict=True):
        if rules := _new_rules(old, new):
            yield Exposure(number, rules, None, new)


def _in_payload(payload: dict[str, Any], number: int, gate: Gate) -> Iterator[Exposure]:
    try:
        kept, _ = gate.lenient(payload)
    except (TypeError, ValueError):  # nested deeper than any event
        whole = orjson.dumps(payload).decode()
        kept, payload = {"": gate.text("", whole)}, {"": whole}
    for place, old, new in _leaves(payload, kept, ""):
        if rules := _new_rules(old, new):
            yield Exposure(number, rules, place, new)


def _leaves(old: Any, new: Any, place: str) -> Iterator[tuple[str, str, str]]:
    """Yield place, text before and text after of whatever differs."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for (was, value), (name, kept) in zip(old.items(), new.items(), strict=True):
            inside = f"{place}.{name}" if place else name
            if was != name:
                yield inside, was, name
            yield from _leaves(value, kept, inside)
    elif isinstance(old, list) and isinstance(new, list):
        for n, (value, kept) in enumerate(zip(old, new, strict=True)):
            yield from _leaves(value, kept, f"{place}[{n}]")
    elif old != new:
        yield place, str(old), str(new)


def _new_rules(old: str, new: str) -> tuple[str, ...]:
    """Return the rules whose markers stand in *new* and did not stand in *old*."""
    if old == new:
        return ()
    return tuple((Counter(_MARKER.findall(new)) - Counter(_MARKER.findall(old))).elements())
