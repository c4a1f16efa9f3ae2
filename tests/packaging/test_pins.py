"""Every installed version is stated in constraints.txt, by name alone."""

import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

PIN = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*==[0-9][0-9a-z.]*")


def normal(name: str) -> str:
    """Return *name* as it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def pins(root: Path) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if not line.startswith("#")]
    assert [entry for entry in entries if not PIN.fullmatch(entry)] == []
    names = [entry.partition("==")[0] for entry in entries]
    assert names == sorted(set(names))
    return dict(entry.split("==") for entry in entries)


@pytest.mark.usefixtures("wheelhouse")
def test_what_is_installed_is_what_is_pinned(pins: dict[str, str]) -> None:
    installed = {normal(found.name): found.version for found in distributions()}
    del installed["auditfold"]

    assert installed == {name: pins.get(name, "no pin") for name in installed}


def test_the_wheelhouse_holds_one_pinned_version_of_each(
    pins: dict[str, str], wheelhouse: Path
) -> None:
    held = [wheel.name.split("-")[:2] for wheel in wheelhouse.iterdir()]

    assert {normal(name): version for name, version in held}.items() <= pins.items()
    assert len({name for name, _ in held}) == len(held)


def test_every_requirement_of_every_extra_is_pinned(pins: dict[str, str], root: Path) -> None:
    pyproject = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject["project"]
    asked = [*pyproject["build-system"]["requires"], *project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        asked += extra
    names = {normal(re.split(r"[^\w.-]", requirement, maxsplit=1)[0]) for requirement in asked}

    assert names - pins.keys() == set()


def test_the_build_backend_asked_for_is_the_one_pinned(pins: dict[str, str], root: Path) -> None:
    """The wheel is built in an isolated environment, which constraints do not reach."""
    pyproject = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))

    assert pyproject["build-system"]["requires"] == [f"hatchling=={pins['hatchling']}"]
