"""Where the project and its wheels are."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def wheelhouse() -> Path:
    """The folder of pinned wheels that `make` filled, the build backend's included."""
    folder = Path(sys.prefix) / "wheelhouse"
    if not folder.is_dir():
        pytest.fail(f"no wheels in {folder}: these tests need the .venv of: make test")
    return folder
