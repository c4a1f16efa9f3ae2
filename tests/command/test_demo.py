"""`auditfold demo`: a real run, real failures, and commands that can be pasted."""

import csv
import json
import shlex
import sys
from pathlib import Path

import pytest

from observability import demo
from tests.command.running import auditfold, on_terminal, running


def runs_of(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in auditfold("ls", "--json", out).stdout.splitlines()]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "out"
    done = auditfold("demo", folder, "--limit", "6")
    assert done.returncode == 0, done.stderr
    return folder


def test_modules_are_measured_and_broken_ones_fail(out: Path) -> None:
    (run,) = runs_of(out)
    (table,) = out.glob("survey/*/modules.csv")
    with table.open(encoding="utf-8", newline="") as file:
        rows = {row["module"]: row for row in csv.DictReader(file)}

    assert run["status"] == "failed"
    assert run["nodes_failed"] == len(demo.find_broken(out))
    assert run["nodes_completed"] == len(rows) + 2
    assert int(rows["abc"]["classes"]) >= 1
    assert int(rows["abc"]["bytes"]) == Path(sys.modules["abc"].__file__ or "").stat().st_size


def test_evidence_and_outputs_are_whole(out: Path) -> None:
    done = auditfold("audit", "--json", out)

    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    assert found["verdict"] == "complete"
    assert found["outputs"]["ok"] == len(found["outputs"]["items"]) > 2


def test_what_to_try_next_can_be_pasted(tmp_path: Path) -> None:
    out = tmp_path / "it's mine; really"

    shown = auditfold("demo", out, "--limit", "1").stdout.decode()
    lines = shown[shown.index("Try next:") :].splitlines()
    commands = [line.strip() for line in lines if str(out.parent) in line]

    for command, code in zip(commands, (1, 0, 0), strict=True):
        words = shlex.split(command)
        assert words[-1] == str(out)
        name = words.index(next(word for word in words if word in {"show", "tail", "audit"}))
        done = auditfold(*words[name:])
        assert done.returncode == code, (command, done.stderr)
        assert done.stdout


def test_a_second_demo_is_another_run_and_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "survey").mkdir()
    (tmp_path / "survey" / "mine.txt").write_text("mine")
    auditfold("demo", tmp_path, "--limit", "1")
    kept = {
        path: data
        for path, data in contents(tmp_path).items()
        if "audit" not in path.relative_to(tmp_path).parts
    }

    done = auditfold("demo", tmp_path, "--limit", "2")

    assert done.returncode == 0, done.stderr
    assert len(runs_of(tmp_path)) == 2
    assert kept.items() <= contents(tmp_path).items()
    assert auditfold("audit", tmp_path).returncode == 0


def test_json_is_the_report_and_nothing_else(tmp_path: Path) -> None:
    done = auditfold("demo", tmp_path / "out", "--limit", "1", "--json")

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["status"] == "failed"
    assert [report["run_id"]] == [run["run_id"] for run in runs_of(tmp_path / "out")]


def test_interrupted_demo_leaves_an_interrupted_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running("demo", out) as process:
        process.until(stdout=b"[RUN]")
        assert process.interrupt() == 130

    assert b"Traceback" not in process.stderr
    assert b"show" in process.stderr
    assert [run["status"] for run in runs_of(out)] == ["interrupted"]


def test_a_bar_is_on_a_terminal_and_nothing_is_wider_than_it(tmp_path: Path) -> None:
    shown, code = on_terminal("demo", "out", "--limit", "3", cwd=tmp_path)

    assert code == 0
    assert "█".encode() in shown


def test_a_file_where_the_folder_should_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")

    done = auditfold("demo", tmp_path / "out", "--limit", "1")

    assert done.returncode == 5
    assert done.stderr.count(b"\n") == 1
    assert (tmp_path / "out").read_text() == "a file"


def test_without_the_broken_files_of_the_tests_one_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As Debian and the slim container images have it.
    monkeypatch.setattr(demo, "_BROKEN", ("no/such/file.py",))

    (source,) = demo.find_broken(tmp_path)

    assert source.files == (tmp_path / "input" / "broken_on_purpose.py",)
    with pytest.raises(SyntaxError):
        demo.measure(source)
    source.files[0].write_text("x = 1\n")
    assert demo.find_broken(tmp_path) == [source]
    assert demo.measure(source)["lines"] == 1


def test_modules_without_source_say_why() -> None:
    why = {source.name: source.why_none for source in demo.find_sources() if not source.files}

    assert why["sys"] == "no source: built into the interpreter"
    assert why["msvcrt"] == "not part of this installation"
    assert all(why.values())


def test_imports_are_the_top_level_names(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("import os.path, sys as s\nfrom . import b\nfrom json.decoder import x\n")

    row = demo.measure(demo.Source("a", (path,)))

    assert row["imports"] == ["json", "os", "sys"]
