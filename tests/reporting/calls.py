"""Random sequences of calls on live reports, as data: a list of numbers.

What a number means depends on what is there when its call is made, so that every list is a
sequence of calls, and a shorter list is a shorter sequence.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from observability.reporting import Check, FileReport, PipelineReport, ReportBase, StepReport

TEXTS: Final = ("", "a", "größer", "line\u2028end", "<script>", "x" * 50)
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


class OwnReport(ReportBase):
    """A kind of a user's own."""

    score: float = 0.0
    tags: Any = None


class Calls:
    """Makes the calls that numbers stand for, on one batch and what hangs from it."""

    def __init__(self) -> None:
        self.report = PipelineReport(batch_id=7)
        self.lone: list[ReportBase] = []
        self.own = OwnReport("own", score=0.5)

    def make(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            which, rest = number % len(_CALLS), number // len(_CALLS)
            _CALLS[which](self, rest)

    def unit(self, n: int) -> Any:
        """Return one of the units that there are."""
        files = list(self.report.files)
        steps = [step for file in files for step in file.steps]
        units = [*self.lone, *files, *self.report.steps, *steps, self.own]
        return units[n % len(units)]

    def file(self, n: int) -> FileReport:
        files = [unit for unit in [*self.lone, *self.report.files] if isinstance(unit, FileReport)]
        if not files:
            files = [FileReport("inputs/first.csv")]
            self.lone += files
        return files[n % len(files)]

    # --- Calls

    def begin_step(self, n: int) -> None:
        label = TEXTS[n % len(TEXTS)]
        self.lone.append(StepReport(label, id=None if n % 3 else "same", defer_start=n % 5 == 0))

    def begin_file(self, n: int) -> None:
        name = f"inputs/{n % 3}.csv"
        self.lone.append(FileReport.begin(name, f"id{n % 4}", {"n": n}, n_steps=n % 4 or None))

    def begin_within(self, n: int) -> None:
        if n % 2:
            FileReport.begin_within(self.report, f"in/{n}.txt", file_id=None)
        else:
            StepReport.begin_within(self.file(n) if n % 4 else self.report, "within")

    def attach(self, n: int) -> None:
        if not self.lone:
            return
        unit = self.lone.pop(n % len(self.lone))
        if isinstance(unit, FileReport):
            self.report.append_file(unit)
        elif n % 3:
            self.file(n).append_step(unit)  # type: ignore[arg-type]
        else:
            self.report.steps.append(unit)

    def add_step(self, n: int) -> None:
        owner: Any = self.file(n) if n % 4 else self.report
        label, text = TEXTS[n % len(TEXTS)], TEXTS[n // 3 % len(TEXTS)]
        metadata = {KEYS[n % len(KEYS)]: VALUES[n % len(VALUES)]}
        calls = ("add_completed_step", "add_failed_step", "add_skipped_step")
        if n % 5 == 4:
            owner.add_review_step(label, text or None, metadata, mark_success=bool(n % 2))
        else:
            getattr(owner, calls[n % 3])(label, text, metadata)

    def status(self, n: int) -> None:
        unit = self.unit(n // 6)
        calls = ("start", "succeed", "end", "fail", "skip", "end")
        name = calls[n % 6]
        if name in {"fail", "skip"}:
            getattr(unit, name)(TEXTS[n % len(TEXTS)])
        else:
            getattr(unit, name)()

    def say(self, n: int) -> None:
        unit = self.unit(n // 3)
        getattr(unit, ("note", "warn", "error")[n % 3])(TEXTS[n % len(TEXTS)])

    def check(self, n: int) -> None:
        unit = self.unit(n)
        if isinstance(unit, StepReport):
            if n % 2:
                unit.add_check(f"check{n}", n % 3 != 0, None if n % 5 else "detail")
            else:
                unit.checks.append(Check(f"check{n}", n % 3 != 0))

    def review(self, n: int) -> None:
        unit = self.unit(n // 3)
        if n % 3:
            unit.request_review(None if n % 2 else "why")
        else:
            unit.clear_review()

    def progress(self, n: int) -> None:
        if n % 4:
            self.report.set_progress(f"stage {n % 3}", n % 130 - 10, TEXTS[n % len(TEXTS)])
        else:
            self.report.recompute_overall_from_steps()

    def field(self, n: int) -> None:
        if n % 3 == 0:
            self.report.message = TEXTS[n % len(TEXTS)]
        elif n % 3 == 1:
            self.unit(n).percent = n % 120
        else:
            self.own.score = n / 7
            self.own.tags = VALUES[n % len(VALUES)]

    def change_list(self, n: int) -> None:
        unit = self.unit(n // 8)
        notes = (unit.notes, unit.warnings, unit.errors)[n % 3]
        change_list(notes, n)

    def change_metadata(self, n: int) -> None:
        change_dict(self.unit(n // 7).metadata, n)

    def change_inside(self, n: int) -> None:
        metadata = self.unit(n).metadata
        for value in list(metadata.values()):
            if isinstance(value, dict):
                value[f"k{n % 3}"] = n % 2**50
            elif isinstance(value, list):
                value.append({"n": n % 2**50})


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
)
