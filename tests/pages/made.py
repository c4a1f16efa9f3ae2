"""Reports made by hand, with files and steps, and with names that mean harm."""

from datetime import UTC, datetime, timedelta
from typing import Any

from replay.audit.facts import Item
from replay.audit.report import AuditReport, FileVerdict, Outputs
from replay.findings import Finding, Verdict
from replay.show.page.view import Audited

RUN = "20261121-070312-k3f9x2"
DIGEST = "sha256:" + "ab" * 32
# Each would run, or change what stands around it, on a page that did not escape it.
HOSTILE = (
    "<script>document.title='OWNED'</script>",
    "</style></title><script>document.title='OWNED'</script>",
    "<img src=x onerror=\"document.title='OWNED'\">",
    "\"><svg onload=document.title='OWNED'>",
    "' onmouseover='document.title=1' x='",
    "javascript:document.title='OWNED'",
    "{{ 7 * 7 }}{% raw %}",
    "txt.\u202eexe.\u2066evil\u2028line",
    "\u05e2\u05d1\u05e8\u05d9\u05ea right to left",
    "\x00\x01\x1b[2J\x1b]0;owned\x07\r\n\t\x7f\x9f",
    "`code` | [link](javascript:x) ![i](http://example.invalid/x) *b* <b>",
    "\ud800 lone surrogate",
    "x" * 10_000,
    "",
    " ",
)


def at(milliseconds: float) -> str:
    """Return a timestamp so long after the run began."""
    micros = round(milliseconds * 1000)
    begin = datetime(2026, 11, 21, 7, 3, 0, tzinfo=UTC)
    return (begin + timedelta(microseconds=micros)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def head(**more: Any) -> dict[str, Any]:
    """Return a report without units."""
    return {
        "run_id": RUN,
        "status": "succeeded",
        "liveness": "checked",
        "workflow_id": "step_04_convert",
        "step_number": "04",
        "started_at": at(0),
        "ended_at": at(2000),
        "duration_seconds": 2.0,
        "pid": 4711,
        "total_nodes": None,
        "nodes_completed": 0,
        "nodes_failed": 0,
        "nodes_skipped": 0,
        "nodes_unfinished": 0,
        "error": None,
        "error_type": None,
        "traceback": None,
        "cumulative_cost_usd": 0.0,
        "warnings": 0,
        "errors": 0,
        "events_dropped": 0,
        "log_file": "audit/step_04/log_04.log",
        "trace_file": "audit/step_04/trace_04.jsonl",
        "position": [{"path": "audit/step_04/trace_04.jsonl", "seq": 9, "hash": "ab" * 32}],
        "messages": [],
        "outputs": [],
        "results": [],
        "nodes": [],
        **more,
    }


def node(node_id: str, index: int | None = None, **more: Any) -> dict[str, Any]:
    """Return a node of one attempt."""
    begin = 10.0 * (index or 0)
    status = more.get("status", "succeeded")
    attempt = {
        "started_at": at(begin),
        "ended_at": at(begin + 8),
        "duration_seconds": 0.008,
        "status": status,
        "error": more.get("error"),
        "error_type": more.pop("error_type", None),
        "traceback": more.pop("traceback", None),
        "pid": 4711,
        "writer": "w1",
    }
    return {
        "node_id": node_id,
        "node_index": index,
        "status": status,
        "started_at": at(begin),
        "ended_at": at(begin + 8),
        "duration_seconds": 0.008,
        "error": None,
        "reason": None,
        "reopened": False,
        "output_hash": None,
        "output_summary": None,
        "attempts": [attempt],
        "outputs": [],
        "results": [],
        "messages": [],
        "retries": [],
        **more,
    }


def step(label: str, begin: float = 0.0, **more: Any) -> dict[str, Any]:
    """Return a step with the fields of S0."""
    return {
        "label": label,
        "id": label.lower().replace(" ", "-"),
        "status": "succeeded",
        "percent": 100,
        "started_at": at(begin),
        "finished_at": at(begin + 20),
        "duration_ms": 20.0,
        "checks": [],
        "notes": [],
        "warnings": [],
        "errors": [],
        "metadata": {},
        "review": {"flagged": False, "reason": None},
        "report_version": "v2",
        **more,
    }


def file(path: str, begin: float = 0.0, **more: Any) -> dict[str, Any]:
    """Return a file with the fields of S0."""
    name = path.rpartition("/")[2]
    return {
        "label": name,
        "name": name,
        "path": path,
        "file_id": None,
        "mime_type": "text/csv",
        "size_bytes": 12_345,
        "n_steps": len(more.get("steps", ())),
        "status": "succeeded",
        "percent": 100,
        "started_at": at(begin),
        "finished_at": at(begin + 90),
        "duration_ms": 90.0,
        "notes": [],
        "warnings": [],
        "errors": [],
        "metadata": {},
        "review": {"flagged": False, "reason": None},
        "requires_human_review": False,
        "human_review_reason": None,
        "steps": [],
        "report_version": "v2",
        **more,
    }


def batch() -> dict[str, Any]:
    """Return the head of a batch."""
    return {
        "unit": "u1",
        "label": "Batch 42",
        "batch_id": 42,
        "kind": "process",
        "status": "failed",
        "stage": "load",
        "percent": 5,
        "message": "Loading input files",
        "updated_at": at(1000),
        "output_path": None,
        "report_version": "v2",
    }


def nested() -> dict[str, Any]:
    """Return the report of a batch: files with steps, steps of its own, and nodes."""
    skewed = {"flagged": True, "reason": "Minor skew detected"}
    decided = {
        "flagged": True,
        "reason": "odd size",
        "decision": "approved",
        "reviewer": "ada",
        "decided_at": at(1900),
    }
    data = file(
        "inputs/data.csv",
        100,
        status="failed",
        file_id="f1",
        errors=["One or more file steps failed"],
        steps=[
            step("Verified file exists", 100),
            step("Check class balance", 125, review=skewed, warnings=["12 % positives"]),
            step(
                "Feature extraction",
                150,
                status="failed",
                errors=["NaN values found"],
                checks=[
                    {"name": "no NaN", "ok": False, "detail": "17 in column 'price'"},
                    {"name": "columns", "ok": True, "detail": None},
                ],
                metadata={
                    "traceback": "Traceback (most recent call last):\n  ...\nValueError: NaN"
                },
            ),
        ],
        metadata={"rows": 1200, "columns": ["id", "price"]},
    )
    good = file(
        "inputs/more/data.csv",
        240,
        steps=[step("Verified file exists", 240), step("Feature extraction", 265, notes=["ok"])],
        review=decided,
    )
    stale = {**decided, "stale": True}
    return head(
        status="failed",
        reports=[batch()],
        files=[data, good, file("inputs/late.csv", 400, status="skipped", review=stale)],
        steps=[step("Load inputs", 0, notes=["3 files"])],
        nodes=[
            node("index", 0, status="failed", error="disk full", error_type="OSError",
                 traceback="Traceback (most recent call last):\n  File 'x.py'\nOSError: disk full"),
            node("publish", 1, outputs=[output("out/index.db")]),
        ],
        outputs=[{**output("out/index.db"), "node_id": "publish", "node_index": 1}],
        messages=[{"timestamp": at(5), "level": "warning", "text": "slow disk"}],
        environment={
            "argv": ["python", "convert.py", "--all files"],
            "python_version": "3.12.4",
            "git": {"commit": "1f" * 20, "branch": "main", "dirty": True},
            "user": None,
        },
    )  # fmt: skip


def output(path: str) -> dict[str, Any]:
    """Return an output as a node has it."""
    return {"path": path, "size": 4096, "digest": DIGEST, "kind": "file"}


def hostile() -> dict[str, Any]:
    """Return a report in which every text that a program may choose means harm."""
    files, steps, nodes, said, outputs = [], [], [], [], []
    for place, text in enumerate(HOSTILE):
        review = {"flagged": True, "reason": text}
        inner = step(
            text,
            place,
            status="failed",
            errors=[text],
            warnings=[text],
            notes=[text],
            checks=[{"name": text, "ok": False, "detail": text}],
            metadata={text: text, "traceback": text, "inner": {text: [text]}},
            review=review,
        )
        files.append(
            file(text, place, status="failed", steps=[inner], errors=[text], file_id=text,
                 review=review, metadata={text: text}, mime_type=text)
        )  # fmt: skip
        steps.append(inner)
        nodes.append(
            node(text, place, status="failed", error=text, error_type=text, traceback=text,
                 reason=text, output_hash=text, output_summary={text: text},
                 outputs=[{**output(text), "digest": text, "kind": text}],
                 results=[{"digest": text, "size": 1, "value": {text: text}}],
                 messages=[{"timestamp": text, "level": text, "text": text}])
        )  # fmt: skip
        said.append({"timestamp": at(1), "level": text, "text": text, "node_id": text})
        outputs.append({**output(text), "node_id": text, "node_index": None})
    return head(
        status="failed",
        workflow_id=HOSTILE[0],
        reports=[
            {**batch(), "label": text, "kind": text, "stage": text, "message": text}
            for text in HOSTILE
        ],
        error=HOSTILE[3],
        error_type=HOSTILE[4],
        traceback="\n".join(HOSTILE),
        files=files,
        steps=steps,
        nodes=nodes,
        messages=said,
        outputs=outputs,
        environment={text: text for text in HOSTILE} | {"argv": list(HOSTILE)},
    )


def many(count: int) -> dict[str, Any]:
    """Return a report of so many nodes, a hundredth of which failed."""
    nodes = [
        node(
            f"images/{n:06d}.png", n, status="failed", error=f"broken at {n}", error_type="OSError"
        )
        if n % 100 == 50
        else node(
            f"images/{n:06d}.png", n, results=[{"digest": DIGEST, "size": 9, "value": {"n": n}}]
        )
        for n in range(count)
    ]
    return head(status="failed", nodes=nodes, nodes_failed=count // 100)


def audited(verdict: Verdict = Verdict.COMPLETE, *, text: str = "x") -> Audited:
    """Return what an audit found."""
    item = Item(path="out/index.db", state="changed", expected=DIGEST, run_id=RUN)
    finding = Finding(severity="error", code="output_changed", path=text, message=text)
    outputs = Outputs()
    outputs.add(item)
    files = [FileVerdict("audit/step_04/trace_04.jsonl", 10, verdict)]
    return Audited(AuditReport(verdict, files, outputs, [finding]), "out", at(9000), 0.25)
