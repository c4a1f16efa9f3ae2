"""Values on their way into a report and out of it: JSON here, Python's own types there."""

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path, PurePath
from typing import Any, Final
from uuid import UUID

import msgspec

from observability.reporting.fields import timestamp_of
from replay.fold.report.base import instant
from replay.fold.report.step import Check
from replay.fold.reviews import ReviewFlag
from replay.fold.status import TERMINAL

_TIMES: Final = frozenset({"started_at", "finished_at", "updated_at"})
_PATHS: Final = frozenset({"path", "output_path"})


class Status(StrEnum):
    """How a unit stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def pending(self) -> bool:
        """It has not begun."""
        return self is Status.PENDING

    @property
    def running(self) -> bool:
        """It has begun and not ended."""
        return self is Status.RUNNING

    @property
    def succeeded(self) -> bool:
        """It ended well."""
        return self is Status.SUCCEEDED

    @property
    def failed(self) -> bool:
        """It failed."""
        return self is Status.FAILED

    @property
    def skipped(self) -> bool:
        """It was not done."""
        return self is Status.SKIPPED

    @property
    def terminal(self) -> bool:
        """It has ended."""
        return self.value in TERMINAL


def as_json(value: Any) -> Any:
    """Return *value* with paths, times, ids and sets in it as JSON has them."""
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((as_json(item) for item in value), key=str)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return timestamp_of(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, PurePath | UUID):
        return str(value)
    if isinstance(value, Check | ReviewFlag):
        return msgspec.to_builtins(value)
    return value


def in_python(view: Any) -> Any:
    """Return a dump with times as datetimes, paths as Paths and statuses as `Status`."""
    if isinstance(view, list):
        return [in_python(item) for item in view]
    if not isinstance(view, dict):
        return view
    found: dict[str, Any] = {}
    for key, value in view.items():
        if key in _TIMES and isinstance(value, str):
            found[key] = instant(value)
        elif key in _PATHS and isinstance(value, str):
            found[key] = Path(value)
        elif key == "status":
            found[key] = Status(value)
        else:
            found[key] = in_python(value) if key in {"steps", "files"} else value
    return found


def without_none(view: Any) -> Any:
    """Return a dump without what is None in it."""
    if isinstance(view, dict):
        return {key: without_none(value) for key, value in view.items() if value is not None}
    return [without_none(item) for item in view] if isinstance(view, list) else view


def check_of(item: Any) -> Check:
    """Return *item*, a Check or the fields of one, as a Check.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(item, Mapping):
        item = Check(**item)
    if not isinstance(item, Check) or not isinstance(item.name, str):
        raise TypeError(f"checks: got {type(item).__name__}, want a Check")
    return Check(item.name, bool(item.ok), item.detail)
