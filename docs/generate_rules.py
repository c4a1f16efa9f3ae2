#!/usr/bin/env python3
"""Write the generated table of docs/redaction.md: the rules, as the program has them.

generate_rules.py [--check]    --check writes nothing, exits 1 if the page would change
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Final

from observability.dry_run import described_rules

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "redaction.md"

_PART: Final = re.compile(
    r"(?P<begin><!-- generated: rules -->\n).*?(?P<end><!-- end -->)", re.DOTALL
)


def table() -> str:
    """Return the rules as a Markdown table."""
    rows = [f"| `{rule.name}` | {rule.says} | {rule.source} |\n" for rule in described_rules()]
    return "| marker | what it hides | source |\n|---|---|---|\n" + "".join(rows)


def generated(page: str) -> str:
    """Return *page* with the table made anew."""
    return _PART.sub(lambda found: found["begin"] + table() + found["end"], page)


def main() -> int:
    """Write the page, or say that it is out of date."""
    parser = argparse.ArgumentParser(description="Write the generated table of redaction.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if different")
    given = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    fresh = generated(page)
    if fresh == page:
        return 0
    if given.check:
        print(f"{PAGE.relative_to(ROOT)} is out of date. Run: python docs/generate_rules.py")
        return 1
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
