"""What a program prints, as it may be kept: cleaned of escapes, redacted, in a file and an excerpt.

Bytes come in as they were read, in any pieces, and what is kept does not depend on the pieces.
`observability.command.streams` reads them and passes them on untouched; nothing here looks at a
terminal.
Rules: docs/exec.md, "What it prints".
"""

import codecs
import hashlib
import os
import re
from collections.abc import Iterator
from typing import Any, Final

from observability.redaction.redact import Redactor
from observability.terminal.text import LineCleaner
from replay.show.line import harmless

EXCERPT: Final = 64 * 1024  # bytes of text in the trace
LONGEST_LINE: Final = 64 * 1024  # characters; a longer line is looked at in parts
_HALF: Final = EXCERPT // 2 - 64  # what was left out is said between the halves
_BATCH: Final = 64 * 1024  # characters that are redacted at once
_GROUP: Final = 4 * 1024  # characters that one search for hints covers
_LONGEST_SECRET: Final = 4 * 1024  # characters, where a line has no other end
_LONGEST_KEY: Final = 64 * 1024  # characters of a private key whose end does not come
_MOST_NAMES: Final = 20  # lines below each other that each may name the next one
_LOOK: Final = 8000  # bytes at the beginning in which a NUL makes a stream binary, as in git
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE: Final = 0o640

# All controls but newline and tab, and what changes the direction of text.
_TO_CLEAN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ASCII_CONTROLS: Final = bytes({*range(32), 127} - {9, 10})
# What most escapes are, colours and erasures; and the newline of a terminal.
_COMMON: Final = re.compile("\x1b\\[[0-9;]*[Km]|\r(?=\n)")
_KEY_BEGINS: Final = re.compile("-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY")
_KEY_ENDS: Final = re.compile("-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")


class Captured:
    """One stream of a program while it is written down.

    Args:
        stream: `stdout`, `stderr` or `terminal`.
        path: Where the whole text goes; the file is made when there is something to write.
        redactor: Finds secrets.

    Attributes:
        received: Bytes that came in.
        error: The first failure to write the file, which then holds a part; the rest goes on.

    Cost: 3 ms a MB of text without escapes and hints of secrets.  Memory: below 1 MiB.
    """

    def __init__(self, stream: str, path: str, redactor: Redactor) -> None:
        self.stream = stream
        self.path = path
        self.received = 0
        self.error: OSError | None = None
        self._beginning: bytes | None = b""
        self._binary: Any = None
        self._lines = Lines()
        self._secrets = Secrets(redactor)
        self._decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode
        self._fd = -1
        self._size = 0
        self._digest = hashlib.sha256()
        self._head = bytearray()
        self._tail = bytearray()

    def feed(self, data: bytes) -> None:
        """Take in what was read; never raises for what it is."""
        self.received += len(data)
        if self._binary is not None:
            self._binary.update(data)
        elif self._beginning is None:
            self._text(self._decode(data))
        else:
            self._beginning += data
            if len(self._beginning) >= _LOOK:
                self._decide()

    def finish(self) -> dict[str, Any] | None:
        """Write what is left and return the fields of a `captured` event; None: nothing came."""
        if self._beginning is not None:
            self._decide()
        if not self.received:
            return None
        if self._binary is not None:
            digest = f"sha256:{self._binary.hexdigest()}"
            return {
                "stream": self.stream,
                "binary": True,
                "size": self.received,
                "digest": digest,
            }
        self._text(self._decode(b"", True), last=True)  # noqa: FBT003 - its only form
        self._close()
        truncated = self._size > len(self._head) + len(self._tail)
        return {
            "stream": self.stream,
            "text": self._excerpt(truncated=truncated),
            "truncated": truncated,
            "size": self._size,
            **({} if self.error else {"path": self.path, "digest": self._sha256()}),
        }

    def _sha256(self) -> str:
        return f"sha256:{self._digest.hexdigest()}"

    def _decide(self) -> None:
        """Take the stream for text or for binary, by its beginning."""
        data, self._beginning = self._beginning or b"", None
        if b"\0" in data[:_LOOK] and self.stream != "terminal":
            self._binary = hashlib.sha256(data)
        else:
            self._text(self._decode(data))

    def _text(self, text: str, *, last: bool = False) -> None:
        clean = self._lines.feed(text)
        if last:
            clean += self._lines.finish()
        for piece in self._secrets.feed(clean, last=last):
            self._put(piece.encode("utf-8", "backslashreplace"))

    def _put(self, data: bytes) -> None:
        self._size += len(data)
        self._digest.update(data)
        room = _HALF - len(self._head)
        self._head += data[:room]
        if len(data) > room:
            self._tail += data[max(room, 0) :]
            if len(self._tail) > 2 * _HALF:
                del self._tail[:-_HALF]
        self._write(data)

    def _excerpt(self, *, truncated: bool) -> str:
        head, tail = bytes(self._head), bytes(self._tail[-_HALF:])
        if self._size <= EXCERPT and not truncated:
            return (self._head + self._tail).decode()
        # Whole lines where there are any, and no half of a character.
        head = head[: head.rfind(b"\n") + 1] or head
        tail = tail[tail.find(b"\n") + 1 :] or tail
        left_out = self._size - len(head) - len(tail)
        first, rest = head.decode(errors="ignore"), tail.decode(errors="ignore")
        between = "" if first.endswith("\n") else "\n"
        return f"{first}{between}[... {left_out} bytes left out ...]\n{rest}"

    def _write(self, data: bytes) -> None:
        if self.error is not None or not data:
            return
        try:
            if self._fd < 0:
                self._fd = os.open(self.path, _FLAGS, _MODE)
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            self.error = error

    def _close(self) -> None:
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        try:
            os.fsync(fd)
        except OSError as error:
            self.error = self.error or error
        finally:
            os.close(fd)


class Lines:
    r"""Makes clean text of what a terminal would be shown: no escapes, the last redraw of a line.

    Unlike `LineCleaner` it keeps empty lines and tabs.

    >>> lines = Lines()
    >>> lines.feed("a\r\n\n10%\r"), lines.feed("100%\nrest"), lines.finish()
    ('a\n\n', '100%\n', 'rest')
    """

    def __init__(self) -> None:
        self._cleaner = LineCleaner()
        self._rest = ""

    def feed(self, text: str) -> str:
        """Take in *text* and return what of it is in whole lines."""
        text = self._rest + text
        end = text.rfind("\n") + 1
        whole, self._rest = text[:end], text[end:]
        found = self._clean(whole) if whole else ""
        if len(self._rest) > LONGEST_LINE:
            found += self._cut()
        return found

    def finish(self) -> str:
        """Return what stands in a line that has no end."""
        rest, self._rest = self._rest, ""
        if not rest and self._cleaner.idle:
            return ""
        if self._cleaner.idle and _is_clean(rest):
            return rest
        lines = [*self._cleaner.feed(rest), *self._cleaner.finish()]
        return "\n".join(map(harmless, lines))

    def _clean(self, text: str) -> str:
        if self._cleaner.idle:
            if _is_clean(text):
                return text
            text = _COMMON.sub("", text)
            if _is_clean(text):
                return text
        # `splitlines` would also split where a terminal does not.
        return "".join(self._line(line + "\n") for line in text[:-1].split("\n"))

    def _line(self, line: str) -> str:
        body = line.removesuffix("\n")
        end = line[len(body) :]
        body = body.removesuffix("\r") if end else body
        if self._cleaner.idle and _CONTROLS.search(body) is None:
            return _harmless_but_tabs(body) + end
        found = self._cleaner.feed(body + end)
        return "".join(f"{harmless(text)}\n" for text in found)

    def _cut(self) -> str:
        """Return a part of a line that is too long to wait for its end."""
        parts = []
        while len(self._rest) > LONGEST_LINE:
            part, self._rest = self._rest[:LONGEST_LINE], self._rest[LONGEST_LINE:]
            parts.append(self._line(part))
        return "".join(parts)


def _is_clean(text: str) -> bool:
    """Return whether nothing in *text* is to be cleaned.  Cost: 1 ms a MB of ASCII."""
    if not text.isascii():
        return _TO_CLEAN.search(text) is None
    data = text.encode()
    return len(data.translate(None, _ASCII_CONTROLS)) == len(data)


def _harmless_but_tabs(text: str) -> str:
    return "\t".join(map(harmless, text.split("\t")))


class Secrets:
    """Takes secrets out of text that comes in pieces, also those that stand in two of them.

    Each line is looked at together with the one behind it; a private key as a whole.

    Args:
        redactor: Finds them.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = ""

    def feed(self, text: str, *, last: bool = False) -> Iterator[str]:
        """Take in *text*; yield what is free of secrets, at the latest when it is the *last*."""
        self._held += text
        while len(self._held) >= _BATCH or (last and self._held):
            at = self._safe_end()
            if at == 0 and not last and len(self._held) < _BATCH + _LONGEST_KEY:
                return
            at = at or len(self._held)
            ready, self._held = self._held[:at], self._held[at:]
            yield from self._scrubbed(ready)

    def _safe_end(self) -> int:
        """Return the end of what can be looked at without what is still to come; 0: nothing.

        It is at most a few times `_BATCH`, whatever there is.
        """
        text = self._held[: _BATCH + _LONGEST_KEY]
        begun = max(_KEY_BEGINS.finditer(text), key=re.Match.start, default=None)
        if begun is not None:
            most = begun.start() + _LONGEST_KEY
            if _KEY_ENDS.search(text, begun.end(), most) is None:
                # What has no end within the length of a key is hidden so far.
                return begun.start() or (most if len(text) >= most else 0)
        stripped = len(text.rstrip())
        at = text.rfind("\n", 0, stripped) + 1
        if stripped - at <= _LONGEST_SECRET:
            return self._before_names(text, at)
        found = re.search(r"\s\S*\Z", text[stripped - _LONGEST_SECRET : stripped])
        return stripped - _LONGEST_SECRET + (found.start() if found else 0)

    def _before_names(self, text: str, end: int) -> int:
        """Return where the lines before *end* begin that may name what stands in the next one.

        They wait for it, unless there are so many that no end of them is to be expected.
        """
        at = end
        for _ in range(_MOST_NAMES):
            stripped = len(text[:at].rstrip())
            begin = text.rfind("\n", 0, stripped) + 1
            if stripped - begin > _LONGEST_SECRET or not self._redactor.suspects(text[begin:at]):
                return at
            at = begin
        return end

    def _scrubbed(self, text: str) -> Iterator[str]:
        redactor = self._redactor
        if not redactor.suspects(text):
            yield text
        elif "PRIVATE KEY" in text:
            yield redactor.scrub(text)
        else:
            groups = list(_groups(text, _GROUP))
            for n, group in enumerate(groups):
                if not redactor.suspects(group):
                    yield group
                    continue
                # A value may stand in the line behind its name, and be a name itself.
                while n + 1 < len(groups) and groups[n + 1]:
                    head, groups[n + 1] = _first_line(groups[n + 1])
                    group += head  # noqa: PLW2901 - it grew
                    if not redactor.suspects(head):
                        break
                yield redactor.scrub(group)


def _groups(text: str, size: int) -> Iterator[str]:
    """Yield *text* in pieces of whole lines, each of about *size* characters or one line."""
    at, end = 0, len(text)
    while at < end:
        stop = text.find("\n", at + size) + 1 or end
        yield text[at:stop]
        at = stop


def _first_line(text: str) -> tuple[str, str]:
    """Return the first line that says something, with what is before it, and the rest."""
    begin = len(text) - len(text.lstrip())
    at = text.find("\n", begin) + 1 or len(text)
    return text[:at], text[at:]
