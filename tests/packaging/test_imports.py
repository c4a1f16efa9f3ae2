"""What starting up loads, and what the modules are called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import observability
import replay

# Slow to import, or an extra, or code for a network: these load when they are used.
LATE = {
    "anyio",
    "asyncio",
    "cryptography",
    "duckdb",
    "http",
    "jinja2",
    "pydantic",
    "pydantic_core",
    "starlette",
    "textual",
    "tqdm",
    "uvicorn",
    "watchfiles",
}

# `replay.trace` bears the word of the glossary; nothing here imports the tool that
# prints the statements a program executes.  `tests.typing` is nothing that is run.
MAY_SHADOW = {"replay.trace", "tests.typing"}

RECORD = """
from observability import ExecutionObserver
observer = ExecutionObserver("step_04_imports", "out", 1, use_tqdm=False)
observer.node_start("a", 0)
observer.node_success("a", 0.0)
observer.workflow_complete()
"""

COMMAND = """
import sys
from observability.cli.main import main
sys.argv = ["auditfold", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""

LIST_MODULES = """
import sys
print(*sys.modules, sep="\\n", file=sys.stderr)
"""


def run(program: str, folder: Path) -> str:
    """Run *program* in *folder*, in an interpreter of its own; return its stderr."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={"HOME": str(folder), "PATH": os.defpath},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def loaded_late(program: str, folder: Path) -> set[str]:
    """Return which of the modules in LATE *program* loaded."""
    modules = run(program + LIST_MODULES, folder).split()
    return LATE & {module.partition(".")[0] for module in modules}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `out` holds one run of one node."""
    folder = tmp_path_factory.mktemp("recorded")
    run(RECORD, folder)
    return folder


@pytest.mark.parametrize("package", ["observability", "replay"])
def test_importing_a_package_loads_nothing_late(package: str, tmp_path: Path) -> None:
    assert loaded_late(f"import {package}", tmp_path) == set()


def test_printing_the_version_loads_nothing_late(tmp_path: Path) -> None:
    assert loaded_late(COMMAND.format(arguments=["--version"]), tmp_path) == set()


@pytest.mark.parametrize("command", ["ls", "tail", "audit"])
def test_reading_commands_load_nothing_late(command: str, recorded: Path) -> None:
    assert loaded_late(COMMAND.format(arguments=[command, "out"]), recorded) == set()


def test_the_packages_are_those_of_the_checkout(root: Path) -> None:
    """A test folder called `replay` once took the place of the package."""
    assert observability.__file__ == str(root / "observability" / "__init__.py")
    assert replay.__file__ == str(root / "replay" / "__init__.py")


def test_no_module_shadows_the_standard_library(root: Path) -> None:
    """Running a file puts its folder first on the path: `json.py` beside it wins there."""
    modules = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for folder in ("benchmarks", "docs", "observability", "replay", "scripts", "tests")
        for path in (root / folder).rglob("*.py")
    }
    shadowing = {name for name in modules if name.rpartition(".")[2] in sys.stdlib_module_names}

    assert shadowing - MAY_SHADOW == set()
