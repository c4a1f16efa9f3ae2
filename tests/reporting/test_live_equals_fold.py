"""What is live and what a fold makes of the trace are the same, whatever was called."""

import contextlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextvars import Context
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observability import ExecutionObserver, context
from observability.reporting import StepReport
from replay.fold import read_report
from replay.fold.report.units import Units
from replay.fold.report.views import unit_view
from replay.trace.events import Event, UnitBegun
from replay.trace.schema import decode_event
from tests.reporting.calls import Calls
from tests.reporting.plain import shared

QUICK = 300
FOLDERS = 10
IN_A_FOLDER = 1_000
NUMBERS = st.integers(0, 10**6)


@pytest.fixture(scope="module")
def observer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExecutionObserver]:
    opened = ExecutionObserver("live", tmp_path_factory.mktemp("live"), durability="none")
    with opened:
        yield opened


@pytest.fixture(scope="module")
def unredacted(
    observer: ExecutionObserver,  # noqa: ARG001 - it is open
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ExecutionObserver]:
    """One more that is open: where neither is entered, none is current."""
    opened = ExecutionObserver(
        "other", tmp_path_factory.mktemp("other"), durability="none", redact=False
    )
    yield opened
    opened.close()


def events_behind(path: Path, offset: int) -> list[Event]:
    with path.open("rb") as file:
        file.seek(offset)
        return [decode_event(line) for line in file.read().split(b"\n") if line]


def dumped(view: dict[str, Any]) -> Any:
    return orjson.loads(orjson.dumps(view))


def made(before: list[int], numbers: list[int], observer: ExecutionObserver) -> Calls:
    """Make calls where no observer is current, and then where *observer* is."""
    outside = Context()
    calls = outside.run(Calls) if before else None
    scope = context.enter(observer)
    try:
        if calls is None:
            calls = Calls()
        else:
            outside.run(calls.make, before)
        calls.make(numbers)
    finally:
        context.leave(scope)
    return calls


def recorded(calls: Calls, observer: ExecutionObserver) -> dict[str, Any]:
    """Return the dumps of what *observer* records, as they are behind the last event."""
    units = [unit for unit in calls.every if unit.observer is observer]
    for unit in units:
        unit.model_dump()  # records what was changed inside values; an event moves what is open
    return {unit.state.unit: unit.model_dump(mode="json") for unit in units}


@given(before=st.lists(NUMBERS, max_size=15), numbers=st.lists(NUMBERS, max_size=40))
@settings(deadline=None)
def test_a_fold_holds_what_is_live_and_every_prefix_folds(
    before: list[int],
    numbers: list[int],
    observer: ExecutionObserver,
    unredacted: ExecutionObserver,  # noqa: ARG001 - it is open
) -> None:
    path = observer.audit_trace_file
    begin = path.stat().st_size

    calls = made(before, numbers, observer)
    live = recorded(calls, observer)

    units = Units()
    for event in events_behind(path, begin):
        units.apply(event)
        for state in units.roots():
            unit_view(state, event.mono_us)
    assert {unit: dumped(unit_view(units.states[unit], event.mono_us)) for unit in live} == live
    for report in calls.reports if live else ():
        if report.observer is not None:
            assert report.state.tally == units.states[report.state.unit].tally  # type: ignore[attr-defined]


@given(before=st.lists(NUMBERS, max_size=15), numbers=st.lists(NUMBERS, max_size=40))
@settings(deadline=None)
def test_a_report_says_what_plain_lists_and_dicts_say(
    before: list[int], numbers: list[int], unredacted: ExecutionObserver
) -> None:
    """Live and fold share their code: both may be wrong alike."""
    assert_plain(made(before, numbers, unredacted))


def assert_plain(calls: Calls) -> None:
    for unit in calls.every:
        plain = calls.twins[unit].view()
        assert shared(unit.model_dump(mode="json"), plain) == plain


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
def test_a_saved_report_that_is_loaded_says_the_same_but_for_times(numbers: list[int]) -> None:
    calls = Calls()
    calls.make(numbers)

    for report in calls.reports:
        again = type(report).model_validate_json(report.model_dump_json())
        assert _timeless(again.model_dump(mode="json")) == _timeless(report.model_dump(mode="json"))


def _timeless(view: Any) -> Any:
    if isinstance(view, dict):
        return {k: _timeless(v) for k, v in view.items() if k not in {"duration_ms", "updated_at"}}
    return [_timeless(item) for item in view] if isinstance(view, list) else view


# --- All of them in a fresh process


def write_sequences(out: Path, seed: int, count: int) -> None:
    """Make random calls in a trace of their own, and note what is live behind each sequence.

    What is live must be what plain lists and dicts say, so nothing is redacted here.
    """
    chosen = random.Random(seed)
    kept = []
    with (
        ExecutionObserver("live", out, durability="none", quiet=True, redact=False) as observer,
        contextlib.closing(ExecutionObserver("idle", out / "idle", durability="none", quiet=True)),
    ):
        path = observer.audit_trace_file
        for _ in range(count):
            begin = path.stat().st_size
            before, numbers = (
                [chosen.randrange(10**6) for _ in range(chosen.randrange(most))]
                for most in (chosen.choice([1, 12]), 40)
            )
            calls = made(before, numbers, observer)
            live = recorded(calls, observer)
            assert_plain(calls)
            kept.append(
                {"numbers": [before, numbers], "bytes": [begin, path.stat().st_size], "live": live}
            )
    (out / "expected.jsonl").write_bytes(b"\n".join(map(orjson.dumps, kept)))


def fold_in_a_fresh_process(*folders: Path) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.reporting.fold_again", *map(str, folders)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip(), done.stderr


def test_sequences_fold_in_a_fresh_process(memory: Path) -> None:
    write_sequences(memory, 20261121, QUICK)

    assert fold_in_a_fresh_process(memory) == (str(QUICK), "")


@pytest.mark.soak
def test_ten_thousand_sequences_fold_in_a_fresh_process(memory: Path) -> None:
    folders = [memory / str(n) for n in range(FOLDERS)]
    for n, folder in enumerate(folders):
        write_sequences(folder, n, IN_A_FOLDER)

    assert fold_in_a_fresh_process(*folders) == (str(FOLDERS * IN_A_FOLDER), "")


def test_a_report_of_a_run_lists_what_was_live(memory: Path) -> None:
    """By way of `read_report`, which has heads, steps and files in lists of their own."""
    chosen = random.Random(4)
    expected = {}
    with ExecutionObserver("live", memory, durability="none", quiet=True):
        for _ in range(100):
            calls = Calls()
            calls.make([chosen.randrange(10**6) for _ in range(chosen.randrange(12))])
            for report in calls.reports:
                for unit in [*report.files, *report.steps]:
                    unit.end()  # the duration of what is open goes on with the run
                    for step in getattr(unit, "steps", ()):
                        step.end()
                expected[report.state.unit] = report.model_dump(mode="json")

    folded = read_report(memory)
    heads = {head.pop("unit"): head | {"steps": [], "files": []} for head in folded["reports"]}
    for name in ("steps", "files"):
        for view in folded[name]:
            del view["unit"]
            report = view.pop("report")
            if report is not None:
                heads[report][name].append(view)
    assert heads == expected


def test_a_trace_is_json_that_anybody_reads(observer: ExecutionObserver) -> None:
    path = observer.audit_trace_file
    before = path.stat().st_size

    StepReport("größer", metadata={"x": (1, 2)})

    (event,) = events_behind(path, before)
    assert isinstance(event, UnitBegun)
    line = json.loads(path.read_bytes()[before:])
    assert (line["label"], line["metadata"]) == ("größer", {"x": [1, 2]})
