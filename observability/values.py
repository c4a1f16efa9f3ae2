"""The gate for what a caller gave: JSON values in range, secrets gone, nothing shared.

`strict` refuses what the format does not hold; `lenient`, for calls that older programs make,
writes it as text and says where.  Both return values that no later change by the caller reaches,
once they are encoded.
"""

import sys
from collections.abc import Mapping
from typing import Any, Final

import orjson

from observability.redaction.redact import Redactor
from observability.walk import PAIR, SURROGATE, VALUE_NAMES, Walk, named, whole
from replay.trace.line import MAX_DEPTH, MAX_INT, MAX_LINE

MAX_PAYLOAD: Final = MAX_LINE - 4096  # bytes; the envelope with the longest ids is below 3 KiB

_OPTIONS: Final = (
    orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
_SCALARS: Final = frozenset({bool, type(None)})
_REMEMBERED: Final = 10_000  # keys and ids, so that hostile ones cannot fill memory


def encode(payload: Mapping[str, Any]) -> bytes:
    """Return a *payload* that passed the gate as JSON."""
    try:
        return orjson.dumps(payload, option=_OPTIONS)
    except TypeError:
        # A key of a subclass of str that equals a remembered one: the gate cannot tell them.
        walked = Walk(None, lenient=False).mapping(payload, "")
        return orjson.dumps(walked, option=_OPTIONS)


class EventTooLongError(ValueError):
    """An event that no line takes.

    Attributes:
        where: Its type, or what in it is too long.
        got: Bytes of its payload, about.
        want: Bytes that it may have.
        key: The largest key.

    Args:
        where: Its type, or what in it is too long.
        payload: What it was to say.
    """

    def __init__(self, where: str, payload: Mapping[str, Any]) -> None:
        sizes = {key: len(encode({key: value})) for key, value in payload.items()}
        self.where = where
        self.got, self.want = sum(sizes.values()), MAX_PAYLOAD
        self.key = max(sizes, key=sizes.__getitem__)
        super().__init__(
            f"{where}: {self.got} bytes, want at most {MAX_PAYLOAD}; the largest key "
            f"is {self.key[:200]!r} with {sizes[self.key]} bytes. Write it to a file and record "
            "that with node.output(path)"
        )


class Gate:
    """Checks and redacts payloads.

    Args:
        redactor: The rules, or None to redact nothing.

    Cost: 0.4 us for a payload of short values in which nothing needs a change, 2 us more for
    each 100 characters of free text.
    """

    def __init__(self, redactor: Redactor | None) -> None:
        self._redactor = redactor
        self._plain_keys: set[str] = set()
        self._plain_ids: set[str] = set()
        self._ask = redactor is not None and redactor.ask is not None
        # Without rules no text is long enough to be suspected.
        self._shortest = sys.maxsize if redactor is None else redactor.shortest
        self._suspects = (lambda _: False) if redactor is None else redactor.suspects

    def text(self, key: str, text: str) -> str:
        """Return one text as it may be kept: no secret, no lone surrogate.

        Raises:
            TypeError: It is no str.
        """
        if not isinstance(text, str):
            raise TypeError(f"{key}: got {type(text).__name__}, want str")
        if self._redactor is not None:
            text = self._redactor.text(key, text)
        if type(text) is not str:
            text = str.__str__(text)
        return text if text.isascii() else whole(text)

    def name(self, key: str, text: str) -> str:
        """Return an id as it may be kept; like `text`, but remembers those that stay.

        Raises:
            TypeError: It is no str.
        """
        if text in self._plain_ids:
            return text
        kept = self.text(key, text)
        if kept is text and not self._ask:
            if len(self._plain_ids) >= _REMEMBERED:
                self._plain_ids.clear()
            self._plain_ids.add(text)
        return kept

    def strict(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return *payload* as it may be written.

        Raises:
            ValueError: A number is not finite or beyond 2^53 - 1, a text holds a lone
                surrogate, or it is nested too deep; names the key.
            TypeError: A value has no JSON form, or a key is no str; names the key.
        """
        if type(payload) is dict and self._is_plain(payload, 1):
            return payload
        return Walk(self._redactor, lenient=False).mapping(payload, "")

    def lenient(self, payload: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return *payload* in JSON form, and the paths at which something was written as text.

        Raises:
            TypeError: A value has no JSON form; names the key.
            ValueError: It is nested too deep.
        """
        if self._is_plain(payload, 1):
            return payload, []
        walk = Walk(self._redactor, lenient=True)
        return walk.mapping(payload, ""), walk.coerced

    def _is_plain(self, value: Any, depth: int) -> bool:  # noqa: C901, PLR0912 - one loop: the hot path
        """Return whether a dict or list can be encoded as it is; never wrong when true."""
        if depth > MAX_DEPTH or self._ask:
            return False
        if type(value) is dict:
            if not self._plain_keys.issuperset(value) and not self._plain_names(value):
                return False
            value = value.values()
        elif self._tells_secret(value):
            return False
        for item in value:
            kind = type(item)
            if kind is str:
                if len(item) >= self._shortest and self._suspects(item):
                    return False
                if not item.isascii() and SURROGATE.search(item):
                    return False
            elif kind is float:
                if item - item != 0.0:  # NaN and the infinities only
                    return False
            elif kind is int:
                if not -MAX_INT <= item <= MAX_INT:
                    return False
            elif kind is dict or kind is list:
                if not self._is_plain(item, depth + 1):
                    return False
            elif kind not in _SCALARS:
                return False
        return True

    def _plain_names(self, values: dict[Any, Any]) -> bool:
        """Return whether all keys are texts that name no secret; remembers those that do not."""
        for key in values:
            if type(key) is not str or (not key.isascii() and SURROGATE.search(key)):
                return False
            if len(key) >= self._shortest and self._suspects(key):
                return False
            if self._redactor is not None and self._redactor.names_secret(key):
                return False
            if key in VALUE_NAMES:  # never remembered: another key beside it may be a name
                if self._names_secret(named(values)):
                    return False
            elif len(self._plain_keys) < _REMEMBERED:
                self._plain_keys.add(key)
        return True

    def _tells_secret(self, items: list[Any]) -> bool:
        """Return whether an item of a list says that the next one is a secret."""
        if len(items) == PAIR and self._names_secret(items[0]):
            return True
        return self._redactor is not None and any(
            type(item) is str and item.startswith("--") and self._redactor.hides_next(item)
            for item in items
        )

    def _names_secret(self, name: Any) -> bool:
        return (
            type(name) is str and self._redactor is not None and self._redactor.names_secret(name)
        )
