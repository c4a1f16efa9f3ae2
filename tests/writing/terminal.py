"""A terminal to write to: what stands on its screen at the end."""

import io
import re

_STEP = re.compile(r"\r|\n|\x1b\[(\d*)A|\x1b\[[JK]|\x1b\[[\d;]*m|[^\r\n\x1b]+")


class Terminal(io.StringIO):
    """A stream that says it is a terminal, and keeps all that is written."""

    def isatty(self) -> bool:
        return True


def screen(written: str) -> list[str]:
    """Return the rows of a screen after *written*, without trailing blanks.

    Raises:
        ValueError: There is something else in it than text, ends of lines, carriage returns,
            colours, steps upwards, and erasing the rest of a line.
    """
    rows: list[str] = [""]
    row = column = at = 0
    while at < len(written):
        step = _STEP.match(written, at)
        if step is None:
            raise ValueError(f"not for this screen: {written[at : at + 10]!r}")
        at = step.end()
        text = step[0]
        if text == "\r":
            column = 0
        elif text == "\n":
            row, column = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
        elif text.endswith("A") and text[0] == "\x1b":
            row = max(0, row - int(step[1] or 1))
        elif text == "\x1b[K":
            rows[row] = rows[row][:column]
        elif text == "\x1b[J":
            rows[row:] = [rows[row][:column]]
        elif text[0] != "\x1b":
            before = rows[row].ljust(column)
            rows[row] = before[:column] + text + before[column + len(text) :]
            column += len(text)
    return [line.rstrip() for line in rows]
