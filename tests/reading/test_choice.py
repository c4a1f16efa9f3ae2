"""Which run RUN means."""

import pytest

from replay.fold.choice import RunChoiceError, choose
from replay.fold.instant import Instant
from replay.fold.run import RunState


def run(run_id: str, step: str, last: int) -> RunState:
    instant = Instant("2026-11-21T07:03:12.000000Z", 0.0, 0, "w")
    return RunState(
        run_id=run_id,
        workflow_id="x",
        step_number=step,
        pid=1,
        first=instant,
        last=instant,
        sort_key=("2026", "w", last),
    )


RUNS = [
    run("20261121-070312-k3f904", "05", 4),
    run("20261121-070312-aaaaaa", "04", 3),
    run("20261121-070313-bbbbbb", "04", 5),
    run("20261121-070314-cccccc", "06", 2),
    run("20261121-070314-cccccc-2", "06", 1),
]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("latest", "20261121-070313-bbbbbb"),
        ("04", "20261121-070313-bbbbbb"),
        ("05", "20261121-070312-k3f904"),
        ("aaa", "20261121-070312-aaaaaa"),
        ("k3f904", "20261121-070312-k3f904"),
        ("20261121-070314-cccccc", "20261121-070314-cccccc"),
    ],
    ids=["latest", "step_before_part_of_id", "step", "part", "last_part", "id_in_another_id"],
)
def test_a_run_is_found(asked: str, found: str) -> None:
    assert choose(RUNS, asked).run_id == found


@pytest.mark.parametrize(
    ("asked", "candidates"),
    [
        ("20261121-070312", ["20261121-070312-k3f904", "20261121-070312-aaaaaa"]),
        ("zzz", []),
        ("", []),
        ("4", ["20261121-070314-cccccc", "20261121-070312-k3f904"]),
    ],
    ids=["several", "none", "empty", "not_a_whole_step"],
)
def test_otherwise_the_candidates_are_named(asked: str, candidates: list[str]) -> None:
    with pytest.raises(RunChoiceError, match="--run") as error:
        choose(RUNS, asked)

    assert set(candidates) <= set(error.value.candidates)


def test_there_is_no_latest_of_nothing() -> None:
    with pytest.raises(RunChoiceError, match="no such run"):
        choose(RUNS[:0], "latest")
