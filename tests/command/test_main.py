"""The group of commands: its help, its errors, its exit codes, whatever stdout is."""

import errno
import os
import re
import subprocess
from pathlib import Path

import click
import pytest

from observability.cli.errors import MEANING, ExitCode, explain
from observability.cli.main import COMMANDS, auditfold, main
from replay.trace.evidence import TraceError
from replay.trace.folder import NoTraceError
from replay.trace.schema import NewerVersionError
from tests.command import running
from tests.command.running import AUDITFOLD, environment
from tests.reading.traces import TraceBuilder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with one run of a few hundred events."""
    built = TraceBuilder()
    built.open()
    built.start()
    for n in range(200):
        built.node(f"n{n}", n)
    built.complete(200)
    built.close()
    built.save(tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_every_command_and_every_exit_code(option: str) -> None:
    done = running.auditfold(option)
    text = done.stdout.decode()

    assert done.returncode == 0
    assert done.stderr == b""
    for name, (_, line) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(line)}", text, re.MULTILINE)
    for code, meaning in MEANING.items():
        assert re.search(rf"^ *{int(code)} +{re.escape(meaning)}$", text, re.MULTILINE)


def test_every_command_of_the_table_is_there_and_has_its_line_of_help() -> None:
    with auditfold.make_context("auditfold", ["ls"]) as context:
        assert auditfold.list_commands(context) == list(COMMANDS)
        for name in COMMANDS:
            command = auditfold.get_command(context, name)
            assert isinstance(command, click.Command)
            assert command.help


def test_no_command_is_wrong_usage_and_shows_the_help() -> None:
    done = running.auditfold()

    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Usage: auditfold" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tial"], "auditfold: no command 'tial'. Did you mean 'tail'? See: auditfold --help"),
        (["--no"], "auditfold: no such option '--no'"),
        (["tail", "--no"], "auditfold tail: no such option '--no'"),
        (["tail", "a", "b"], "auditfold tail: got unexpected extra argument (b). See"),
        (
            ["review", "list", "out"],
            "auditfold review list: got unexpected extra argument (out). A PATH is given by",
        ),
        (["tail", "-n"], "auditfold tail: option '-n' requires an argument."),
    ],
)
def test_wrong_usage_is_one_line_that_says_where_to_look(
    arguments: list[str], message: str
) -> None:
    done = running.auditfold(*arguments)

    assert (done.returncode, done.stdout) == (2, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(message)
    assert line.endswith("--help")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (NoTraceError("out", "audit/"), ExitCode.ENVIRONMENT, "looked for audit/"),
        (TraceError("a.jsonl", "a symbolic link"), ExitCode.ENVIRONMENT, "a.jsonl: a symbolic"),
        (NewerVersionError("a.jsonl", line=7, version=2), ExitCode.NEWER, "a.jsonl:7: format"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), ExitCode.ENVIRONMENT, "a: perm"),
        (OSError(errno.ENOSPC, "No space left on device"), ExitCode.ENVIRONMENT, "no space left"),
        (OSError(errno.EIO, "Input/output error", b"a"), ExitCode.ENVIRONMENT, "a: input/output"),
        (ModuleNotFoundError("", name="textual.app"), ExitCode.ENVIRONMENT, "auditfold[tui]"),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, None),
        (BrokenPipeError(), ExitCode.CLOSED_PIPE, None),
    ],
)
def test_every_error_has_one_message_and_its_exit_code(
    error: BaseException, code: ExitCode, message: str | None
) -> None:
    said, found = explain(error, command="auditfold watch")

    assert found == code
    assert (said is None) == (message is None)
    assert (message or "") in (said or "")
    assert "\n" not in (said or "")


def test_a_missing_extra_answers_in_one_line() -> None:
    said, _ = explain(ModuleNotFoundError("", name="textual"), command="auditfold watch")

    assert said == "'watch' needs: pip install 'auditfold[tui]'"


def test_a_defect_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(auditfold, "invoke", broken)

    assert main(["ls"]) == ExitCode.BUG
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert said.endswith("please report it\n")


def test_main_returns_the_exit_code_of_a_call(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tail", "-n1", str(out)]) == 0
    assert "WRITER_CLOSED" in capsys.readouterr().out
    assert main(["tail", str(out / "no")]) == ExitCode.ENVIRONMENT
    assert capsys.readouterr().err.count("\n") == 1


# --- whatever stdout is

WRITES = pytest.mark.parametrize(
    "arguments",
    [["--help"], ["tail", "-n", "all", "out"], ["tail", "-n", "all", "--json", "out"]],
    ids=["help", "text", "json"],
)


@WRITES
def test_a_full_disk_is_one_message(out: Path, arguments: list[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*AUDITFOLD, *arguments],
            cwd=out.parent,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=running.TIMEOUT_S,
            check=False,
        )

    assert done.returncode == ExitCode.ENVIRONMENT
    (line,) = done.stderr.decode().splitlines()
    assert "no space left on device" in line


@WRITES
def test_a_reader_that_goes_away_is_no_error(out: Path, arguments: list[str]) -> None:
    """`auditfold tail | head -1` once showed a traceback."""
    ours, theirs = os.pipe()
    os.close(ours)
    with subprocess.Popen(
        [*AUDITFOLD, *arguments],
        cwd=out.parent,
        env=environment(),
        stdout=theirs,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(theirs)
        _, said = process.communicate(timeout=running.TIMEOUT_S)

    assert (process.returncode, said) == (ExitCode.CLOSED_PIPE, b"")


@WRITES
def test_closed_streams_are_no_error(out: Path, arguments: list[str]) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" >&- 2>&-', "sh", *AUDITFOLD, *arguments],
        cwd=out.parent,
        env=environment(),
        capture_output=True,
        timeout=running.TIMEOUT_S,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_text_can_be_written_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    built = TraceBuilder()
    built.write("node_start", node_id="naïve ☃ 𝄞")
    path = built.save(tmp_path)

    text = running.auditfold("tail", path, env={"PYTHONIOENCODING": encoding})
    stored = running.auditfold("tail", "--json", path, env={"PYTHONIOENCODING": encoding})

    want = "naïve ☃ 𝄞".encode(encoding, "backslashreplace")
    assert (text.returncode, text.stderr) == (0, b"")
    assert want in text.stdout
    assert stored.stdout == bytes(built)


@pytest.mark.parametrize("variables", [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"LC_ALL": "POSIX"}])
def test_a_name_that_is_no_text_is_shown(tmp_path: Path, variables: dict[str, str]) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()

    done = running.auditfold("tail", folder, env=variables)

    assert done.returncode == ExitCode.ENVIRONMENT
    assert b"Traceback" not in done.stderr
    assert b"found no trace" in done.stderr


def test_the_version_is_one_line() -> None:
    done = running.auditfold("--version")

    assert re.fullmatch(rb"auditfold [0-9.]+\n", done.stdout)
