"""What do nested reports cost, live and folded, beside rewriting a file at each file's end?"""

import contextlib
import gc
import io
import json
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from benchmarks.measure import Row, in_turn, ratio
from observability import (
    ExecutionObserver,
    FileReport,
    PipelineReport,
    StepReport,
    bind_pipeline,
    file_step,
    pipeline_file,
)
from replay.fold.files import Source
from replay.fold.run_report import RunReport
from replay.fold.runs import fold
from replay.trace.evidence import open_evidence

CALLS = 2_000
ROUNDS = 9
FILES, STEPS = 800, 3
MANY, OF_EACH = 100_000, 5
EVENTS = 1_000_000


def run() -> list[Row]:
    """Return microseconds a call, seconds a batch, and ratios."""
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        folder = Path(name)
        return [
            *_mutators(folder),
            *_batches(folder),
            *_folds(folder / "folded"),
            *_many(folder / "many"),
        ]


def _mutators(folder: Path) -> list[Row]:
    # Lists and metadata are as long as they are in a report: a new step every few calls.
    def calls(n: int, step: Any) -> None:
        for at in range(n):
            if at % 20 == 0:
                step = StepReport("step")
            step.note("rows were read")
            step.add_check("ids_unique", ok=True)
            step.metadata["rows"] = at

    alone = StepReport("alone")
    found = in_turn({"without": partial(calls, step=alone)}, n=CALLS, rounds=ROUNDS)
    with ExecutionObserver("step_01_reports", folder / "mutators"):
        recorded = StepReport("recorded")
        found |= in_turn({"with": partial(calls, step=recorded)}, n=CALLS, rounds=ROUNDS)
    return [
        _goal(f"a mutator {how} a trace", statistics.median(found[how]) / 3, "us", most)
        for how, most in (("without", 3.0), ("with", 12.0))
    ]


def _goal(what: str, value: float, unit: str, most: float) -> Row:
    return Row(what, value, unit, None, f"at most {most:g} {unit}", value <= most)


def _batches(folder: Path) -> list[Row]:
    """Time 800 files of 3 steps, with a file to refresh, beside a rewrite a file."""
    rewriting, ours, observed = [], [], []
    for n in range(1):  # the rewrites take half a minute
        begin = time.perf_counter()
        _rewrite_at_each_end(folder / f"theirs{n}.json")
        rewriting.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        _batch(folder / f"ours{n}.json")
        ours.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        with ExecutionObserver("step_01_reports", folder / f"observed{n}"):
            _batch(folder / f"observed{n}.json")
        observed.append(time.perf_counter() - begin)
    rows = [Row("a rewrite at each of 800 ends", statistics.median(rewriting), "s")]
    for what, taken in (("the same in memory", ours), ("the same with a trace", observed)):
        faster = ratio(rewriting, taken)
        middle = statistics.median(taken)
        rows.append(Row(what, middle, "s", faster, "at least 100 x faster", faster >= 100))
    return rows


def _batch(path: Path) -> None:
    report = PipelineReport(batch_id=1, output_path=path)
    with bind_pipeline(report):
        for n in range(FILES):
            with pipeline_file(None, f"inputs/{n}.csv") as file:
                for step in range(STEPS):
                    file.add_completed_step(f"step {step}", "a note", {"rows": n})


def _rewrite_at_each_end(path: Path) -> None:
    """The way before: the whole report as JSON, beside, synced, renamed, at each file's end."""
    report: dict[str, Any] = {"label": "Batch 1", "steps": [], "files": []}
    template = FileReport("inputs/0.csv")
    for step in range(STEPS):
        template.add_completed_step(f"step {step}", "a note", {"rows": 0})
    view = template.model_dump(mode="json")
    for n in range(FILES):
        report["files"].append({**view, "path": f"inputs/{n}.csv"})
        beside = f"{path}.tmp"
        with Path(beside).open("w", encoding="utf-8") as file:
            json.dump(report, file, ensure_ascii=False, indent=2, default=str)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)


def _folds(out: Path) -> list[Row]:
    """Time the fold of a million report events beside parsing them."""
    with ExecutionObserver("step_01_reports", out, durability="none") as observer:
        report = PipelineReport(batch_id=1, keep_finished=False)
        for n in range(EVENTS // 20):
            with pipeline_file(report, f"inputs/{n}.csv") as file:
                for step in range(OF_EACH):
                    file.add_completed_step(f"step {step}", "a note", None)
                file.metadata["rows"] = n
                file.note("done")
        path = observer.audit_trace_file
        source = Source("audit/step_01/trace_01.jsonl", partial(open_evidence, path))
    times: dict[str, list[float]] = {"parse": [], "fold": []}
    for _ in range(3):
        gc.collect()
        begin = time.process_time()
        with path.open("rb", buffering=1 << 20) as lines:
            count = sum(1 for line in lines if orjson.loads(line))
        times["parse"].append(time.process_time() - begin)
        gc.collect()
        begin = time.process_time()
        folded = fold([source], kind=RunReport)
        times["fold"].append(time.process_time() - begin)
        del folded
    share = ratio(times["fold"], times["parse"])
    return [
        Row(f"orjson.loads of {count} report events", statistics.median(times["parse"]), "s"),
        Row(
            "their fold into the full report",
            statistics.median(times["fold"]),
            "s",
            share,
            "at most 3 x of orjson.loads",
            share <= 3,
        ),
    ]


def _many(out: Path) -> list[Row]:
    """Time 100,000 files of 5 steps: the last tenth must cost what the first costs."""
    tenths = []
    with ExecutionObserver("step_01_reports", out):
        report = PipelineReport(batch_id=1, keep_finished=False)
        with bind_pipeline(report):
            for tenth in range(10):
                begin = time.process_time()
                for n in range(MANY // 10):
                    with pipeline_file(None, f"inputs/{tenth}/{n}.csv") as file:
                        for step in range(OF_EACH):
                            with file_step(file, f"step {step}"):
                                pass
                tenths.append(time.process_time() - begin)
    share = tenths[-1] / tenths[0]
    return [
        Row("100,000 files of 5 steps, CPU", sum(tenths), "s"),
        Row(
            "its last tenth",
            tenths[-1],
            "s",
            share,
            "linear: at most 1.5 x of the first",
            share <= 1.5,
        ),
    ]
