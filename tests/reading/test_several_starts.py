"""Several processes are one run: its first start, its last end, the last attempt of each node."""

from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.fold.frozen import dump, freeze, load, thaw
from replay.fold.metadata import metadata_of
from replay.fold.run import RunState
from replay.fold.runs import Fold, fold
from replay.fold.status import Status, status_of
from tests.reading.histories import sources
from tests.reading.traces import Clock, TraceBuilder

RUN: Final = "make-1"


class Process(NamedTuple):
    """What one process of the run does.

    Attributes:
        node: The node it runs, as `auditfold exec --name` does.
        how: `succeeded`, `failed`, `error` (the run's, outside of the node) or `killed`.
        steps: At which of the common steps it starts, begins its node, ends it, and ends.
    """

    node: str
    how: str
    steps: tuple[int, int, int, int]


class Written:
    """Processes of one run, each with a file of its own, on one clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.files: list[TraceBuilder] = []

    def process(self) -> TraceBuilder:
        n = len(self.files)
        writer = f"20261121t070312-{n:010x}"
        name = (
            "audit/step_04/trace_04.jsonl" if n == 0 else f"audit/step_04/trace_04.{writer}.jsonl"
        )
        # A pid is no identity: in containers all are the same.
        one = TraceBuilder(name, writer=writer, run_id=RUN, pid=7, clock=self.clock)
        self.files.append(one)
        one.open()
        return one

    def folded(self) -> Fold[RunState]:
        return fold(sources({one.name: bytes(one) for one in self.files}))

    def state(self) -> RunState:
        (state,) = self.folded().runs()
        return state


def complete(one: TraceBuilder, node: str | None = None, *, cost: float = 0.0) -> None:
    name: dict[str, Any] = {} if node is None else {"node_id": node}
    one.write(
        "workflow_complete",
        **name,
        nodes_completed=1,
        nodes_failed=0,
        total_time_seconds=0.001,
        cumulative_cost_usd=cost,
    )


def act(one: TraceBuilder, process: Process, step: int) -> None:
    """Write what *process* writes at its step number *step*, 0 to 3."""
    node, how = process.node, process.how
    if step == 0:
        one.write("workflow_start", node_id=node)
    elif step == 1:
        one.write("node_start", node_id=node)
    elif how == "killed":
        return
    elif step == 2:
        one.end(node, None, error="no" if how == "failed" else None)
    elif how == "error":
        one.write(
            "workflow_error",
            node_id=node,
            error="broke",
            total_time_seconds=0.001,
            nodes_completed=1,
            nodes_failed=0,
        )
    else:
        complete(one, node)


processes = st.builds(
    Process,
    st.sampled_from("abcdef"),
    st.sampled_from(["succeeded", "succeeded", "failed", "error", "killed"]),
    st.lists(st.integers(0, 30), min_size=4, max_size=4).map(lambda s: tuple(sorted(s))),
)


@given(st.lists(processes, min_size=2, max_size=6, unique_by=lambda process: process.node))
def test_a_run_is_as_its_processes_are_in_whatever_order_they_write(found: list[Process]) -> None:
    written = Written()
    files = [written.process() for _ in found]
    for moment in range(31):
        for one, process in zip(files, found, strict=True):
            for step, at in enumerate(process.steps):
                if at == moment:
                    act(one, process, step)

    state = written.state()

    hows = {process.how for process in found}
    want: Status = "interrupted" if "killed" in hows else "failed"
    if hows == {"succeeded"}:
        want = "succeeded"
    assert status_of(state, alive=False) == want
    assert status_of(state, alive=True) == ("running" if "killed" in hows else want)
    assert (state.ended is None) == ("killed" in hows)
    assert state.nodes_failed == sum(process.how == "failed" for process in found)
    assert thaw(freeze(state)) == load(dump(state)) == state


def test_a_run_begins_with_the_first_start_and_ends_with_the_last_end() -> None:
    written = Written()
    first, second = written.process(), written.process()
    act(first, Process("a", "succeeded", (0, 0, 0, 0)), 0)
    began = written.state().start
    act(second, Process("b", "succeeded", (0, 0, 0, 0)), 0)
    second.write("workflow_complete", after_us=2_000_000, node_id="b", **_ENDED)
    assert status_of(written.state(), alive=True) == "running"
    first.write("workflow_complete", after_us=3_000_000, node_id="a", **_ENDED)

    state = written.state()
    assert state.starts == 2
    assert state.start == began
    found = metadata_of(state, status="succeeded")
    assert 5 <= found["total_time_seconds"] < 5.1
    assert found["end_time"] == state.last.timestamp


_ENDED: Final = {"nodes_completed": 0, "nodes_failed": 0, "total_time_seconds": 0.001}


@pytest.mark.parametrize("first", ["failed", "error", "killed"])
@pytest.mark.parametrize("second", ["succeeded", "failed", "error", "killed"])
def test_the_last_attempt_of_a_node_counts(first: str, second: str) -> None:
    written = Written()
    for how in (first, second):
        one = written.process()
        for step in range(4):
            act(one, Process("a", how, (0, 0, 0, 0)), step)

    want = {"succeeded": "succeeded", "killed": "interrupted"}.get(second, "failed")
    assert status_of(written.state(), alive=False) == want


def test_an_error_of_one_process_stays_although_others_complete() -> None:
    written = Written()
    one, other = written.process(), written.process()
    for builder in (one, other):
        builder.start()
    one.fail("broke")
    complete(other)

    state = written.state()
    assert status_of(state, alive=False) == "failed"
    assert state.error == "broke"


def test_a_process_that_ends_as_another_writer_has_ended() -> None:
    """Its disk was full for a while: it went on in a file that follows the first."""
    written = Written()
    one, other = written.process(), written.process()
    one.be(writer=one.writer, run_id=RUN, pid=8)
    one.start()
    other.start()
    following = written.process()
    following.be(writer=following.writer, run_id=RUN, pid=8)
    complete(following)
    complete(other)

    assert status_of(written.state(), alive=False) == "succeeded"


def test_costs_of_processes_add_up_and_a_second_end_of_one_does_not() -> None:
    written = Written()
    one, other = written.process(), written.process()
    one.start()
    other.start()
    complete(one, cost=0.5)
    complete(other, cost=0.25)

    assert written.state().cumulative_cost_usd == 0.75


def test_the_only_start_of_a_run_ends_by_whatever_end_is_last() -> None:
    written = Written()
    one = written.process()
    one.start()
    one.fail("broke")
    assert status_of(written.state(), alive=True) == "failed"
    complete(one, cost=2.0)
    complete(one, cost=1.0)

    state = written.state()
    assert status_of(state, alive=True) == "succeeded"
    assert (state.cumulative_cost_usd, state.total_time_seconds, state.error) == (1.0, 0.001, None)
