"""The fields that a subclass of a report declares: which there are, and what they hold at first.

Reading and setting them is `observability.reporting.fields.OwnField`; what they hold stands in the
state of the unit, `fields`, under their names.
"""

import inspect
import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import orjson

from observability.reporting.dumps import as_json
from observability.reporting.fields import OwnField
from observability.reporting.process import PLAIN
from observability.reporting.unit import LiveUnit
from replay.fold.report.base import ReportBase

S = TypeVar("S", bound=ReportBase)

# By these JSON tells units of one kind from those of another.
_RESERVED: Final = frozenset({"checks", "files", "kind", "planned_steps", "remarks", "steps"})
_NO_FIELDS: Final = frozenset({"FIELDS", "KIND"})
_CLASS_VARIABLE: Final = re.compile(r"(typing\.|t\.)?ClassVar\b")


def declared(cls: type[LiveUnit], inherited: Mapping[str, Any]) -> dict[str, Any]:
    """Make the annotations of a new subclass fields of it; return all fields with their defaults.

    Args:
        cls: The subclass.
        inherited: Those of the class that it is derived from.

    Raises:
        TypeError: A report has such a name already, or a default is no JSON value.
    """
    own = {
        name: cls.__dict__.get(name)
        for name, kind in inspect.get_annotations(cls).items()
        if not name.startswith("_") and name not in _NO_FIELDS and not _is_of_the_class(kind)
    }
    taken = [name for name in sorted(own) if name not in inherited and _is_taken(cls, name)]
    if taken:
        raise TypeError(f"{cls.__name__}: {', '.join(taken)}: every report has that already")
    for name, default in own.items():
        own[name] = _clean_default(cls, name, default)
        setattr(cls, name, OwnField(name))
    return {**inherited, **own}


def filled(state: S, fields: Mapping[str, Any]) -> S:
    """Return a state that was loaded, with the defaults of the fields that it has not got."""
    if fields:
        copied: dict[str, Any] = orjson.loads(orjson.dumps(fields))
        state.fields = {**copied, **(state.fields or {})}
    return state


def _is_of_the_class(kind: Any) -> bool:
    text = kind if isinstance(kind, str) else str(kind)
    return _CLASS_VARIABLE.match(text) is not None


def _is_taken(cls: type[LiveUnit], name: str) -> bool:
    bases = (base for base in cls.__mro__[1:] if issubclass(base, LiveUnit))
    return name in _RESERVED or any(hasattr(base, name) for base in bases)


def _clean_default(cls: type[LiveUnit], name: str, default: Any) -> Any:
    try:
        return PLAIN.strict({name: as_json(default)})[name]
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{cls.__name__}: the default of {error}. A default is copied for each report, so a "
            "list or dict stands there as it is, without field(), and the class without @dataclass"
        ) from None
