"""Bytes to events: decoding by the declaration, newer versions, and the older layout.

Traces of the older layout have no `v` and no `hash`, and naive local timestamps; their lines
become events here, cut into runs at `workflow_start` by (workflow_id, pid).
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import orjson

from replay.trace.events import ENVELOPE, EVENT_TYPES, VERSION, AnyEvent, Event, UnknownEvent
from replay.trace.folder import step_number
from replay.trace.line import LineError, utc_second

decode_event: Final = msgspec.json.Decoder(AnyEvent).decode

# What decoding raises for bytes that are no event; the last one for a line nested very deep.
NO_EVENT: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_YEAR_10000: Final = 253_402_300_800
_OLDER_NAMES: Final = ENVELOPE - {"hash"}


class NewerVersionError(Exception):
    """A right line of a format version that this program does not know."""

    def __init__(self, path: str, *, line: int, version: int) -> None:
        self.path, self.line, self.version = path, line, version
        super().__init__(
            f"{path}:{line}: format version {version}, this program knows {VERSION}; the "
            f"{line - 1} lines before it can be read. Upgrade: pip install -U auditfold"
        )


def version_of(fields: Mapping[str, Any]) -> int | None:
    """Return the format version that *fields* claim, None for a line of the older layout."""
    version = fields.get("v")
    return version if type(version) is int else None


def decode_unknown(line: bytes) -> Event:
    """Return the event in *line*, which `decode_event` refused; unknown types are kept.

    Raises:
        LineError: `malformed`: it is no JSON object, or fits no declaration.
    """
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise LineError("malformed", f"not JSON: {error}") from None
    if type(fields) is not dict:
        raise LineError("malformed", f"a JSON {type(fields).__name__}, want an object")
    name = fields.get("event_type")
    if not isinstance(name, str):
        raise LineError("malformed", "no event_type")
    rest = {key: value for key, value in fields.items() if key not in ENVELOPE}
    known = {key: value for key, value in fields.items() if key in ENVELOPE}
    try:
        if name in EVENT_TYPES:
            # From the line, not from `fields`: only that fills a field of raw JSON.
            event: Event = decode_event(line)
            return event
        return msgspec.convert(
            {**known, "event_type": "unknown", "name": name, "fields": rest}, UnknownEvent
        )
    except NO_EVENT as error:
        raise LineError("malformed", f"{name} does not fit its declaration: {error}") from None


def is_older(fields: Any) -> bool:
    """Return whether a parsed line is one of the older layout."""
    return (
        type(fields) is dict
        and "v" not in fields
        and isinstance(fields.get("event_type"), str)
        and isinstance(fields.get("timestamp"), str)
    )


def older_fields(line: bytes) -> dict[str, Any] | None:
    """Return what *line* says if it is one of the older layout, else None.

    That observer wrote what Python's json writes: NaN and infinities, and halves of surrogate
    pairs.  They are text here, as the writer of this version has them.
    """
    try:
        fields = None if line.startswith(b'{"v":') else orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            fields = _without_surrogates(json.loads(line, parse_constant=str))
        except (ValueError, RecursionError):
            return None
    return fields if is_older(fields) else None


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


class OlderLayout:
    """Turns the lines of one older trace into events, in order.

    A run begins at each `workflow_start`; its later lines are known by workflow and pid.  Lines
    before any `workflow_start` of theirs make a run of their own.
    """

    def __init__(self) -> None:
        self._runs: dict[tuple[str, int], str] = {}
        self._taken: set[str] = set()

    def event(self, fields: dict[str, Any], seq: int) -> Event:
        """Return *fields* as an event.

        Args:
            fields: A parsed line for which `is_older` holds.
            seq: 0-based number of the line in its file.

        Raises:
            LineError: `malformed`: a field does not fit its declaration.
        """
        workflow_id = str(fields.get("workflow_id", ""))
        pid = fields.get("pid", 0)
        pid = pid if type(pid) is int else 0
        epoch_us = _epoch_us(fields)
        key = (workflow_id, pid)
        if fields["event_type"] == "workflow_start" or key not in self._runs:
            self._runs[key] = self._run_id(epoch_us, pid, workflow_id)
        second, micros = divmod(epoch_us, 1_000_000)
        whole = {name: fields[name] for name in fields if name not in _OLDER_NAMES}
        whole.update(
            {name: fields[name] for name in ("node_id", "node_index", "message") if name in fields}
        )
        whole.update(
            v=VERSION,
            seq=seq,
            timestamp=f"{utc_second(second).decode()}.{micros:06d}Z",
            epoch_seconds=epoch_us / 1e6,
            mono_us=epoch_us,
            event_type=fields["event_type"],
            pid=pid,
            writer=f"older-{pid}",
            run_id=self._runs[key],
            workflow_id=workflow_id,
            step_number=step_number(workflow_id),
            hash="",
        )
        try:
            line = orjson.dumps(whole)
        except TypeError as error:
            raise LineError("malformed", f"nested too deep: {error}") from None
        return decode_unknown(line)

    def _run_id(self, epoch_us: int, pid: int, workflow_id: str) -> str:
        """Return an id made of what the older line has: start, step and process.

        One process may begin several steps within a second, each in a file of its own.
        """
        began = datetime.fromtimestamp(epoch_us // 1_000_000, UTC)
        base = f"{began:%Y%m%d-%H%M%S}-s{step_number(workflow_id)}p{pid}"
        run_id, n = base, 2
        while run_id in self._taken:
            run_id, n = f"{base}-{n}", n + 1
        self._taken.add(run_id)
        return run_id


def _epoch_us(fields: dict[str, Any]) -> int:
    """Return the instant of an older line: its `epoch_seconds`, else its local `timestamp`."""
    epoch = fields.get("epoch_seconds")
    # Not where it could be no date: before 1970, or behind the year 9999.
    if isinstance(epoch, int | float) and 0 < epoch < _YEAR_10000:
        return round(epoch * 1e6)
    try:
        return round(datetime.fromisoformat(fields["timestamp"]).timestamp() * 1e6)
    except (ValueError, OverflowError, OSError) as error:
        raise LineError("malformed", f"timestamp: {error}") from None
