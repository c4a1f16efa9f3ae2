"""Fields of a live unit: what a program reads and sets, each change an event.

How the change is recorded is the unit's affair (`observability.reporting.recorder`).
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class Field(Generic[T]):
    """A field of a unit's state; setting it is an event.

    Args:
        read: What a program gets for what the state holds.
        write: What the state holds for what a program gives.
    """

    def __init__(
        self,
        read: Callable[[Any], T] | None = None,
        write: Callable[[Any, Any], Any] | None = None,
        *,
        name: str | None = None,
    ) -> None:
        self._read, self._write, self._name = read, write, name or ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = self._name or name

    @overload
    def __get__(self, unit: None, owner: type) -> Self: ...

    @overload
    def __get__(self, unit: Any, owner: type) -> T: ...

    def __get__(self, unit: Any, owner: type) -> Any:
        if unit is None:
            return self
        value = getattr(unit.state, self._name)
        return value if self._read is None or value is None else self._read(value)

    def __set__(self, unit: Any, value: Any) -> None:
        if self._write is None:
            raise AttributeError(f"{self._name} of a {type(unit).__name__} cannot be set")
        try:
            clean = self._write(unit, value)
        except TypeError as error:
            raise TypeError(f"{self._name}: {str(error).removeprefix(f'{self._name}: ')}") from None
        unit.edit(self._name, clean)


class Items:
    """A list of messages or checks; setting it replaces what is in it."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, unit: Any, owner: type) -> Any:
        return self if unit is None else unit.recorded_list(self._name)

    def __set__(self, unit: Any, items: Iterable[Any]) -> None:
        if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
            raise TypeError(f"{self._name}: got {type(items).__name__}, want a list")
        new = list(items)
        # `unit.notes += [...]` sets what it has changed already.
        if items is not unit.recorded_list(self._name):
            unit.record_list(self._name, lambda kept: kept.__setitem__(slice(None), new))


def a_text(unit: Any, value: Any, name: str = "") -> str:
    """Return a text that a program gives; *name* is for the message where it is none."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: got {type(value).__name__}, want str".removeprefix(": "))
    text: str = unit.clean_text(value)
    return text


def a_text_or_none(unit: Any, value: Any, name: str = "") -> str | None:
    """Return a text, or None."""
    return None if value is None else a_text(unit, value, name)


def a_percent(_: Any, value: Any) -> int:
    """Return a number as percent, 0 to 100."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 - NaN
        raise TypeError(f"percent: got {value!r}, want a number")
    return int(min(max(value, 0), 100))


def a_path(unit: Any, value: Any, name: str = "path") -> str:
    """Return a path as text; *name* is for the message where it is none."""
    if not isinstance(value, str | PurePath):
        raise TypeError(f"{name}: got {type(value).__name__}, want str or Path")
    text: str = unit.clean_text(str(Path(value)))
    return text


def an_output_path(unit: Any, value: Any) -> str | None:
    """Return where a report is to be saved as text, or None.

    Raises:
        TypeError: It is no path.
        ValueError: It is empty, or a dot: no file is there.
    """
    text = None if value is None else a_path(unit, value, "output_path")
    if text == ".":
        raise ValueError(
            f"output_path: got {str(value)!r}, the current folder; want the path of a file, or None"
        )
    return text


def a_time(_: Any, value: Any) -> str | None:
    """Return a time as a timestamp."""
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError(f"got {value!r}, want a datetime with its zone")
    return timestamp_of(value)


def timestamp_of(when: datetime) -> str:
    """Return a time as events have it: UTC, microseconds, `Z`."""
    return when.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class OwnField:
    """A field that a subclass of `ReportBase` has declared."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, unit: Any, owner: type) -> Any:
        return self if unit is None else (unit.state.fields or {}).get(self._name)

    def __set__(self, unit: Any, value: Any) -> None:
        if not hasattr(unit, "state"):
            raise TypeError(
                f"{type(unit).__name__}: {self._name} is set before the constructor of the report "
                "has run: call super().__init__(...) first, and leave @dataclass out, which "
                "replaces it; fields are declared by annotations alone"
            )
        clean = unit.clean_values({self._name: value})[self._name]
        unit.edit(f".{self._name}", clean)
