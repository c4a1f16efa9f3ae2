"""Signed folders for tests: written by the real writer, and forged by one who has no key."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from observability.journal import Journal
from observability.signing.keys import SigningKey, write_certified, write_key
from replay.audit.audit import audit
from replay.audit.report import AuditReport
from replay.trace.line import GENESIS, SUFFIX_LENGTH, seal, stored_hash

STEP = "step_04"
WORKFLOW = "step_04_sealed"


class Signer:
    """An operator with key files.

    Args:
        folder: Gets the files.
        certified: Make so many certified keys, to sign with in the place of the operator's.
    """

    def __init__(self, folder: Path, *, certified: int = 0) -> None:
        self.key = SigningKey.new("ops.example")
        self.vkey = str(self.key.verifier)
        self.operator = folder / "operator.key"
        write_key(self.operator, self.key)
        self.file = self.operator
        if certified:
            self.file = folder / "worker.keys"
            write_certified(self.file, self.key, count=certified)

    def audit(self, out: Path, **how: Any) -> AuditReport:
        """Audit *out* as one who knows the operator's key."""
        return audit(str(out), vkeys=[self.vkey], **how)


def write(out: Path, events: int, *, signing_key: Path | None, **how: Any) -> Path:
    """Write so many events by one writer, and return its file."""
    journal = Journal(
        out, WORKFLOW, run_id="20260101-000000-aaaaaa", signing_key=signing_key, **how
    )
    for n in range(events):
        journal.append("message", {"level": "note", "text": f"event {n}"})
    path = journal.trace_path
    journal.close()
    return path


def codes(report: AuditReport) -> set[str]:
    """Return the codes of all findings."""
    return {finding.code for finding in report.findings}


def lines_of(path: Path) -> list[bytes]:
    """Return the lines of a file, with their newlines."""
    return [line + b"\n" for line in path.read_bytes().split(b"\n")[:-1]]


def rechained(lines: list[bytes]) -> list[bytes]:
    """Return *lines* with `seq` and hashes made anew, as anybody can."""
    previous, made = GENESIS, []
    for seq, line in enumerate(lines):
        fields = orjson.loads(line)
        del fields["hash"]
        fields["seq"] = seq
        whole, previous = seal(previous, orjson.dumps(fields)[:-1])
        made.append(whole)
    return made


def edited(line: bytes, **changes: Any) -> bytes:
    """Return *line* with other fields, not yet sealed again; None takes a field away."""
    fields = {**orjson.loads(line), **changes}
    kept = {key: value for key, value in fields.items() if value is not None}
    return orjson.dumps(kept) + b"\n"


def forge(out: Path, change: Callable[[list[bytes]], list[bytes]], *, name: str = "") -> None:
    """Rewrite a trace by *change*, its chain, and the registry: what one without a key can do."""
    step = out / "audit" / STEP
    path = step / (name or "trace_04.jsonl")
    old = lines_of(path)
    new = rechained(change(old))
    path.write_bytes(b"".join(new))
    registry = out / "audit" / "registry.jsonl"
    if registry.exists():
        registry.write_bytes(b"".join(_registered(lines_of(registry), path, new)))


def _registered(registry: list[bytes], path: Path, trace: list[bytes]) -> list[bytes]:
    """Return the registry with the reach of *trace* as it is now."""
    made = []
    for line in registry:
        fields = orjson.loads(line)
        extent = fields.get("trace")
        if extent and extent["path"].endswith(path.name):
            wanted = fields["event_type"]
            writer = extent["writer"]
            places = [
                n
                for n, one in enumerate(map(orjson.loads, trace))
                if one["writer"] == writer and one["event_type"] == wanted
            ]
            if not places:
                continue
            extent["lines"] = places[-1] + 1
            digits = stored_hash(trace[places[-1]]) or b""
            extent["hash"] = digits.decode()
        made.append(orjson.dumps(fields) + b"\n")
    return rechained(made)


def place_of(lines: list[bytes], event_type: str, n: int = 0) -> int:
    """Return where the n-th event of a type stands."""
    places = [k for k, one in enumerate(lines) if orjson.loads(one)["event_type"] == event_type]
    return places[n]


def body_of(line: bytes) -> bytes:
    """Return a line without its suffix."""
    return line[:-SUFFIX_LENGTH]


def copy(out: Path, name: str) -> Path:
    """Return a copy of a folder beside it."""
    return Path(shutil.copytree(out, out.parent / name))


def judged_alone(out: Path, *vkeys: str) -> int:
    """Return the exit status of the verifier that stands alone."""
    verifier = Path(__file__).parents[2] / "docs" / "verify_seals.py"
    asked = [word for vkey in vkeys for word in ("--vkey", vkey)]
    done = subprocess.run([sys.executable, verifier, *asked, out], capture_output=True, check=False)
    assert done.stderr == b""
    return done.returncode
