"""docs/auditing.md shows the attacks as the tests try them."""

import subprocess
import sys

from tests.docs.pages import root
from tests.reliability.signed_attacks import ATTACKS


def test_the_table_is_that_of_the_tests() -> None:
    generator = root() / "docs" / "generate_attacks.py"

    done = subprocess.run([sys.executable, generator, "--check"], check=False)

    assert done.returncode == 0


def test_every_attack_is_in_the_table() -> None:
    page = (root() / "docs" / "auditing.md").read_text()

    assert all(f"| {one.says} | {one.found} |" in page for one in ATTACKS)
