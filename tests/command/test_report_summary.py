"""`auditfold report-summary`: batches as tables, from a trace and from a saved report."""

import re
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from observability.cli.errors import ExitCode
from replay.show.batch_table import COLUMNS
from tests.command.running import auditfold, environment, on_terminal

PROGRAM = """
from observability import ExecutionObserver, FileReport, PipelineReport, StepReport
with ExecutionObserver("step_06_batch", "out", use_tqdm=False):
    report = PipelineReport(batch_id=42, kind="validation")
    report.append_step(StepReport.begin("load", label="Load inputs").succeed())
    file = FileReport.begin(path="inputs/data.csv", file_id="f1")
    file.add_review_step("Check class balance", reason="Minor skew")
    parse = StepReport.begin("Parse")
    parse.metadata["traceback"] = "Traceback:\\n  ValueError: \\x1b[2JNaN"
    file.append_step(parse.fail("NaN"))
    report.append_file(file)
    report.save("saved.json")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of one batch in `out`, and the batch in `saved.json`."""
    made = tmp_path_factory.mktemp("batch")
    subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=made,
        env=environment(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    return made


@pytest.mark.parametrize("path", ["out", "saved.json", "out/audit/step_06/report_06.json"])
def test_a_batch_is_a_table_with_status_totals_and_tracebacks(folder: Path, path: str) -> None:
    done = auditfold("report-summary", path, cwd=folder)
    lines = [re.sub(" +", " ", line) for line in done.stdout.decode().split("\n")]

    assert done.returncode == ExitCode.BAD
    assert lines[0] == "Validation status: failed"
    assert lines[1] == (
        "Batch 42: 1 step (1 succeeded), 1 file (1 failed), "
        "2 steps of files (1 failed, 1 succeeded)"
    )
    assert lines[3:] == [
        "TYPE NAME LABEL STATUS SUCCEEDED",
        "pipeline-step load Load inputs succeeded yes",
        "file data.csv data.csv failed no",
        "file-step check-class-balance Check class balance succeeded yes",
        "file-step parse Parse failed no",
        "",
        "[file-step parse]",
        " Traceback:",
        r" ValueError: \x1b[2JNaN",
        "",
    ]


@pytest.mark.parametrize("column", COLUMNS)
def test_each_column_can_be_shown_by_itself(folder: Path, column: str) -> None:
    done = auditfold("report-summary", "out", f"--show-{column}", cwd=folder)

    assert done.stdout.decode().split("\n")[3] == column.upper()


@pytest.mark.parametrize("columns", [20, 30, 80])
def test_a_status_is_seen_on_any_terminal(folder: Path, columns: int) -> None:
    """With all columns, a table of 80 or less had no status."""
    every = [f"--show-{column}" for column in COLUMNS]
    shown, _ = on_terminal(
        "report-summary", "out", *every, cwd=folder, columns=columns, env={"NO_COLOR": "1"}
    )
    lines = shown.decode().splitlines()[3:8]

    assert max(map(len, lines)) <= columns
    at = lines[0].index("STATUS")
    found = [line[at : at + 9].rstrip() for line in lines[1:]]
    assert found == ["succeeded", "failed", "succeeded", "failed"]


def test_columns_hold_what_they_are_called_after(folder: Path) -> None:
    shown = ["--show-parent", "--show-id", "--show-review"]
    done = auditfold("report-summary", "out", *shown, cwd=folder)
    rows = [re.split("  +", line) for line in done.stdout.decode().split("\n")[4:8]]

    assert rows == [
        ["Batch 42", "load", "-"],
        ["Batch 42", "f1", "Minor skew"],
        ["data.csv", "check-class-balance", "Minor skew"],
        ["data.csv", "parse", "-"],
    ]


def test_as_json_all_columns_are_there(folder: Path) -> None:
    (batch,) = orjson.loads(auditfold("report-summary", "--json", "out", cwd=folder).stdout)

    assert (batch["label"], batch["kind"], batch["status"]) == ("Batch 42", "validation", "failed")
    assert all(set(COLUMNS) < set(row) for row in batch["rows"])


def test_a_run_of_nodes_has_no_batch(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    done = auditfold("report-summary", root / "sample_runs" / "survey", cwd=tmp_path)

    assert done.returncode == ExitCode.DONE
    assert done.stdout.startswith(b"No batch, file or step.")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", b"x.json (byte 1): not JSON"),
        ("[]", b"x.json: JSON, but no report"),
        ('{"steps": [1], "files": []}', b"x.json: JSON, but no report"),
        ('{"steps": [], "files": [{"steps": {}}]}', b"x.json: JSON, but no report"),
        (
            '{"steps": [], "files": [], "report_version": "v9"}',
            b"x.json: report_version: got 'v9', want v1 or v2",
        ),
    ],
)
def test_what_is_no_report_is_one_message(tmp_path: Path, text: str, said: bytes) -> None:
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    done = auditfold("report-summary", "x.json", cwd=tmp_path)

    assert done.returncode == ExitCode.ENVIRONMENT
    assert said in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_odd_values_in_a_saved_report_are_shown_as_they_are(tmp_path: Path) -> None:
    odd = {"label": ["\x1b[2J"], "id": 3, "status": None, "metadata": 4, "review": 5, "checks": 6}
    text = orjson.dumps({"steps": [odd], "files": [], "kind": None, "status": {}})
    (tmp_path / "x.json").write_bytes(text)
    done = auditfold("report-summary", "x.json", cwd=tmp_path)

    assert done.returncode == ExitCode.DONE, done.stderr
    assert b"\x1b" not in done.stdout
