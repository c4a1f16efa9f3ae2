"""`auditfold show` of a run that has batches, files and steps."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from observability import ExecutionObserver, FileReport
from observability.cli.errors import ExitCode
from tests.command.running import auditfold, environment, on_terminal

COLOUR = re.compile("\x1b\\[[0-9;]*m")
BATCH = """
import os, signal, sys
from observability import ExecutionObserver, FileReport, PipelineReport, StepReport
with ExecutionObserver("step_06_batch", "out", use_tqdm=False) as observer:
    report = PipelineReport(batch_id=42)
    report.set_progress("load", 5, "Loading input files")
    report.append_step(StepReport.begin("load", label="Load inputs").succeed())
    good = FileReport.begin(path="inputs/a.csv")
    good.add_completed_step("Verified file exists")
    report.append_file(good)
    file = FileReport.begin(path="inputs/data.csv")
    file.add_completed_step("Verified file exists")
    file.add_review_step("Check class balance", reason="Minor \\x1b[2Jskew")
    parse = StepReport.begin("Parse")
    parse.add_check("rows", True)
    parse.add_check("columns", False, "3 of 4")
    parse.warn("odd size")
    parse.metadata["traceback"] = "Traceback:\\n  ValueError: NaN"
    file.append_step(parse)
    report.append_file(file)
    for n in range(int(sys.argv[1])):
        report.append_file(FileReport.begin(path=f"inputs/{n:04d}.csv").add_completed_step("one"))
    second = FileReport.begin(path="inputs/late.csv")
    step = StepReport.begin("Open")
    if "kill" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    second.append_step(step.succeed())
    report.append_file(second)
"""


def record(folder: Path, *arguments: str, program: str = BATCH) -> Path:
    subprocess.run(
        [sys.executable, "-c", program, *(arguments or ["0"])],
        cwd=folder,
        env=environment(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    return folder / "out"


def shown(*arguments: str | Path) -> list[str]:
    done = auditfold("show", *arguments)
    assert done.returncode == ExitCode.BAD, done.stderr
    return done.stdout.decode().split("\n")


def words(lines: list[str]) -> list[str]:
    """Return lines with single spaces, and without times."""
    spaced = (re.sub(" +", " ", line).rstrip() for line in lines)
    return [re.sub(r" [0-9.]+ ms", "", line) for line in spaced]


def test_a_batch_is_a_tree_with_what_failed_first(tmp_path: Path) -> None:
    lines = words(shown(record(tmp_path)))
    begin = lines.index("Batch 42 failed load 5 %: Loading input files")

    assert lines[begin + 1 : begin + 12] == [
        " failed inputs/data.csv 3 of 3 steps",
        " succeeded Verified file exists",
        " succeeded Check class balance",
        r" awaits review: Minor \x1b[2Jskew",
        " failed Parse 1 of 2 checks ok; 1 warning",
        " check columns: 3 of 4",
        " warning: odd size",
        " succeeded inputs/a.csv 1 of 1 step",
        " succeeded Verified file exists",
        " succeeded inputs/late.csv 1 of 1 step",
        " succeeded Open",
    ]
    assert "files: 1 failed, 2 succeeded" in lines
    assert not [line for line in lines if line.startswith("nodes:")]


def test_failed_shows_what_failed_with_its_traceback(tmp_path: Path) -> None:
    lines = words(shown("--failed", record(tmp_path)))

    assert " ValueError: NaN" in lines
    assert " failed Parse 1 of 2 checks ok; 1 warning" in lines
    assert not [line for line in lines if "inputs/a.csv" in line or "No node failed" in line]


STOPPED = """
import sys
from observability import ExecutionObserver, PipelineReport, file_step, pipeline_file
with ExecutionObserver("step_06_batch", "out", use_tqdm=False):
    report = PipelineReport(label="batch")
    with pipeline_file(report, "a.csv") as file:
        with file_step(file, "look") as step:
            step.add_check("rows", False, "1 of 2")
        for n in range(int(sys.argv[1])):
            file.error(f"noted {n}")
        raise OSError("disk on fire")
"""


@pytest.mark.parametrize("more", [[], ["--failed"]])
def test_what_stopped_a_file_is_told_before_its_steps_that_failed(
    tmp_path: Path, more: list[str]
) -> None:
    """Where a step had failed, the exception that stopped the file was not told at all."""
    lines = words(shown(*more, record(tmp_path, "1", program=STOPPED)))
    begin = lines.index(" failed a.csv 1 of 1 step")

    assert lines[begin + 1 : begin + 5] == [
        " OSError: disk on fire",
        " noted 0",
        " failed look 0 of 1 check ok",
        " check rows: 1 of 2",
    ]


def test_many_reasons_leave_room_for_the_steps(tmp_path: Path) -> None:
    out = record(tmp_path, "30", program=STOPPED)
    lines, every = words(shown(out)), words(shown("--failed", out))

    begin = lines.index(" and 21 more lines")
    assert lines[begin - 10] == " OSError: disk on fire"
    assert lines[begin + 1] == " failed look 0 of 1 check ok"
    assert " noted 29" in every


def test_what_ran_when_the_program_was_killed_was_interrupted(tmp_path: Path) -> None:
    lines = words(shown(record(tmp_path, "0", "kill")))

    assert lines[0].startswith("step_06_batch interrupted")
    assert " interrupted inputs/late.csv" in "\n".join(lines)


def test_many_files_are_cut_and_counted(tmp_path: Path) -> None:
    out = record(tmp_path, "100")
    lines = words(shown(out))

    assert " and 82 more succeeded files" in lines
    assert " failed inputs/data.csv 3 of 3 steps" in lines
    assert any(line.startswith("all of them: auditfold show --json") for line in lines)
    # The steps of files in which all is well are for `report` and `--json` then.
    assert sum(line == " succeeded one" for line in lines) == 0


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_lines_fit_the_terminal_and_times_are_on_it(tmp_path: Path, columns: int) -> None:
    output, code = on_terminal("show", record(tmp_path), columns=columns)
    lines = COLOUR.sub("", output.decode()).split("\n")

    assert code == ExitCode.BAD
    assert max(map(len, lines)) <= columns
    rows = [line for line in lines if re.match(" +(failed|succeeded) +[A-Zi]", line)]
    assert len(rows) == 9
    assert all(re.search("[0-9] m?s( |$)", line) for line in rows)


def test_the_narrowest_terminals_show_statuses_and_names(tmp_path: Path) -> None:
    """Names were cut as if times stood beside them, and cut once more with them."""
    output, _ = on_terminal("show", record(tmp_path), columns=30)
    lines = words(COLOUR.sub("", output.decode()).split("\n"))

    assert " failed inputs/data.csv" in lines
    assert " succeeded Check clas..." in lines
    assert not [line for line in lines if "....." in line]


LONG = "inputs/2026-11-21/measurements-of-the-whole-day-in-one-file.csv"


@pytest.mark.parametrize(("columns", "name"), [(80, LONG[:31] + "..."), (200, LONG)])
def test_names_and_facts_share_what_the_terminal_has(
    tmp_path: Path, columns: int, name: str
) -> None:
    """A name was cut at 44 columns of 200, and at 80 facts were down to a few letters."""
    out = tmp_path / "out"
    with ExecutionObserver("step_06_batch", out, use_tqdm=False, quiet=True):
        FileReport.begin(path=LONG).add_completed_step("Verified file exists").end()
    output, _ = on_terminal("show", out, columns=columns)
    rows = words(COLOUR.sub("", output.decode()).replace("\r", "").split("\n"))

    assert f" succeeded {name} 1 of 1 step" in rows
