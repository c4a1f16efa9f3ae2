"""How long does the HTML page of a run of 10,000 nodes, or of 10,000 files, take?"""

import contextlib
import io
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import Row
from benchmarks.traces import write_trace
from observability import (
    ExecutionObserver,
    PipelineReport,
    bind_pipeline,
    file_step,
    pipeline_file,
)
from replay.audit.audit import audit
from replay.fold import read_report
from replay.show.page.rendering import MOST_BYTES, html
from replay.show.page.units import tree_of
from replay.show.page.view import Audited, page_of

UNITS = 10_000
STEPS = 5
ROUNDS = 5
GOAL = ("at most 3 s", 3.0)


def run() -> list[Row]:
    """Return CPU seconds of one core; folding and auditing stand by themselves."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "trace_04.jsonl"
        write_trace(path, runs=1, nodes=UNITS)
        report, fold_s = timed(lambda: read_report(str(path)))
        found, audit_s = timed(lambda: audit(str(path)))
        out = Path(name) / "out"
        write_files(out)
        command_s = statistics.median([command(out) for _ in range(ROUNDS)])
    audited = Audited(found, "out", "2026-11-21T07:03:12Z", 0.1)
    files = {**report, "nodes": [], "files": [file(n) for n in range(UNITS)]}
    rows = [
        Row(f"fold of {UNITS} nodes", fold_s, "s"),
        Row("audit", audit_s, "s"),
    ]
    for what, one in (("nodes", report), (f"files of {STEPS} steps", files)):
        seconds = [timed(lambda one=one: page(one, audited))[1] for _ in range(ROUNDS)]  # type: ignore[misc]
        taken = statistics.median(seconds)
        rows.append(_goal(f"page of {UNITS} {what}", taken))
    rows.append(_goal(f"auditfold report, {UNITS} files of {STEPS} steps", command_s))
    return rows


def _goal(what: str, taken: float) -> Row:
    return Row(what, taken, "s", None, GOAL[0], taken <= GOAL[1])


def write_files(out: Path) -> None:
    """Record a batch of files, every hundredth failed."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        ExecutionObserver("step_01_reports", out, durability="none"),
        bind_pipeline(PipelineReport(batch_id=1, keep_finished=False)),
    ):
        for n in range(UNITS):
            with pipeline_file(None, f"inputs/{n:06d}.csv") as one:
                for place in range(STEPS):
                    with file_step(one, f"step {place}") as step:
                        failed = n % 100 == 50 and place == STEPS - 1
                        step.add_check("rows", ok=not failed, detail="NaN")
                one.metadata["rows"] = n
                one.note("done")


def command(out: Path) -> float:
    """Make the page of *out* as people do, audit included; return the CPU seconds it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    asked = [sys.executable, "-m", "observability", "report", str(out)]
    done = subprocess.run([*asked, "-o", str(out / "page.html")], check=False, capture_output=True)
    assert done.returncode == 1, done.stderr  # the run failed, and so it says
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def timed(call: Any) -> tuple[Any, float]:
    """Return what *call* returns, and the CPU seconds it took."""
    begin = time.process_time()
    found = call()
    return found, time.process_time() - begin


def page(report: dict[str, Any], audited: Audited) -> int:
    """Make the page; return its bytes."""
    tree = tree_of(report)
    text = html(report, tree, page_of(report, tree, audited), audited=audited).text
    assert len(text) <= MOST_BYTES
    return len(text)


def file(n: int) -> dict[str, Any]:
    """Return a file as a report has it, every hundredth failed."""
    failed = n % 100 == 50
    begin = f"2026-11-21T07:{3 + n // 6000:02d}:{n // 100 % 60:02d}.{n % 100:02d}0000Z"
    common = {"started_at": begin, "duration_ms": 4.2, "notes": [], "warnings": [], "metadata": {}}
    review = {"flagged": n % 1000 == 7, "reason": "odd"}
    steps = [
        {
            "label": f"step {place}",
            "id": f"step-{place}",
            "status": "failed" if failed and place == STEPS - 1 else "succeeded",
            "errors": ["NaN"] if failed and place == STEPS - 1 else [],
            "checks": [{"name": "rows", "ok": True, "detail": None}],
            "review": review,
            **common,
        }
        for place in range(STEPS)
    ]
    return {
        "path": f"inputs/{n:06d}.csv",
        "name": f"{n:06d}.csv",
        "status": "failed" if failed else "succeeded",
        "errors": ["One or more file steps failed"] if failed else [],
        "review": {"flagged": False, "reason": None},
        "size_bytes": 1000 + n,
        "mime_type": "text/csv",
        "steps": steps,
        **common,
    }
