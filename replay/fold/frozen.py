"""The state of a run as bytes, and as plain data for a snapshot, and back."""

from typing import Any, Final

import msgspec

from replay.fold.instant import Instant, instant_of
from replay.fold.nodes import NodeMark, nodes_of
from replay.fold.run import RunState
from replay.trace.events import Seconds

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(RunState).decode


def freeze(state: RunState) -> bytes:
    """Return *state* as bytes, a tenth of the size of its objects; `thaw` is the inverse."""
    state.last = instant_of(state.last)
    return _encode(state)


def thaw(frozen: bytes) -> RunState:
    """Return the state that `freeze` was given."""
    state = _decode(frozen)
    state.last = msgspec.convert(state.last, Instant)
    return state


def dump(state: RunState) -> dict[str, Any]:
    """Return *state* as plain data that JSON can hold; `load` is the inverse."""
    plain = {name: getattr(state, name) for name in RunState.__struct_fields__}
    plain["last"] = instant_of(state.last)
    plain["nodes"] = [
        (node_id, node.index, node.status, node.duration) for node_id, node in nodes_of(state)
    ]
    return plain


def load(plain: dict[str, Any]) -> RunState:
    """Return the state that `dump` was given.

    Raises:
        msgspec.ValidationError: It was given none.
    """
    rows = msgspec.convert(plain["nodes"], list[tuple[str | None, int | None, str, Seconds | None]])
    state = msgspec.convert({**plain, "nodes": {}}, RunState)
    state.last = msgspec.convert(state.last, Instant)
    for node_id, index, status, duration in rows:
        node = NodeMark(index, status, duration)
        head = state.nodes.setdefault(node_id, node)
        if head is not node:
            if head.others is None:
                head.others = {}
            head.others[index] = node
    return state
