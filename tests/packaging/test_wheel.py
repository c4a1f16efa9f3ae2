"""The built wheel holds what it should, and works where nothing else is installed.

Other distributions install packages called `observability` or `replay`, and a
checkout hides a file that the wheel forgot: hence an empty environment, outside
the checkout, with no network.
"""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from replay.version import __version__


class Environment:
    """A virtual environment outside the checkout, and a folder to work in."""

    def __init__(self, folder: Path, wheelhouse: Path) -> None:
        self.bin = folder / "venv" / "bin"
        self.work = folder / "work"
        self.work.mkdir()
        # No setting of the machine's own pip, and no network.
        self.variables = {
            "HOME": str(folder),
            "PATH": os.defpath,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_FIND_LINKS": str(wheelhouse),
            "PIP_NO_INDEX": "1",
        }

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run *command* in the working folder; both streams are kept."""
        return subprocess.run(
            command,
            cwd=self.work,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def pip(self, *arguments: str | Path) -> None:
        """Run the pip of this suite, which sees the wheelhouse and nothing else."""
        done = self.run(sys.executable, "-m", "pip", *arguments)
        assert done.returncode == 0, done.stderr

    def auditfold(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the installed command."""
        return self.run(self.bin / "auditfold", *arguments)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Path) -> Environment:
    return Environment(tmp_path_factory.mktemp("wheel"), wheelhouse)


@pytest.fixture(scope="module")
def wheel(environment: Environment, root: Path) -> Path:
    environment.pip("wheel", "--no-deps", "--wheel-dir", environment.work / "dist", root)
    (built,) = (environment.work / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def installed(environment: Environment, wheel: Path) -> Environment:
    venv.EnvBuilder(symlinks=True).create(environment.bin.parent)
    environment.pip("--python", environment.bin / "python", "install", wheel)
    return environment


def test_wheel_holds_both_packages_whole_and_nothing_else(wheel: Path, root: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    metadata = {name for name in held if name.startswith(f"auditfold-{__version__}.dist-info/")}

    packages = [root / "observability", root / "replay"]
    source = {
        str(path.relative_to(root))
        for package in packages
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held - metadata == source
    assert {"observability/py.typed", "replay/py.typed"} <= held


def test_version_of_the_wheel_is_that_of_the_source(wheel: Path) -> None:
    assert wheel.name == f"auditfold-{__version__}-py3-none-any.whl"


def test_packages_come_from_the_empty_environment(installed: Environment) -> None:
    done = installed.run(
        *(installed.bin / "python", "-c"),
        "import observability, replay; print(observability.__file__, replay.__file__)",
    )

    assert done.returncode == 0, done.stderr
    for origin in done.stdout.split():
        assert Path(origin).is_relative_to(installed.bin.parent)


def test_version_is_printed(installed: Environment) -> None:
    done = installed.auditfold("--version")

    assert done.returncode == 0, done.stderr
    assert __version__ in done.stdout.split()


def test_demo_runs_and_its_evidence_is_whole(installed: Environment) -> None:
    demo = installed.auditfold("demo", installed.work / "out")
    audit = installed.auditfold("audit", installed.work / "out")

    assert demo.returncode == 0, demo.stderr
    assert list((installed.work / "out" / "audit").glob("step_*/report_*.json"))
    assert audit.returncode == 0, audit.stdout + audit.stderr


def test_the_page_needs_an_extra_says_so_and_has_its_templates(installed: Environment) -> None:
    out, page = installed.work / "seen", installed.work / "page.html"
    installed.auditfold("demo", "--limit", "2", out)
    without = installed.auditfold("report", out, "-o", page)
    installed.pip("--python", installed.bin / "python", "install", "jinja2")
    with_it = installed.auditfold("report", out, "-o", page)

    assert without.returncode == 5
    assert without.stderr == "'report' needs: pip install 'auditfold[report]'\n"
    # Two files of the demo are broken on purpose.
    assert with_it.returncode == 1, with_it.stderr
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
