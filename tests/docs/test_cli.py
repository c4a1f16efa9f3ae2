"""docs/cli.md says what the program says."""

import importlib.util
import sys
from types import ModuleType

import pytest

from tests.docs.pages import root

GENERATOR = root() / "docs" / "generate_cli.py"


@pytest.fixture
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_cli", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_help_texts_of_the_page_are_those_of_the_program(generator: ModuleType) -> None:
    page = (root() / "docs" / "cli.md").read_text()

    assert generator.missing(page) == []
    assert generator.generated(page) == page


def test_a_page_that_drifted_is_named(
    generator: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drifted = (root() / "docs" / "cli.md").read_text().replace("Show this message", "Say this")
    path = root() / "docs" / "cli.md"
    monkeypatch.setattr(type(path), "read_text", lambda *_, **__: drifted)
    monkeypatch.setattr(sys, "argv", ["generate_cli.py", "--check"])

    assert generator.main() == 1
    assert "Run: python docs/generate_cli.py" in capsys.readouterr().out
