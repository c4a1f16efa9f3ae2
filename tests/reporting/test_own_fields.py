"""Fields that subclasses of reports declare: kept, recorded, folded, dumped and loaded again."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import pytest

from observability import (
    ExecutionObserver,
    FileReport,
    PipelineReport,
    ReportBase,
    StepReport,
    bind_pipeline,
)
from replay.fold import read_report


class Loaded(StepReport):
    """A step with fields of its own."""

    rows: int = 7
    tags: list[str] = []  # noqa: RUF012 - it is copied for each
    LIMIT: ClassVar[int] = 3

    @property
    def ok(self) -> bool:
        return super().ok and self.rows < 10


class Owned(FileReport):
    """A file with one."""

    owner: str = "nobody"


class Team(PipelineReport):
    """A batch with one that is not given."""

    team: Any = None


class Nightly(Team):
    """One more, and another default."""

    team: Any = "ops"
    shift: int = 1


class Score(ReportBase):
    """A kind of its own."""

    score: float = 0.5


def quiet(out: Path) -> ExecutionObserver:
    return ExecutionObserver("own", out, durability="none", quiet=True)


def a_batch() -> Nightly:
    batch = Nightly("night", shift=2)
    with bind_pipeline(batch):
        file = Owned("a.csv", owner="ada")
        step = Loaded.begin("load", label="Load", rows=1)
        file.append_step(step).append_step(Score("how well", score=0.75))  # type: ignore[arg-type]
        batch.append_file(file)
        batch.append_step(Loaded("bare"))
        step.rows = 2
        file.owner = "bo"
        batch.shift = 3
    return batch


def test_they_are_given_to_the_constructor_or_have_their_default() -> None:
    step, other = Loaded("x", rows=3), Loaded("y")
    step.tags = [*step.tags, "a"]

    assert (step.rows, step.tags, other.rows, other.tags, Loaded.LIMIT) == (3, ["a"], 7, [], 3)
    assert (Owned("a").owner, Owned.begin("a", owner="ada").owner) == ("nobody", "ada")
    assert (Team("t").team, Nightly("n").team, Nightly("n", team=[1]).team) == (None, "ops", [1])
    assert Loaded("z", rows=11).end().status == "failed"


@pytest.mark.parametrize("kind", [Loaded, Owned, Nightly, Score])
def test_a_unit_is_dumped_and_loaded_with_them(kind: Any) -> None:
    """They were read and set, and in no dump."""
    unit = kind("x", **{name: [1, "a"] for name in kind.FIELDS})

    view = unit.model_dump(mode="json", exclude=["duration_ms"])
    again = kind.model_validate_json(unit.model_dump_json())
    assert {name: view[name] for name in kind.FIELDS} == {n: [1, "a"] for n in kind.FIELDS}
    assert again.model_dump(mode="json", exclude=["duration_ms"]) == view
    assert [getattr(again, name) for name in kind.FIELDS] == [[1, "a"]] * len(kind.FIELDS)


def test_a_batch_with_them_is_recorded_folded_saved_and_loaded(tmp_path: Path) -> None:
    with quiet(tmp_path):
        batch = a_batch()
        live = batch.model_dump(mode="json")
        batch.save(tmp_path / "saved.json")

    folded = read_report(tmp_path)
    (head,) = folded["reports"]
    (file,) = live["files"]
    assert (live["team"], live["shift"], file["owner"]) == ("ops", 3, "bo")
    assert [step.get("rows") for step in file["steps"]] == [2, None]
    assert (file["steps"][1]["kind"], file["steps"][1]["score"]) == ("Score", 0.75)
    assert (head["team"], head["shift"]) == ("ops", 3)
    assert [step["rows"] for step in folded["steps"]] == [7]
    for name in ("owner", "steps"):
        assert folded["files"][0][name] == file[name]
    again = Nightly.model_validate_json((tmp_path / "saved.json").read_bytes())
    assert again.model_dump(mode="json") == live
    assert (again.shift, type(again.files[0].steps[1])) == (3, ReportBase)


def test_one_that_is_adopted_keeps_them(tmp_path: Path) -> None:
    batch = a_batch()
    with quiet(tmp_path), bind_pipeline(batch):
        batch.shift = 4
        batch.files[0].owner = "cy"

    folded = read_report(tmp_path)
    assert (folded["reports"][0]["shift"], folded["files"][0]["owner"]) == (4, "cy")
    assert batch.files[0].steps[0].rows == 2


def test_a_dump_without_them_gets_the_defaults_each_a_copy() -> None:
    view = StepReport("x").model_dump(mode="json")

    one, other = Loaded.model_validate(view), Loaded.model_validate(view)
    assert (one.rows, one.tags) == (7, [])
    assert one.tags is not other.tags


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Loaded("x", rosw=1), "rosw is no option of Loaded; do you mean rows?"),
        (lambda: Owned("x", ower=1), "ower is no option of Owned; do you mean owner?"),
        (lambda: Nightly("x", shfit=1), "shfit is no option of Nightly; do you mean shift?"),
        (lambda: Loaded("x", rows=object()), "rows: got object, want a JSON value"),
    ],
)
def test_a_name_or_value_that_is_none_is_refused(make: Any, said: str) -> None:
    with pytest.raises(TypeError) as raised:
        make()
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("base", "name"), [(StepReport, "checks"), (FileReport, "path"), (PipelineReport, "stage")]
)
def test_a_name_that_the_report_has_is_refused(base: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"X: {name}: every report has that already"):
        type("X", (base,), {"__annotations__": {name: str}})


def test_a_name_that_tells_kinds_apart_is_refused() -> None:
    with pytest.raises(TypeError, match="X: files, kind: every report has that already"):
        type("X", (ReportBase,), {"__annotations__": {"kind": str, "files": list}})


def test_a_default_that_is_no_json_says_what_to_do() -> None:
    """It said `got Field, want a JSON value` when the first report was made."""
    field: Any = dataclasses.field(default_factory=list)

    with pytest.raises(TypeError, match=r"got Field, want .*a list or dict stands there as it is"):
        type("X", (ReportBase,), {"__annotations__": {"tags": list}, "tags": field})


@pytest.mark.parametrize("how", [{}, {"slots": True}], ids=["plain", "slots"])
def test_a_dataclass_says_what_to_do(how: dict[str, Any]) -> None:
    """It said that it had no attribute `observer`."""
    decorate: Any = dataclasses.dataclass(**how)

    def make() -> Any:
        @decorate
        class Bad(Score):
            more: float = 0.0

        return Bad(more=1)

    with pytest.raises(TypeError, match=r"Bad: .*without @dataclass|Bad: .*leave @dataclass out"):
        make()
