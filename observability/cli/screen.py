"""Where output goes: colour, width, and text that can do a terminal no harm.

stdout carries data and stderr messages.  Colour is used only where a person looks: on a
terminal, unless NO_COLOR (no-color.org) or TERM=dumb says otherwise.
"""

import errno
import io
import os
import re
import select
import stat
import sys
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from replay.show.text import Line

NARROWEST = 20


def accept_any_text() -> None:
    """Let stdout write what its encoding cannot say as escapes.

    A file name or an event may hold any text; a locale other than UTF-8 is no reason to stop.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def is_terminal() -> bool:
    """Return whether stdout is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def colour() -> bool:
    """Return whether stdout is to be coloured."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return is_terminal()


def paint(text: str, style: str, *, coloured: bool) -> str:
    """Return *text* in *style*, a colour that click knows or `bold` or `dim`."""
    if not coloured or not style:
        return text
    if style in {"bold", "dim"}:
        return click.style(text, **{style: True})
    return click.style(text, fg=style)


def print_lines(lines: "Iterable[Line]") -> None:
    """Print *lines*, in colour on a terminal."""
    coloured = colour()
    for line in lines:
        click.echo(
            "".join(paint(text, style, coloured=coloured) for text, style in line).rstrip(" "),
            color=coloured,
        )


def width() -> int | None:
    """Return how many columns the terminal on stdout has, None if it is none."""
    if not is_terminal():
        return None
    try:
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        return None
    return max(columns, NARROWEST) if columns else None


def encode_text(text: str) -> bytes:
    """Return *text* as stdout would write it."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace")


def escape_json(line: bytes) -> bytes:
    """Return a line of JSON that means the same and does a terminal no harm.

    What is below U+0020 stands in JSON only between values; other controls and direction marks
    may stand in a string as they are.
    """
    from replay.show.line import HARMFUL

    def escape(match: re.Match[str]) -> str:
        code = ord(match[0])
        return " " if code < ord(" ") else f"\\u{code:04x}"

    return HARMFUL.sub(escape, line.rstrip(b"\n").decode()).encode() + b"\n"


def print_text(text: str) -> None:
    """Print *text* as one line in UTF-8, without control characters."""
    from replay.show.line import harmless

    write_bytes(f"{harmless(text)}\n".encode())


def write_bytes(data: bytes) -> None:
    """Write *data* to stdout, behind the text that was printed so far, at once.

    Raises:
        OSError: The disk is full, or nobody reads.
    """
    if sys.stdout is not None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def print_json(value: object) -> None:
    """Print *value* as one line of JSON in UTF-8, whatever the locale."""
    import orjson

    line = orjson.dumps(value) + b"\n"
    write_bytes(escape_json(line) if is_terminal() else line)


def path_text(path: str) -> str:
    """Return *path* as text for JSON: bytes of it that are no UTF-8 as escapes."""
    return path.encode("utf-8", "backslashreplace").decode()


def sleep_while_read(seconds: float, wake: int | None = None) -> None:
    """Sleep, and notice when nobody reads stdout any more: `auditfold tail -f | head`.

    Args:
        seconds: How long.
        wake: A descriptor that ends the sleep when it is readable.

    Raises:
        BrokenPipeError: The reader went away.
    """
    descriptor = _pipe_on_stdout()
    if descriptor is None and wake is None:
        time.sleep(seconds)
        return
    poll = select.poll()
    if descriptor is not None:
        poll.register(descriptor, 0)  # no event asked for: only POLLERR and POLLHUP come
    if wake is not None:
        poll.register(wake, select.POLLIN)
    for found, event in poll.poll(seconds * 1000):
        if found == descriptor and event & (select.POLLERR | select.POLLHUP):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _pipe_on_stdout() -> int | None:
    try:
        descriptor = sys.stdout.fileno()
        mode = os.fstat(descriptor).st_mode
    except (AttributeError, OSError, ValueError):
        return None
    return descriptor if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None


def say(message: str) -> None:
    """Write a message for people to stderr, without control characters."""
    from replay.show.line import harmless

    click.echo("\n".join(map(harmless, message.split("\n"))), err=True, color=False)


def end_row() -> None:
    """Begin a new row on a terminal: it has shown `^C` in the last one."""
    if sys.stderr is not None and sys.stderr.isatty():
        click.echo(err=True)


def flush() -> None:
    """Hand everything printed so far to the operating system.

    Raises:
        OSError: The disk is full, or nobody reads.
    """
    if sys.stdout is not None:
        sys.stdout.flush()


def give_up_output() -> None:
    """Drop what stdout still holds: the interpreter would try again, and complain, at its end."""
    if sys.stdout is not None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
