"""Traces for the tests of the audit, and short ways to say what it found."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from replay.audit.audit import audit
from replay.audit.facts import Facts
from replay.audit.report import AuditReport
from replay.audit.scan import Options, TraceScan
from replay.findings import Finding
from replay.trace.host import Hosts
from tests.vectors.making import ALICE, Out, Writer

# Long after every trace that is built here: no process is assumed to run.
LATER = Hosts(now=4e9)


def save(out: Out, folder: Path) -> Path:
    """Write the files of *out* below *folder* and return it."""
    for name, data in out.contents().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def audited(path: Path, **options: Any) -> AuditReport:
    """Audit *path* as one who comes long after."""
    return audit(str(path), **{"hosts": LATER, **options})


def told(findings: Iterable[Finding]) -> list[tuple[str, int | None]]:
    """Return (code, line) of each finding."""
    return [(finding.code, finding.line) for finding in findings]


def scanned(data: bytes, **options: Any) -> Facts:
    """Return what one pass over *data* finds."""
    facts = Facts("audit/step_04/trace_04.jsonl", "trace_04.jsonl")
    scan = TraceScan(facts, Options(**options))
    pieces = data.split(b"\n")
    lines = [piece + b"\n" for piece in pieces[:-1]] + [piece for piece in pieces[-1:] if piece]
    for begin in range(0, len(lines), 7):
        block = lines[begin : begin + 7]
        scan.feed(block, sum(map(len, block)))
    scan.end()
    return facts


def open_behind(writer: Writer, *, goes_on: Writer | None = None) -> Writer:
    """Let *writer* open its file and name what stands there; start its run.

    One that belongs to the process of another writer goes on in what that one has started.
    """
    follows = writer.file.extent(writer._last_writer()) if writer.file.lines else None
    payload: dict[str, Any] = {"follows": follows} if follows else {}
    writer.open(**payload)
    if goes_on is None:
        writer.start()
    else:
        writer._mono_of[""] = goes_on._mono_of[""]
    return writer


def many_nodes(n: int, *writers: str) -> Out:
    """Return an OUT with a run of *n* nodes by each of *writers*, in one file."""
    out = Out()
    for one in writers or (ALICE,):
        writer = open_behind(Writer(out, one))
        for index in range(n):
            writer.node(f"node_{index}.csv", index)
            writer.succeed(f"node_{index}.csv", index, rows=index, name="table", share=0.5)
        writer.complete(completed=n)
        writer.close()
    return out
