"""What a run met, in a few lines: its command, its code and the machine.

The list of distributions and the variables are for `--json`; here they are counted.
"""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

from replay.show.line import harmless
from replay.show.text import Line, Piece, count_text

_COMMIT_SHOWN: Final = 12  # digits
_DIGEST_SHOWN: Final = len("sha256:") + 12
_CHANGED: Final = {True: "files changed", False: "clean", None: "changed or not is unknown"}


def environment_lines(environment: Mapping[str, Any] | None) -> Iterator[Line]:
    """Yield the lines for a report's `environment`; none if there is none."""
    if environment is None:
        return
    rows = {
        "command": _command(environment),
        "python": _joined(
            environment["python_implementation"],
            environment["python_version"],
            environment["python_executable"] and f"({environment['python_executable']})",
        ),
        "machine": _machine(environment),
        "git": _git(environment["git"]),
        "packages": _packages(environment["distributions"]),
        "variables": " ".join(f"{k}={v}" for k, v in (environment["variables"] or {}).items()),
    }
    shown = {name: text for name, text in rows.items() if text}
    if shown:
        yield []
        yield [Piece("environment")]
    for name, text in shown.items():
        yield [Piece(f"  {name:<10}", "dim"), Piece(harmless(text))]


def _joined(*parts: str | None) -> str:
    return " ".join(part for part in parts if part)


def _command(environment: Mapping[str, Any]) -> str:
    cwd = environment["cwd"]
    argv = environment["argv"]
    where = "" if cwd is None else f"(in {cwd})"
    return _joined(None if argv is None else shlex.join(argv), where)


def _machine(environment: Mapping[str, Any]) -> str:
    who = " at ".join(filter(None, (environment["user"], environment["host"])))
    return ", ".join(filter(None, (who, environment["platform"])))


def _git(git: Mapping[str, Any] | None) -> str:
    if git is None:
        return ""
    commit = (git["commit"] or "no commit")[:_COMMIT_SHOWN]
    return f"{_joined(commit, git['branch'])}, {_CHANGED[git['dirty']]}"


def _packages(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    return f"{count_text(found['count'], 'distribution')}, {found['digest'][:_DIGEST_SHOWN]}"
