"""What decisions and remarks add up to: open, decided, stale, and no part of a run's course."""

from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import orjson
from hypothesis import given
from hypothesis import strategies as st

from replay.fold.files import sources_of
from replay.fold.metadata import metadata, metadata_bytes
from replay.fold.report.loading import file_of, step_of
from replay.fold.report.views import unit_view
from replay.fold.review_queue import requests_of
from replay.fold.run_report import RunReport
from replay.fold.run_report_views import report
from replay.fold.runs import Fold, fold
from replay.fold.snapshot import from_snapshot, proceed, to_snapshot
from replay.show.report_shape import Report
from replay.trace.folder import locate
from replay.trace.host import Hosts
from tests.reading.histories import sources
from tests.reading.traces import START_US, TraceBuilder

NAME = "audit/step_04/trace_04.jsonl"
BESIDE = "audit/step_04/trace_04.20261121t070312-00000000f1.jsonl"
HOSTS = Hosts(now=START_US / 1e6)
LATER = Hosts(now=START_US / 1e6 + 10_000)  # when no process elsewhere is taken to run
RUN = "20261121-070312-aaaaaa"


def asked(*, clock: Any = None) -> TraceBuilder:
    """Return a run with a file, a step of it that is flagged, and the file that took that over."""
    built = TraceBuilder(NAME, clock=clock)
    built.open()
    built.start()
    built.write("unit_begin", unit="f", kind="file", path="in/a.csv")
    built.write("unit_begin", unit="s", kind="step", label="Check", id="check", parent="f")
    built.write("review_requested", unit="s", reason=None)
    built.write("review_requested", unit="f", reason="Step 'check' requested review")
    built.write("unit_status", unit="s", status="succeeded", inside=True)
    return built


def state_of(*built: TraceBuilder) -> RunReport:
    files = {one.name: bytes(one) for one in built}
    return fold(sources(files), kind=RunReport).run(RUN)


def view_of(*built: TraceBuilder, hosts: Hosts = HOSTS) -> dict[str, Any]:
    files = {one.name: bytes(one) for one in built}
    found: Fold[RunReport] = fold(sources(files), kind=RunReport)
    made = report(found, found.run(RUN), hosts)
    msgspec.convert(made, Report)  # it has the shape that is declared
    return made


def reviewer(built: TraceBuilder, *, name: str | None = None, writer: str = "r1") -> TraceBuilder:
    """Let a reviewer write behind *built*, or into a file *name* of their own."""
    if name is not None:
        built = TraceBuilder(name, clock=built.clock)
    built.be(writer=writer, run_id=RUN)
    built.open(purpose="review")
    return built


def decide(built: TraceBuilder, unit: str, digest: str, decision: str = "approved") -> None:
    built.write(
        "review_resolved", unit=unit, decision=decision, reviewer="anna", digest=digest, note="ok"
    )


def open_units(*built: TraceBuilder) -> list[str]:
    return [one.ident for one in requests_of(state_of(*built)) if one.is_open]


def test_a_request_is_open_until_a_decision_holds() -> None:
    built = asked()
    assert open_units(built) == ["s"]
    digest = state_of(built).units.states["s"].reviewed_digest()

    reviewer(built)
    decide(built, "s", digest)
    assert open_units(built) == []
    decide(built, "s", digest, "reopened")
    assert open_units(built) == ["s"]
    decide(built, "s", digest, "rejected")
    assert open_units(built) == []
    decide(built, "s", "sha256:00")
    assert open_units(built) == ["s"]


def test_the_flag_that_a_file_took_over_is_answered_with_that_of_its_step() -> None:
    built = asked()
    file = view_of(built)["files"][0]
    assert (file["requires_human_review"], "open" in file["review"]) == (True, False)

    digest = state_of(built).units.states["s"].reviewed_digest()
    decide(reviewer(built), "s", digest)

    file = view_of(built)["files"][0]
    assert (file["requires_human_review"], file["human_review_reason"]) == (False, None)
    assert file["review"]["open"] is False


def test_what_the_program_asks_anew_is_open_again() -> None:
    built = asked()
    decide(reviewer(built), "s", state_of(built).units.states["s"].reviewed_digest())
    built.be(writer="20261121t070312-0000000001", run_id=RUN)

    built.write("review_requested", unit="s", reason=None)

    assert open_units(built) == ["s"]
    assert view_of(built)["files"][0]["steps"][0]["review"]["stale"] is True


def test_what_the_program_withdraws_is_open_no_more_and_the_decision_stays() -> None:
    built = asked()
    digest = state_of(built).units.states["s"].reviewed_digest()
    built.write("review_cleared", unit="s")
    decide(reviewer(built), "s", digest)

    review = view_of(built)["files"][0]["steps"][0]["review"]

    assert (review["flagged"], review["open"], review["decision"]) == (False, False, "approved")
    # Nothing gave the file its flag any more: that is a request of its own now.
    assert open_units(built) == ["f"]


CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "message": ("message", {"level": "warning", "text": "odd"}),
    "note": ("message", {"level": "note", "text": "odd"}),
    "check": ("check", {"name": "rows", "ok": False}),
    "metadata": ("metadata", {"patch": {"rows": 3}}),
    "status": ("unit_status", {"status": "failed", "inside": True}),
    "edited": ("edited", {"field": "label", "value": "Other"}),
}
NO_CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "remark": ("message", {"level": "note", "text": "odd", "author": "bert"}),
    "decision": (
        "review_resolved",
        {"decision": "rejected", "reviewer": "b", "digest": "sha256:00"},
    ),
}


@given(name=st.sampled_from([*CHANGES, *NO_CHANGES]), on=st.sampled_from("sf"))
def test_what_the_program_changes_makes_a_decision_stale_and_what_people_say_does_not(
    name: str, on: str
) -> None:
    built = asked()
    before = {unit: state_of(built).units.states[unit].reviewed_digest() for unit in "sf"}

    event_type, payload = {**CHANGES, **NO_CHANGES}[name]
    built.write(event_type, unit=on, **payload)
    after = {unit: state_of(built).units.states[unit].reviewed_digest() for unit in "sf"}

    changed = name in CHANGES and not (name == "check" and on == "f") and name != "edited"
    if name == "edited":
        changed = on == "s"  # a file is called by its name
    assert (after[on] != before[on]) == changed
    if on == "s":
        assert (after["f"] != before["f"]) == changed
    else:
        assert after["s"] == before["s"]


def test_the_digest_is_that_of_the_documented_form() -> None:
    """The vector spells the form out, so that other readers and later versions agree."""
    path = Path(__file__).parent.parent / "vectors" / "valid" / "reviewed"
    folded = fold(sources_of(locate(str(path))), kind=RunReport)
    (state,) = folded.runs()

    (request,) = requests_of(state)

    assert (request.is_open, request.view["stale"]) == (False, False)
    assert state.messages[0]["author"] == "anna"


def test_a_digest_does_not_depend_on_when_and_where_it_is_made() -> None:
    state = state_of(asked()).units.states["f"]

    digest = state.reviewed_digest()
    unit_view(state, 10**12, running_as="interrupted")

    assert state.reviewed_digest() == digest
    assert digest.startswith("sha256:")


def test_a_value_without_a_canonical_form_lets_no_decision_hold() -> None:
    """A trace that was made by hand may hold an integer that RFC 8785 cannot say."""
    built = asked()
    state = state_of(built).units.states["s"]
    state.metadata = {"n": 2**60}

    assert state.reviewed_digest() == ""


def test_a_dump_with_decisions_is_read_back_as_it_was() -> None:
    built = asked()
    decide(reviewer(built), "s", state_of(built).units.states["s"].reviewed_digest())
    built.write("message", unit="s", level="note", text="hm", author="bert")
    file = unit_view(state_of(built).units.states["f"])
    names = count()

    assert unit_view(file_of(file, lambda: str(next(names)))) == file
    step = file["steps"][0]
    assert unit_view(step_of(step, lambda: "x")) == step
    assert step["remarks"] == [
        {"timestamp": step["remarks"][0]["timestamp"], "author": "bert", "text": "hm"}
    ]


def test_a_reviewer_writes_no_part_of_the_course() -> None:
    for beside in (None, BESIDE):
        built = asked()
        before = view_of(built, hosts=LATER)
        also = reviewer(built, name=beside)
        decide(also, "s", "sha256:00")
        also.write("message", level="note", text="later", author="anna", after_us=10**9)
        also.close()

        after = view_of(*{id(one): one for one in (built, also)}.values(), hosts=LATER)

        same = ("status", "started_at", "ended_at", "duration_seconds", "warnings", "trace_file")
        assert {name: after[name] for name in same} == {name: before[name] for name in same}
        assert after["files"][0]["duration_ms"] == before["files"][0]["duration_ms"]
        assert after["position"] != before["position"]
        assert after["messages"][-1]["author"] == "anna"


def test_decisions_about_a_node_that_never_was_are_passed_over() -> None:
    built = asked()
    reviewer(built)
    built.write("review_resolved", decision="approved", reviewer="a", digest="", node_id="n")
    built.write("review_resolved", decision="approved", reviewer="a", digest="", unit="nobody")

    assert open_units(built) == ["s"]


@given(data=st.data())
def test_going_on_over_decisions_is_the_fold_of_all(data: st.DataObject) -> None:
    built = asked()
    decide(reviewer(built), "s", "sha256:00")
    built.close()
    built.be(writer="w2", run_id="20261121-070312-bbbbbb")
    built.open()
    built.start()
    beside = reviewer(built, name=BESIDE)
    decide(beside, "s", "sha256:00")
    beside.close()
    files = {one.name: bytes(one) for one in (built, beside)}
    cut = {name: data.draw(st.integers(0, len(whole)), label=name) for name, whole in files.items()}
    early = {name: whole[: cut[name]] for name, whole in files.items()}

    found = proceed(from_snapshot(to_snapshot(fold(sources(early)))), sources(files))

    whole = fold(sources(files))
    assert to_snapshot(found) == to_snapshot(whole)
    assert [metadata_bytes(metadata(found, one, HOSTS)) for one in found.runs()] == [
        metadata_bytes(metadata(whole, one, HOSTS)) for one in whole.runs()
    ]
    assert orjson.loads(to_snapshot(whole))["files"][0]["aside"] == {"r1": True}


def test_every_prefix_of_a_reviewed_trace_folds() -> None:
    built = asked()
    decide(reviewer(built), "s", "sha256:00")
    built.write("message", unit="f", level="note", text="hm", author="bert")
    built.close()

    for n in range(len(built.lines) + 1):
        part = b"".join(built.lines[:n])
        found = fold(sources({NAME: part}), kind=RunReport)
        for state in found.runs():
            assert report(found, state, HOSTS) == report(found, state, HOSTS)
