"""What is in the files of a folder OUT, and what an audit says of them."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from replay.audit.audit import audit

REGISTRY: Final = "audit/registry.jsonl"
BASE: Final = "audit/step_04/trace_04.jsonl"


class Judged(NamedTuple):
    """What an audit says of one file: a verdict, and the codes of its findings, sorted."""

    verdict: str
    codes: tuple[str, ...]


def judge(out: Path) -> dict[str, Judged]:
    """Return, by path relative to *out*, what an audit says."""
    report = audit(str(out), outputs=False)
    codes: dict[str, list[str]] = {file.path: [] for file in report.files}
    for finding in report.findings:
        codes.setdefault(finding.path, []).append(finding.code)
    return {
        file.path: Judged(file.verdict.value, tuple(sorted(codes[file.path])))
        for file in report.files
    }


def verdicts(out: Path) -> dict[str, str]:
    """Return, by path relative to *out*, the verdict."""
    return {name: judged.verdict for name, judged in judge(out).items()}


def assert_complete(out: Path) -> None:
    """Assert that every file is `complete`."""
    wrong = {name: found for name, found in judge(out).items() if found.verdict != "complete"}
    assert not wrong, wrong


def traces(out: Path) -> dict[str, list[dict[str, Any]]]:
    """Return, by path relative to *out*, the whole lines of each trace, parsed."""
    return {
        path.relative_to(out).as_posix(): lines(path)
        for path in sorted(out.glob("audit/step_*/trace_*.jsonl"))
    }


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of *path*, parsed."""
    return [orjson.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def events(out: Path, event_type: str = "tick") -> list[dict[str, Any]]:
    """Return the events of that type in all traces."""
    return [
        line for found in traces(out).values() for line in found if line["event_type"] == event_type
    ]


def count(out: Path, key: str = "n", event_type: str = "tick") -> Counter[Any]:
    """Return how often each value of *key* stands in events of that type."""
    return Counter(event[key] for event in events(out, event_type))


def assert_each_once(out: Path, wanted: Iterable[Any], key: str = "n") -> None:
    """Assert that each of *wanted* stands in the traces once, and nothing else."""
    assert count(out, key) == Counter(wanted)


def assert_one_writer_at_a_time(out: Path) -> None:
    """Assert that in no file a writer's lines stand among another one's."""
    for name, found in traces(out).items():
        order = [line["writer"] for line in found]
        seen = [w for n, w in enumerate(order) if n == 0 or order[n - 1] != w]
        assert len(seen) == len(set(seen)), name
        assert [line["seq"] for line in found] == list(range(len(found))), name
