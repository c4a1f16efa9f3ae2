"""What runs add up to: for every prefix, twice the same, live as replayed."""

import io
import random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from replay.fold.files import Source
from replay.fold.metadata import metadata, metadata_bytes
from replay.fold.nodes import node_times, nodes_of
from replay.fold.run import RunState, apply, apply_aside, beginning
from replay.fold.run_report import RunReport
from replay.fold.run_report_views import report, report_chunks
from replay.fold.runs import At, Fold, fold
from replay.trace.events import ASIDE, Event, Process, WriterOpened
from replay.trace.host import Hosts
from replay.trace.reader import EventReader
from tests.reading.histories import Act, histories, older_file, sources, written
from tests.reading.order import merged
from tests.reading.traces import START_US, TraceBuilder

NOW = START_US / 1e6
HOSTS = Hosts(now=NOW)


def everything(found: list[Source], **options: Any) -> dict[str, bytes]:
    """Return what metadata and report say of every run, by run id."""
    runs = fold(found, **options)
    reports = fold(found, kind=RunReport, **options)
    said = {}
    for state in runs.runs():
        said[state.run_id] = metadata_bytes(metadata(runs, state, HOSTS)) + b"".join(
            report_chunks(reports, reports.run(state.run_id), HOSTS)
        )
    assert len(runs) == len(reports)
    return said


def only_run(builder: TraceBuilder) -> RunState:
    found = fold(sources({builder.name: bytes(builder)}))
    (state,) = found.runs()
    return state


def counts(state: RunState) -> tuple[int, int, int]:
    return state.nodes_completed, state.nodes_failed, state.nodes_skipped


@given(history=histories, data=st.data())
def test_a_fold_is_defined_for_every_prefix_and_twice_the_same(
    history: list[Act], data: st.DataObject
) -> None:
    files = {name: bytes(builder) for name, builder in written(history).items()}
    cut = {name: data.draw(st.integers(0, len(files[name]))) for name in files}
    prefix = sources({name: files[name][: cut[name]] for name in files})

    assert everything(prefix) == everything(prefix)


@given(history=histories, seed=st.integers(0, 2**32))
def test_a_fold_is_defined_when_a_fifth_of_the_events_is_missing(
    history: list[Act], seed: int
) -> None:
    chance = random.Random(seed)
    files = {
        name: b"".join(line for line in builder.lines if chance.random() > 0.2)
        for name, builder in written(history).items()
    }

    assert everything(sources(files)) == everything(sources(files))


@given(history=histories)
def test_live_and_fold_count_the_same(history: list[Act]) -> None:
    """The live observer applies whole events one by one, the fold a part of each by lists."""
    for builder in written(history).values():
        live: dict[str | None, RunState] = {}
        aside: dict[str, bool] = {}
        for event in EventReader(io.BytesIO(bytes(builder)), builder.name):
            state = live.setdefault(event.run_id, beginning(event))
            if isinstance(event, WriterOpened):
                aside[event.writer] = event.purpose == ASIDE
            (apply_aside if aside.get(event.writer) else apply)(state, event)
        found = fold(sources({builder.name: bytes(builder)}))

        assert len(found) == len(live.keys() - {None})
        for state in found.runs():
            other = live[state.run_id]
            for name in RunState.__struct_fields__:
                if name not in {"ends", "begun_in", "begun_at", "begin_key", "sort_key", "last"}:
                    assert getattr(state, name) == getattr(other, name), name
            assert state.last.timestamp == other.last.timestamp


@given(history=histories)
def test_counters_are_what_counting_the_nodes_gives(history: list[Act]) -> None:
    files = {name: bytes(builder) for name, builder in written(history).items()}
    for state in fold(sources(files)).runs():
        statuses = [node.status for _, node in nodes_of(state)]

        assert len(statuses) == state.nodes_seen
        assert counts(state) == tuple(map(statuses.count, ["succeeded", "failed", "skipped"]))


@given(history=histories)
@example(  # a retry of a node that never started was one of a node in the report alone
    history=[
        (0, 0, "retry", "a", 0, 1000),
        (0, 0, "success", "a", None, 1000),
        (0, 0, "node_start", "a", 0, 1000),
    ]
)
def test_report_and_metadata_agree(history: list[Act]) -> None:
    files = {name: bytes(builder) for name, builder in written(history).items()}
    runs, reports = fold(sources(files)), fold(sources(files), kind=RunReport)
    for state in runs.runs():
        short = metadata(runs, state, HOSTS)
        whole = report(reports, reports.run(state.run_id), HOSTS)

        for name in ("run_id", "status", "workflow_id", "nodes_completed", "nodes_failed"):
            assert short[name] == whole[name]
        assert short["position"] == whole["position"]
        assert short["total_time_seconds"] == whole["duration_seconds"]
        statuses = [node["status"] for node in whole["nodes"]]
        assert statuses.count("failed") == whole["nodes_failed"]
        assert len(statuses) == state.nodes_seen


@given(history=histories, seed=st.integers(0, 2**32))
def test_the_order_in_which_files_are_given_does_not_matter(history: list[Act], seed: int) -> None:
    files = {name: bytes(builder) for name, builder in written(history).items()}
    shuffled = list(files)
    random.Random(seed).shuffle(shuffled)

    assert everything(sources(files)) == everything(
        sources({name: files[name] for name in shuffled})
    )


@given(history=histories)
def test_a_report_in_pieces_is_the_report(history: list[Act]) -> None:
    import orjson

    files = {name: bytes(builder) for name, builder in written(history).items()}
    found = fold(sources(files), kind=RunReport)
    for state in found.runs():
        whole = orjson.dumps(report(found, state, HOSTS), option=orjson.OPT_INDENT_2)
        assert b"".join(report_chunks(found, state, HOSTS)) == whole + b"\n"


# --- What counts


def test_a_node_counts_by_its_last_attempt() -> None:
    trace = TraceBuilder()
    trace.node("a", 0, error="first")
    trace.node("a", 0)
    trace.node("b", 1)
    trace.node("b", 1, error="second")

    assert counts(only_run(trace)) == (1, 1, 0)


def test_a_node_whose_next_attempt_is_open_does_not_count() -> None:
    trace = TraceBuilder()
    trace.node("a", 0, error="first")
    trace.write("node_start", node_id="a", node_index=0)

    assert counts(only_run(trace)) == (0, 0, 0)


def test_an_end_without_an_index_is_that_of_the_oldest_open_node() -> None:
    trace = TraceBuilder()
    for index in (3, 4, 5):
        trace.write("node_start", node_id="a", node_index=index)
    trace.end("a", 3)
    trace.end("a", None, error="no")
    statuses = {node.index: node.status for _, node in nodes_of(only_run(trace))}

    assert statuses == {3: "succeeded", 4: "failed", 5: "running"}


def test_an_end_of_a_node_that_has_ended_keeps_the_later_state_and_is_marked() -> None:
    trace = TraceBuilder()
    trace.node("a", 0)
    trace.end("a", 0, error="after all")
    found = fold(sources({trace.name: bytes(trace)}), kind=RunReport)
    (state,) = found.runs()
    (node,) = report(found, state, HOSTS)["nodes"]

    assert (node["status"], node["reopened"], len(node["attempts"])) == ("failed", True, 1)
    assert counts(state) == (0, 1, 0)


def test_what_is_said_of_a_node_that_never_came_makes_none() -> None:
    """A decision about another index once made a node, which the next end was counted for."""
    trace = TraceBuilder()
    trace.node("a", 0)
    trace.write("message", node_id="a", node_index=1, level="note", text="of another one")
    trace.write("check", node_id="a", node_index=1, name="c", ok=True)
    trace.end("a", None)
    found = fold(sources({trace.name: bytes(trace)}), kind=RunReport)
    (state,) = found.runs()
    made = report(found, state, HOSTS)

    assert counts(state) == counts(only_run(trace)) == (1, 0, 0)
    assert [node["node_index"] for node in made["nodes"]] == [0]
    assert [said["node_index"] for said in made["messages"]] == [1]


def test_a_start_of_an_open_node_leaves_an_attempt_that_never_ended() -> None:
    trace = TraceBuilder()
    trace.write("node_start", node_id="a", node_index=0)
    trace.write("node_retry", node_id="a", node_index=0, attempt=1, error="timeout")
    trace.write("node_start", node_id="a", node_index=0)
    trace.write("node_start", node_id="a", node_index=0)
    trace.end("a", 0)
    found = fold(sources({trace.name: bytes(trace)}), kind=RunReport)
    (node,) = report(found, next(found.runs()), HOSTS)["nodes"]

    assert [attempt["status"] for attempt in node["attempts"]] == [
        "failed",
        "interrupted",
        "succeeded",
    ]
    assert node["attempts"][0]["error"] == "timeout"


def test_node_times_are_those_of_the_attempts_that_ended_last() -> None:
    trace = TraceBuilder()
    for index, seconds in ((0, 1.5), (1, 2.5)):
        trace.write("node_start", node_id="a", node_index=index)
        trace.write("node_success", node_id="a", node_index=index, duration_seconds=seconds)
    trace.write("node_start", node_id="b", node_index=2)

    assert node_times(only_run(trace)) == {"a": 2.5}


def test_what_a_node_has_is_in_the_report() -> None:
    trace = TraceBuilder()
    trace.open()
    trace.start(1)
    trace.write("node_start", node_id="a", node_index=0)
    trace.write("message", node_id="a", node_index=0, level="note", text="half")
    trace.write(
        "artifact_written",
        node_id="a",
        node_index=0,
        role="output",
        path="o.csv",
        size=3,
        digest="sha256:11",
    )
    trace.write("artifact_written", role="report", path="report_04.json")
    trace.write("node_result", node_id="a", node_index=0, digest="sha256:22", size=2, value=[1])
    trace.end("a", 0)
    trace.complete(1)
    trace.close()
    found = fold(sources({trace.name: bytes(trace)}), kind=RunReport)
    said = report(found, next(found.runs()), HOSTS)
    (node,) = said["nodes"]
    output = {"path": "o.csv", "size": 3, "digest": "sha256:11", "kind": "file"}

    assert list(said)[:2] == ["run_id", "status"]
    assert said["outputs"] == [{**output, "node_id": "a", "node_index": 0}]
    assert node["outputs"] == [output]
    assert node["results"] == [{"digest": "sha256:22", "size": 2, "value": [1]}]
    assert [message["text"] for message in node["messages"]] == ["half"]
    assert said["position"] == [
        {
            "path": trace.name,
            "seq": len(trace.lines) - 1,
            "hash": trace.lines[-1][-67:-3].decode(),
        }
    ]


def test_metadata_has_the_keys_of_a_completed_and_of_a_failed_run() -> None:
    done, failed = TraceBuilder(), TraceBuilder()
    done.complete(0)
    failed.fail("boom")
    common = [
        "workflow_id",
        "step_number",
        "start_time",
        "end_time",
        "pid",
        "total_nodes",
        "nodes_completed",
        "nodes_failed",
        "total_time_seconds",
    ]
    behind = ["node_times", "log_file", "trace_file", "status", "run_id", "position"]

    for trace, outcome in ((done, "cumulative_cost_usd"), (failed, "error")):
        found = fold(sources({trace.name: bytes(trace)}))
        said = metadata(found, next(found.runs()), HOSTS)
        assert list(said) == [*common, outcome, *behind]
        assert said["log_file"] == "audit/step_04/log_04.log"
        assert said["trace_file"] == trace.name


# --- Status


def process(**other: Any) -> dict[str, Any]:
    import msgspec

    from replay.trace.host import this_process

    return {**msgspec.to_builtins(this_process()), **other}


def standing(trace: TraceBuilder, *, now: float = NOW) -> tuple[str, str]:
    found = fold(sources({trace.name: bytes(trace)}))
    seen = found.standing(next(found.runs()), Hosts(now=now))
    return seen.status, seen.liveness


def test_a_run_without_an_end_is_running_while_its_process_lives() -> None:
    trace = TraceBuilder()
    trace.open(process())
    trace.start(1)

    assert standing(trace) == ("running", "checked")


@pytest.mark.parametrize(
    "other",
    [{"pid": 2**22 + 1}, {"start_time": "1"}, {"boot_id": "another"}],
    ids=["pid", "start_time", "boot"],
)
def test_a_run_whose_process_is_gone_is_interrupted(other: dict[str, Any]) -> None:
    trace = TraceBuilder()
    trace.open(process(**other))
    trace.start(1)

    assert standing(trace) == ("interrupted", "checked")


@pytest.mark.parametrize(("later", "status"), [(3500, "running"), (3700, "interrupted")])
def test_a_run_on_another_host_runs_for_an_hour_after_its_last_event(
    later: float, status: str
) -> None:
    trace = TraceBuilder()
    trace.open(process(host="elsewhere"))
    trace.start(1)

    assert standing(trace, now=NOW + later) == (status, "assumed")


def test_a_closed_writer_runs_no_more_whatever_its_process_does() -> None:
    trace = TraceBuilder()
    trace.open(process())
    trace.start(1)
    trace.close()

    assert standing(trace) == ("interrupted", "checked")


def test_a_writer_that_another_one_follows_in_its_file_runs_no_more() -> None:
    trace = TraceBuilder()
    trace.open(process())
    trace.start(1)
    trace.be(writer="w2", run_id="20261121-070312-zzzzzz")
    trace.open(process())

    assert standing(trace) == ("interrupted", "checked")


def test_a_fork_keeps_its_run_running() -> None:
    trace = TraceBuilder()
    trace.open(process())
    trace.start(1)
    trace.close()
    fork = TraceBuilder("audit/step_04/trace_04.fork.jsonl", writer="w-fork", clock=trace.clock)
    fork.open(process())
    files = {trace.name: bytes(trace), fork.name: bytes(fork)}
    found = fold(sources(files))

    assert found.standing(next(found.runs()), HOSTS) == ("running", "checked")

    trace.be(writer="w3", run_id=None)
    trace.write(
        "writer_settled",
        settled={"path": fork.name, "writer": "w-fork", "lines": 1, "hash": "0" * 64},
    )
    found = fold(sources({**files, trace.name: bytes(trace)}))
    assert found.standing(next(found.runs()), HOSTS) == ("interrupted", "checked")


@pytest.mark.parametrize(
    ("node_error", "ends", "status"),
    [
        (None, ["complete"], "succeeded"),
        ("no", ["complete"], "failed"),
        (None, ["fail"], "failed"),
        (None, ["fail", "complete"], "succeeded"),
        (None, ["complete", "fail"], "failed"),
    ],
    ids=["completed", "node_failed", "error", "error_then_complete", "complete_then_error"],
)
def test_of_several_ends_the_last_one_counts(
    node_error: str | None, ends: list[str], status: str
) -> None:
    trace = TraceBuilder()
    trace.open(process())
    trace.node("a", 0, error=node_error)
    for end in ends:
        trace.complete(1) if end == "complete" else trace.fail("boom")

    assert standing(trace) == (status, "checked")


# --- Older traces


def test_runs_of_the_older_layout_fold() -> None:
    found = fold(sources({"audit/step_04/trace_04.jsonl": older_file()}))
    first, second = found.runs()

    assert (counts(first), counts(second)) == ((1, 1, 0), (2, 0, 0))
    assert first.run_id != second.run_id
    assert found.standing(first, HOSTS).status == "failed"
    assert found.standing(second, HOSTS).status == "succeeded"
    assert metadata(found, first, HOSTS)["position"][0]["hash"] == ""


# --- As of then


@given(history=histories, data=st.data())
def test_as_of_an_event_is_the_fold_of_what_was_there_up_to_it(
    history: list[Act], data: st.DataObject
) -> None:
    builders = written(history)
    if not builders:
        return
    files = {name: bytes(builder) for name, builder in builders.items()}
    name = data.draw(st.sampled_from(sorted(files)))
    seq = data.draw(st.integers(0, len(builders[name].lines)))
    order = merged(EventReader(source.open(), source.name) for source in sources(files))
    kept = dict.fromkeys(files, b"")
    for there, event in order:
        kept[there] += builders[there].lines[event.seq]
        if there == name and event.seq == seq:
            break

    cut = everything_but_status(sources(files), at=At(name=name, seq=seq))
    assert cut == everything_but_status(sources(kept))


def events_of(builder: TraceBuilder) -> list[Event]:
    return list(EventReader(io.BytesIO(bytes(builder)), builder.name))


def everything_but_status(found: list[Source], **options: Any) -> dict[str, Any]:
    """Return what metadata say, without the status: what follows a cut proves who ran on."""
    runs: Fold[RunState] = fold(found, **options)
    return {state.run_id: {**metadata(runs, state, HOSTS), "status": None} for state in runs.runs()}


@given(history=histories, data=st.data())
def test_as_of_a_time_nothing_later_is_in_it(history: list[Act], data: st.DataObject) -> None:
    builders = written(history)
    files = {name: bytes(builder) for name, builder in builders.items()}
    stamps = sorted({event.timestamp for b in builders.values() for event in events_of(b)})
    if not stamps:
        return
    time = data.draw(st.sampled_from(stamps))
    kept = {}
    for name, builder in builders.items():
        latest, lines = "", []
        for line, event in zip(builder.lines, events_of(builder), strict=True):
            latest = max(latest, event.timestamp)
            if latest <= time:
                lines.append(line)
        kept[name] = b"".join(lines)

    cut = everything_but_status(sources(files), at=At(time=time))
    assert cut == everything_but_status(sources(kept))


def test_as_of_then_a_run_was_running_that_went_on() -> None:
    trace = TraceBuilder()
    trace.open(process(pid=2**22 + 1))
    trace.start(2)
    trace.node("a", 0)
    trace.complete(1)
    trace.close()
    for seq, status in ((2, "running"), (3, "running"), (4, "succeeded"), (99, "succeeded")):
        found = fold(sources({trace.name: bytes(trace)}), at=At(name=trace.name, seq=seq))
        assert found.standing(next(found.runs()), HOSTS).status == status


def test_a_process_in_the_trace_may_be_anything() -> None:
    """`Hosts` is asked about what somebody wrote."""
    assert HOSTS.alive(Process(host="", pid=-1), 0.0) == (False, "assumed")
