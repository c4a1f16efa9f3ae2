"""Write into pages what their commands print now: python -m tests.docs.refill PAGE...

Only what is not as shown is replaced, so gaps and ids that still fit stay; look at the difference
before it is kept.
"""

import sys
import tempfile
from pathlib import Path

from tests.docs.examples import RUN, Block, Session, blocks_of, commands_of, is_as_shown, session


def refilled(page: str, running: Session) -> str:
    """Return the text of *page* with what its commands print in *running*."""
    lines = page.splitlines(keepends=True)
    changes: list[tuple[Block, str]] = []
    for block in blocks_of(page):
        if block.kind == "console":
            changes.append((block, _console(block, running)))
        elif block.kind in RUN:
            running.run(block)
    # From the end, so that the lines before keep their numbers.
    for block, text in reversed(changes):
        begin = block.line - 1
        lines[begin : begin + block.text.count("\n")] = [text]
    return "".join(lines)


def _console(block: Block, running: Session) -> str:
    parts = []
    for command, printed in commands_of(block.text):
        got = running.shell(command)
        kept = printed if is_as_shown(command, printed, got) else got
        parts.append("$ " + command.replace("\n", "\n> ") + "\n" + (kept and f"{kept}\n"))
    return "".join(parts)


def main(names: list[str]) -> None:
    """Refill the pages *names*."""
    for name in names:
        with tempfile.TemporaryDirectory() as folder, session(Path(folder)) as running:
            text = refilled(Path(name).read_text(encoding="utf-8"), running)
        Path(name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
