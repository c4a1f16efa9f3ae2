#!/usr/bin/env python3
"""Write the generated table of docs/auditing.md: attacks, as the tests try them.

generate_attacks.py [--check]    --check writes nothing, exits 1 if the page would change
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.reliability.attacks import Attack  # noqa: E402 - tests are no package to install
from tests.reliability.signed_attacks import ATTACKS  # noqa: E402 - as above

PAGE: Final = ROOT / "docs" / "auditing.md"

_PART: Final = re.compile(
    r"(?P<begin><!-- generated: attacks -->\n).*?(?P<end><!-- end -->)", re.DOTALL
)


def table() -> str:
    """Return the attacks as a Markdown table."""
    heads = (
        "| attack | without a key | found as | kept end | with `--vkey` |\n|---|---|---|---|---|\n"
    )
    return heads + "".join(map(row, ATTACKS))


def row(one: Attack) -> str:
    """Return the row of one attack."""
    by = " ".join(f"`{code}`" for code in one.by) or "-"
    kept = "shows it" if one.kept else "still there" if one.found == "complete" else "-"
    return f"| {one.says} | {one.found} | {by} | {kept} | {one.with_vkey} |\n"


def generated(page: str) -> str:
    """Return *page* with the table made anew."""
    return _PART.sub(lambda found: found["begin"] + table() + found["end"], page)


def main() -> int:
    """Write the page, or say that it is out of date."""
    parser = argparse.ArgumentParser(description="Write the generated table of auditing.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if different")
    given = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    fresh = generated(page)
    if fresh == page:
        return 0
    if given.check:
        print(f"{PAGE.relative_to(ROOT)} is out of date. Run: python docs/generate_attacks.py")
        return 1
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
