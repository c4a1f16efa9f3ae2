"""Links lead somewhere, every command is documented, and words say something."""

import re
from pathlib import Path

import pytest

from observability.cli.main import COMMANDS
from tests.docs.pages import pages, root

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
# Claims that no test could refute.
EMPTY_WORDS = re.compile(r"\b(robust|powerful|seamless|comprehensive)", re.IGNORECASE)


def named(page: Path) -> str:
    return str(page.relative_to(root()))


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of the headings of *page*, as a Markdown renderer makes them."""
    text = FENCED.sub("", page.read_text())
    headings = (heading.lower().replace(" ", "-") for heading in HEADING.findall(text))
    return {re.sub(r"[^\w-]", "", heading) for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=named)
def test_relative_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    for link in LINK.findall(FENCED.sub("", page.read_text())):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{named(page)}: {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors_of(target), f"{named(page)}: {link}"


@pytest.mark.parametrize("page", pages(), ids=named)
def test_no_word_that_claims_without_saying(page: Path) -> None:
    assert not EMPTY_WORDS.findall(page.read_text())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_reference_of_the_command_line(command: str) -> None:
    text = (root() / "docs" / "cli.md").read_text()

    assert re.search(rf"^#+ .*\b{command}\b", text, re.MULTILINE)
