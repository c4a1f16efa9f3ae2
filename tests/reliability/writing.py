"""Writers whose events tell what they hold, and what must be true of a folder after them.

The options of a writer are a value, `How`, so that every test can run with other ones.
"""

import dataclasses
import math
import os
import random
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson

from observability.journal import Durability, Journal
from replay.audit.audit import audit
from replay.audit.report import AuditReport
from replay.findings import Verdict

WORKFLOW: Final = "step_04_reliability"
POLICIES: Final[tuple[Durability, ...]] = ("none", "interval", "always")


@dataclasses.dataclass(frozen=True, kw_only=True)
class How:
    """How a writer writes."""

    durability: Durability = "interval"
    signing_key: Path | None = None

    def journal(self, out: Path, **options: Any) -> Journal:
        """Open a journal in *out*."""
        signing = {"durability": self.durability, "signing_key": self.signing_key}
        return Journal(out, WORKFLOW, **signing, **options)  # type: ignore[arg-type]


def text_of(name: str, size: int) -> str:
    """Return a text of that many bytes, which *name* determines."""
    part = sha256(name.encode()).hexdigest()
    return (part * (size // len(part) + 1))[:size]


def some_size(rng: random.Random, smallest: int = 100, largest: int = 200_000) -> int:
    """Return a size of a text: as many small ones as large ones, by their logarithm."""
    return round(smallest * math.pow(largest / smallest, rng.random()))


def emit(journal: Journal, name: str, size: int) -> None:
    """Append the event *name*."""
    journal.append("tick", {"n": name, "text": text_of(name, size)})


def acknowledge(pipe: int, name: str) -> None:
    """Tell that the call for *name* has returned."""
    os.write(pipe, name.encode() + b"\n")


def files_of(out: Path) -> dict[str, bytes]:
    """Return the evidence in *out*, by path relative to it."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.glob("audit/**/*.jsonl"))
    }


def names_in(files: dict[str, bytes]) -> Counter[str]:
    """Return how often each event stands in whole lines of the traces, its text checked."""
    found: Counter[str] = Counter()
    for path, data in files.items():
        if path.endswith("registry.jsonl"):
            continue
        for line in data.split(b"\n")[:-1]:
            if b'"event_type":"tick"' in line:
                event = orjson.loads(line)
                assert event["text"] == text_of(event["n"], len(event["text"]))
                found[event["n"]] += 1
    return found


def assert_kept(acknowledged: Iterable[str], files: dict[str, bytes]) -> None:
    """Assert that all that was acknowledged stands there, and nothing twice."""
    found = names_in(files)
    lost = set(acknowledged) - set(found)
    assert not lost, sorted(lost)[:9]
    assert max(found.values(), default=1) == 1


def assert_only_appended(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    """Assert that every file of before still begins with what it was."""
    for path, data in before.items():
        assert after.get(path, b"").startswith(data), path


def assert_not_tampered(report: AuditReport) -> None:
    """Assert that a crash is not taken for an enemy."""
    errors = [finding.message for finding in report.findings if finding.severity == "error"]
    assert report.verdict in {Verdict.COMPLETE, Verdict.INTACT_PREFIX}, errors


def audited(out: Path) -> AuditReport:
    """Audit *out*, of which the writers have gone."""
    report = audit(str(out), outputs=False)
    assert_not_tampered(report)
    return report


def assert_torn_is_told(files: dict[str, bytes], report: AuditReport) -> int:
    """Assert that every torn tail is told with offset and length, or named by a later line.

    Returns:
        How many there are.
    """
    told = {found.path: found for found in report.findings if found.code == "torn"}
    everything = b"".join(files.values())
    n_torn = 0
    for path, data in files.items():
        offset = data.rfind(b"\n") + 1
        if offset == len(data):
            assert path not in told
            continue
        n_torn += 1
        digest = sha256(data[offset:]).hexdigest()
        if f'"length":{len(data) - offset},"sha256":"{digest}"'.encode() in everything:
            continue
        assert told[path].offset == offset
        assert f": {len(data) - offset} bytes behind the last newline" in told[path].message
    return n_torn


def go_on(out: Path, how: How) -> None:
    """Open, write and close as the next run would, and assert that the whole is proven then."""
    before = files_of(out)
    journal = how.journal(out)
    emit(journal, journal.writer_id or "", 100)
    journal.close()
    after = files_of(out)
    assert_only_appended(before, after)
    assert names_in(after)[journal.writer_id or ""] == 1
