"""What is live and what a fold makes of the trace are the same, whatever was called."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observability import ExecutionObserver
from observability.reporting import StepReport
from replay.fold.unit_views import unit_view
from replay.fold.units import Units
from replay.trace.events import Event, UnitBegun
from replay.trace.schema import decode_event
from tests.reporting.calls import Calls

SEQUENCES = 10_000
NUMBERS = st.integers(0, 10**6)


@pytest.fixture(scope="module")
def observer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExecutionObserver]:
    opened = ExecutionObserver("live", tmp_path_factory.mktemp("live"), durability="none")
    with opened:
        yield opened


def events_behind(path: Path, offset: int) -> list[Event]:
    with path.open("rb") as file:
        file.seek(offset)
        return [decode_event(line) for line in file.read().split(b"\n") if line]


def dumped(view: dict[str, Any]) -> Any:
    return orjson.loads(orjson.dumps(view))


@given(numbers=st.lists(NUMBERS, max_size=40))
@settings(deadline=None)
def test_a_fold_holds_what_is_live_and_every_prefix_folds(
    numbers: list[int], observer: ExecutionObserver
) -> None:
    path = observer.audit_trace_file
    before = path.stat().st_size

    calls = Calls()
    calls.make(numbers)
    every = (calls.report, calls.own, *calls.lone)
    for unit in every:
        unit.model_dump()  # records what was changed inside values; an event moves what is open
    live = [unit.model_dump(mode="json") for unit in every]

    units = Units()
    for event in events_behind(path, before):
        units.apply(event)
        for state in units.roots():
            unit_view(state, event.mono_us)
    of = [unit.state.unit for unit in every]
    assert [dumped(unit_view(units.states[unit], event.mono_us)) for unit in of] == live
    assert calls.report.state.tally == units.states[of[0]].tally  # type: ignore[attr-defined]


@given(numbers=st.lists(NUMBERS, max_size=30), missing=st.sets(st.integers(0, 200)))
@settings(deadline=None)
def test_a_trace_in_which_events_are_missing_folds(
    numbers: list[int], missing: set[int], observer: ExecutionObserver
) -> None:
    path = observer.audit_trace_file
    before = path.stat().st_size
    Calls().make(numbers)

    units = Units()
    for n, event in enumerate(events_behind(path, before)):
        if n not in missing:
            units.apply(event)
    for state in units.roots():
        unit_view(state, event.mono_us)


@given(numbers=st.lists(NUMBERS, max_size=40))
@settings(deadline=None)
def test_without_an_observer_a_report_says_the_same_but_for_times(numbers: list[int]) -> None:
    """Two live sides that are wrong alike would pass the first test."""
    calls = Calls()
    calls.make(numbers)

    report = calls.report
    again = type(report).model_validate_json(report.model_dump_json())
    assert _timeless(again.model_dump(mode="json")) == _timeless(report.model_dump(mode="json"))


def _timeless(view: Any) -> Any:
    if isinstance(view, dict):
        return {k: _timeless(v) for k, v in view.items() if k not in {"duration_ms", "updated_at"}}
    return [_timeless(item) for item in view] if isinstance(view, list) else view


FOLD = """
import sys, orjson
from replay.fold import read_report
report = read_report(sys.argv[1])
expected = dict(orjson.loads(line) for line in open(sys.argv[2], "rb"))
heads = {head["unit"]: {**head, "steps": [], "files": []} for head in report["reports"]}
for name in ("steps", "files"):
    for view in report[name]:
        unit = view.pop("unit")
        head = heads.get(view.pop("report"))
        if head is not None:
            head[name].append(view)
found = 0
for unit, view in expected.items():
    head = heads[unit]
    del head["unit"]
    assert head == view, (unit, head, view)
    found += 1
print(found)
"""


def test_ten_thousand_sequences_fold_in_a_fresh_process(memory: Path) -> None:
    chosen = random.Random(20261121)
    kept = []
    with ExecutionObserver("live", memory, durability="none"):
        for _ in range(SEQUENCES):
            calls = Calls()
            calls.make([chosen.randrange(10**6) for _ in range(chosen.randrange(12))])
            for unit in [*calls.report.files, *calls.report.steps]:
                unit.end()  # the duration of what is open goes on with the run
                for step in getattr(unit, "steps", ()):
                    step.end()
            kept.append([calls.report.state.unit, calls.report.model_dump(mode="json")])
    expected = memory / "expected.jsonl"
    expected.write_bytes(b"\n".join(map(orjson.dumps, kept)))

    done = subprocess.run(
        [sys.executable, "-c", FOLD, str(memory), str(expected)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout.strip(), done.stderr) == (str(SEQUENCES), "")


def test_a_trace_is_json_that_anybody_reads(observer: ExecutionObserver) -> None:
    path = observer.audit_trace_file
    before = path.stat().st_size

    StepReport("größer", metadata={"x": (1, 2)})

    (event,) = events_behind(path, before)
    assert isinstance(event, UnitBegun)
    line = json.loads(path.read_bytes()[before:])
    assert (line["label"], line["metadata"]) == ("größer", {"x": [1, 2]})
