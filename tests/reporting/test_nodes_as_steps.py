"""Nodes that begin while a report is bound: steps of that batch, live and folded alike."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from observability import ExecutionObserver, bind_pipeline, pipeline_step
from observability.reporting import PipelineReport, StepReport
from replay.fold import read_report
from replay.fold.run import apply, beginning
from replay.fold.run_report import RunReport
from replay.fold.runs import Standing
from replay.show.node_steps import lone_nodes, steps_with_nodes
from replay.show.report_shape import Report
from replay.trace.events import Event
from replay.trace.schema import decode_event


def steps_of(out: Path) -> list[dict[str, Any]]:
    return list(read_report(out)["steps"])


def folded(events: Sequence[Event]) -> RunReport:
    state: RunReport = beginning(events[0], RunReport)
    for event in events:
        apply(state, event)
    return state


def test_a_node_is_a_step_of_the_batch_that_is_bound(tmp_path: Path) -> None:
    with ExecutionObserver("step_04_x", tmp_path) as observer:
        report = PipelineReport(batch_id=1)
        with bind_pipeline(report):
            with pipeline_step(None, "Load"):
                pass
            with observer.node("load", 0) as node:
                node.note("n")
                node.warn("w")
                node.check("rows", ok=False)
                node.request_review("look")
            with suppress(ValueError), observer.node("load", 1):
                raise ValueError("no rows")
            observer.node_skipped("rest", "no rows")
        (first, good, bad, skipped) = report.steps
        live = report.model_dump(mode="json")
    said = read_report(tmp_path)

    assert [(s.id, s.label, s.status, s.node_id, s.node_index) for s in report.steps] == [
        ("load", "Load", "succeeded", None, None),
        ("load-2", "load", "succeeded", "load", 0),
        ("load-3", "load", "failed", "load", 1),
        ("rest", "rest", "skipped", "rest", None),
    ]
    assert (good.notes, good.warnings, bad.errors) == (["n"], ["w"], ["ValueError: no rows"])
    assert ([c.name for c in good.checks], good.review.reason) == (["rows"], "look")
    assert skipped.notes == ["Skipped: no rows"]
    assert report.status == "failed"
    assert [without_place(step) for step in said["steps"]] == live["steps"]
    assert [(n["unit"], n["report"]) for n in said["nodes"]] == [
        (step.state.unit, report.state.unit) for step in (good, bad, skipped)
    ]
    assert first.node_id is None
    msgspec.convert(said, Report)
    assert report.snapshot().steps[1].node_id == "load"
    again = PipelineReport.model_validate_json(report.model_dump_json())
    assert again.model_dump(mode="json")["steps"] == live["steps"]


def test_without_a_report_of_the_same_observer_a_node_is_what_it_was(tmp_path: Path) -> None:
    made_before = PipelineReport("memory")
    with bind_pipeline(made_before), ExecutionObserver("a", tmp_path / "a") as observer:
        with observer.node("n") as node:
            node.note("x")
        with ExecutionObserver("b", tmp_path / "b") as inner:
            report = PipelineReport("inner")
            with bind_pipeline(report), observer.node("other's"), inner.node("own"):
                pass

    assert [step.node_id for step in report.steps] == ["own"]
    assert list(made_before.steps) == []
    lines = observer.audit_trace_file.read_bytes().split(b"\n")
    assert not [line for line in lines if b'"unit"' in line]
    assert len([line for line in lines if b"node_" in line]) >= 4


def test_a_later_attempt_goes_on_with_the_same_step(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path) as observer:
        report = PipelineReport("batch")
        with bind_pipeline(report), suppress(OSError), observer.node("fetch"):
            raise OSError("refused")
        (step,) = report.steps
        assert (report.status, step.errors) == ("failed", ["OSError: refused"])
        # Outside of the block as well: it is the same node.
        with observer.node("fetch"):
            assert (step.status, report.status) == ("running", "running")

        assert list(report.steps) == [step]
        assert (step.status, step.reopened, step.ok) == ("succeeded", False, True)
        assert (step.errors, step.warnings) == ([], ["OSError: refused"])
    said = read_report(tmp_path)

    assert (said["status"], said["reports"][0]["status"]) == ("succeeded", "succeeded")
    assert [len(node["attempts"]) for node in said["nodes"]] == [2]


def test_in_another_batch_the_next_attempt_is_a_step_of_that_one(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path) as observer:
        batches = [PipelineReport(batch_id=n) for n in range(2)]
        for batch in batches:
            with bind_pipeline(batch), observer.node("load"):
                pass
    (node,) = read_report(tmp_path)["nodes"]
    state = folded(list(map(decode_event, observer.audit_trace_file.read_bytes().splitlines())))
    shown = list(steps_with_nodes(state, Standing("succeeded", "checked")))

    assert [len(step.get("attempts", ())) for step in shown] == [0, 2]
    assert list(lone_nodes(state)) == []
    assert [[step.status for step in batch.steps] for batch in batches] == [["succeeded"]] * 2
    assert node["report"] == batches[1].state.unit


def test_an_end_behind_an_end_is_the_later_one(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path) as observer, bind_pipeline(PipelineReport("b")) as report:
        observer.node_start("n")
        observer.node_success("n", 0.1)
        with pytest.warns(RuntimeWarning, match="ended already"):
            observer.node_failure("n", "late", 0.1)

    (step,) = report.steps
    assert (step.status, step.reopened, step.errors) == ("failed", True, ["late"])


def test_a_failed_node_counts_once_and_who_wins_is_the_later(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path) as observer, bind_pipeline(PipelineReport("b")) as report:
        with suppress(KeyError), observer.node("n"):
            raise KeyError("x")
        report.steps[0].fail("by hand")
        with observer.node("n"):
            pass
    said = read_report(tmp_path)

    assert (said["status"], said["nodes_failed"], said["nodes_completed"]) == ("succeeded", 0, 1)
    assert [step["status"] for step in said["steps"]] == ["succeeded"]
    # ls and metadata go by the lighter state, which has to agree.
    metadata = orjson.loads((tmp_path / "audit/step_00/metadata_00.json").read_bytes())
    assert metadata["status"] == "succeeded"


def test_traced_calls_and_threads_are_steps(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path) as observer:

        @observer.traced
        def double(n: int) -> int:
            return 2 * n

        with bind_pipeline(PipelineReport("batch")) as report:
            threads = [threading.Thread(target=double, args=(n,)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        double(9)
        live = report.model_dump(mode="json")

    assert sorted(step.node_index for step in report.steps) == list(range(8))
    assert len({step.id for step in report.steps}) == 8
    assert [step["id"] for step in steps_of(tmp_path)] == [step["id"] for step in live["steps"]]


def test_steps_that_ended_are_let_go_and_one_that_failed_may_be_tried_again(
    tmp_path: Path,
) -> None:
    with ExecutionObserver("w", tmp_path) as observer:
        report = PipelineReport("batch", keep_finished=False)
        with bind_pipeline(report):
            for n in range(50):
                with suppress(OSError), observer.node("n", n):
                    if n == 7:
                        raise OSError("no")
            assert [step.node_index for step in report.steps] == [7]
            with observer.node("n", 7):
                pass
            assert list(report.steps) == []
            assert len(observer._attempts.steps._ended) == 0  # type: ignore[union-attr]

    assert [step["status"] for step in steps_of(tmp_path)] == ["succeeded"] * 50
    assert read_report(tmp_path)["reports"][0]["status"] == "succeeded"


def test_reports_that_are_gone_are_not_kept_by_the_nodes_that_stood_in_them(
    tmp_path: Path,
) -> None:
    with ExecutionObserver("w", tmp_path) as observer:
        for n in range(20):
            with bind_pipeline(PipelineReport(batch_id=n)), observer.node("n"):
                pass
        import gc

        gc.collect()
        assert len(observer.reports) <= 1


def test_a_fork_writes_steps_of_the_batch_and_the_fold_has_them(tmp_path: Path) -> None:
    observer = ExecutionObserver("step_04_x", tmp_path)
    with observer, bind_pipeline(PipelineReport("batch")) as report:
        with observer.node("before"):
            pass
        child = os.fork()
        if child == 0:
            with suppress(ValueError), observer.node("in the child") as node:
                node.check("here", ok=True)
                raise ValueError("no")
            observer.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        with observer.node("behind"):
            pass
    said = read_report(tmp_path)

    # The report object is the parent's: what the child said is in the trace alone.
    assert [step.node_id for step in report.steps] == ["before", "behind"]
    assert [(s["node_id"], s["status"], s["report"]) for s in said["steps"]] == [
        ("before", "succeeded", report.state.unit),
        ("in the child", "failed", report.state.unit),
        ("behind", "succeeded", report.state.unit),
    ]
    assert said["steps"][1]["checks"] == [{"name": "here", "ok": True, "detail": None}]
    assert (said["status"], said["reports"][0]["status"]) == ("failed", "failed")
    assert len({step["unit"] for step in said["steps"]}) == 3


def test_a_trace_without_the_batch_has_its_steps_alone(tmp_path: Path) -> None:
    observer = ExecutionObserver("w", tmp_path)
    with observer, bind_pipeline(PipelineReport("batch")), observer.node("n") as node:
        node.note("x")
    events = [decode_event(line) for line in observer.audit_trace_file.read_bytes().splitlines()]

    state = folded([e for e in events if getattr(e, "kind", None) != "pipeline"])

    (step,) = state.units.roots()
    assert (step.label, step.status, step.notes) == ("n", "succeeded", ["x"])


JOINING = """
import sys
from observability import ExecutionObserver, PipelineReport, bind_pipeline
with ExecutionObserver("step_04_x", sys.argv[1], run_id=sys.argv[2]) as observer:
    if sys.argv[3] == "bound":
        with bind_pipeline(PipelineReport("mine")), observer.node("shared"):
            pass
    else:
        with observer.node("shared"):
            pass
"""


def test_processes_that_join_a_run_have_batches_of_their_own(tmp_path: Path) -> None:
    with ExecutionObserver("step_04_x", tmp_path) as observer:
        for how in ("bound", "alone"):
            subprocess.run(
                [sys.executable, "-c", JOINING, tmp_path, observer.run_id, how],
                check=True,
                capture_output=True,
            )
    said = read_report(tmp_path)

    # Its last attempt is no step; that of the process before it is still one of its batch.
    assert [(len(node["attempts"]), node.get("unit")) for node in said["nodes"]] == [(2, None)]
    assert [(step["node_id"], step["status"]) for step in said["steps"]] == [
        ("shared", "succeeded")
    ]


def test_a_report_that_was_made_before_gets_steps_from_its_binding_on(tmp_path: Path) -> None:
    report = PipelineReport("before")
    report.add_completed_step("earlier")
    with ExecutionObserver("w", tmp_path) as observer:
        with bind_pipeline(report), observer.node("n"):
            pass
        live = report.model_dump(mode="json")["steps"]

    assert [step["id"] for step in live] == ["earlier", "n"]
    assert [without_place(step) for step in steps_of(tmp_path)] == live


def test_coroutines_and_generators_that_are_traced_are_steps(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path) as observer:

        @observer.traced
        async def wait(n: int) -> None:
            await asyncio.sleep(0.001 * n)

        @observer.traced
        def count(n: int) -> Iterator[int]:
            yield from range(n)

        async def both() -> None:
            with bind_pipeline(PipelineReport("other")) as other, observer.node("alone"):
                await asyncio.gather(wait(2), wait(1))
            assert [step.label for step in other.steps] == ["alone", "wait", "wait"]

        with bind_pipeline(PipelineReport("batch")) as report:
            asyncio.run(both())
            values = count(3)
            next(values)
            assert [step.status for step in report.steps] == ["running"]
        # Its binding is over, and the node goes on where it stands.
        assert list(values) == [1, 2]

    assert [(step.label, step.status) for step in report.steps] == [("count", "succeeded")]


LIMITED = """
import json, resource, signal, sys, warnings
from contextlib import suppress
from observability import ExecutionObserver, PipelineReport, bind_pipeline
warnings.simplefilter("ignore")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
observer = ExecutionObserver("step_04_x", sys.argv[1], on_error="warn", use_tqdm=False)
with observer, bind_pipeline(PipelineReport("batch")) as report:
    with observer.node("kept"):
        pass
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
    with suppress(KeyError), observer.node("dropped") as node:
        node.check("c", ok=False)
        raise KeyError("x")
    sys.stderr.write(json.dumps([observer.writer_id, report.model_dump(mode="json")["steps"]]))
"""


def test_what_the_trace_could_not_take_is_in_the_live_batch(tmp_path: Path) -> None:
    """As of other units: the work, and what is seen of it, goes on without the trace."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path], check=True, capture_output=True, text=True
    )

    writer, (kept, dropped) = orjson.loads(done.stderr)
    assert writer is None
    assert (kept["status"], dropped["status"]) == ("succeeded", "failed")
    assert (dropped["node_id"], dropped["errors"]) == ("dropped", ["KeyError: 'x'"])
    assert [check["ok"] for check in dropped["checks"]] == [False]
    assert [step["node_id"] for step in steps_of(tmp_path)] == ["kept"]


def without_place(step: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in step.items() if name not in {"unit", "report"}}


def test_a_step_that_is_a_node_says_no_secret(tmp_path: Path) -> None:
    secret = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789"
    observer, lenient = ExecutionObserver("w", tmp_path), suppress(ValueError)
    report = PipelineReport("b")
    with observer, bind_pipeline(report), lenient, observer.node(f"n {secret}") as node:
        node.note(secret)
        raise ValueError(secret)

    assert secret not in report.model_dump_json()
    assert secret.encode() not in observer.audit_trace_file.read_bytes()


def test_a_step_begun_by_hand_is_no_node(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path):
        step = StepReport("s")

    assert "node_id" not in step.model_dump(mode="json")
