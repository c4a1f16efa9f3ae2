"""The parts of a page that a program writes: from `<!-- generated: NAME -->` to `<!-- end -->`.

What `generate_*.py` beside this file have in common.
"""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

_PART: Final = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[\w-]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL
)


def names(page: str) -> set[str]:
    """Return the names of the parts of *page*."""
    return {found["name"] for found in _PART.finditer(page)}


def filled(page: str, part: Callable[[str], str]) -> str:
    """Return *page* with what *part* gives for the name of each part in its place."""
    return _PART.sub(lambda found: found["begin"] + part(found["name"]) + found["end"], page)


def main(page: Path, part: Callable[[str], str], *, description: str | None) -> int:
    """Write *page* anew; with `--check` in the command line only say whether it is out of date.

    Returns:
        The exit code: 1 if the page would change and `--check` was given.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if different")
    given = parser.parse_args()
    before = page.read_text(encoding="utf-8")
    fresh = filled(before, part)
    if fresh == before:
        return 0
    if given.check:
        name = f"{page.parent.name}/{page.name}"
        print(f"{name} is out of date. Run: python docs/{Path(sys.argv[0]).name}")
        return 1
    page.write_text(fresh, encoding="utf-8")
    return 0
