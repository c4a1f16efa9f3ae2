"""Lists and dicts of a unit, changed directly, without an observer."""

import contextlib
import copy
import pickle
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observability import ExecutionObserver, pipeline_file
from observability.reporting import Check, FileReport, PipelineReport, ReportBase, StepReport
from observability.reporting.recording import RecordedDict, RecordedList
from replay.fold import read_report
from tests.reporting.calls import change_dict, change_list

NUMBERS = st.integers(0, 10**6)


@given(numbers=st.lists(NUMBERS, max_size=30))
@settings(deadline=None)
def test_recorded_lists_and_dicts_are_lists_and_dicts(numbers: list[int]) -> None:
    """A second oracle: a fold cannot see that both sides are wrong alike."""
    step = StepReport("x")
    plain_list: list[str] = []
    plain_dict: dict[str, Any] = {}

    for n in numbers:
        change_list(step.notes, n)
        change_list(plain_list, n)
        change_dict(step.metadata, n)
        change_dict(plain_dict, n)

    assert type(step.notes) is RecordedList
    assert type(step.metadata) is RecordedDict
    assert step.notes == plain_list
    assert step.metadata == orjson.loads(orjson.dumps(plain_dict))
    assert list(step.metadata) == list(plain_dict)


def test_adding_to_a_list_in_place_adds_once(memory: Path) -> None:
    """`x.notes += [...]` calls the list and then the setter."""
    with ExecutionObserver("x", memory, quiet=True) as observer:
        step = StepReport("x")
        before = observer.audit_trace_file.read_bytes().count(b"\n")
        step.notes += ["one"]
        step.metadata |= {"k": 1}
        after = observer.audit_trace_file.read_bytes().count(b"\n")

    assert (step.notes, step.metadata) == (["one"], {"k": 1})
    assert after - before == 2


def test_a_list_and_metadata_may_be_replaced() -> None:
    step = StepReport("x")
    notes = step.notes

    step.notes = ["a", "b"]
    step.metadata = {"b": 1, "a": 2}
    step.metadata = {"a": 3}

    assert notes == step.notes == ["a", "b"]
    assert step.metadata == {"a": 3}


def test_what_is_put_in_is_copied() -> None:
    mine = {"rows": [1]}
    step = StepReport("x", metadata=mine)
    step.metadata["more"] = mine

    mine["rows"].append(2)

    assert step.model_dump()["metadata"] == {"rows": [1], "more": {"rows": [1]}}


def test_a_nested_change_that_json_cannot_hold_is_put_back_and_said() -> None:
    step = StepReport("x", metadata={"rows": [1]})
    step.metadata["rows"].append(object())

    with pytest.warns(RuntimeWarning, match="a change inside metadata was not kept: rows"):
        step.note("next")

    assert step.metadata == {"rows": [1]}
    assert "was not kept" in step.warnings[0]


@pytest.mark.parametrize("observed", [False, True])
def test_a_nested_list_that_a_program_holds_stays_that_of_the_unit(
    memory: Path, *, observed: bool
) -> None:
    """What was added to it behind the unit's next event was lost without a word."""
    out = ExecutionObserver("x", memory, quiet=True) if observed else contextlib.nullcontext()
    with out:
        step = StepReport("s", metadata={"rows": [], "by": {}, "other": []})
        rows, by = step.metadata["rows"], step.metadata["by"]
        mine: dict[str, int] = {}
        for n in range(3):
            rows.append(n)
            by[str(n)] = mine
            step.note("next")
        mine["changed"] = 1
        rows.append(object())
        with pytest.warns(RuntimeWarning, match="was not kept: rows"):
            step.note("put back")
        rows.append(3)

        live = step.model_dump()["metadata"]

    assert rows == [0, 1, 2, 3]
    assert live == {"rows": rows, "by": {"0": {}, "1": {}, "2": {}}, "other": []}
    if observed:
        assert read_report(memory)["steps"][0]["metadata"] == live


class _Mine(ReportBase):
    rows: list = []  # type: ignore[type-arg]  # noqa: RUF012 - as users write it
    opts: dict = {}  # type: ignore[type-arg]  # noqa: RUF012


def test_a_list_in_an_own_field_may_be_changed(memory: Path) -> None:
    """The live report said one thing and the trace another."""
    with ExecutionObserver("x", memory, quiet=True) as observer:
        mine = _Mine("m", metadata={"rows": []})
        mine.rows.append(1)
        mine.opts["k"] = [2]
        mine.metadata["rows"].append(3)
        mine.note("next")
        other = _Mine("n")
        mine.rows.append(4)
        mine.opts["k"].append(5)
        before = observer.audit_trace_file.read_bytes().count(b"\n")
        live = mine.model_dump(mode="json")
        mine.model_dump()
        after = observer.audit_trace_file.read_bytes().count(b"\n")

    assert (mine.rows, mine.opts, mine.metadata) == ([1, 4], {"k": [2, 5]}, {"rows": [3]})
    assert (other.rows, after - before) == ([], 2)
    folded = read_report(memory)["units"][0]
    assert {name: folded[name] for name in ("rows", "opts", "metadata", "notes")} == {
        name: live[name] for name in ("rows", "opts", "metadata", "notes")
    }


@pytest.mark.parametrize("observed", [False, True])
def test_what_json_cannot_hold_in_an_own_field_concerns_no_other_unit(
    memory: Path, *, observed: bool
) -> None:
    """It raised TypeError out of the next file's block, and at the end of the run."""
    out = ExecutionObserver("x", memory, quiet=True) if observed else contextlib.nullcontext()
    with out:
        report = PipelineReport("p", output_path=memory / "p.json")
        mine = _Mine("m")
        report.append_step(mine)  # type: ignore[arg-type]
        mine.opts["k"] = object()
        with (
            pytest.warns(RuntimeWarning, match="inside fields was not kept: opts.k: got object"),
            pipeline_file(report, "a.csv") as file,
        ):
            pass

    assert (file.status, mine.opts) == ("succeeded", {})
    assert mine.warnings == [
        "a change inside fields was not kept: opts.k: got object, want a JSON value"
    ]
    assert "opts" in (memory / "p.json").read_text()


def test_a_value_without_json_form_is_refused_where_it_is_given() -> None:
    step = StepReport("x")

    with pytest.raises(TypeError, match="thing: got object, want a JSON value"):
        step.metadata["thing"] = object()
    with pytest.raises(ValueError, match="ratio: number nan"):
        step.metadata["ratio"] = float("nan")

    assert step.metadata == {}


def test_checks_take_checks() -> None:
    step = StepReport("x")

    step.checks.append(Check(name="a", ok=True))
    step.checks.append({"name": "b", "ok": False})
    with pytest.raises(TypeError, match="got str, want a Check"):
        step.checks.append("c")

    assert step.checks == [Check("a", ok=True), Check("b", ok=False)]
    assert not step.ok


def test_units_are_attached_by_their_list_and_stay() -> None:
    report = PipelineReport("x")
    report.files.append(FileReport("a.txt"))
    report.files.extend([FileReport("b.txt")])
    report.steps += [StepReport("s")]

    assert [file.name for file in report.files] == ["a.txt", "b.txt"]
    with pytest.raises(TypeError, match="a trace takes nothing back"):
        report.files.pop()
    with pytest.raises(TypeError, match="got StepReport, want a FileReport"):
        report.append_file(StepReport("s"))  # type: ignore[arg-type]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_report_travels_and_its_copy_is_another(copied: Any) -> None:
    report = PipelineReport(batch_id="b")
    report.append_file(FileReport("a.txt").add_completed_step("one", "note"))

    other = copied(report)
    before = report.model_dump()
    other.files[0].note("here alone")

    assert report.model_dump() == before
    assert other.files[0].notes == ["here alone"]
    assert copied(report.files[0].steps[0].notes) == ["note"]
