#!/usr/bin/env python3
"""Write the generated table of docs/redaction.md: the rules, as the program has them.

generate_rules.py [--check]    --check writes nothing, exits 1 if the page would change
"""

import sys
from pathlib import Path
from typing import Final

from generated_parts import main

from observability.dry_run import described_rules

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "redaction.md"


def table() -> str:
    """Return the rules as a Markdown table."""
    rows = [f"| `{rule.name}` | {rule.says} | {rule.source} |\n" for rule in described_rules()]
    return "| marker | what it hides | source |\n|---|---|---|\n" + "".join(rows)


if __name__ == "__main__":
    sys.exit(main(PAGE, lambda _: table(), description=__doc__))
