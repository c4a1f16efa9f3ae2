"""One walk over a payload in which something needs a change or a refusal, item by item.

`observability.values` takes this way where its quick look has found something; the values that
come out have JSON forms (`observability.forms`), no secrets, and share nothing with the caller's.
"""

import binascii
import contextlib
import math
import re
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Any, Final

import orjson

from observability.forms import Lossy, NoFormError, form_of
from observability.redaction.redact import Redactor
from replay.trace.line import MAX_DEPTH, MAX_INT

SURROGATE: Final = re.compile("[\ud800-\udfff]")
PAIR: Final = 2  # items of a list of which the first may name the second
VALUE_NAMES: Final = frozenset({"value", "Value"})  # keys beside which another one may be a name

_NAMES: Final = ("name", "key", "Name", "Key")
_SORTED: Final = orjson.OPT_SORT_KEYS
_HIDDEN: Final = "[REDACTED:key]"


class Walk:
    """A walk over one payload.

    Args:
        redactor: The rules, or None to redact nothing.
        lenient: Write as text what the format does not hold, instead of refusing it.

    Attributes:
        coerced: The paths at which that was done.
    """

    def __init__(self, redactor: Redactor | None, *, lenient: bool) -> None:
        self._redactor = redactor
        self._lenient = lenient
        self.coerced: list[str] = []

    def mapping(
        self, values: Mapping[Any, Any], path: str, depth: int = 1, *, secret: bool = False
    ) -> dict[str, Any]:
        """Return a mapping as it may be written.

        Args:
            values: Keys and values as the caller gave them.
            path: Where it stands in the payload, empty for the payload itself; in messages.
            depth: How deep, from 1.
            secret: A name further up says that nothing in it may be kept.

        Raises:
            ValueError: A value is out of range (unless lenient), or nested too deep.
            TypeError: A value has no JSON form, or a key is no str (unless lenient).
        """
        found: dict[str, Any] = {}
        called = None if VALUE_NAMES.isdisjoint(values) else named(values)
        for key, value in values.items():
            name = self._key(key, path)
            place = f"{path}.{name}" if path else name
            hidden = secret or self._is_secret(
                name if called is None or name not in VALUE_NAMES else called, value
            )
            found[_unique(name, found)] = self.value(value, name, place, depth, secret=hidden)
        return found

    def value(self, value: Any, key: str, path: str, depth: int, *, secret: bool) -> Any:
        """Return one value as it may be written; *key* is what it is called, else as `mapping`."""
        if isinstance(value, Enum):
            return self.value(value.value, key, path, depth, secret=secret)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return _HIDDEN if secret else self._text(str.__str__(value), key, path)
        if isinstance(value, int):
            return _HIDDEN if secret else self._int(int(value), path)
        if isinstance(value, float):
            return _HIDDEN if secret else self._float(float(value), path)
        if isinstance(value, Mapping):
            self._deeper(path, depth)
            return self.mapping(value, path, depth + 1, secret=secret)
        if isinstance(value, list | tuple):
            self._deeper(path, depth)
            return self._items(value, key, path, depth + 1, secret=secret)
        if isinstance(value, set | frozenset):
            return self._set(value, key, path, depth, secret=secret)
        if isinstance(value, bytes | bytearray | memoryview):
            return _HIDDEN if secret else self._bytes(bytes(value), key)
        return self._foreign(value, key, path, depth, secret=secret)

    def _items(
        self, values: Sequence[Any], key: str, path: str, depth: int, *, secret: bool
    ) -> list[Any]:
        """Return a list; the value of an option, and of a pair with a telling name, is hidden."""
        found: list[Any] = []
        hidden = False
        for n, item in enumerate(values):
            if hidden and isinstance(item, str) and item.startswith("--"):
                hidden = False
            found.append(self.value(item, key, f"{path}[{n}]", depth, secret=secret or hidden))
            if not isinstance(item, str) or self._redactor is None:
                hidden = False
            elif n == 0 and len(values) == PAIR and self._is_secret(item, values[1]):
                hidden = True
            else:
                hidden = self._redactor.hides_next(item)
        return found

    def _foreign(self, value: Any, key: str, path: str, depth: int, *, secret: bool) -> Any:
        """Return the JSON form of what JSON does not have, as docs/values.md has it."""
        form = _form(value, path)
        if isinstance(form, Lossy):
            if secret:
                return _HIDDEN
            if not self._lenient:
                raise ValueError(f"{path}: {form.what}, want a value that JSON has")
            self.coerced.append(path)
            return form.text
        if not isinstance(form, str | int | float | dict | list):
            # One more level, though nothing is nested: forms of forms must end.
            self._deeper(path, depth)
            depth += 1
        return self.value(form, key, path, depth, secret=secret)

    def _set(
        self, values: Collection[Any], key: str, path: str, depth: int, *, secret: bool
    ) -> list[Any]:
        """Return a set as a list in an order that does not depend on the process.

        Its items have no place, so their paths have no number.
        """
        self._deeper(path, depth)
        before = len(self.coerced)
        items = [self.value(item, key, f"{path}[]", depth + 1, secret=secret) for item in values]
        self.coerced[before:] = sorted(self.coerced[before:])
        return sorted(items, key=_order)

    def _bytes(self, raw: bytes, key: str) -> str:
        """Return bytes in base64 (RFC 4648), in which no rule would find a secret any more."""
        if self._redactor is not None:
            text = raw.decode("latin-1")
            if self._redactor.text(key, text) != text:
                return "[REDACTED:bytes]"
        return binascii.b2a_base64(raw, newline=False).decode()

    def _is_secret(self, name: str, value: Any) -> bool:
        if self._redactor is None or not self._redactor.names_secret(name):
            return False
        # PWD is the working directory of every shell.
        return not (name.lower().endswith("pwd") and str(value).startswith(("/", "~", ".")))

    def _key(self, key: Any, path: str) -> str:
        if isinstance(key, str):
            name = str.__str__(key)
            if self._redactor is not None:
                name = self._redactor.scrub(name)
            return whole(name) if self._lenient else self._whole_or_refused(name, path)
        name = self._key_form(key, path)
        self.coerced.append(f"{path}.{name}" if path else name)
        return name

    def _key_form(self, key: Any, path: str) -> str:
        """Return a key that is no text as text, where the call is one of older programs."""
        form = key.value if isinstance(key, Enum) else key
        if self._lenient and not (form is None or isinstance(form, int | float | str)):
            with contextlib.suppress(TypeError):
                form = _form(form, path)
        if self._lenient and isinstance(form, Lossy | str):
            text = form.text if isinstance(form, Lossy) else str.__str__(form)
            return whole(text if self._redactor is None else self._redactor.scrub(text))
        if not self._lenient or not (form is None or isinstance(form, int | float)):
            shown = f"key {key!r}" if key is None or isinstance(key, int | float) else "a key"
            raise TypeError(f"{path or 'payload'}: {shown} is {type(key).__name__}, want str")
        return _key_text(form)

    def _text(self, text: str, key: str, path: str) -> str:
        if self._redactor is not None:
            text = self._redactor.text(key, text)
        if text.isascii() or not SURROGATE.search(text):
            return str.__str__(text)
        if not self._lenient:
            return self._whole_or_refused(text, path)
        self.coerced.append(path)
        return whole(text)

    def _whole_or_refused(self, text: str, path: str) -> str:
        if SURROGATE.search(text):
            raise ValueError(f"{path or 'payload'}: a lone surrogate, want Unicode text")
        return text

    def _int(self, number: int, path: str) -> int | str:
        if -MAX_INT <= number <= MAX_INT:
            return number
        return self._refuse_or_text(path, "integer beyond 2^53 - 1", lambda: _decimal(number))

    def _float(self, number: float, path: str) -> float | str:
        if math.isfinite(number):
            return number
        return self._refuse_or_text(path, f"number {number}", lambda: _json_name(number))

    def _refuse_or_text(self, path: str, what: str, text: Any) -> str:
        if not self._lenient:
            raise ValueError(f"{path}: {what}, want a finite number within 2^53 - 1")
        self.coerced.append(path)
        return str(text())

    def _deeper(self, path: str, depth: int) -> None:
        # A cycle ends here too: no payload is nested without end.
        if depth >= MAX_DEPTH:
            raise ValueError(f"{path[:200]}: nested more than {MAX_DEPTH} deep in its line")


def _form(value: Any, path: str) -> Any:
    """Return one step towards JSON.

    Raises:
        TypeError: There is none, or the value's own code failed; names the place.
    """
    kind = type(value).__name__
    try:
        return form_of(value)
    except NoFormError as error:
        advice = f"; {error}" if str(error) else ""
        raise TypeError(f"{path or 'payload'}: got {kind}, want a JSON value{advice}") from None
    except Exception as error:
        raise TypeError(f"{path or 'payload'}: {kind} has no form: {error}") from error


def _order(form: Any) -> tuple[int, Any]:
    """Return where an item of a set stands: null, booleans, numbers, texts, and all else."""
    if form is None or isinstance(form, bool):
        return (0 if form is None else 1), form or False
    if isinstance(form, int | float):
        return 2, form
    return (3, form) if isinstance(form, str) else (4, orjson.dumps(form, option=_SORTED))


def named(values: Mapping[Any, Any]) -> str | None:
    """Return what a mapping calls its value: `{"name": "DB_PASSWORD", "value": "x"}`."""
    for key in _NAMES:
        name = values.get(key)
        if isinstance(name, str):
            return name
    return None


def _unique(name: str, taken: Mapping[str, Any]) -> str:
    """Return *name*, or one like it where two keys became one by redaction."""
    n, free = 1, name
    while free in taken:
        n += 1
        free = f"{name} ({n})"
    return free


def _key_text(key: float | None) -> str:
    """Return a key that is no text as Python's json module writes it."""
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, int):
        return _decimal(key)
    return repr(key) if math.isfinite(key) else _json_name(key)


def _decimal(number: int) -> str:
    """Return all digits; in base 16 where int.__str__ refuses (sys.set_int_max_str_digits)."""
    try:
        return str(number)
    except ValueError:
        return hex(number)


def _json_name(number: float) -> str:
    """Return NaN and the infinities as Python's json module calls them."""
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def whole(text: str) -> str:
    r"""Return *text* with each lone surrogate written as `\udcXX`."""
    return SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
