"""The one form in JSON of values that JSON does not have: dates, paths, decimals, arrays, records.

`form_of` takes one step: from a value to a text, a number, a list or a dict, whose items
`observability.values` looks at in turn.  The table is docs/values.md.  Nothing is written by its
`repr`, which may hold an address.  No package is imported for the sake of its types: values of
numpy, pandas, pydantic, attrs or msgspec are there only where the program has loaded them.
"""

import operator
import os
import sys
from collections.abc import Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID


class Lossy(NamedTuple):
    """A text that does not give its value back, or that says there is none: NaT, pandas.NA.

    Attributes:
        text: What the calls of older programs write.
        what: What the value is, for the refusal of all other calls.
    """

    text: str
    what: str


class NoFormError(TypeError):
    """A value has no form in JSON; the text says what to give instead, or is empty."""


HIDDEN: Final = "[REDACTED:secret]"

_MICROSECOND: Final = timedelta(microseconds=1)
_DAY: Final = 86_400  # seconds
_MOST_ITEMS: Final = 1 << 19  # of an array: no line holds more, and each becomes an object
_PLAIN_KINDS: Final = "biuU"  # of numpy: booleans, integers, texts
_FLOAT64_SIZE: Final = 8  # bytes
# Units of numpy, in attoseconds; years and months have no length.
_ATTOSECONDS: Final = {
    "W": 7 * _DAY * 10**18,
    "D": _DAY * 10**18,
    "h": 3_600 * 10**18,
    "m": 60 * 10**18,
    "s": 10**18,
    "ms": 10**15,
    "us": 10**12,
    "ns": 10**9,
    "ps": 10**6,
    "fs": 10**3,
    "as": 1,
}
_NETWORK: Final = (
    "IPv4Address",
    "IPv4Interface",
    "IPv4Network",
    "IPv6Address",
    "IPv6Interface",
    "IPv6Network",
)


def form_of(value: Any) -> Any:
    """Return what stands for *value*: a str, int, float, bool, list or dict, or a `Lossy`.

    The items of a list or dict may need a form themselves.

    Raises:
        NoFormError: There is none.
        Exception: Whatever code of the value's own type raises.
    """
    if isinstance(value, date | time):  # a datetime is a date
        missing = value is _loaded("pandas", "NaT")
        return Lossy("NaT", "no time (NaT)") if missing else value.isoformat()
    if isinstance(value, timedelta):
        return _duration(*_length(value))
    if isinstance(value, Decimal):
        return str(value) if value.is_finite() else _not_finite(value)
    if isinstance(value, os.PathLike):
        return os.fsdecode(os.fspath(value))
    if _is(value, "numpy", "generic"):
        return _numpy_scalar(value)
    if _is(value, "numpy", "ndarray"):
        return _numpy_array(value)
    if value is _loaded("pandas", "NA"):
        return Lossy("<NA>", "no value (NA)")
    if isinstance(value, UUID) or _is(value, "fractions", "Fraction"):
        return str(value)
    if _is(value, "ipaddress", *_NETWORK):
        return str(value)
    return _record(value)


def _loaded(module: str, name: str) -> Any:
    """Return what a module that the program has loaded calls *name*; a new object if none does."""
    return getattr(sys.modules.get(module), name, object())


def _is(value: Any, module: str, *names: str) -> bool:
    """Return whether *value* is of one of the types that a loaded module calls *names*."""
    found = sys.modules.get(module)
    if found is None:
        return False
    types = (getattr(found, name, None) for name in names)
    return isinstance(value, tuple(each for each in types if isinstance(each, type)))


# --- Times and numbers


def _length(value: timedelta) -> tuple[int, int]:
    """Return a length of time as a number of parts, and how many of them make a second."""
    if _is(value, "pandas", "Timedelta"):
        parts: Any = value
        parts = parts.components
        seconds = (parts.days * 24 + parts.hours) * 3_600 + parts.minutes * 60 + parts.seconds
        micros = (seconds * 1_000 + parts.milliseconds) * 1_000 + parts.microseconds
        return micros * 1_000 + parts.nanoseconds, 10**9
    # Subclasses give `days` and `//` meanings of their own.
    return timedelta.__floordiv__(value, _MICROSECOND), 10**6


def _duration(length: int, per_second: int) -> str:
    """Return a length of time as ISO 8601 writes it, in days and seconds.

    >>> _duration(90_000_500_000, 10**6), _duration(-1, 10**9), _duration(0, 1)
    ('P1DT3600.5S', '-PT0.000000001S', 'PT0S')
    """
    days, rest = divmod(abs(length), _DAY * per_second)
    seconds, part = divmod(rest, per_second)
    digits = str(part).zfill(len(str(per_second)) - 1).rstrip("0")
    day_text = f"{days}D" if days else ""
    time_text = f"T{seconds}{'.' if digits else ''}{digits}S" if rest or not days else ""
    return f"{'-' if length < 0 else ''}P{day_text}{time_text}"


def _not_finite(value: Decimal) -> Lossy:
    """Return NaN and the infinities by the names that floats have; a NaN may carry digits."""
    sign = "-" if value.is_signed() else ""
    return Lossy("NaN" if value.is_nan() else f"{sign}Infinity", f"number {value}")


def _numpy_scalar(value: Any) -> Any:
    kind = value.dtype.kind
    if kind == "b":
        return bool(value)
    if kind in "iu":
        return int(value)
    if kind == "f":
        number = float(value)
        # NaN is unequal to itself, and has a form as a float.
        inexact = number != value and number == number  # noqa: PLR0124
        return Lossy(str(value), f"number {value!s} beyond 64 bits") if inexact else number
    if kind in "mM" and bool(value != value):  # noqa: PLR0124 - NaT alone
        return Lossy("NaT", "no time (NaT)")
    if kind == "M":
        return str(value)
    if kind == "m":
        unit, count = sys.modules["numpy"].datetime_data(value.dtype)
        if unit in _ATTOSECONDS:
            return _duration(int(value.astype("int64")) * count * _ATTOSECONDS[unit], 10**18)
        raise NoFormError("years, months and bare numbers have no length; give a count")
    raise NoFormError


def _numpy_array(value: Any) -> Any:
    if _is(value, "numpy.ma", "MaskedArray"):
        raise NoFormError("say what stands for the masked values, with .filled(value)")
    if value.size > _MOST_ITEMS:
        raise NoFormError(f"{value.size} items; write them to a file, and node.output(path)")
    kind = value.dtype.kind
    if value.ndim == 0:
        return value.item() if kind == "O" else value[()]
    if kind in _PLAIN_KINDS or (kind == "f" and value.dtype.itemsize <= _FLOAT64_SIZE):
        return value.tolist()
    if kind == "V":
        raise NoFormError("give a dict of its fields, array[name].tolist()")
    return list(value)


# --- Records


def _record(value: Any) -> Any:
    """Return a record as a dict of its fields, and whatever else says by protocol what it is."""
    kind = type(value)
    if hasattr(kind, "get_secret_value"):  # pydantic.SecretStr and its relatives
        return HIDDEN
    if hasattr(kind, "__pydantic_serializer__") and hasattr(kind, "model_dump"):
        return value.model_dump(warnings=False)
    if hasattr(kind, "unicode_string"):  # pydantic.AnyUrl and its relatives
        return value.unicode_string()
    names = _field_names(kind)
    if names is not None:
        unset = _loaded("msgspec", "UNSET")
        fields = ((name, getattr(value, name)) for name in names)
        return {name: field for name, field in fields if field is not unset}
    try:
        return operator.index(value)  # an integer of some other numeric package
    except TypeError:
        raise NoFormError(_advice(value)) from None


def _field_names(kind: type) -> list[str] | None:
    """Return the names of the fields that a type declares, in order; None if it is no record."""
    if hasattr(kind, "__dataclass_fields__"):
        from dataclasses import fields

        return [field.name for field in fields(kind)]
    for declared in ("__attrs_attrs__", "__struct_fields__"):
        found = getattr(kind, declared, None)
        if isinstance(found, tuple):
            return [name if isinstance(name, str) else name.name for name in found]
    return None


def _advice(value: Any) -> str:
    if _is(value, "pandas", "DataFrame"):
        return "give .to_dict('list'), or write it to a file and record that with node.output"
    if _is(value, "pandas", "Series", "Index"):
        return "give .tolist(), or write it to a file and record that with node.output"
    if isinstance(value, Iterator):
        return "give list(...) of it"
    return ""
