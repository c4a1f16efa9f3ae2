#!/usr/bin/env python3
"""Write the generated table of docs/auditing.md: attacks, as the tests try them.

generate_attacks.py [--check]    --check writes nothing, exits 1 if the page would change
"""

import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from generated_parts import main  # noqa: E402 - beside this file

from tests.reliability.attacks import Attack  # noqa: E402 - tests are no package to install
from tests.reliability.signed_attacks import ATTACKS  # noqa: E402 - as above

PAGE: Final = ROOT / "docs" / "auditing.md"


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


if __name__ == "__main__":
    sys.exit(main(PAGE, lambda _: table(), description=__doc__))
