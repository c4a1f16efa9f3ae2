"""Nodes that begin while a report is bound: steps of that batch, live and folded alike."""

import itertools
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observability import ExecutionObserver
from observability.blocks import bind_pipeline, pipeline_step
from observability.context import Binding, bind, unbind
from observability.reporting import PipelineReport, StepReport
from replay.fold import read_report
from replay.fold.report import ReportState
from replay.fold.run import apply, beginning
from replay.fold.unit_views import unit_view
from replay.show.report_shape import Report
from replay.trace.events import Event
from replay.trace.schema import decode_event
from tests.reporting.calls import TEXTS, Calls
from tests.reporting.test_live_equals_fold import dumped, events_behind

NUMBERS = st.integers(0, 10**6)


@pytest.fixture(scope="module")
def observer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExecutionObserver]:
    opened = ExecutionObserver(
        "nodes", tmp_path_factory.mktemp("nodes"), durability="none", resources=False
    )
    with opened:
        yield opened


def steps_of(out: Path) -> list[dict[str, Any]]:
    return list(read_report(out)["steps"])


def folded(events: Sequence[Event]) -> ReportState:
    state: ReportState = beginning(events[0], ReportState)
    for event in events:
        apply(state, event)
    return state


# --- Any calls in any order


_PREFIXES: Final = itertools.count()


class NodeCalls(Calls):
    """Calls on a batch, among them those of nodes while it, another one or none is bound."""

    def __init__(self, observer: ExecutionObserver) -> None:
        super().__init__()
        self.observer = observer
        self.other = PipelineReport("other")
        self.bound: list[Binding] = []
        self.prefix = next(_PREFIXES)

    def name(self, n: int) -> str:
        """Return a node that no other calls name: its observer remembers nodes."""
        return f"{self.prefix}{'abc'[n % 3]}"

    def make(self, numbers: Sequence[int]) -> None:
        try:
            for number in numbers:
                which, rest = number % (2 * len(_CALLS)), number // (2 * len(_CALLS))
                if which < len(_CALLS):
                    _CALLS[which](self, rest)
                else:
                    super().make([rest])
        finally:
            while self.bound:
                unbind(self.bound.pop())

    def bind(self, n: int) -> None:
        if n % 4 and self.bound:
            unbind(self.bound.pop())
        else:
            self.bound.append(bind(self.other if n % 3 == 0 else self.report))

    def start(self, n: int) -> None:
        self.observer.node_start(self.name(n), n // 3 % 2 or None)

    def succeed(self, n: int) -> None:
        self.observer.node_success(self.name(n), 0.5, output_summary={"n": n})

    def fail(self, n: int) -> None:
        error = ValueError("no") if n % 2 else "a text"
        self.observer.node_failure(self.name(n), error, 0.5)

    def skip(self, n: int) -> None:
        self.observer.node_skipped(self.name(n), "why" if n % 2 else None)

    def retry(self, n: int) -> None:
        self.observer.node_retry(self.name(n), 1 + n % 3, error="again")

    def tell(self, n: int) -> None:
        node = self.observer.node(self.name(n), n // 3 % 2 or None)
        text = TEXTS[n % len(TEXTS)]
        calls: tuple[Callable[[], Any], ...] = (
            lambda: node.note(text),
            lambda: node.warn(text),
            lambda: node.error(text),
            lambda: node.check("c", n % 2 == 0, text),
            lambda: node.request_review(text or None),
            node.clear_review,
            lambda: node.result({"n": n}),
        )
        calls[n % len(calls)]()

    def inside(self, n: int) -> None:
        with suppress(KeyError), self.observer.node(self.name(n)) as node:
            node.note("inside")
            if n % 2:
                raise KeyError(n)


_CALLS: Final = (
    NodeCalls.bind,
    NodeCalls.bind,
    NodeCalls.start,
    NodeCalls.start,
    NodeCalls.succeed,
    NodeCalls.fail,
    NodeCalls.skip,
    NodeCalls.retry,
    NodeCalls.tell,
    NodeCalls.tell,
    NodeCalls.inside,
)


@given(numbers=st.lists(NUMBERS, max_size=40))
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore:node_:RuntimeWarning")
def test_a_fold_holds_what_is_live_and_every_prefix_folds(
    numbers: list[int], observer: ExecutionObserver
) -> None:
    path = observer.audit_trace_file
    before = path.stat().st_size
    calls = NodeCalls(observer)
    calls.make(numbers)
    reports = (calls.report, calls.other)
    for report in reports:
        report.model_dump()
    live = [report.model_dump(mode="json") for report in reports]

    events = events_behind(path, before)
    state: ReportState = beginning(events[0], ReportState)
    for event in events:
        apply(state, event)
        for unit in state.units.roots():
            unit_view(unit, event.mono_us)
    states: Any = [state.units.states[report.state.unit] for report in reports]

    assert [dumped(unit_view(unit, event.mono_us)) for unit in states] == live
    assert [unit.tally for unit in states] == [report.state.tally for report in reports]


@given(numbers=st.lists(NUMBERS, max_size=30), seed=st.integers(0, 2**32))
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore:node_:RuntimeWarning")
def test_events_may_be_missing_and_in_any_order(
    numbers: list[int], seed: int, observer: ExecutionObserver
) -> None:
    path = observer.audit_trace_file
    before = path.stat().st_size
    NodeCalls(observer).make(numbers)

    events = events_behind(path, before)
    chosen = random.Random(seed)
    chosen.shuffle(events)

    state = folded(events[: chosen.randint(1, len(events))])
    for unit in state.units.roots():
        unit_view(unit, events[0].mono_us)


# --- What it means


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
    assert [{k: v for k, v in s.items() if k not in {"unit", "report"}} for s in said["steps"]] == (
        live["steps"]
    )
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
            assert len(observer._steps._ended) == 0  # type: ignore[union-attr]

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
