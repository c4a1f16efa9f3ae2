"""Make `.venv`: pinned wheels into `.venv/wheelhouse`, then an install from there.

Run by the Makefile whenever pyproject.toml or constraints.txt is newer than the
stamp `.venv/ready`; standard library only, since it runs before anything is
installed.  The stamp is written last and holds a hash of everything that was
asked for: an interrupted set-up has no stamp and is done again from the start,
and an edit that asks for the same packages (a lint rule) only touches it.

Nothing but the download talks to a network.  The install and the tests that
build the wheel see the wheelhouse and nothing else.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
WHEELHOUSE = VENV / "wheelhouse"
STAMP = VENV / "ready"
CONSTRAINTS = ROOT / "constraints.txt"

# What nothing names: pip itself, and what hatchling asks for in the middle of an
# editable install.
UNNAMED = ("editables", "pip")


def requirements(pyproject: dict[str, Any], extras: Sequence[str]) -> list[str]:
    """Return what is to be downloaded: the core, *extras*, the build backend, pip."""
    project = pyproject["project"]
    wanted = [*UNNAMED, *pyproject["build-system"]["requires"], *project["dependencies"]]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    return sorted(set(wanted))


def fingerprint(pyproject: dict[str, Any], extras: Sequence[str]) -> str:
    """Return a hash of everything that the content of `.venv` depends on."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    asked = {
        "constraints": [line for line in lines if not line.startswith("#")],
        "interpreter": [sys.base_prefix, sys.version],
        "requirements": requirements(pyproject, extras),
        "root": str(ROOT),
        "scripts": pyproject["project"]["scripts"],
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def pip(*arguments: str | Path, offline: bool) -> None:
    """Run the pip of `.venv`; *offline* lets it see the wheelhouse only."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    if offline:
        environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELHOUSE)}
    subprocess.run(
        [VENV / "bin" / "python", "-m", "pip", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        check=True,
    )


def build(pyproject: dict[str, Any], extras: Sequence[str]) -> None:
    """Make `.venv` from nothing: an empty environment, the wheels, the install."""
    STAMP.unlink(missing_ok=True)
    print(f"making {VENV.relative_to(ROOT)} (once; about a minute) ...", flush=True)
    venv.EnvBuilder(clear=True, with_pip=True, symlinks=True).create(VENV)

    # pip copies finished downloads one by one: only a whole wheelhouse gets the name.
    part = WHEELHOUSE.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    pip(
        *("download", "--quiet", "--quiet", "--only-binary", ":all:"),
        *("--constraint", CONSTRAINTS, "--dest", part),
        *requirements(pyproject, extras),
        offline=False,
    )
    part.rename(WHEELHOUSE)

    # A new environment holds the interpreter's own pip and, before 3.12, setuptools.
    install = ("install", "--quiet", "--constraint", CONSTRAINTS)
    pip(*install, "--upgrade", "pip", offline=True)
    pip("uninstall", "--quiet", "--quiet", "--yes", "setuptools", offline=True)
    pip(*install, "--editable", f"{ROOT}[{','.join(extras)}]", offline=True)


def main() -> int:
    """Bring `.venv` up to date; return the exit status."""
    parser = argparse.ArgumentParser(description="Make .venv from the pinned versions.")
    parser.add_argument("extras", nargs="*", default=["dev"], help="default: dev")
    extras = parser.parse_args().extras
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    if importlib.util.find_spec("ensurepip") is None:
        print(
            f"make_venv: {sys.executable} cannot make environments: its module ensurepip is "
            "missing. Debian and Ubuntu keep it in the package python3-venv.",
            file=sys.stderr,
        )
        return 1

    VENV.mkdir(exist_ok=True)
    lock = os.open(VENV, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Two `make` at once: the second waits, then finds the work done.
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = fingerprint(pyproject, extras)
        if not STAMP.exists() or STAMP.read_text(encoding="utf-8") != wanted:
            build(pyproject, extras)
        STAMP.write_text(wanted, encoding="utf-8")
    except subprocess.CalledProcessError as error:
        command = " ".join(str(word) for word in error.cmd[1:4])
        print(
            f"make_venv: {command} ended with {error.returncode}, its reason stands above; "
            "the next make starts again",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main())
