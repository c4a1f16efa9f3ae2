"""Hostile bytes: only the documented errors, and never longer than a second."""

import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

import orjson
import pytest

from replay.audit.anchors import Anchor
from replay.audit.audit import audit
from replay.audit.chain import Chain
from replay.audit.checkpoint import (
    Certificate,
    Checkpoint,
    KeyTextError,
    NoteError,
    VerifierKey,
    open_note,
    split_note,
)
from replay.audit.facts import Facts
from replay.audit.registry import RegistryScan
from replay.trace.ending import is_cut_off, read_cut_ending, read_ending, read_opening
from replay.trace.evidence import TraceError
from replay.trace.folder import NoTraceError
from replay.trace.line import GENESIS, SUFFIX_LENGTH, LineError, check, seal
from replay.trace.reader import EventReader
from replay.trace.schema import NewerVersionError, older_fields
from tests.auditing.build import scanned
from tests.reliability.conftest import Tell
from tests.reliability.tier import either, randomness
from tests.vectors.generate import vectors
from tests.vectors.making import lines_of

LONGEST_S: Final = 1.0
TOKENS: Final = [
    *(b'{ } [ ] , : " \\ 0 -0 1e999 NaN null true 9007199254740992 -1 1.5 {} []'.split()),
    b'"a":1,',
    b'"hash":"',
    b'"seq":',
    b'{"v":2,',
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\\u0000",
    "\u2028".encode(),
    b"[" * 70,
    b'{"a":' * 70,
    b"1" * 400,
    b"\x1f\x8b\x08",
    b" " * 80,
    b'"fragment":{"offset":0,"length":9,"sha256":"0"}',
    b'"event_type":"gap"',
    b'"follows":{"path":"../x","writer":null,"lines":0,"hash":null}',
]


def corpus() -> list[bytes]:
    """Return the lines of all vectors that are not large."""
    found: dict[bytes, None] = {}
    for vector in vectors():
        if not vector.large:
            for data in vector.files.values():
                found |= dict.fromkeys(line for line in lines_of(data) if len(line) < 4_000)
    return list(found)


def mutated(line: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return *line* with some damage; in half of the cases with a hash that is right."""
    data = line[:-SUFFIX_LENGTH] if (sealed := rng.random() < 0.5) else line
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + int(rng.expovariate(0.1)))
        match rng.randrange(6):
            case 0:
                data = data[:at] + rng.choice(TOKENS) + data[at:]
            case 1:
                data = data[:at] + data[end:]
            case 2:
                data = data[:end] + data[at:]
            case 3:
                data = data[:at] + rng.randbytes(end - at) + data[end:]
            case 4:
                other = rng.choice(others)
                data = data[:at] + other[rng.randrange(len(other)) :]
            case _:
                data = (
                    data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
                    if (at < len(data))
                    else data
                )
    return seal(GENESIS, data)[0] if sealed else data


def as_line(data: bytes) -> None:
    """Take *data* for a line, by every function that does so."""
    with suppress(LineError):
        fields = check(data)
        assert isinstance(fields, dict)
    Chain().take(data)
    is_cut_off(data)
    older_fields(data)


def as_file(data: bytes) -> None:
    """Take *data* for a trace, and for a registry."""
    reader = EventReader(BytesIO(data), "fuzz")
    with suppress(NewerVersionError):
        n_events = sum(1 for _ in reader)
        assert n_events + len(reader.damage) >= reader.lines - len(reader.damage)
        assert reader.offset + reader.torn == len(data)
    facts = scanned(data)
    assert facts.whole() == len(data)
    with TemporaryFile() as stream:
        stream.write(data)
        stream.flush()
        fd = stream.fileno()
        ending = read_ending(fd)
        assert ending is None or ending.offset <= ending.size == len(data)
        read_cut_ending(fd)
        read_opening(fd)
    registry = RegistryScan(Facts("audit/registry.jsonl", "registry.jsonl"))
    registry.read(BytesIO(data), length=len(data))
    registry.end()
    assert registry.facts.whole() == len(data)


def as_folder(data: bytes, out: Path, rng: random.Random) -> None:
    """Take *data* for the files of a folder, and audit it."""
    step = out / "audit/step_04"
    step.mkdir(parents=True, exist_ok=True)
    lines = lines_of(data) or [b""]
    cut = rng.randrange(len(lines))
    for path, part in (
        (step / "trace_04.jsonl", lines[:cut]),
        (out / "audit/registry.jsonl", lines[cut:]),
    ):
        path.write_bytes(b"".join(part))
        os.utime(path, (1, 1))
    with suppress(NoTraceError, TraceError):
        report = audit(str(out), chain_only=rng.random() < 0.3, strict=rng.random() < 0.3)
        assert report.exit_code() in {0, 1, 3, 4}


def timed(what: Callable[[], None]) -> float:
    began = time.process_time()
    what()
    return time.process_time() - began


def test_hostile_bytes_raise_nothing_but_what_is_documented(memory: Path, tell: Tell) -> None:
    rng = randomness("fuzz")
    lines = corpus()
    n_inputs = either(5_000, 1_000_000)
    slowest = 0.0
    batch: list[bytes] = []
    for n in range(n_inputs):
        data = mutated(rng.choice(lines), lines, rng)
        try:
            slowest = max(slowest, timed(lambda data=data: as_line(data)))  # type: ignore[misc]
            batch.append(data)
            if len(batch) == 10:
                whole = b"".join(batch)
                slowest = max(slowest, timed(lambda whole=whole: as_file(whole)))  # type: ignore[misc]
                if n % 100 == 99:
                    slowest = max(
                        slowest,
                        timed(lambda whole=whole: as_folder(whole, memory, rng)),  # type: ignore[misc]
                    )
                batch = []
        except Exception as error:
            error.add_note(f"input {n}: {data!r}; with it {batch!r}")
            raise
    tell(inputs=n_inputs, lines_of_the_corpus=len(lines), slowest_ms=round(1000 * slowest, 1))
    assert slowest < LONGEST_S


def notes() -> list[bytes]:
    """Return the notes and keys of all vectors that are signed."""
    found: dict[bytes, None] = {}
    for vector in vectors():
        if vector.kind == "sealed":
            found |= dict.fromkeys([vector.vkey.encode(), vector.anchor.encode()])
            for data in vector.files.values():
                for event in map(orjson.loads, lines_of(data) if data[:1] == b"{" else []):
                    texts = (event.get("note"), event.get("signing", {}).get("certificate"))
                    found |= dict.fromkeys(text.encode() for text in texts if text)
    return [text for text in found if text]


def as_note(data: bytes, vkeys: list[VerifierKey]) -> None:
    """Take *data* for a note, for what a note may say, and for a key."""
    text = data.decode("utf-8", "surrogateescape")
    for read in (
        lambda: split_note(data),
        lambda: open_note(data, vkeys),
        lambda: Checkpoint.parse(split_note(data)[0]),
        lambda: Certificate.parse(text),
        lambda: Anchor.parse(text, path="fuzz"),
        lambda: VerifierKey.parse(text),
    ):
        with suppress(NoteError, KeyTextError):
            read()


def test_hostile_notes_raise_nothing_but_what_is_documented(tell: Tell) -> None:
    rng = randomness("notes")
    texts = notes()
    vkeys = [VerifierKey.parse(text.decode()) for text in texts if b"\n" not in text]
    n_inputs = either(5_000, 1_000_000)
    slowest = 0.0
    for n in range(n_inputs):
        data = mutated(rng.choice(texts) + b" " * SUFFIX_LENGTH, texts, rng).rstrip()
        data += rng.choice([b"", b"\n", b"\n\n"])
        try:
            slowest = max(slowest, timed(lambda data=data: as_note(data, vkeys)))  # type: ignore[misc]
        except Exception as error:
            error.add_note(f"input {n}: {data!r}")
            raise
    tell(inputs=n_inputs, notes_of_the_corpus=len(texts), slowest_ms=round(1000 * slowest, 1))
    assert slowest < LONGEST_S


@pytest.mark.parametrize("token", [token for token in TOKENS if token != b"\n"], ids=repr)
def test_a_line_of_one_token_is_read_in_time(token: bytes) -> None:
    size = either(100_000, 1_000_000)
    data = (token * (size // len(token) + 1))[:size]

    assert timed(lambda: as_line(data)) < LONGEST_S
    # The file is read four times.
    assert timed(lambda: as_file(data)) < 4 * LONGEST_S
    assert timed(lambda: as_file(data + b"\n")) < 4 * LONGEST_S
