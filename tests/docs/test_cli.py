"""docs/cli.md says what the program says."""

import sys
from types import ModuleType

import pytest

from tests.docs.pages import generator_of, root


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return generator_of("generate_cli", monkeypatch)


def test_the_help_texts_of_the_page_are_those_of_the_program(
    generator: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (root() / "docs" / "cli.md").read_text()

    monkeypatch.setattr(sys, "argv", ["generate_cli.py", "--check"])

    assert generator.missing(page) == []
    assert generator.main() == 0


def test_a_page_that_drifted_is_named(
    generator: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drifted = (root() / "docs" / "cli.md").read_text().replace("Show this message", "Say this")
    path = root() / "docs" / "cli.md"
    monkeypatch.setattr(type(path), "read_text", lambda *_, **__: drifted)
    monkeypatch.setattr(sys, "argv", ["generate_cli.py", "--check"])

    assert generator.main() == 1
    assert "Run: python docs/generate_cli.py" in capsys.readouterr().out
