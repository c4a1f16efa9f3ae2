"""What is longer than a line: units and runs end, and what is live is what a fold has."""

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observability import (
    ExecutionObserver,
    FileReport,
    PipelineReport,
    StepReport,
    bind_pipeline,
    file_step,
    pipeline_file,
    pipeline_step,
)
from observability.payloads import LARGEST_TEXT
from observability.reporting import ReportBase
from observability.values import MAX_PAYLOAD, EventTooLongError
from replay.audit import audit
from replay.fold.report.units import Units
from replay.fold.report.views import unit_view
from replay.trace.schema import decode_event
from tests.reporting.calls import change_list

MANY = 200
TEXTS = [f"row {n}: {'n' * 6_000}" for n in range(MANY)]  # together longer than a line


@contextlib.contextmanager
def observed(out: Path, *, redact: Any = False) -> Iterator[ExecutionObserver]:
    """Observe a run; it ends well, and its evidence is whole."""
    with ExecutionObserver("long", out, durability="none", quiet=True, redact=redact) as observer:
        yield observer
    assert not observer.is_open
    assert audit.audit(str(out)).verdict == "complete"


def assert_folded(observer: ExecutionObserver, *live: Any) -> None:
    """What is live is what the lines so far add up to."""
    views = {unit.state.unit: unit.model_dump(mode="json") for unit in live}
    units = Units()
    for line in observer.audit_trace_file.read_bytes().splitlines():
        event = decode_event(line)
        if getattr(event, "unit", None) is not None:
            units.apply(event)
    for name, view in views.items():
        folded = orjson.loads(orjson.dumps(unit_view(units.states[name], observer.last_us)))
        assert folded == view


# --- What is made of what was said


def test_a_file_whose_step_has_many_errors_ends(memory: Path) -> None:
    """The block raised ValueError, and the file went on running for ever."""
    with observed(memory) as observer:
        report = PipelineReport("p")
        with pipeline_file(report, "a.csv") as file, file_step(file, "s") as step:
            for text in TEXTS:
                step.error(text)
        assert (step.status, file.status) == ("failed", "failed")
        (reason,) = file.errors
        assert_folded(observer, report)

    whole = len("; ".join(step.errors))
    assert reason.startswith("row 0: n")
    assert reason.endswith(f"\n[... {whole - LARGEST_TEXT} characters left out ...]")


def test_what_was_cut_is_said_once_however_often_a_unit_ends() -> None:
    file = FileReport("a.csv").add_failed_step("s", "x" * (LARGEST_TEXT + 1))

    file.end().start().end()

    assert len(file.errors) == 1


def _raise_chain(n: int, text: str) -> None:
    try:
        if n == 0:
            raise ValueError(text)
        _raise_chain(n - 1, text)
    except (ValueError, RuntimeError) as error:
        raise RuntimeError(text) from error


@pytest.mark.filterwarnings("ignore::observability.ExceptionRecordedWarning")
@pytest.mark.parametrize(
    ("text", "n"), [("\x01" * 70_000, 1), ("\x01" * 200_000, 19), ("w" * 100_000, 19), ("w", 40)]
)
def test_a_step_ends_by_exceptions_with_long_texts(memory: Path, text: str, n: int) -> None:
    """The chain and a text with control characters made an event that no line takes."""
    name = "E" * 100_000

    with observed(memory) as observer:
        report = PipelineReport("p")
        with pipeline_step(report, "s") as step:
            try:
                _raise_chain(n, text)
            except RuntimeError as error:
                raise type(name, (ValueError,), {"__module__": name})(text) from error
        assert step.status == "failed"
        assert_folded(observer, report)

    (event,) = [
        line
        for line in map(orjson.loads, observer.audit_trace_file.read_bytes().splitlines())
        if line["event_type"] == "exception"
    ]
    assert len(event["chain"]) == min(n + 2, 20)
    assert all(said.startswith(("RuntimeError", "ValueError")) for said in event["chain"])
    if len(text) > LARGEST_TEXT:
        left_out = f"[... {len(text) - LARGEST_TEXT} characters left out ...]"
        assert event["error"] == f"{text[:LARGEST_TEXT]}\n{left_out}"
        assert "characters left out" in event["traceback"].partition("\n")[0]


@pytest.mark.filterwarnings("ignore::observability.ExceptionRecordedWarning")
def test_no_secret_is_cut_in_two(memory: Path) -> None:
    secret = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789"
    text = "x" * (LARGEST_TEXT - 20) + " " + secret

    with observed(memory, redact=None) as observer, pipeline_step(PipelineReport("p"), "s"):
        raise ValueError(text)

    assert b"sk-ant" not in observer.audit_trace_file.read_bytes()


def test_a_step_that_warns_a_lot_ends(memory: Path) -> None:
    with observed(memory) as observer, warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        report = PipelineReport("p")
        with pipeline_step(report, "s") as step:
            for n in range(100):
                warnings.warn(f"{n} {'y' * 50_000}", UserWarning, stacklevel=1)
        assert step.status == "succeeded"
        assert_folded(observer, report)

    assert step.metadata["warnings"][-1] == "[... 98 lines left out ...]"


# --- Lists that are longer than a line


def test_a_long_list_is_changed_in_every_way_that_lists_have(memory: Path) -> None:
    """`notes.pop()` raised ValueError; a list is told whole, and no line takes one of 1 MiB."""
    with observed(memory) as observer:
        step = StepReport("s", notes=TEXTS)
        for item in TEXTS:
            step.add_check(item, True)
        step.notes.pop()
        step.notes.reverse()
        step.checks.pop(0)
        step.notes += ["last"]
        assert_folded(observer, step)

    assert step.notes == [*TEXTS[-2::-1], "last"]
    assert [check.name for check in step.checks] == TEXTS[1:]


@given(
    numbers=st.lists(st.integers(0, 10**6), min_size=1, max_size=5),
    before=st.booleans(),
    rows=st.integers(0, 9),
)
@settings(max_examples=8, deadline=None)
def test_long_values_change_as_plain_ones_do(
    numbers: list[int], rows: int, *, before: bool
) -> None:
    """Before there is a trace, where nothing is too long, or in one."""
    plain = [f"{n} {'x' * 250_000}" for n in range(5)]

    def changed() -> StepReport:
        step = StepReport("s", notes=plain, metadata={"rows": []})
        for n in numbers:
            change_list(step.notes, n)
            change_list(plain, n)
            step.metadata["rows"].extend(["y" * 100_000] * (0 if before else rows))
        return step

    step = changed() if before else None
    with tempfile.TemporaryDirectory() as out, observed(Path(out)) as observer:
        report = PipelineReport("p")
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            report.append_step(step or changed())
        assert_folded(observer, report)

    assert report.steps[0].notes == plain
    lost = not before and 100_000 * rows * len(numbers) > MAX_PAYLOAD
    assert bool(report.steps[0].warnings) is lost


def test_a_list_with_an_item_that_no_line_takes_is_refused_before_it_is_changed(
    memory: Path,
) -> None:
    with observed(memory) as observer:
        step = StepReport("s", notes=["a", "b"])
        before = observer.audit_trace_file.stat().st_size

        with pytest.raises(EventTooLongError, match=r"notes: 15000.. bytes, want") as found:
            step.notes = ["a", "x" * 1_500_000, "c"]

        assert (found.value.key, found.value.want) == ("text", MAX_PAYLOAD)
        assert step.notes == ["a", "b"]
        assert observer.audit_trace_file.stat().st_size == before


# --- What was changed inside values


def _grow(unit: Any, key: str = "rows") -> None:
    unit.metadata[key].append("y" * 1_500_000)


def _grow_in_a_loop(report: PipelineReport) -> FileReport:
    with pipeline_file(report, "a.csv") as file:
        file.metadata |= {"rows": ["kept"], "other": []}
        for n in range(3):
            file.metadata["other"].append(n)
            _grow(file)
            file.note("next")
    return file


def test_a_nested_value_that_no_line_takes_is_put_back_and_said_once(memory: Path) -> None:
    """Every later call raised ValueError, of the unit, its block and the observer."""
    with observed(memory) as observer:
        report = PipelineReport("p", output_path=memory / "p.json")
        with pytest.warns(RuntimeWarning, match="was not kept: rows: longer than a line") as told:
            file = _grow_in_a_loop(report)
        with pipeline_file(report, "b.csv") as second:
            pass
        assert (file.status, second.status) == ("succeeded", "succeeded")
        assert_folded(observer, report)

    assert file.metadata["rows"] == ["kept"]
    assert file.metadata["other"] == [0, 1, 2]
    said = f"rows: longer than a line takes, {MAX_PAYLOAD} bytes"
    assert file.warnings == [f"a change inside metadata was not kept: {said}"]
    assert len(told) == 1


def test_nested_values_that_are_longer_than_a_line_together_are_kept(memory: Path) -> None:
    with observed(memory) as observer:
        step = StepReport("s", metadata={"a": [], "b": []})
        step.metadata["a"].append("x" * 700_000)
        step.metadata["b"].append("x" * 700_000)
        step.end()
        assert_folded(observer, step)

    assert [len(values[0]) for values in step.metadata.values()] == [700_000, 700_000]


def _run(out: Path, work: Callable[[], Any], **how: Any) -> Any:
    """Observe *work*; the observer then has ended, whatever it raised."""
    observer = ExecutionObserver("long", out, quiet=True, **how)
    try:
        with observer:
            return work()
    finally:
        assert not observer.is_open
        assert audit.audit(str(out)).verdict == "complete"


def _ends(out: Path) -> int:
    return (out / "audit/step_00/trace_00.jsonl").read_bytes().count(b'"event_type":"workflow_')


@pytest.mark.parametrize("on_error", ["raise", "warn"])
def test_a_run_ends_whatever_was_grown(memory: Path, on_error: Any) -> None:
    def work() -> StepReport:
        step = StepReport("s", metadata={"rows": []})
        _grow(step)
        return step

    with pytest.warns(RuntimeWarning, match="was not kept"):
        step = _run(memory, work, on_error=on_error)

    assert step.metadata == {"rows": []}
    assert _ends(memory) == 2


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_the_exception_of_the_program_is_the_one_that_goes_on(
    memory: Path, kind: type[BaseException]
) -> None:
    """Warnings are errors in these tests: even so."""
    steps = []

    def work() -> None:
        with pipeline_step(PipelineReport("p"), "s", raise_on_exception=True) as step:
            steps.append(step)
            step.metadata["rows"] = []
            _grow(step)
            raise kind("mine")

    with pytest.raises(kind, match=r"^mine\n") as found:
        _run(memory, work)

    assert steps[0].status == "failed"
    assert steps[0].errors == [f"{kind.__name__}: mine"]
    assert "was not kept" in found.value.__notes__[0]


class _Unsettled(ReportBase):
    """A kind of a user's own that cannot be settled."""

    def settle(self) -> None:
        raise LookupError("mine")


def test_a_report_that_raises_keeps_no_run_from_ending(memory: Path) -> None:
    """The run stayed open: no terminal event, no end in the registry."""
    reports: list[ReportBase] = []

    def work() -> None:
        reports.extend([_Unsettled("x"), _Unsettled("y"), StepReport("s", metadata={"r": []})])
        reports[2].metadata["r"].append("kept")

    with pytest.raises(LookupError, match="mine"):
        _run(memory, work)

    assert _ends(memory) == 2
    assert b'"r":["kept"]' in (memory / "audit/step_00/trace_00.jsonl").read_bytes()


def test_a_report_that_raises_replaces_no_exception(memory: Path) -> None:
    reports: list[ReportBase] = []

    def work() -> None:
        reports.append(_Unsettled("x"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as found:
        _run(memory, work)

    assert found.value.__notes__ == ["auditfold: mine"]


def test_a_report_that_raises_is_told_where_failures_are(memory: Path) -> None:
    with pytest.warns(RuntimeWarning, match="mine"):
        kept = _run(memory, lambda: _Unsettled("x"), on_error="warn")

    assert kept.status == "running"


# --- Reports that were made before


def _loose() -> PipelineReport:
    """Return a report of which no trace is kept: each kind of list in it is longer than a line."""
    report = PipelineReport("loose")
    report.append_step(StepReport("first", notes=["hello"]))
    file = FileReport("a.csv", metadata={f"k{n}": text for n, text in enumerate(TEXTS)})
    step = StepReport("long", notes=TEXTS[:-1], warnings=TEXTS, errors=TEXTS)
    for text in TEXTS:
        step.add_check(text, False, text)
    file.append_step(step)
    report.append_file(file)
    half = TEXTS[: MANY // 2]
    report.append_step(_Kind("last", a=half, b=half, c=half))  # type: ignore[arg-type]
    return report


class _Kind(ReportBase):
    a: Any = None
    b: Any = None
    c: Any = None


def test_a_report_whose_units_are_longer_than_a_line_is_recorded_whole(memory: Path) -> None:
    """Binding it raised ValueError, and only the steps before the long one were left of it."""
    report = _loose()
    before = _said(report)

    with observed(memory) as observer:
        for _ in range(2):
            with bind_pipeline(report):
                pass
        report.add_completed_step("more")
        assert report.is_recorded
        assert_folded(observer, report)

    after = _said(report)
    assert after["steps"].pop()["label"] == "more"
    assert after == before


def _said(unit: Any) -> Any:
    return unit.model_dump(mode="json", exclude=["updated_at"])


def test_a_long_step_that_was_made_before_stands_where_it_is_put(memory: Path) -> None:
    report = _loose()
    loose = StepReport("s", notes=TEXTS)

    with observed(memory) as observer:
        file = FileReport("b.csv")
        file.append_step(loose)
        report.append_file(file)
        assert_folded(observer, report)

    assert file.steps[0].notes == TEXTS


def test_a_report_with_a_value_that_no_line_takes_stays_as_it_was(memory: Path) -> None:
    report = _loose()
    report.files[0].steps[0].metadata["rows"] = ["x" * 1_500_000]
    before = report.model_dump(mode="json")
    units = [report.state.unit, *(step.state.unit for step in report.steps)]

    with observed(memory) as observer:
        size = observer.audit_trace_file.stat().st_size
        said = r"<StepReport 'long' failed>: metadata\['rows'\]: 15000.. bytes, want at most"
        for _ in range(2):
            with pytest.raises(EventTooLongError, match=said), bind_pipeline(report):
                pass
        assert not report.is_recorded
        assert observer.audit_trace_file.stat().st_size == size

    assert report.model_dump(mode="json") == before
    assert [report.state.unit, *(step.state.unit for step in report.steps)] == units


def test_what_cannot_be_written_whole_leaves_a_report_as_it_was(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had been written of it was all that was left."""
    report = _loose()
    before = report.model_dump(mode="json")
    emit, n_left = PipelineReport.emit_event, 5

    def interrupted(*args: Any) -> Any:
        nonlocal n_left
        n_left -= 1
        if n_left < 0:
            raise KeyboardInterrupt
        return emit(*args)

    with observed(memory) as observer:
        with monkeypatch.context() as patched:
            patched.setattr(PipelineReport, "emit_event", interrupted)
            with pytest.raises(KeyboardInterrupt), bind_pipeline(report):
                pass
        assert (report.is_recorded, report.model_dump(mode="json")) == (False, before)
        with bind_pipeline(report):
            pass
        assert_folded(observer, report)
