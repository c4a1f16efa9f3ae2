"""Derived files: their names and bytes depend on the trace and on who is alive, nothing else."""

import functools
import io

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.fold import runs
from replay.fold.files import OpenFiles
from replay.fold.instant import Instant
from replay.fold.lines import lines_of, report_state
from replay.fold.names import copies, copies_of_all, is_nameable
from replay.fold.run import RunState
from replay.fold.run_report import RunReport
from replay.fold.run_report_views import report
from replay.fold.runs import fold, has_begun
from replay.show.copies import Printer
from replay.show.derived import Derived, derive
from replay.show.line import render
from replay.trace import reader as reading
from replay.trace.host import Hosts
from replay.trace.reader import EventReader
from tests.reading.histories import Act, histories, older_file, sources, written
from tests.reading.order import merged
from tests.reading.traces import START_US, TraceBuilder, older_lines

HOSTS = Hosts(now=START_US / 1e6 + 7200)  # nobody runs any more


def derived(files: dict[str, bytes], hosts: Hosts = HOSTS) -> dict[str, bytes]:
    found = sources(files)
    return {
        one.path: b"".join(one.chunks()) for one in derive(found, fold(found, spans=True), hosts)
    }


def head(start: str, run_id: str, workflow_id: str = "step_04_x", step: str = "04") -> RunState:
    instant = Instant(start, 0.0, 0, "w")
    return RunState(
        run_id=run_id,
        workflow_id=workflow_id,
        step_number=step,
        pid=1,
        first=instant,
        last=instant,
    )


@given(history=histories)
def test_a_copy_of_a_trace_is_the_lines_of_its_run_in_the_order(history: list[Act]) -> None:
    files = {name: bytes(builder) for name, builder in written(history).items()}
    wanted: dict[str, list[bytes]] = {}
    begun = {head.run_id for head in fold(sources(files)).heads() if has_begun(head)}
    for name, event in merged(EventReader(source.open(), source.name) for source in sources(files)):
        # Of a run of which only people have said something there is nothing to copy.
        if event.run_id in begun:
            wanted.setdefault(event.run_id, []).append(files[name].split(b"\n")[event.seq] + b"\n")
    found = {
        orjson.loads(data[: data.index(b"\n")])["run_id"]: data
        for path, data in derived(files).items()
        if path.startswith("traces/")
    }

    assert found == {run_id: b"".join(lines) for run_id, lines in wanted.items()}


@given(history=histories)
def test_derived_files_are_twice_the_same_and_in_any_order_of_files(history: list[Act]) -> None:
    files = {name: bytes(builder) for name, builder in written(history).items()}

    assert derived(files) == derived(dict(reversed(files.items())))


@given(history=histories)
def test_a_copy_of_a_log_has_a_line_an_event(history: list[Act]) -> None:
    files = {name: bytes(builder) for name, builder in written(history).items()}
    found = derived(files)
    logs = [data for path, data in sorted(found.items()) if path.startswith("logs/")]
    traces = [data for path, data in sorted(found.items()) if path.startswith("traces/")]

    events = sum(data.count(b"\n") for data in traces)
    assert sum(line.startswith(b"[20") for data in logs for line in data.split(b"\n")) == events


def test_the_blocks_stand_behind_the_events_they_are_about() -> None:
    trace = TraceBuilder()
    trace.open()
    trace.write("workflow_start", total_nodes=2, output_dir="/data/out")
    trace.node("a", 0)
    trace.node("b", 1, error="bad\x1b[2J")
    trace.complete(1, 1)
    trace.close()
    log = derived({trace.name: bytes(trace)})["logs/execution_step_04_survey_20261121_070312.log"]

    lines = log.decode().split("\n")
    assert [line.partition(" | ")[0][:60] for line in lines] == [
        "[2026-11-21T07:03:12.001000Z] WRITER_OPENED",
        "[2026-11-21T07:03:12.002000Z] WORKFLOW_START",
        "",
        "=" * 60,
        "[RUN] Executing: step_04_survey",
        "[DIR] Output: /data/out",
        " PID: 100",
        " Started: 2026-11-21 07:03:12 UTC",
        "=" * 60,
        "",
        "[2026-11-21T07:03:12.003000Z] NODE_START a",
        "[2026-11-21T07:03:12.004000Z] NODE_SUCCESS a",
        "[2026-11-21T07:03:12.005000Z] NODE_START b",
        "[2026-11-21T07:03:12.006000Z] NODE_FAILURE b",
        "[2026-11-21T07:03:12.007000Z] WORKFLOW_COMPLETE",
        "",
        "=" * 60,
        " Workflow completed: step_04_survey",
        " Nodes executed: 1/2",
        " Nodes failed: 1",
        " Total time: 0.01s (0.00m)",
        " Trace file: out/traces/trace_step_04_20261121_070312.jsonl",
        " Log file: out/logs/execution_step_04_survey_20261121_070312",
        "=" * 60,
        "",
        "[2026-11-21T07:03:12.008000Z] WRITER_CLOSED",
        "",
    ]


def test_metadata_and_report_are_those_of_the_run_whose_last_event_is_last() -> None:
    first = TraceBuilder(run_id="first")
    first.open()
    second = TraceBuilder(
        "audit/step_04/trace_04.w2.jsonl", writer="w2", run_id="second", clock=first.clock
    )
    second.open()
    first.close()
    found = derived({first.name: bytes(first), second.name: bytes(second)})

    assert orjson.loads(found["audit/step_04/metadata_04.json"])["run_id"] == "first"
    assert orjson.loads(found["audit/step_04/report_04.json"])["run_id"] == "first"


def test_a_running_run_has_no_copies_and_keeps_its_name() -> None:
    running = TraceBuilder(run_id="r1")
    running.open({"host": "elsewhere", "pid": 1})
    ended = TraceBuilder(
        "audit/step_04/trace_04.w2.jsonl", writer="w2", run_id="r2", clock=running.clock
    )
    ended.open()
    ended.complete(0)
    ended.close()
    found = derived(
        {running.name: bytes(running), ended.name: bytes(ended)}, Hosts(now=START_US / 1e6)
    )

    assert sorted(found) == [
        "audit/step_04/metadata_04.json",
        "audit/step_04/report_04.json",
        "logs/execution_step_04_survey_20261121_070312-2.log",
        "traces/trace_step_04_20261121_070312-2.jsonl",
    ]


def test_runs_of_the_older_layout_keep_the_copies_that_they_made_themselves() -> None:
    found = derived({"audit/step_04/trace_04.jsonl": older_file()})

    assert sorted(found) == ["audit/step_04/metadata_04.json", "audit/step_04/report_04.json"]


@pytest.mark.parametrize(
    ("workflow_id", "step"),
    [
        ("../../etc/passwd", "04"),
        ("a\nb", "04"),
        ("", "04"),
        ("x", "../04"),
        ("x", ""),
        ("x", "4\n"),
        ("x" * 300, "04"),
    ],
)
def test_what_somebody_wrote_leads_nowhere(workflow_id: str, step: str) -> None:
    run = head("2026-11-21T07:03:12.000000Z", "r", workflow_id, step)

    assert not is_nameable(run)
    assert copies_of_all([run]) == {}


def test_a_start_that_is_no_time_names_nothing() -> None:
    assert not is_nameable(head("../../x", "r"))


@given(
    starts=st.lists(
        st.tuples(
            st.sampled_from(["12.000001", "12.000002", "13.000000"]),
            st.sampled_from(["step_04_x", "step_04_y", "step_05_x"]),
        ),
        max_size=6,
    ),
    more=st.integers(0, 3),
)
def test_a_name_does_not_change_when_runs_begin_later(
    starts: list[tuple[str, str]], more: int
) -> None:
    """The live observer names the copies of a run knowing only what began before."""
    runs = [
        head(f"2026-11-21T07:03:{second}Z", f"r{n}", workflow, workflow[5:7])
        for n, (second, workflow) in enumerate(sorted(starts))
    ]
    early = copies_of_all(runs[: len(runs) - more])
    late = copies_of_all(runs)

    assert {run_id: late[run_id] for run_id in early} == early
    names = [name for both in late.values() for name in both]
    assert len(set(names)) == len(names)


def test_second_and_third_of_a_second_are_numbered() -> None:
    runs = [head("2026-11-21T07:03:12.000000Z", run_id) for run_id in ("b", "a", "c")]
    found = copies_of_all(runs)

    assert found["a"] == copies(runs[1])
    assert found["b"].log.endswith("_20261121_070312-2.log")
    assert found["c"].trace.endswith("_20261121_070312-3.jsonl")


def test_lines_of_a_stream_that_cannot_seek() -> None:
    """A compressed trace is read forwards only."""

    class Forwards(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: object) -> int:
            raise io.UnsupportedOperation("seek")

    trace = TraceBuilder(run_id="one")
    for run_id in ("one", "two", "one", "two"):
        trace.be(writer="w", run_id=run_id)
        trace.node("a", 0)
    (source,) = sources({trace.name: bytes(trace)})
    found = fold([source], spans=True)
    forwards = source._replace(open=functools.partial(Forwards, bytes(trace)))

    lines = [line for _, line in lines_of([forwards], found.spans("two"), "two")]
    assert lines == [*trace.lines[2:4], *trace.lines[6:8]]


def test_damage_between_the_lines_of_a_run_is_left_out() -> None:
    trace = TraceBuilder()
    trace.node("a", 0)
    data = trace.lines[0] + b"no event\n" + trace.lines[1]
    (copy,) = (data for path, data in derived({trace.name: data}).items() if "traces/" in path)

    assert copy == bytes(trace)


def test_chunks_may_be_asked_for_twice() -> None:
    trace = TraceBuilder()
    trace.node("a", 0)
    found = sources({trace.name: bytes(trace)})
    every: list[Derived] = list(derive(found, fold(found, spans=True), HOSTS))

    assert [list(one.chunks()) for one in every] == [list(one.chunks()) for one in every]


@given(history=histories)
def test_a_line_cut_apart_reads_as_a_line_parsed(history: list[Act]) -> None:
    printer = Printer()
    for builder in written(history).values():
        for line, event in zip(
            builder.lines, EventReader(io.BytesIO(bytes(builder)), "t"), strict=True
        ):
            assert printer.text(event, line) == render(orjson.loads(line))


def odd_lines() -> list[bytes]:
    trace = TraceBuilder()
    trace.write("message", level="note", text="x\u2028y")
    (line,) = trace.lines
    deep = b"[" * 300 + b"]" * 300
    return [
        line,
        line.replace(b'"pid":100', b'"pid": 100'),
        line.replace(b'"level":"note"', b'"new":' + deep + b',"level":"note"'),
        line.replace(b'"level":"note"', b'"new":1e999,"level":"note"'),
        line.replace(b'"level":"note"', b'"step_number":"04","level":"note"'),
        line.replace(b'"message","pid"', b'"of tomorrow","pid"'),
        line.replace(b'"epoch_seconds":1795244592.001', b'"epoch_seconds":1e300'),
    ]


@pytest.mark.parametrize("line", odd_lines())
def test_every_line_that_is_an_event_has_a_text(line: bytes) -> None:
    """Some of these made `replay` end in a traceback."""
    (event,) = EventReader(io.BytesIO(line), "t")
    text = Printer().text(event, line)

    assert text.startswith("[2026-11-21T07:03:12.001000Z] ")
    assert text.isprintable()
    assert "x\\u2028y" in text


def test_lines_nested_deep_do_not_end_a_replay() -> None:
    data = b"".join(odd_lines()[:-1])  # the last one is of a time to come: still running
    found = derived({"audit/step_04/trace_04.jsonl": data})

    assert len(found) == 4
    assert found["traces/trace_step_04_20261121_070312.jsonl"] == data


def interleaved_older(nodes: int) -> bytes:
    """Return runs of two processes and a second run of one of them, line by line in turns."""
    one, two = list(older_lines(nodes=nodes)), list(older_lines(pid=78, nodes=nodes, failed=1))
    mixed = [line for pair in zip(one, two, strict=True) for line in pair]
    # The same second, the same process: told apart by the order alone.
    return b"".join([*mixed, *older_lines(nodes=nodes, failed=nodes)])


@pytest.mark.parametrize("nodes", [2, 500])
def test_reports_of_older_runs_have_the_lines_of_their_run(nodes: int) -> None:
    """Read again alone, the third run's lines looked like the first one's."""
    files = {"audit/step_04/trace_04.jsonl": interleaved_older(nodes)}
    found = sources(files)
    index = fold(found, spans=True)
    whole = fold(found, kind=RunReport)

    assert [state.nodes_failed for state in index.runs()] == [0, 1, nodes]
    for state in index.runs():
        again = report_state(found, index, state.run_id)
        assert report(index, again, HOSTS) == report(whole, whole.run(state.run_id), HOSTS)


@given(history=histories, most=st.integers(1, 2))
def test_more_files_than_can_be_open_read_the_same(history: list[Act], most: int) -> None:
    files = {name: bytes(builder) for name, builder in written(history).items()}
    whole = derived(files)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "MOST_OPEN", 0)
        patch.setattr(OpenFiles.__init__, "__defaults__", (most,))
        patch.setattr(reading, "_BATCH", 2)

        assert derived(files) == whole
