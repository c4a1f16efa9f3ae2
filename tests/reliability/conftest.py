"""Where the tests of reliability write, and how they say what they did."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from observability.signing.keys import SigningKey, write_key
from tests.reliability.tier import PROPERTY, said

_MEMORY = Path("/dev/shm")

Tell = Callable[..., None]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: what is tested is not the disk."""
    if not _MEMORY.is_dir():
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="auditfold-", dir=_MEMORY))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=["plain", "signed"])
def signing_key(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """The key of writers that sign, and none: what holds for the ones holds for the others."""
    if request.param == "plain":
        return None
    path = tmp_path / "operator.key"
    write_key(path, SigningKey.new("ops.example"))
    return path


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Return what takes the counts of the test, to be printed when all tests are over."""
    began = time.monotonic()
    properties = request.node.user_properties

    def take(**counts: object) -> None:
        name = request.node.name.removeprefix("test_")
        properties.append((PROPERTY, said(name, time.monotonic() - began, **counts)))

    return take
