"""The examples of a Markdown page, and a shell and an interpreter to run them in.

A page is a session in one folder: its blocks run from top to bottom, and what one of them
writes the next one finds.

- A `python` block whose first line is `# name.py` is written to that file.
- Any other `python` block runs in the interpreter of the page, behind the earlier ones.
- A `console` block holds commands, `$ command`, each with all that it prints, both streams.
  In what it prints, `...` stands for any text within a line, `...` on a line of its own for
  any lines, and a run of spaces for any other run of them.  What differs from run to run (ids,
  times, hashes; `CHANGING`) may be anything of its kind, unless a command reads `sample_runs`,
  which is the same every time.  The folder of the session is called `/home/you`.

Everything else (`text`, `json`, `sh`) is not run.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.docs.pages import root

RUN: Final = frozenset({"python", "console"})

_FENCE: Final = re.compile(
    r"^(?P<marks>```+)(?P<kind>[a-z]*)\n(?P<text>.*?)^(?P=marks)$", re.MULTILINE | re.DOTALL
)
_FILE: Final = re.compile(r"# ([a-z0-9_]+\.py)\n")
_GAP: Final = re.compile(r"\.\.\.| +")

# What differs from run to run, and what stands for it.  Longer forms come before their parts.
CHANGING: Final = tuple(
    (re.compile(form), name)
    for form, name in (
        (r"\b[0-9a-f]{64}\b", "HASH"),
        (r"\b[0-9]{8}t[0-9]{6}-[0-9a-f]{10}\b", "WRITER"),
        (r"\b[0-9]{8}-[0-9]{6}-[0-9a-z]{6}\b", "RUN"),
        (r"(?<![0-9])[0-9]{8}_[0-9]{6}(-[0-9]+)?\b", "DATE"),
        (r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{6}Z)?", "TIME"),
        (r"\b[0-9]+(\.[0-9]+)?(s \([0-9.]+m\)| (ms|s|min|h)\b)", "DURATION"),
        (r'(_seconds":)[0-9.e-]+', r"\1SECONDS"),
        (r'(\bpid |\bPID: |\bbyte |"pid":|"mono_us":)[0-9]+', r"\1NUMBER"),
    )
)

# Runs each file that is named on its standard input in one namespace, and says how it ended.
_INTERPRETER: Final = """
import sys, traceback
namespace = {"__name__": "__main__"}
for name in sys.stdin:
    path = name.rstrip()
    try:
        with open(path, encoding="utf-8") as file:
            exec(compile(file.read(), path, "exec"), namespace)
        end = "done"
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        end = "failed"
    print("\\0" + end, flush=True)
"""


class Block(NamedTuple):
    """One fenced block.

    Attributes:
        kind: What stands behind the fence.
        text: What stands in it.
        line: The line of the page it begins on, from 1.
    """

    kind: str
    text: str
    line: int


def blocks_of(page: str) -> list[Block]:
    """Return the fenced blocks of a page's text."""
    return [
        Block(found["kind"], found["text"], page.count("\n", 0, found.start()) + 2)
        for found in _FENCE.finditer(page)
    ]


def commands_of(console: str) -> Iterator[tuple[str, str]]:
    """Yield (command, what it prints) for a console block; `> ` continues a command."""
    command: list[str] = []
    printed: list[str] = []
    for line in console.splitlines():
        if line.startswith("$ "):
            if command:
                yield "\n".join(command), "\n".join(printed)
            command, printed = [line[2:]], []
        elif line.startswith("> ") and command and not printed:
            command.append(line[2:])
        else:
            printed.append(line)
    if command:
        yield "\n".join(command), "\n".join(printed)


def pattern_of(expected: str) -> re.Pattern[str]:
    r"""Return what the text *expected*, with its gaps, matches.

    >>> bool(pattern_of("a ... c\n...\nd").fullmatch("a  b c\nx\ny\nd\n"))
    True
    """
    lines = expected.rstrip().split("\n") if expected.strip() else []
    parts = [r"(?:.*\n)*?" if line.strip() == "..." else _line_pattern(line) for line in lines]
    return re.compile("".join(parts))


def _line_pattern(line: str) -> str:
    pattern, at = "", 0
    text = line.rstrip()
    for gap in _GAP.finditer(text):
        pattern += re.escape(text[at : gap.start()]) + (".*?" if gap[0] == "..." else " +")
        at = gap.end()
    return pattern + re.escape(text[at:]) + " *\n"


def settled(text: str) -> str:
    """Return *text* with names in place of what differs from run to run."""
    for form, name in CHANGING:
        text = form.sub(name, text)
    return text


def is_as_shown(command: str, printed: str, got: str) -> bool:
    """Return whether *got* is what a page shows as *printed* by *command*."""
    if "sample_runs" not in command:
        printed, got = settled(printed), settled(got)
    return pattern_of(printed).fullmatch(got and f"{got}\n") is not None


@contextmanager
def session(folder: Path) -> "Iterator[Session]":
    """Open a session in *folder*, which gets what pages refer to: `sample_runs` and `docs`."""
    for name in ("sample_runs", "docs"):
        shutil.copytree(root() / name, folder / name)
    opened = Session(folder)
    try:
        yield opened
    finally:
        opened.close()


class Session:
    """A folder in which the blocks of a page run, one after the other.

    Args:
        folder: Where they run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        bin_folder = Path(sys.executable).parent
        self._environment = {
            "COLUMNS": "100",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "PATH": f"{bin_folder}:{os.environ.get('PATH', os.defpath)}",
            "TZ": "UTC",
        }
        self._interpreter: subprocess.Popen[str] | None = None

    def run(self, block: Block) -> None:
        """Run *block*.

        Raises:
            AssertionError: It did not do what the page says.
        """
        if block.kind == "console":
            for command, printed in commands_of(block.text):
                got = self.shell(command)
                assert is_as_shown(command, printed, got), (
                    f"$ {command}\n--- the page says\n{printed}\n--- it prints\n{got}"
                )
        elif named := _FILE.match(block.text):
            (self._folder / named[1]).write_text(block.text, encoding="utf-8")
        else:
            self._python(block)

    def close(self) -> None:
        """End the interpreter."""
        if self._interpreter is not None:
            self._interpreter.communicate(timeout=60)

    def shell(self, command: str) -> str:
        """Return what *command* prints, both streams, without empty lines at its end."""
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        return done.stdout.replace(str(self._folder), "/home/you").rstrip()

    def _python(self, block: Block) -> None:
        if self._interpreter is None:
            self._interpreter = subprocess.Popen(
                [sys.executable, "-c", _INTERPRETER],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        assert self._interpreter.stdin is not None
        assert self._interpreter.stdout is not None
        path = self._folder / f".block_{block.line}.py"
        path.write_text(block.text, encoding="utf-8")
        print(path.name, file=self._interpreter.stdin, flush=True)
        said = ""
        for line in self._interpreter.stdout:
            if line.startswith("\0"):
                assert line == "\0done\n", said
                return
            said += line
        raise AssertionError(f"the interpreter ended:\n{said}")
