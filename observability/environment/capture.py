"""What a run meets where it begins: command line, interpreter, machine, code and packages.

Asked once, for the field `environment` of `workflow_start` (`replay.trace.events.Environment`).
What cannot be known is None, and nothing that fails here is an error of the run.  Git is asked by
`observability.environment.git_state`, packages are listed by
`observability.environment.distributions`.
"""

import os
import platform
import pwd
import socket
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from observability.environment.distributions import distributions
from observability.environment.git_state import GitQuestion, work_tree
from observability.values import Gate
from replay.trace.events import Environment

# Characters; escaped six-fold in JSON they still fit the line.
LARGEST: Final = 64 * 1024  # of all arguments, and of all variables
LONGEST: Final = 4096  # of one of them

FIELDS: Final = Environment.__struct_fields__

# What changes results, and what says where a job ran; `*` stands for any characters.
VARIABLES: Final = (
    "AUDITFOLD_RUN_ID",
    "CI",
    "CI_COMMIT_SHA",
    "CI_JOB_ID",
    "CONDA_DEFAULT_ENV",
    "CUDA_VISIBLE_DEVICES",
    "GITHUB_RUN_ID",
    "GITHUB_SHA",
    "JOB_ID",
    "LANG",
    "LC_*",
    "LSB_JOBID",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PBS_JOBID",
    "PYTHONHASHSEED",
    "PYTHONPATH",
    "PYTHONUTF8",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_JOB_ID",
    "SLURM_PROCID",
    "SOURCE_DATE_EPOCH",
    "TZ",
    "VIRTUAL_ENV",
)


def chosen_fields(environment: bool | Collection[str]) -> frozenset[str]:  # noqa: FBT001
    """Return which fields are wanted: all, none, or those named.

    Raises:
        ValueError: A name is none of `FIELDS`.
        TypeError: It is neither a bool nor a collection of texts.
    """
    if isinstance(environment, bool):
        return frozenset(FIELDS if environment else ())
    names = _texts("environment", environment, "True, False or names of fields")
    unknown = sorted(set(names).difference(FIELDS))
    if unknown:
        raise ValueError(f"environment: {', '.join(unknown)}: want some of {', '.join(FIELDS)}")
    return frozenset(names)


def chosen_variables(more: Collection[str]) -> tuple[str, ...]:
    """Return the patterns of the variables to record: `VARIABLES` and *more*.

    Raises:
        TypeError: *more* is no collection of texts.
    """
    return (*VARIABLES, *_texts("environment_variables", more, "names of variables"))


def _texts(what: str, given: Any, want: str) -> tuple[str, ...]:
    # A text is a collection of texts as well, of its characters.
    if isinstance(given, str) or not isinstance(given, Collection):
        raise TypeError(f"{what}: got {type(given).__name__}, want {want}")
    if not all(isinstance(name, str) for name in given):
        raise TypeError(f"{what}: want {want}, each a str")
    return tuple(given)


def capture(
    out: str,
    gate: Gate,
    *,
    fields: Collection[str],
    variables: Sequence[str],
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Any]:
    """Return what is known here and now, secrets redacted, a key for each of *fields*.

    Args:
        out: The output folder, absolute.
        gate: What every text passes that the machine or the caller gave.
        fields: Some of `FIELDS`.
        variables: Patterns of the environment variables that are wanted.
        environ: The environment.

    Cost: 0.3 ms, and 0.5 ms for the list of distributions, once a process; what git takes, which
    is 4 ms in a small work tree, and never waited for longer than 0.2 s.
    """
    cwd = _cwd()
    asked: dict[str, Callable[[], Any]] = {
        "argv": lambda: arguments(sys.orig_argv, gate),
        "cwd": lambda: None if cwd is None else relative_to_parent(cwd, out),
        "python_version": platform.python_version,
        "python_implementation": platform.python_implementation,
        "python_executable": lambda: os.path.basename(sys.executable or "") or None,
        "platform": _platform,
        "host": lambda: socket.gethostname() or None,
        "user": lambda: _user(environ),
        "distributions": distributions,
        "variables": lambda: selected(environ, variables, gate),
    }
    folder = _code_folder(cwd) if "git" in fields else None
    if folder is None:
        found = {name: ask() for name, ask in asked.items() if name in fields}
        git = None
    else:
        # In the background, while the rest is collected.
        with GitQuestion(folder, environ=environ) as question:
            found = {name: ask() for name, ask in asked.items() if name in fields}
            git = question.answer()
    if "git" in fields:
        found["git"] = git
    return {name: _clean(name, found[name], gate) for name in FIELDS if name in found}


def _clean(name: str, value: Any, gate: Gate) -> Any:
    """Return *value* redacted, where it is not yet; names of packages are nobody's secret."""
    if name in {"argv", "distributions", "variables"}:
        return value
    return gate.lenient({name: value})[0][name]


# --- Command line


def arguments(argv: Sequence[str], gate: Gate) -> list[str]:
    """Return *argv* without secrets and without what is beyond `LARGEST`.

    An argument behind an option that is named like a secret is one (`--password x`), and so is
    the value in `API_KEY=x`.  Where arguments are left out the last one says how many.
    """
    found: list[str] = []
    size = 0
    option = ""
    for argument in argv:
        # Python's own form of bytes that are no text becomes one that a line can hold.
        text = argument.encode("utf-8", "backslashreplace").decode()
        text = _cut(_argument(text, option, gate))
        size += len(text)
        if size > LARGEST:
            return [*found, f"[{len(argv) - len(found)} more]"]
        found.append(text)
        option = argument if argument.startswith("-") and "=" not in argument else ""
    return found


def _argument(text: str, option: str, gate: Gate) -> str:
    """Return one argument redacted; *option* is the one before it, if that was an option."""
    if option and not text.startswith("--"):
        return _value(option.lstrip("-"), text, gate)
    name, equals, value = text.partition("=")
    key = name.lstrip("-")
    if equals and key.replace("-", "").replace("_", "").isalnum():
        hidden = _value(key, value, gate)
        if hidden != value:
            return f"{gate.text('argv', name)}={hidden}"
    return gate.text("argv", text)


def _value(key: str, value: str, gate: Gate) -> str:
    """Return *value* as it may be kept under *key*."""
    kept = gate.lenient({key or "argv": value})[0]
    return str(next(iter(kept.values())))


# --- Where, who, on what


def _cwd() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # removed, or above it something that may not be read
        return None


def relative_to_parent(cwd: str, out: str) -> str:
    """Return *cwd* relative to the folder that *out* is in, where one is inside the other.

    >>> relative_to_parent("/home/a/work", "/home/a/work/out")
    '.'
    >>> relative_to_parent("/home/a", "/home/a/work/out"), relative_to_parent("/etc", "/home/out")
    ('..', '/etc')
    """
    parent = os.path.dirname(out)
    inside = os.path.relpath(cwd, parent)
    above = set(inside.split(os.sep)) == {os.pardir}
    if os.path.dirname(cwd) == cwd or (inside.startswith(os.pardir) and not above):
        return cwd
    return inside


def _code_folder(cwd: str | None) -> str | None:
    """Return a folder in the work tree that git is to be asked about, None if there is none.

    It is the one of the working directory, otherwise that of the program's main script; that of
    `auditfold` itself says nothing of the command that it runs.
    """
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    beside = os.path.dirname(os.path.abspath(script)) if isinstance(script, str) and cwd else None
    own = "observability.cli.main" in sys.modules
    for folder in (cwd, None if own else beside):
        if folder is not None and work_tree(folder) is not None:
            return folder
    return None


def _platform() -> str:
    told = os.uname()
    return f"{told.sysname}-{told.release}-{told.machine}"


def _user(environ: Mapping[str, str]) -> str | None:
    """Return the user's name, by the variables that login sets; a directory service is slow."""
    for name in ("LOGNAME", "USER"):
        if environ.get(name):
            return environ[name]
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except (KeyError, OSError):
        return None


def selected(environ: Mapping[str, str], patterns: Sequence[str], gate: Gate) -> dict[str, str]:
    """Return the variables that match one of *patterns* and are set, in order of their names.

    Secrets are redacted.  What is beyond `LARGEST` is counted under the name `...`.
    """
    wanted = {name for name in patterns if "*" not in name}
    globs = [name for name in patterns if "*" in name]
    found: dict[str, str] = {}
    size = 0
    names = [n for n in environ if n in wanted or any(fnmatchcase(n, glob) for glob in globs)]
    for name in sorted(names):
        [(key, value)] = gate.lenient({name: environ[name]})[0].items()
        size += len(key) + min(len(value), LONGEST)
        if size > LARGEST:
            return {**found, "...": f"[{len(names) - len(found)} more]"}
        found[key] = _cut(value)
    return found


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."
