"""Random sequences of calls on live reports, as data: a list of numbers.

What a number means depends on what is there when its call is made, so that every list is a
sequence of calls, and a shorter list is a shorter sequence.  A block takes the numbers behind its
own as its body.  Every call is made on plain lists and dicts as well (`tests.reporting.plain`).
"""

import asyncio
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextvars import Context
from itertools import islice
from typing import Any, Final

import orjson

from observability import bind_pipeline, file_step, pipeline_file, pipeline_step
from observability.reporting import Check, FileReport, PipelineReport, ReportBase, StepReport
from tests.reporting.plain import Plain

TEXTS: Final = ("", "a", "größer", "line\u2028end", "<script>", "x" * 50, "\u202eright\x1b[31m")
VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    1,
    1.0,
    -0.5,
    "text",
    "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789",
    [1, [2, {"deep": None}]],
    {"rows": 3, "names": ["a", "b"]},
    (1, 2),
)
KEYS: Final = ("k", "rows", "password", "stdout", "größe")
ERRORS: Final[tuple[type[BaseException], ...]] = (
    ValueError,
    KeyError,
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    SystemExit,
)
OPTIONS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"raise_on_exception": True},
    {"raise_on_exception": True, "suppressed_exceptions": ValueError},
    {"raise_on_exception": True, "suppressed_exceptions": (KeyboardInterrupt, KeyError)},
    {"capture_streams": True},
    {"capture_warnings": False},
    {"store_traceback": False, "save_on_exception": False},
    {"fatal_exceptions": KeyError},
)
DEEPEST: Final = 3


class OwnReport(ReportBase):
    """A kind of a user's own."""

    score: float = 0.0
    tags: Any = None


class Calls:
    """Makes the calls that numbers stand for, on two batches and what hangs from them.

    Attributes:
        reports: The batches.
        lone: Units that stand in nothing.
        own: One of a kind of a user's own.
        twins: What each unit should say.
    """

    def __init__(self) -> None:
        self.twins: dict[Any, Plain] = {}
        self.reports = [PipelineReport(batch_id=7), PipelineReport("other", kind="test")]
        self.lone: list[ReportBase] = []
        self.own = OwnReport("own", score=0.5)
        for report in self.reports:
            self.twins[report] = Plain("pipeline")
        self.twins[self.own] = Plain("own", "own")
        self._numbers: Iterator[int] = iter(())
        self._depth = 0
        self._inside: list[Any] = []  # the units whose blocks are open

    def make(self, numbers: Sequence[int]) -> None:
        """Make the calls; what a block says to stderr or warns of is kept from the tests."""
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            self._numbers = iter(numbers)
            self._make(self._numbers)

    def make_outside(self, numbers: Sequence[int]) -> None:
        """Make the calls where no observer is current."""
        Context().run(self.make, numbers)

    def _make(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            which, rest = number % len(_CALLS), number // len(_CALLS)
            _CALLS[which](self, rest)

    @property
    def every(self) -> list[Any]:
        """All that stands in nothing."""
        return [*self.reports, self.own, *self.lone]

    def report(self, n: int) -> PipelineReport:
        return self.reports[n % 8 == 7]

    def unit(self, n: int) -> Any:
        """Return one of the units that there are; often that of the innermost block."""
        if self._inside and n % 3 == 0:
            return self._inside[-1]
        report = self.report(n)
        files = list(report.files)
        steps = [step for file in files for step in file.steps]
        units = [*self.lone, *files, *report.steps, *steps, self.own]
        return units[n % len(units)]

    def file(self, n: int) -> FileReport:
        files = [
            unit for unit in [*self.lone, *self.report(n).files] if isinstance(unit, FileReport)
        ]
        if not files:
            self.lone.append(self.twin_of(FileReport("inputs/first.csv"), "first.csv"))
            return self.lone[-1]  # type: ignore[return-value]
        return files[n % len(files)]

    def twin_of(self, unit: Any, label: str, parent: Any = None, **how: Any) -> Any:
        """Note what a unit that has begun should say, and return the unit."""
        kind = "file" if isinstance(unit, FileReport) else "step"
        twin = self.twins[unit] = Plain(kind, label, **how)
        if parent is not None:
            self.twins[parent].take(twin)
        return unit

    # --- Calls

    def begin_step(self, n: int) -> None:
        label, name = TEXTS[n % len(TEXTS)], None if n % 3 else "same"
        step = StepReport(label, id=name, defer_start=n % 5 == 0)
        self.lone.append(self.twin_of(step, label, name=name, pending=n % 5 == 0))

    def begin_file(self, n: int) -> None:
        name = f"{n % 3}.csv"
        file = FileReport.begin(f"inputs/{name}", f"id{n % 4}", {"n": n}, n_steps=n % 4 or None)
        self.lone.append(self.twin_of(file, name, metadata={"n": n}, planned=n % 4 or None))

    def begin_within(self, n: int) -> None:
        report = self.report(n)
        if n % 2:
            file = FileReport.begin_within(report, f"in/{n}.txt", file_id=None)
            self.twin_of(file, f"{n}.txt", report)
        else:
            parent = self.file(n) if n % 4 else report
            self.twin_of(StepReport.begin_within(parent, "within"), "within", parent)

    def attach(self, n: int) -> None:
        if not self.lone:
            return
        unit = self.lone.pop(n % len(self.lone))
        if isinstance(unit, FileReport):
            parent: Any = self.report(n)
            parent.append_file(unit)
        elif n % 3:
            parent = self.file(n)
            parent.append_step(unit)
        else:
            parent = self.report(n)
            parent.steps.append(unit)
        twin = self.twins[unit]
        twin.end()
        self.twins[parent].take(twin)
        if twin.review[0] or any(step.review[0] for step in twin.steps):
            self.twins[parent].flag_for(twin)

    def add_step(self, n: int) -> None:
        owner: Any = self.file(n) if n % 4 else self.report(n)
        label, text = TEXTS[n % len(TEXTS)], TEXTS[n // 3 % len(TEXTS)]
        metadata = {KEYS[n % len(KEYS)]: VALUES[n % len(VALUES)]}
        name = "asked" if n % 7 == 6 else None
        how = ("completed", "failed", "skipped")[n % 3]
        if n % 5 == 4:
            how = "review"
            owner.add_review_step(label, text or None, metadata, mark_success=bool(n % 2), id=name)
        else:
            getattr(owner, f"add_{how}_step")(label, text, metadata, id=name)
        twin = Plain("step", label, name=name, metadata=as_json(metadata))
        self.twins[owner].take(twin)
        self.twins[owner.steps[-1]] = twin
        if how == "review":
            twin.review = [True, text or None]
            self.twins[owner].flag_for(twin)
            if n % 2:
                twin.become("succeeded")
        else:
            _say_and_become(twin, how.replace("completed", "succeeded"), text)

    def status(self, n: int) -> None:
        unit = self.unit(n // 6)
        name = ("start", "succeed", "end", "fail", "skip", "end")[n % 6]
        text = TEXTS[n % len(TEXTS)]
        twin = self.twins[unit]
        if name in {"fail", "skip"}:
            getattr(unit, name)(text)
            _say_and_become(twin, {"fail": "failed", "skip": "skipped"}[name], text)
            return
        getattr(unit, name)()
        if name == "end":
            twin.end()
        else:
            twin.become({"start": "running", "succeed": "succeeded"}[name])

    def say(self, n: int) -> None:
        unit, text = self.unit(n // 3), TEXTS[n % len(TEXTS)]
        getattr(unit, ("note", "warn", "error")[n % 3])(text)
        twin = self.twins[unit]
        (twin.notes, twin.warnings, twin.errors)[n % 3].append(text)

    def check(self, n: int) -> None:
        unit = self.unit(n)
        if not isinstance(unit, StepReport):
            return
        check = [f"check{n}", n % 3 != 0, None]
        if n % 2:
            check[2] = None if n % 5 else "detail"
            unit.add_check(*check)  # type: ignore[arg-type]
        else:
            unit.checks.append(Check(*check))  # type: ignore[arg-type]
        self.twins[unit].checks.append(check)

    def review(self, n: int) -> None:
        unit = self.unit(n // 3)
        reason = None if n % 2 else "why"
        if n % 3:
            unit.request_review(reason)
        else:
            unit.clear_review()
        self.twins[unit].review = [True, reason] if n % 3 else [False, None]

    def progress(self, n: int) -> None:
        report, text = self.report(n), TEXTS[n % len(TEXTS)]
        twin = self.twins[report]
        if n % 4:
            report.set_progress(f"stage {n % 3}", n % 130 - 10, text)
            twin.stage, twin.message = f"stage {n % 3}", text
            twin.set_percent = min(max(n % 130 - 10, 0), 100)
        else:
            report.recompute_overall_from_steps()
            if twin.steps:
                twin.stage = twin.stage or "steps"
                mean = sum(step.percent for step in twin.steps) / len(twin.steps)
                twin.set_percent = round(mean)

    def field(self, n: int) -> None:
        if n % 3 == 0:
            report, text = self.report(n), TEXTS[n % len(TEXTS)]
            report.message = self.twins[report].message = text
        elif n % 3 == 1:
            unit = self.unit(n)
            unit.percent = n % 120
            self.twins[unit].set_percent = min(n % 120, 100)
        else:
            own = {"score": n / 7, "tags": VALUES[n % len(VALUES)]}
            self.own.score, self.own.tags = own["score"], own["tags"]
            self.twins[self.own].fields |= as_json(own)

    def change_list(self, n: int) -> None:
        unit = self.unit(n // 8)
        twin = self.twins[unit]
        change_list((unit.notes, unit.warnings, unit.errors)[n % 3], n)
        change_list((twin.notes, twin.warnings, twin.errors)[n % 3], n)

    def change_metadata(self, n: int) -> None:
        unit = self.unit(n // 7)
        change_dict(unit.metadata, n)
        twin = self.twins[unit]
        change_dict(twin.metadata, n)
        twin.metadata = as_json(twin.metadata)

    def change_inside(self, n: int) -> None:
        unit = self.unit(n)
        own = ({"tags": self.own.tags}, self.twins[self.own].fields) if n % 2 else ()
        for values in (unit.metadata, self.twins[unit].metadata, *own):
            for value in list(values.values()):
                if isinstance(value, dict):
                    value[f"k{n % 3}"] = n % 2**50
                elif isinstance(value, list):
                    value.append({"n": n % 2**50})

    # --- Blocks

    def bind(self, n: int) -> None:
        """A binding around the next calls, in which blocks are given no report."""
        if self._depth < DEEPEST:
            self._depth += 1
            with bind_pipeline(self.report(n)):
                self._make(islice(self._numbers, n % 5))
            self._depth -= 1

    def block(self, n: int) -> None:
        """A step or file whose body is the next calls, and may raise."""
        if self._depth >= DEEPEST:
            return
        options = OPTIONS[n % len(OPTIONS)]
        kind, error = n // 8 % 3, ERRORS[n // 24 % len(ERRORS)] if n // 3 % 3 == 0 else None
        report = self.report(n)
        if kind == 0:
            label = TEXTS[n % len(TEXTS)]
            self._in_block(pipeline_step(report, label, **options), report, label, n, error)
        elif kind == 1:
            file = self.file(n)
            block = file_step(file, f"step{n % 2}", label="Step", **options)
            self._in_block(block, file, "Step", n, error, name=f"step{n % 2}")
        else:
            banner = {"banner_stage": "s", "banner_message_on_exit": "", "set_stage_on_enter": True}
            chosen = banner if n % 5 == 0 else {"banner_percent_on_exit": 130} if n % 5 == 1 else {}
            block_of_file = pipeline_file(report, f"in/{n % 9}", **chosen, **options)
            twin = self.twins[report]
            if "banner_stage" in chosen:
                twin.stage = "s"
            self._in_block(block_of_file, report, str(n % 9), n, error)
            if "banner_stage" in chosen:
                twin.stage, twin.message = "s", ""
            elif chosen:
                twin.set_percent = 100

    def _in_block(
        self,
        block: Any,
        parent: Any,
        label: str,
        n: int,
        error: type[BaseException] | None,
        **how: Any,
    ) -> None:
        options = OPTIONS[n % len(OPTIONS)]
        goes_on = error is not None and _goes_on(error, options)
        self._depth += 1
        depth, inside = self._depth, len(self._inside)
        report = parent if isinstance(parent, PipelineReport) else parent.parent
        came: BaseException | None = None
        unit: Any = None
        try:
            with block as unit:
                self.twin_of(unit, label, parent, **how)
                self._inside.append(unit)
                self._make(islice(self._numbers, n % 6))
                self._inside.pop()
                # What is not kept here would be kept by a block around this one.
                if n % 2 and options.get("capture_streams"):
                    sys.stdout.write("said\n")
                if n % 2 and options.get("capture_warnings", True):
                    warnings.warn("careful", UserWarning, stacklevel=1)
                if error is not None:
                    raise error("no")
        except BaseException as raised:
            if type(raised) is not error:
                raise
            came = raised
        assert (came is not None) == goes_on, (error, options, came)
        self._depth, self._inside[inside:] = depth - 1, []
        self._after(unit, report, error, options, said=bool(n % 2))

    def _after(
        self,
        unit: Any,
        report: Any,
        error: type[BaseException] | None,
        options: dict[str, Any],
        *,
        said: bool,
    ) -> None:
        twin = self.twins[unit]
        if options.get("capture_streams"):
            twin.metadata |= {"stdout": "said\n" if said else "", "stderr": ""}
        if options.get("capture_warnings", True):
            twin.metadata |= {"warnings": ["UserWarning: careful"]} if said else {}
        if error is None:
            twin.end()
            return
        twin.errors.append(f"{error.__name__}: {error('no')}")
        if options.get("store_traceback", True):
            kept = unit.metadata["traceback"]
            assert kept.rstrip().splitlines()[-1].endswith(twin.errors[-1].partition(": ")[2])
            twin.metadata["traceback"] = kept
        if options.get("raise_on_exception") and not _goes_on(error, options):
            twin.warnings.append(
                f"suppressed raise_on_exception for {error.__name__} via suppressed_exceptions"
            )
        twin.become("failed")
        if options.get("save_on_exception", True) and unit.observer is None:
            twin.warnings.append(
                "auto-save skipped: file_report not attached to a pipeline"
                if report is None
                else "auto-save skipped: no pipeline output path configured"
            )


def _goes_on(error: type[BaseException], options: dict[str, Any]) -> bool:
    """Return whether an exception leaves a block, by the rules as they are written."""
    if not issubclass(error, Exception) or error is options.get("fatal_exceptions"):
        return True
    suppressed = options.get("suppressed_exceptions", ())
    return bool(options.get("raise_on_exception")) and not issubclass(error, suppressed)


def _say_and_become(twin: Plain, status: str, text: str) -> None:
    if text and status == "failed":
        twin.errors.append(text)
    elif text:
        twin.notes.append(f"Skipped: {text}" if status == "skipped" else text)
    twin.become(status)


def as_json(value: Any) -> Any:
    """Return what JSON makes of a value."""
    return orjson.loads(orjson.dumps(value))


def change_list(items: list[str], n: int) -> None:
    """Change a list in one of the ways that lists have; errors of the way are its own."""
    at = n // 11 % (len(items) + 1)
    ways: tuple[Callable[[], Any], ...] = (
        lambda: items.append("appended"),
        lambda: items.extend(["one", "two"]),
        lambda: items.insert(at, "inserted"),
        lambda: items.pop() if items else None,
        lambda: items.sort(reverse=bool(at % 2)),
        items.reverse,
        lambda: items.__setitem__(slice(at, at + 2), ["set"]),
        lambda: items.__delitem__(slice(at, None)),
        lambda: items.__iadd__(["added"]),
        lambda: items.remove(items[0]) if items else None,
        lambda: items.__imul__(2 if len(items) < 9 else 0),
        items.clear,
    )
    ways[n % len(ways)]()


def change_dict(values: dict[str, Any], n: int) -> None:
    """Change a dict in one of the ways that dicts have."""
    key, value = KEYS[n // 3 % len(KEYS)], VALUES[n // 5 % len(VALUES)]
    ways: tuple[Callable[[], Any], ...] = (
        lambda: values.__setitem__(key, value),
        lambda: values.update({key: value, "k": 2}),
        lambda: values.setdefault(key, value),
        lambda: values.pop(key, None),
        lambda: values.popitem() if values else None,
        lambda: values.__ior__({key: value}),
        lambda: values.update(other=n % 1000),
        values.clear,
    )
    ways[n % len(ways)]()


_CALLS: Final[tuple[Callable[[Calls, int], None], ...]] = (
    Calls.begin_step,
    Calls.begin_file,
    Calls.begin_within,
    Calls.attach,
    Calls.attach,
    Calls.add_step,
    Calls.status,
    Calls.say,
    Calls.check,
    Calls.review,
    Calls.progress,
    Calls.field,
    Calls.change_list,
    Calls.change_metadata,
    Calls.change_inside,
    Calls.bind,
    Calls.block,
    Calls.block,
)
