"""Prints what `replay.trace.tail` yields: events to stdout, all else to stderr."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from observability.cli.damage import MAX_NAMED, damage_text, hint, more_text, no_trace
from observability.cli.screen import (
    colour,
    encode_text,
    escape_json,
    is_terminal,
    paint,
    say,
    width,
    write_bytes,
)
from replay.show.line import render
from replay.trace.reader import Damage
from replay.trace.tail import Item, Notice, Shown, Torn

# What a line may fill of a terminal: the times of hundreds of nodes hide what came before.
_MAX_ROWS: Final = 5
# So many lines at most are written at once.
_MAX_GATHERED: Final = 1000

_STYLE: Final = {
    "gap": "red",
    "node_failure": "red",
    "node_retry": "yellow",
    "node_skipped": "yellow",
    "node_start": "cyan",
    "node_success": "green",
    "workflow_complete": "green",
    "workflow_error": "red",
    "workflow_start": "cyan",
}
_LEVEL_STYLE: Final = {"error": "red", "warning": "yellow"}


class EventPrinter:
    """Writes events, and tells and counts what could not be read.

    Args:
        path: PATH of the command.
        as_stored: Print the bytes of the line, not its text.
        at_once: Tell of unreadable lines when they come, not only once an event is there.

    Attributes:
        n_unreadable: Lines that are no event, and files that were not what a trace is.
    """

    def __init__(self, path: str, *, as_stored: bool, at_once: bool) -> None:
        self.n_unreadable = 0
        self._path = path
        self._as_stored = as_stored
        self._coloured = colour()
        self._on_terminal = is_terminal()
        self._longest = (width() or 0) * _MAX_ROWS
        self._damage: list[Damage] = []
        self._n_damaged = 0
        self._n_told = 0 if at_once else -1
        self._gathered: list[bytes] = []

    def print(self, items: Iterable[Item]) -> None:
        """Print *items*, and hand them to the system before this returns or raises."""
        try:
            for item in items:
                if isinstance(item, Shown):
                    if self._n_told < 0:
                        self._tell_damage()
                    self._gathered.append(self._line(item))
                    if len(self._gathered) == _MAX_GATHERED:
                        self._write()
                else:
                    # In the order in which they stand, for who reads both streams together.
                    self._write()
                    self._tell(item)
        finally:
            self._write()

    def refuse_what_is_no_trace(self) -> None:
        """Raise if something was read, of which the caller knows that it was no event.

        Raises:
            TraceError: There was a line, and it was no event.
        """
        if self._damage:
            self.n_unreadable = 0
            raise no_trace(self._damage[0])

    def summarise(self) -> None:
        """Say how many unreadable lines were not named, and what to do about all of them."""
        if self.n_unreadable:
            self._tell_damage()
            if self._n_damaged > MAX_NAMED:
                say(more_text(self._n_damaged - MAX_NAMED))
            say(hint(self._path))

    def _write(self) -> None:
        data = b"".join(self._gathered)
        self._gathered.clear()
        write_bytes(data)

    def _line(self, item: Shown) -> bytes:
        if self._as_stored:
            return escape_json(item.line) if self._on_terminal else item.line
        text = render(item.fields)
        if 0 < self._longest < len(text):
            n_more = f"... ({len(text):,} characters)"
            text = text[: self._longest - len(n_more)] + n_more
        return encode_text(self._paint(text, item.fields) if self._coloured else text) + b"\n"

    def _paint(self, text: str, fields: Mapping[str, Any]) -> str:
        """Return *text* with the time dimmed and the event type in the colour of its kind."""
        time, bracket, rest = text.partition("] ")
        name = fields["event_type"].upper()
        style = _STYLE.get(fields["event_type"], "")
        if fields["event_type"] == "message":
            style = _LEVEL_STYLE.get(str(fields.get("level")), "")
        if not rest.startswith(name):
            return text
        dimmed = paint(time + bracket.rstrip(), "dim", coloured=True)
        return f"{dimmed} {paint(name, style, coloured=True)}{rest[len(name) :]}"

    def _tell(self, item: Damage | Notice | Torn) -> None:
        if isinstance(item, Torn):
            say(
                f"{item.name}: {item.length} bytes from byte {item.offset} on are no line: "
                "a write that was cut off, or one that is under way"
            )
            return
        self.n_unreadable += 1
        if isinstance(item, Notice):
            say(f"{item.name}: {item.message}")
            return
        self._n_damaged += 1
        if self._n_damaged <= MAX_NAMED:
            self._damage.append(item)
            if self._n_told >= 0:
                self._tell_damage()

    def _tell_damage(self) -> None:
        told = max(0, self._n_told)
        for found in self._damage[told:]:
            say(damage_text(found))
        self._n_told = len(self._damage)
