"""Values nested in metadata, which are changed without a call: what is compared to see that."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from replay.trace.events import Captured, ExceptionRaised, MetadataChanged

# After these, metadata may hold something that is changed without a call.
FILL_METADATA: Final = frozenset({MetadataChanged, ExceptionRaised, Captured})


def has_nested(event: Any) -> bool:
    """Return whether what goes into metadata may hold something that is changed without a call."""
    if getattr(event, "lines", None) is not None:
        return True
    patch = getattr(event, "patch", None) or {}
    return any(type(value) is dict or type(value) is list for value in patch.values())


def known_of(metadata: Mapping[str, Any] | None) -> bytes | None:
    """Return what to compare metadata with; None if nothing in it is changed without a call."""
    nested = metadata and any(type(value) in {dict, list} for value in metadata.values())
    return orjson.dumps(metadata) if nested else None


def has_changed(metadata: Mapping[str, Any], known: bytes | None) -> bool:
    """Return whether metadata are not as they were when *known* was made of them."""
    return _json_or_none(metadata) != known


def changed_keys(metadata: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Return the keys whose values are not those of *before*."""
    return [
        key
        for key in metadata
        if key not in before or _json_or_none(metadata[key]) != orjson.dumps(before[key])
    ]


def _json_or_none(value: Any) -> bytes | None:
    try:
        return orjson.dumps(value)
    except TypeError:
        return None
