"""Ids of runs, and runs that several processes write: what the registry knows of one.

A process joins a run by its id (`ExecutionObserver(run_id=...)`).  What several starts and ends
add up to is `replay.fold.starts`; docs/exec.md, "Several commands, one run".
"""

import re
import string
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from observability.files import open_regular
from replay.trace.folder import REGISTRY
from replay.trace.line import utc_second

_RUN_ID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")
_OPENED: Final = "writer_opened"
_ALPHABET: Final = string.digits + string.ascii_lowercase


class Joined(NamedTuple):
    """A writer that the registry names in a run.

    Attributes:
        writer: Its id.
        step_number: Where it wrote.
        timestamp: When it opened its file.
        epoch_seconds: The same instant.
    """

    writer: str
    step_number: str
    timestamp: str
    epoch_seconds: float


class _Line(msgspec.Struct):
    event_type: str
    run_id: str | None
    writer: str
    step_number: str
    timestamp: str
    epoch_seconds: float


_decode: Final = msgspec.json.Decoder(_Line).decode


def new_run_id(epoch_ns: int, random: Callable[[int], bytes]) -> str:
    """Return `20261121-070312-k3f9x2`: UTC, and 31 random bits in letters and digits."""
    date = utc_second(epoch_ns // 1_000_000_000).decode()
    number = int.from_bytes(random(8), "big")
    letters = "".join(_ALPHABET[number // 36**n % 36] for n in range(6))
    return f"{date[:10].replace('-', '')}-{date[11:].replace(':', '')}-{letters}"


def check_run_id(run_id: str) -> str:
    """Return *run_id*, which other processes may bear too.

    Raises:
        TypeError: It is no str.
        ValueError: It is not 1 to 64 ASCII letters, digits, `.`, `_` and `-`, or what `--run`
            takes for something else: `latest`, or a number.
    """
    if not isinstance(run_id, str):
        raise TypeError(f"run_id: got {type(run_id).__name__}, want str")
    if not _RUN_ID.fullmatch(run_id):
        raise ValueError(
            f"run_id {run_id!r}: want 1 to 64 letters, digits, '.', '_' and '-', "
            "a letter or a digit first"
        )
    if run_id == "latest" or run_id.isdigit():
        raise ValueError(f"run_id {run_id!r}: --run takes it for another thing, want a name")
    return run_id


def writers_of(audit: Path, run_id: str) -> list[Joined]:
    """Return the writers of a run, in the order in which they opened.  Cost: 1 ms for 2 MB.

    Args:
        audit: The folder that has the registry.
        run_id: An id that `check_run_id` has let through.

    Raises:
        OSError: The registry cannot be read; one that is not there has no writers.
    """
    try:
        stream = open_regular(audit / REGISTRY, create=False)
    except FileNotFoundError:
        return []
    with stream:
        data = stream.readall()
    found: list[Joined] = []
    needle = b'"run_id":"%s"' % run_id.encode()
    at = data.find(needle)
    while at >= 0:
        begin, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
        if end < 0:
            break
        try:
            line = _decode(data[begin:end])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            break  # damage: what is behind it is not to be relied on
        if line.run_id == run_id and line.event_type == _OPENED:
            found.append(Joined(line.writer, line.step_number, line.timestamp, line.epoch_seconds))
        at = data.find(needle, end)
    return found


def check_step(audit: Path, run_id: str, step_number: str) -> None:
    """Refuse a run that another step has.

    Raises:
        ValueError: A process of that run has written to another step.
        OSError: The registry cannot be read.
    """
    other = next((w for w in writers_of(audit, run_id) if w.step_number != step_number), None)
    if other is not None:
        raise ValueError(
            f"run_id {run_id!r}: that is a run of step {other.step_number}, got step "
            f"{step_number}; a run has one step. Give each step a run id of its own"
        )
