"""Recomputed counts are those of the fold, and what a terminal event says is held against them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.audit.counts import NODE_EVENTS, Recount, Tally
from replay.audit.facts import Spot
from replay.fold.run import RunState, apply, beginning
from replay.trace.schema import decode_event
from tests.auditing.build import open_behind, scanned, told
from tests.vectors.making import ALICE, BOB, Out, Writer, lines_of

EVENTS = st.tuples(
    st.sampled_from([*sorted(NODE_EVENTS), b"node_start", b"node_retry"]),
    st.sampled_from(["a", "b", 'with "quotes"', 'a,"node_index":0']),
    st.sampled_from([None, 0, 1, 2]),
)


def put(writer: Writer, event_type: bytes, node_id: str, index: int | None) -> None:
    name: dict[str, Any] = {"node_id": node_id}
    if index is not None:
        name["node_index"] = index
    more: dict[bytes, dict[str, Any]] = {
        b"node_success": {"duration_seconds": 0.1, "output_hash": None},
        b"node_failure": {"duration_seconds": 0.1, "error": "no"},
        b"node_retry": {"attempt": 2},
    }
    writer.put(event_type.decode(), **name, **more.get(event_type, {}))


@given(st.lists(EVENTS, max_size=40))
def test_recomputed_counts_are_those_of_the_fold(events: list[tuple[bytes, str, int]]) -> None:
    writer = open_behind(Writer(Out()))
    for event in events:
        put(writer, *event)
    decoded = [decode_event(line) for line in lines_of(writer.file.data)]
    state: RunState = beginning(decoded[0])
    for event in decoded:
        apply(state, event)
    writer.complete(completed=state.nodes_completed, failed=state.nodes_failed)
    skipped = state.nodes_skipped

    found = [f for f in scanned(writer.file.data).findings if f.code == "count_differs"]

    # The builder says that none was skipped.
    assert bool(found) == (skipped != 0)
    if found:
        assert f"nodes_skipped 0, want {skipped}" in found[0].message
        assert "completed" not in found[0].message


def finished(**claimed: Any) -> Out:
    out = Out()
    writer = open_behind(Writer(out))
    for index in range(3):
        writer.node(f"n{index}", index)
        writer.succeed(f"n{index}", index)
    writer.node("n3", 3)
    writer.fail("n3", 3, "no")
    writer.put(
        "workflow_complete",
        **{
            "nodes_completed": 3,
            "nodes_failed": 1,
            "nodes_skipped": 0,
            "total_time_seconds": 2.25,
            **claimed,
        },
    )
    writer.close()
    return out


def test_counts_that_are_right_are_no_finding() -> None:
    assert scanned(finished().trace()).findings == []


@pytest.mark.parametrize(
    ("claimed", "code", "message"),
    [
        ({"nodes_completed": 4}, "count_differs", "nodes_completed 4, want 3, recomputed"),
        (
            {"nodes_failed": 0, "nodes_skipped": 1},
            "count_differs",
            "nodes_failed 0, want 1, nodes_skipped 1, want 0, recomputed",
        ),
        (
            {"total_time_seconds": 2.2601},
            "time_differs",
            "total_time_seconds 2.2601, want 2.250 within 0.01, recomputed",
        ),
    ],
)
def test_a_count_that_differs_is_found_at_its_line(
    claimed: dict[str, Any], code: str, message: str
) -> None:
    (finding,) = scanned(finished(**claimed).trace()).findings

    assert (finding.code, finding.line, finding.severity) == (code, 11, "error")
    assert finding.message.endswith(message)


@pytest.mark.parametrize("time", [2.2401, 2.2599, "NaN"])
def test_times_may_differ_by_ten_milliseconds(time: object) -> None:
    assert scanned(finished(total_time_seconds=time).trace()).findings == []


def test_a_writer_goes_on_with_the_counts_of_the_one_it_follows_in_its_run() -> None:
    out = Out()
    alice = open_behind(Writer(out, ALICE))
    alice.node("a", 0)
    alice.succeed("a", 0)
    bob = open_behind(Writer(out, BOB, run_of=ALICE), goes_on=alice)
    bob.node("b", 1)
    bob.succeed("b", 1)

    right, wrong = scanned_with(bob, completed=2), scanned_with(bob, completed=1)

    assert told(right) == []
    assert told(wrong) == [("count_differs", 8)]


def test_a_process_that_joins_a_run_counts_its_own_nodes() -> None:
    """It continues the file of one that was killed, and so names it, as a new process does."""
    out = Out()
    alice = open_behind(Writer(out, ALICE))
    alice.node("a", 0)
    alice.succeed("a", 0)
    bob = open_behind(Writer(out, BOB, run_of=ALICE))
    bob.node("b", 1)
    bob.succeed("b", 1)

    right, wrong = scanned_with(bob, completed=1), scanned_with(bob, completed=2)

    assert told(right) == []
    assert told(wrong) == [("count_differs", 9)]


def scanned_with(writer: Writer, *, completed: int) -> list[Any]:
    before = writer.file.data, writer.file.hash, writer.file.lines
    writer.complete(completed=completed)
    findings = [f for f in scanned(writer.file.data).findings if f.code == "count_differs"]
    writer.file.data, writer.file.hash, writer.file.lines = before
    return findings


def test_another_run_begins_to_count_anew() -> None:
    out = Out()
    for one in (ALICE, BOB):
        writer = open_behind(Writer(out, one))
        writer.node("a", 0)
        writer.succeed("a", 0)
        writer.complete(completed=1)
        writer.close()

    assert scanned(out.trace()).findings == []


def test_nothing_is_said_of_counts_behind_damage() -> None:
    data = finished(nodes_completed=7).trace().replace(b'"n1"', b'"n7"', 1)

    assert [code for code, _ in told(scanned(data).findings)] == ["bad_hash"]


def test_a_recount_without_a_start_says_nothing_of_the_time() -> None:
    spot = Spot("t", 1, 0, 0)
    logged = {"total_time_seconds": 5.0, "mono_us": 1, "epoch_seconds": 1.0}

    assert Recount(Tally("r"), logged, spot).differences() == []


def test_a_tally_can_be_sent_to_another_process() -> None:
    tally = Tally("r", nodes={b'"a"': b"node_start"})

    assert msgspec.structs.asdict(tally)["nodes"] == {b'"a"': b"node_start"}
