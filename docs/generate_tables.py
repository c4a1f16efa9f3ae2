#!/usr/bin/env python3
"""Write the generated parts of docs/trace-format.md: what the code and the vectors say.

generate_tables.py [--check]    --check writes nothing, exits 1 if the page would change
"""

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, cast

import generated_parts
import msgspec.inspect as shape

from replay.trace import events

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "trace-format.md"
VECTORS: Final = ROOT / "tests" / "vectors"
EXAMPLE: Final = VECTORS / "valid" / "minimal" / "audit"

_ATTRIBUTE: Final = re.compile(r"^    (\w+): (.*(?:\n     +.*)*)", re.MULTILINE)
_VALUES: Final = (
    events.Extent,
    events.Fragment,
    events.Parent,
    events.RegistryEnd,
    events.Process,
    events.ResourceUsage,
    events.Environment,
    events.GitState,
    events.Distributions,
)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def json_type(kind: shape.Type) -> str:
    """Return what *kind* is in JSON."""
    match kind:
        case shape.UnionType(types):
            return " or ".join(dict.fromkeys(map(json_type, types)))
        case shape.ListType(item):
            return f"array of {json_type(item)}"
        case shape.TupleType(items):
            return f"[{', '.join(map(json_type, items))}]"
        case shape.DictType(_, value):
            return f"object of {json_type(value)}"
        case shape.LiteralType(values):
            return " or ".join(f"`{json.dumps(value)}`" for value in values)
        case shape.StructType(cls):
            return f"[{cls.__name__}](#values-inside-events)"
    names = {
        shape.BoolType: "true or false",
        shape.IntType: "integer",
        shape.FloatType: "number",
        shape.StrType: "string",
        shape.NoneType: "null",
        shape.RawType: "any JSON",
        shape.AnyType: "any JSON",
    }
    return names[type(kind)]


def fields_of(cls: type[Any]) -> list[shape.Field]:
    """Return the fields of a Struct."""
    return list(cast("shape.StructType", shape.type_info(cls)).fields)


def sentence(cls: type[Any]) -> str:
    """Return the first paragraph of what *cls* says of itself."""
    return " ".join(inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].split())


def attributes(cls: type[Any]) -> dict[str, str]:
    """Return what *cls* says of its attributes, by name."""
    doc = inspect.cleandoc(cls.__doc__ or "")
    return {name: " ".join(text.split()) for name, text in _ATTRIBUTE.findall(doc)}


def named(field: shape.Field) -> str:
    """Return name and type of *field*; a question mark says that it may be absent."""
    kinds = json_type(field.type)
    if not field.required:
        kinds = kinds.removesuffix(" or null")
    return f"`{field.encode_name}`{'' if field.required else '?'} {kinds}"


def envelope() -> str:
    """Return the fields of every line, in the order in which they are written."""
    about = attributes(events.Event)
    fields = {field.encode_name: field for field in fields_of(events.Event)}
    order = [*fields]
    order.insert(order.index("pid"), "event_type")
    rows = []
    for name in order:
        kind, must, says = "string", True, "What the event is; see [Events](#events)."
        if name in fields:
            kind, must = (
                json_type(fields[name].type).removesuffix(" or null"),
                fields[name].required,
            )
            says = about[name]
        rows.append([f"`{name}`", kind, "MUST" if must else "MAY", says])
    return table(["field", "JSON", "", "meaning"], rows)


def event_types() -> str:
    """Return every event type with the fields beside the envelope."""
    common = {field.encode_name for field in fields_of(events.Event)}
    rows = []
    for name, cls in events.EVENT_TYPES.items():
        fields = [named(field) for field in fields_of(cls) if field.encode_name not in common]
        rows.append([f"`{name}`", ", ".join(fields) or "-", sentence(cls)])
    return table(["event_type", "fields", "says"], rows)


def values() -> str:
    """Return the objects inside events."""
    rows = [[cls.__name__, ", ".join(map(named, fields_of(cls))), sentence(cls)] for cls in _VALUES]
    return table(["value", "fields", "says"], rows)


def example(name: str) -> str:
    """Return one file of the vector `valid/minimal`."""
    return f"```json\n{(EXAMPLE / name).read_text()}```\n"


def vectors() -> str:
    """Return every vector that is kept, with the verdict and the findings it has to get."""
    rows = []
    for path in sorted(VECTORS.glob("*/*/expected.json"), key=lambda path: path.parts[-3:-1]):
        expected = json.loads(path.read_text())
        codes = dict.fromkeys(found["code"] for found in expected["findings"])
        rows.append(
            [
                f"`{path.parts[-3]}/{path.parts[-2]}`",
                expected["about"].replace("|", r"\|"),
                f"{expected['verdict']}, {expected['exit']}",
                " ".join(codes) or "-",
            ]
        )
    return table(["vector", "what it is", "verdict, exit", "codes"], rows)


PARTS: Final[dict[str, Callable[[], str]]] = {
    "envelope": envelope,
    "events": event_types,
    "values": values,
    "trace": lambda: example("step_04/trace_04.jsonl"),
    "registry": lambda: example("registry.jsonl"),
    "vectors": vectors,
}


def main() -> int:
    """Write the page, or say that it is out of date."""
    return generated_parts.main(PAGE, lambda name: PARTS[name](), description=__doc__)


if __name__ == "__main__":
    sys.exit(main())
