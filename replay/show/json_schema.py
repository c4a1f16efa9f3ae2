"""JSON Schema (2020-12) of events and of the report, made from their declarations.

Types come from the Structs of `replay.trace.events` and `replay.show.report_shape`, what they
mean from their docstrings; nothing is said twice.  Readers keep unknown keys and event types, so
the schemas allow them.  Hashes, order, size and depth of a line are no matter of a schema:
`replay.audit` checks them.
"""

import inspect
import re
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec.inspect as shape

from replay.show.report_shape import Report
from replay.trace.events import EVENT_TYPES, VERSION, Event

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_EVENT_NAME: Final = "event_type"
_ATTRIBUTE: Final = re.compile(r"^    (\w+): (.*(?:\n     +.*)*)", re.MULTILINE)
_SECTION: Final = "\n\nAttributes:\n"
_UNKNOWN: Final = "AnyOtherEvent"

# What a type cannot say of an envelope field; docs/trace-format.md, "Line".
_FORMS: Final = {
    "hash": {"pattern": "^[0-9a-f]{64}$"},
    "timestamp": {
        "format": "date-time",
        "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z$",
    },
}


def event_schema() -> Schema:
    """Return the schema of a line: one alternative an event type, and one for unknown types."""
    defs: dict[str, Schema] = {}
    for name, cls in EVENT_TYPES.items():
        _define_event(name, cls, defs)
    other = _struct(Event, defs)
    other["description"] = "An event of a type that this version does not know."
    defs[_UNKNOWN] = _with_event_type(other, {"type": "string", "not": {"enum": [*EVENT_TYPES]}})
    return {
        "$schema": DIALECT,
        "$id": f"urn:auditfold:event:{VERSION}",
        "title": f"auditfold event, format version {VERSION}",
        "description": "One line of a trace.",
        "oneOf": [_ref(cls.__name__) for cls in EVENT_TYPES.values()] + [_ref(_UNKNOWN)],
        "$defs": defs,
    }


def event_type_schema(event_type: str) -> Schema:
    """Return the schema of the lines of one type.

    Raises:
        KeyError: There is no event type of that name.
    """
    defs: dict[str, Schema] = {}
    cls = EVENT_TYPES[event_type]
    _define_event(event_type, cls, defs)
    own = defs.pop(cls.__name__)
    return {
        "$schema": DIALECT,
        "$id": f"urn:auditfold:event:{VERSION}:{event_type}",
        "title": f"auditfold event {event_type}, format version {VERSION}",
        **own,
        **({"$defs": defs} if defs else {}),
    }


def report_schema() -> Schema:
    """Return the schema of `report_XX.json` and of `auditfold show --json`."""
    defs: dict[str, Schema] = {}
    return {
        "$schema": DIALECT,
        "$id": "urn:auditfold:report:1",
        "title": "auditfold report",
        **_struct(Report, defs),
        "$defs": defs,
    }


def _define_event(name: str, cls: type[Any], defs: dict[str, Schema]) -> None:
    defs[cls.__name__] = _with_event_type(_struct(cls, defs), {"const": name})


def _with_event_type(schema: Schema, want: Schema) -> Schema:
    """Return *schema*, of an event, with its tag: msgspec keeps it apart from the fields."""
    schema["properties"] = {_EVENT_NAME: want, **schema["properties"]}
    schema["required"] = [_EVENT_NAME, *schema["required"]]
    return schema


def _struct(cls: type[Any], defs: dict[str, Schema]) -> Schema:
    """Return the object that *cls* declares; what stands in it goes to *defs*."""
    about = attributes(cls)
    properties: dict[str, Schema] = {}
    required = []
    for field in cast("shape.StructType", shape.type_info(cls)).fields:
        name = field.encode_name
        said = {"description": about[field.name]} if field.name in about else {}
        forms = _FORMS.get(name, {}) if issubclass(cls, Event) else {}
        properties[name] = {**said, **_type(field.type, defs), **forms}
        if field.required:
            required.append(name)
    text = inspect.cleandoc(cls.__doc__ or "").split(_SECTION)[0].split("\n\n")
    return {
        "description": "\n\n".join(" ".join(paragraph.split()) for paragraph in text),
        "type": "object",
        "properties": properties,
        "required": required,
    }


def attributes(cls: type[Any]) -> dict[str, str]:
    """Return what *cls* and the classes it comes from say of their attributes, by name."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        doc = inspect.cleandoc(base.__doc__ or "")
        found |= {name: " ".join(text.split()) for name, text in _ATTRIBUTE.findall(doc)}
    return found


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _type(kind: shape.Type, defs: dict[str, Schema]) -> Schema:
    made = _MAKERS.get(type(kind))
    if made is None:
        raise TypeError(f"no JSON Schema for {type(kind).__name__}: {kind}")
    return made(kind, defs)


def _number(name: str) -> Callable[[Any, dict[str, Schema]], Schema]:
    def made(kind: Any, defs: dict[str, Schema]) -> Schema:
        del defs
        bounds = {"minimum": kind.ge, "maximum": kind.le}
        return {"type": name} | {key: value for key, value in bounds.items() if value is not None}

    return made


def _simple(schema: Schema) -> Callable[[Any, dict[str, Schema]], Schema]:
    return lambda _kind, _defs: dict(schema)


def _union(kind: shape.UnionType, defs: dict[str, Schema]) -> Schema:
    parts = [_type(part, defs) for part in kind.types]
    if len(parts) == 1:
        return parts[0]
    if all(part.keys() == {"type"} for part in parts):
        return {"type": [part["type"] for part in parts]}
    return {"anyOf": parts}


def _list(kind: Any, defs: dict[str, Schema]) -> Schema:
    return {"type": "array", "items": _type(kind.item_type, defs)}


def _tuple(kind: shape.TupleType, defs: dict[str, Schema]) -> Schema:
    items = [_type(item, defs) for item in kind.item_types]
    return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}


def _dict(kind: shape.DictType, defs: dict[str, Schema]) -> Schema:
    return {"type": "object", "additionalProperties": _type(kind.value_type, defs)}


def _literal(kind: shape.LiteralType, defs: dict[str, Schema]) -> Schema:
    del defs
    return {"const": kind.values[0]} if len(kind.values) == 1 else {"enum": list(kind.values)}


def _struct_ref(kind: shape.StructType, defs: dict[str, Schema]) -> Schema:
    name = kind.cls.__name__
    if name not in defs:
        defs[name] = {}  # it may stand in itself
        defs[name] = _struct(kind.cls, defs)
    return _ref(name)


_MAKERS: Final[dict[type, Callable[[Any, dict[str, Schema]], Schema]]] = {
    shape.AnyType: _simple({}),
    shape.RawType: _simple({}),
    shape.BoolType: _simple({"type": "boolean"}),
    shape.StrType: _simple({"type": "string"}),
    shape.NoneType: _simple({"type": "null"}),
    shape.IntType: _number("integer"),
    shape.FloatType: _number("number"),
    shape.UnionType: _union,
    shape.ListType: _list,
    shape.TupleType: _tuple,
    shape.DictType: _dict,
    shape.LiteralType: _literal,
    shape.StructType: _struct_ref,
}
