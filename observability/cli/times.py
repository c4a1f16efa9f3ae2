"""An instant as people type it: `2026-11-21T07:03:12Z`, or `10m`, `2h`, `3d` ago."""

import re
import time
from datetime import datetime, timedelta
from typing import Any, Final

import click

from replay.trace.line import utc_second

_AGO: Final = re.compile(r"([0-9]{1,9}) ?(s|m|h|d|w)")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_RFC_3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def timestamp_of(text: str, *, now_us: int) -> str:
    """Return the instant that *text* means as a timestamp of a trace.

    Args:
        text: RFC 3339 with a zone, or a whole number and one of `s m h d w` for so long ago.
        now_us: Microseconds since 1970.

    Raises:
        ValueError: It is neither, or no such day or hour exists.

    >>> timestamp_of("2026-11-21T08:03:12+01:00", now_us=0)
    '2026-11-21T07:03:12.000000Z'
    >>> timestamp_of("2h", now_us=1_763_708_592_000_000)
    '2025-11-21T05:03:12.000000Z'
    """
    if ago := _AGO.fullmatch(text):
        epoch_us = max(0, now_us - int(ago[1]) * _UNITS[ago[2]] * 1_000_000)
    elif _RFC_3339.fullmatch(text):
        since = datetime.fromisoformat(text.upper()) - _EPOCH
        epoch_us = max(0, since // timedelta(microseconds=1))
    else:
        raise ValueError("want 2026-11-21T07:03:12Z, or 30s, 10m, 2h, 3d, 1w for so long ago")
    second, micros = divmod(epoch_us, 1_000_000)
    return f"{utc_second(second).decode()}.{micros:06d}Z"


class TimeType(click.ParamType[str]):
    """An option's value that is an instant; the command gets a timestamp."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the timestamp, or refuse *value* as wrong usage."""
        try:
            return timestamp_of(value, now_us=time.time_ns() // 1000)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


TIME: Final = TimeType()
