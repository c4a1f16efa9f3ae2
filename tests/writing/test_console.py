"""What a program without a bar says of its nodes on stdout."""

from pathlib import Path

import pytest

from observability import ExecutionObserver


@pytest.mark.parametrize(
    ("index", "total", "said"),
    [
        (1, 12, " [1/12] load... (0.50s)\n"),
        (0, 12, " [0/12] load... (0.50s)\n"),
        (1, None, " [1] load... (0.50s)\n"),
        (None, 12, " load... (0.50s)\n"),
        (None, None, " load... (0.50s)\n"),
    ],
)
def test_a_number_that_was_not_given_is_not_shown(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    index: int | None,
    total: int | None,
    said: str,
) -> None:
    obs = ExecutionObserver("w", tmp_path, total, use_tqdm=False)
    capsys.readouterr()

    obs.node_start("load", index)
    obs.node_success("load", 0.5)

    assert capsys.readouterr().out == said.replace("... ", "...  ")
    obs.workflow_complete()
