r"""What stays of text that was made for a terminal: whole lines, without escape sequences.

Sequences are dropped, not obeyed: what they would have erased or moved stays where it was
written.  Two things are obeyed, because bars consist of them.  After a carriage return the line
begins anew, so its last redraw stays.  And a line that was begun by a return and is left upwards
or downwards (`ESC [ A`, `ESC [ B`, as bars below each other are drawn) is still open: the next
redraw replaces it.

What it knows is ECMA-48 (control functions) and the parser of DEC's terminals; no screen is kept.
"""

import re
from typing import Final

from replay.show.line import harmless

LONGEST_LINE: Final = 65_536  # characters; a longer one goes on in the next line
_MOST_ROWS: Final = 64  # open lines below each other

_PLAIN, _ESCAPE, _CSI, _STRING = range(4)
_NO_CONTROL: Final = re.compile("[^\x00-\x08\x0a-\x1f\x7f-\x9f]+")
_COLOUR: Final = re.compile("\x1b\\[[0-9;]*[Km]")  # and erasing; most sequences are these
_INTERMEDIATE: Final = re.compile("[ -/]*")
_PARAMETERS: Final = re.compile("[ -?]*")
_PAYLOAD: Final = re.compile("[^\x07\n\x18\x1a\x1b\x9c]*")  # of OSC, DCS, SOS, PM and APC
_STRINGS: Final = frozenset("]PX^_")  # behind an escape
_STRINGS_8_BIT: Final = frozenset("\x9d\x90\x98\x9e\x9f")
_DIGIT: Final = re.compile(r"\d")
_ENDS: Final = frozenset("\n\v\f")  # a terminal goes to the next line at each


def plain_text(line: str) -> str:
    r"""Return what stays of one terminal *line*, with direction marks written as escapes.

    >>> plain_text("\x1b[31m10%\x1b[0m\r\x1b]0;title\x07100%")
    '100%'
    """
    cleaner = LineCleaner()
    lines = [*cleaner.feed(line), *cleaner.finish()]
    return harmless(lines[-1]) if lines else ""


class LineCleaner:
    r"""Makes lines of what is written to a terminal, however it is cut into writes.

    A newline ends any sequence that is still open, so that a sequence without an end takes at
    most the rest of its line with it.  Tabs become spaces; lines without any text are left out.

    Cost: 0.5 us a line without sequences, 1 us more for each sequence.

    >>> cleaner = LineCleaner()
    >>> cleaner.feed("\r 50%\r10"), cleaner.feed("0%\x1b"), cleaner.feed("[K\nnext")
    ([], [], ['100%'])
    >>> cleaner.finish()
    ['next']
    """

    def __init__(self) -> None:
        self._state = _PLAIN
        self._parameters = ""
        # Texts of the line the cursor is in and of open ones above and below it.
        self._rows = [_Row()]
        self._at = 0
        self._written = False  # since the cursor came to this line
        self._returned = False  # and nothing was written since
        self._redrawn = False  # a return came since the cursor came to this line
        self._moved = False  # it came from another line, and nothing was written since
        self._lines: list[str] = []

    @property
    def idle(self) -> bool:
        """Whether no line is open, so that nothing is lost by forgetting this one."""
        return self._state == _PLAIN and not any(row.n for row in self._rows)

    def feed(self, text: str) -> list[str]:
        """Take in *text* and return the lines that it ends."""
        at, end = 0, len(text)
        while at < end:
            if self._state == _PLAIN:
                if plain := _NO_CONTROL.match(text, at):
                    self._put(plain[0])
                    at = plain.end()
                elif whole := _COLOUR.match(text, at):
                    at = whole.end()
                else:
                    self._control(text[at])
                    at += 1
            else:
                at = self._sequence(text, at)
        lines, self._lines = self._lines, []
        return lines

    def finish(self) -> list[str]:
        """Return what stands in lines that have no end yet, and begin anew."""
        for row in self._rows:
            self._end(row)
        lines, self._lines = self._lines, []
        self._state, self._rows, self._at = _PLAIN, [_Row()], 0
        self._written = self._returned = self._redrawn = self._moved = False
        return lines

    def _control(self, char: str) -> None:
        if char in _ENDS:
            self._next_row()
        elif char == "\r":
            self._returned = self._redrawn = True
        elif char == "\b":
            if not self._returned:
                self._rows[self._at].back()
        elif char == "\x1b":
            self._state, self._parameters = _ESCAPE, ""
        elif char == "\x9b":
            self._begin_csi()
        elif char in _STRINGS_8_BIT:
            self._state = _STRING

    def _begin_csi(self) -> None:
        self._state = _CSI
        self._parameters = ""

    def _sequence(self, text: str, at: int) -> int:
        """Go on in a sequence, and return where the text behind what was read of it begins."""
        if self._state == _STRING:
            at = _end_of(_PAYLOAD, text, at)
            if at == len(text):
                return at
            self._state = _PLAIN
            # The string terminator ESC \ is read as any escape sequence is.
            return at if text[at] in "\x1b\n" else at + 1
        if self._state == _CSI:
            begin, at = at, _end_of(_PARAMETERS, text, at)
            # Enough for any number of lines.
            self._parameters = (self._parameters + text[begin:at])[:8]
            if at == len(text):
                return at
            self._state = _PLAIN
            if text[at] in "AB":
                self._leave(upwards=text[at] == "A")
            return at + 1 if "@" <= text[at] <= "~" else at
        begin, at = at, _end_of(_INTERMEDIATE, text, at)
        if begin < at:
            self._parameters = "("  # `ESC ( [` is a charset, no CSI
        if at == len(text):
            return at
        return self._escaped(text[at], at)

    def _escaped(self, char: str, at: int) -> int:
        self._state = _PLAIN
        alone = not self._parameters
        if alone and char == "[":
            self._begin_csi()
        elif alone and char in _STRINGS:
            self._state = _STRING
        elif not "0" <= char <= "~":
            return at  # no part of it: a newline, another escape
        return at + 1

    def _put(self, text: str) -> None:
        row = self._rows[self._at]
        if self._returned:
            row.clear()
            self._returned = False
        elif not self._written:
            self._end(row)  # left by the cursor, and nothing says that it is to be replaced
        self._written, self._moved = True, False
        row.put(text)
        while row.n > LONGEST_LINE:
            whole = row.take()
            self._line(whole[:LONGEST_LINE])
            row.put(whole[LONGEST_LINE:])

    def _next_row(self) -> None:
        row = self._rows[self._at]
        if self._redrawn:
            # A bar that ends is drawn a last time above its place, which keeps an older redraw.
            head = row.head()
            for below in self._rows[self._at + 1 :]:
                if below.head() == head:
                    below.clear()
        if self._written:
            self._end(row)
        self._at += 1
        if self._at == len(self._rows):
            self._rows.append(_Row())
        if self._at == _MOST_ROWS:
            self._end(self._rows.pop(0))
            self._at -= 1
        self._written = self._returned = self._redrawn = self._moved = False

    def _leave(self, *, upwards: bool) -> None:
        """Leave a redrawn line; anywhere else nothing says that a line was left open."""
        number = self._parameters or "1"
        if not number.isdecimal() or (self._written and not self._redrawn):
            return
        lines = max(1, int(number))
        if upwards:
            if not self._at or not (self._redrawn or self._moved):
                return
            self._at -= min(self._at, lines)
        else:
            self._at = min(self._at + lines, _MOST_ROWS - 1)
            self._rows += [_Row() for _ in range(self._at + 1 - len(self._rows))]
        self._written = self._returned = self._redrawn = False
        self._moved = True

    def _end(self, row: "_Row") -> None:
        if row.n:
            self._line(row.take())

    def _line(self, text: str) -> None:
        text = text.expandtabs().rstrip()
        if text:
            self._lines.append(text)


class _Row:
    """The text of a line, and how many of its characters stand behind the cursor."""

    __slots__ = ("_behind", "_parts", "n")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.n = self._behind = 0

    def clear(self) -> None:
        self._parts = []
        self.n = self._behind = 0

    def take(self) -> str:
        text = "".join(self._parts)
        self.clear()
        return text

    def head(self) -> str:
        """Return what a bar keeps from redraw to redraw: all before the first digit."""
        return _DIGIT.split("".join(self._parts), maxsplit=1)[0].strip()

    def back(self) -> None:
        self._behind = min(self._behind + 1, self.n)

    def put(self, text: str) -> None:
        if self._behind:
            whole = "".join(self._parts)
            at = self.n - self._behind
            rest = whole[at + len(text) :]
            self._parts = [whole[:at], text, rest]
            self.n, self._behind = at + len(text) + len(rest), len(rest)
        else:
            self._parts.append(text)
            self.n += len(text)


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()
