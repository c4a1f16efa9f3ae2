"""A format file for lnav, the log file navigator: traces with levels, columns and operations.

It suits lnav 0.11 and newer.  The columns that `;SELECT ... FROM auditfold` knows come from the
declarations of events; here is only what a terminal shows of them.  The keys are those of the
lnav manual, "Log Formats".
"""

import json
from typing import Any, Final, cast

import msgspec.inspect as shape

from replay.show.json_schema import attributes
from replay.trace.events import EVENT_TYPES, Event
from replay.trace.line import GENESIS, Envelope, seal

NAME: Final = "auditfold"

# What stands for an event's severity: its type, and for a `message` the level it bears.
_LEVELS: Final = {
    "error": ("node_failure", "workflow_error", "error"),
    "warning": ("gap", "node_retry", "warning"),
    "info": ("note",),
    "debug": ("writer_opened", "writer_closed", "writer_settled"),
}
# Behind time and type; of texts without a space between them no event has two.
_COLUMNS: Final = (
    ("node_id",),
    ("message",),
    ("text", "reason"),
    ("path",),
    ("error",),
    ("duration_seconds",),
)
_IDENTIFIERS: Final = frozenset(
    {"event_type", "node_id", "run_id", "step_number", "workflow_id", "writer"}
)
_KINDS: Final = {
    shape.StrType: "string",
    shape.LiteralType: "integer",
    shape.IntType: "integer",
    shape.FloatType: "float",
    shape.BoolType: "boolean",
}


def lnav_format() -> dict[str, Any]:
    """Return the content of the file."""
    shown: list[Any] = [
        {"field": "__timestamp__", "timestamp-format": "%Y-%m-%d %H:%M:%S.%L"},
        " ",
        {"field": "event_type", "min-width": 17, "text-transform": "uppercase"},
    ]
    for names in _COLUMNS:
        shown += [" ", *({"field": name, "default-value": ""} for name in names)]
    columns = {part["field"] for part in shown if isinstance(part, dict)}
    return {
        "$schema": "https://lnav.org/schemas/format-v1.schema.json",
        NAME: {
            "title": "auditfold trace",
            "description": "Hash-chained events of workflow runs, one JSON object a line.",
            "file-pattern": r"(^|/)(trace_[^/]+|registry)\.jsonl",
            "json": True,
            "hide-extra": True,
            "line-format": shown,
            "level-field": "level",
            # Both count: the type of any event, then the level of a message.
            "level-pointer": "^/?event_type$",
            "level": {level: f"^({'|'.join(names)})$" for level, names in _LEVELS.items()},
            "timestamp-field": "timestamp",
            "opid-field": "run_id",
            "body-field": "message",
            "value": {
                name: _value(name, kind, about, hidden=name not in columns)
                for name, (kind, about) in _fields().items()
            },
            "sample": _samples(),
        },
    }


def _value(name: str, kind: str, about: str, *, hidden: bool) -> dict[str, Any]:
    value: dict[str, Any] = {"kind": kind}
    if about:
        value["description"] = about
    if name in _IDENTIFIERS:
        value["identifier"] = True
    elif kind in {"integer", "float"} and name not in {"duration_seconds", "total_time_seconds"}:
        value["foreign-key"] = True  # a number of something, not an amount to be drawn
    if hidden:
        value["hidden"] = True
    return value


def _fields() -> dict[str, tuple[str, str]]:
    """Return kind and meaning of every field of every event; types that differ are text."""
    found = {"event_type": ("string", "What the event is.")}
    classes: list[type[Event]] = [Event, *EVENT_TYPES.values()]
    for cls in classes:
        about = attributes(cls)
        for field in cast("shape.StructType", shape.type_info(cls)).fields:
            kind, said = _kind(field.type), about.get(field.name, "")
            before = found.setdefault(field.encode_name, (kind, said))
            if before[0] != kind:
                found[field.encode_name] = ("string", before[1])
    return found


def _kind(kind: shape.Type) -> str:
    """Return what lnav calls *kind*; objects, arrays and what may be anything are its `json`."""
    parts = kind.types if isinstance(kind, shape.UnionType) else (kind,)
    kinds = {
        _KINDS.get(type(part), "json") for part in parts if not isinstance(part, shape.NoneType)
    }
    if len(kinds) == 1:
        return kinds.pop()
    # A number that JSON cannot hold is a text; as a number the others can be compared.
    return "float" if kinds == {"float", "string"} else "string"


def _samples() -> list[dict[str, str]]:
    """Return right lines of a trace, with the level that each has."""
    envelope = Envelope(
        writer="20261121t070312-9f3a1c2e5b",
        workflow_id="step_04_resize",
        step_number="04",
        run_id="20261121-070312-k3f9x2",
    )
    events: list[tuple[str, dict[str, Any], bytes, str]] = [
        ("node_start", {}, b',"node_id":"a.txt"', "info"),
        ("message", {"level": "warning", "text": "slow disk"}, b',"node_id":"a.txt"', "warning"),
        ("node_failure", {"duration_seconds": 0.5, "error": "x"}, b',"node_id":"a.txt"', "error"),
    ]
    lines, previous = [], GENESIS
    for seq, (event_type, payload, head, level) in enumerate(events):
        body = envelope.encode(
            event_type,
            json.dumps(payload, separators=(",", ":")).encode(),
            head=head,
            seq=seq,
            epoch_us=1_795_244_592_000_000 + seq,
            mono_us=seq,
            pid=19410,
        )
        line, previous = seal(previous, body)
        lines.append({"line": line.decode().rstrip("\n"), "level": level})
    return lines
