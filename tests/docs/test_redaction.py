"""docs/redaction.md says what the rules are."""

import subprocess
import sys

from observability.dry_run import described_rules
from tests.docs.pages import root

GENERATOR = root() / "docs" / "generate_rules.py"
PAGE = root() / "docs" / "redaction.md"


def test_the_table_is_that_of_the_code() -> None:
    done = subprocess.run([sys.executable, GENERATOR, "--check"], check=False)

    assert done.returncode == 0


def test_every_rule_is_in_the_table() -> None:
    page = PAGE.read_text()

    assert all(f"| `{rule.name}` | {rule.says} |" in page for rule in described_rules())
