"""The completion scripts, in the real shells: a line is typed, Tab is pressed."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from observability.cli.main import COMMANDS
from tests.command.running import auditfold, environment
from tests.docs.pages import root

LIMIT_S = 60
BIN = Path(sys.executable).parent
ESCAPES = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|[()][A-Z0-9]|[=>])")

pytestmark = pytest.mark.skipif(
    not (BIN / "auditfold").exists(), reason="needs an installed auditfold beside the interpreter"
)


class Shell:
    """A shell on a terminal, and somebody who types."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._shown = b""

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._descriptor, text.encode())

    def until(self, text: str) -> str:
        """Return what the terminal shows up to *text*, which it waits for."""
        limit = time.monotonic() + LIMIT_S
        while True:
            plain = ESCAPES.sub(b"", self._shown)
            before, found, _ = plain.partition(text.encode())
            if found:
                self._shown = plain[len(before) + len(found) :]
                return (before + found).decode()
            assert time.monotonic() < limit, plain
            if select.select([self._descriptor], [], [], 0.1)[0]:
                self._shown += os.read(self._descriptor, 1 << 16)


@contextmanager
def shell(*command: str, cwd: Path) -> Iterator[Shell]:
    """Start a shell on a terminal; end it when the block is left."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}: apt-get install {command[0]}")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 200))
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=environment(PATH=path, HOME=str(cwd), TERM="xterm", PS1="ready> "),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        try:
            yield Shell(ours)
        finally:
            process.kill()
            os.close(ours)


@contextmanager
def bash(cwd: Path) -> Iterator[Shell]:
    with shell("bash", "--norc", "--noprofile", "-i", cwd=cwd) as opened:
        # The marks are put together, so that they are not seen where they are typed.
        opened.type('eval "$(auditfold completion bash)"; echo re""ady-now\n')
        opened.until("ready-now")
        yield opened


@contextmanager
def zsh(cwd: Path) -> Iterator[Shell]:
    with shell("zsh", "-f", "-i", cwd=cwd) as opened:
        opened.type(
            "PS1='ready> '; autoload -U compinit; compinit -u -d ./.zcompdump; unsetopt beep\n"
            'eval "$(auditfold completion zsh)"; echo re""ady-now\n'
        )
        opened.until("ready-now")
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the sample runs in it, and nothing else."""
    shutil.copytree(root() / "sample_runs", tmp_path / "sample_runs")
    return tmp_path


SHELLS = pytest.mark.parametrize("start", [bash, zsh])


@SHELLS
def test_a_shell_completes_a_command_and_an_option(start: object, folder: Path) -> None:
    assert callable(start)
    with start(folder) as opened:
        opened.type("auditfold repl\t")
        opened.until("auditfold replay ")
        opened.type("--che\t")
        opened.until("--check ")


@SHELLS
def test_a_shell_completes_a_path(start: object, folder: Path) -> None:
    assert callable(start)
    with start(folder) as opened:
        opened.type("auditfold show samp\t")
        opened.until("sample_runs/")
        opened.type("surv\t")
        opened.until("survey/")


@SHELLS
def test_a_shell_completes_a_run_of_the_path(start: object, folder: Path) -> None:
    assert callable(start)
    with start(folder) as opened:
        opened.type("auditfold show sample_runs/survey --run 2026\t")
        opened.until("20260302-070312-v9u4pl ")


@SHELLS
def test_a_shell_lists_all_commands(start: object, folder: Path) -> None:
    assert callable(start)
    with start(folder) as opened:
        opened.type("auditfold \t\t")
        for name in ("demo", "doctor"):
            opened.until(name)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("auditfold repl", "replay\tWrite the derived files again from the trace."),
        ("auditfold show --str", "--strict"),
        ("auditfold completion f", "fish"),
        ("auditfold tail sample_runs/survey --run lat", "latest"),
        ("auditfold ls sample_runs/work", "sample_runs/workers/"),
    ],
)
def test_fish_completes(typed: str, offered: str, folder: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("needs fish: apt-get install fish")
    program = f"auditfold completion fish | source; complete --do-complete '{typed}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", program],
        cwd=folder,
        env=environment(PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}", HOME=str(folder)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert done.stdout.startswith(offered)


# --- Without a shell


def ask(line: str, *, cwd: Path, shell: str = "bash") -> list[str]:
    """Return what is offered for the last word of *line*."""
    words = line.split(" ")
    done = auditfold(
        cwd=cwd,
        env={
            "_AUDITFOLD_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
    )
    assert done.stderr == b""
    return done.stdout.decode().splitlines()


def test_every_command_is_offered_in_the_order_of_the_table(folder: Path) -> None:
    assert ask("auditfold ", cwd=folder) == [f"plain,{name}" for name in COMMANDS]


def test_listing_commands_imports_none_of_them(folder: Path) -> None:
    """The Tab key is pressed more often than any command is run."""
    program = (
        "import sys; from observability.cli.main import main; main([]);"
        "print([name for name in sys.modules if name.startswith('replay.')], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment(
            _AUDITFOLD_COMPLETE="bash_complete", COMP_WORDS="auditfold ", COMP_CWORD="1"
        ),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == "['replay.version']\n"


def test_runs_are_offered_as_the_registry_has_them(folder: Path) -> None:
    line = "auditfold show sample_runs/workers --run "

    assert ask(line, cwd=folder) == ["plain,latest", "plain,03", "plain,20260302-070312-2xeedr"]


@pytest.mark.parametrize(
    "line",
    [
        "auditfold shwo ",
        "auditfold show nowhere --run 2",
        "auditfold show --nothing ",
        "auditfold show 'half a quote",
    ],
)
def test_a_line_that_means_nothing_yet_gets_no_message(line: str, folder: Path) -> None:
    assert [item for item in ask(line, cwd=folder) if item.startswith("plain,")] == []


def test_a_damaged_registry_offers_what_can_be_read(folder: Path) -> None:
    registry = folder / "sample_runs" / "workers" / "audit" / "registry.jsonl"
    registry.write_bytes(b"no line\n" + registry.read_bytes()[:900])

    assert ask("auditfold show sample_runs/workers --run l", cwd=folder) == ["plain,latest"]


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_script_is_data_on_stdout(name: str) -> None:
    done = auditfold("completion", name)

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"_AUDITFOLD_COMPLETE" in done.stdout


def test_another_shell_is_wrong_usage() -> None:
    done = auditfold("completion", "tcsh")

    assert (done.returncode, done.stdout) == (2, b"")
    assert b"'tcsh' is not one of 'bash', 'zsh', 'fish'" in done.stderr


def test_an_unknown_question_of_a_shell_gets_no_traceback() -> None:
    done = auditfold(env={"_AUDITFOLD_COMPLETE": "nonsense"})

    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
