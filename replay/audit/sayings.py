"""What events say about nodes, runs and outputs, taken down for later comparison."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from replay.audit.counts import Recount, Tally, terminal_fields
from replay.audit.facts import SEALING, Facts, Item, Output, Spot, State
from replay.audit.writers import converted
from replay.digest import json_digest


def act(facts: Facts, tally: Tally, fields: Mapping[str, Any], spot: Spot) -> None:
    """Take down what the event in *fields* says.

    Args:
        facts: Of the file.
        tally: Of the writer.
        fields: The event.
        spot: Where it stands.
    """
    action = _ACTIONS.get(fields["event_type"])
    if action is not None:
        action(facts, tally, fields, spot)


def _on_node(facts: Facts, tally: Tally, fields: Mapping[str, Any], spot: Spot) -> None:
    del spot
    tally.note(fields["event_type"].encode(), fields)
    digest = fields.get("output_hash")
    if digest is not None:
        # 16 digits of the caller's own making: nothing at hand says of what.
        facts.items.append(_item(fields, "unverified", expected=str(digest)))


def _on_start(facts: Facts, tally: Tally, fields: Mapping[str, Any], spot: Spot) -> None:
    del facts, spot
    tally.begin(fields["mono_us"], fields["epoch_seconds"])


def _on_end(facts: Facts, tally: Tally, fields: Mapping[str, Any], spot: Spot) -> None:
    tally.ended = True
    recount = Recount(tally, terminal_fields(fields), spot)
    if tally.partial or tally.behind is not None:
        copy = msgspec.structs.replace(tally, nodes=dict(tally.nodes))
        facts.recounts.append(msgspec.structs.replace(recount, tally=copy))
        return
    for code, message in recount.differences():
        facts.report(code, spot, message)


# What an `artifact_written` may leave out.
_ABSENT: Final = {
    "kind": "file",
    "size": None,
    "digest": None,
    "entries": None,
    "run_id": None,
    "node_id": None,
}


def _on_output(facts: Facts, tally: Tally, fields: Mapping[str, Any], spot: Spot) -> None:
    del tally
    if fields.get("role") == "output":
        record = converted({**_ABSENT, **fields, "spot": spot}, Output)
        if record is not None:
            facts.outputs.append(record)


def _on_result(facts: Facts, tally: Tally, fields: Mapping[str, Any], spot: Spot) -> None:
    del tally
    recorded = fields.get("digest")
    expected = recorded if isinstance(recorded, str) else None
    if "value" not in fields or expected is None:
        facts.items.append(_item(fields, "unverified", expected=expected))
        return
    actual = json_digest(fields["value"])
    state: State = "ok" if actual == expected else "changed"
    facts.items.append(_item(fields, state, expected=expected, actual=actual))
    if state == "changed":
        message = f"result: digest of the value is {actual}, recorded is {expected}"
        facts.report("output_changed", spot, message)


def _item(
    fields: Mapping[str, Any], state: State, *, expected: str | None, actual: str | None = None
) -> Item:
    return Item(
        path=None,
        state=state,
        expected=expected,
        actual=actual,
        run_id=fields.get("run_id"),
        node_id=fields.get("node_id"),
    )


def _on_seal(facts: Facts, tally: Tally, fields: Mapping[str, Any], spot: Spot) -> None:
    del tally, fields
    facts.sealing.append(spot.line)


_ACTIONS: Final[dict[str, Callable[[Facts, Tally, Mapping[str, Any], Spot], None]]] = {
    "workflow_start": _on_start,
    "workflow_complete": _on_end,
    "workflow_error": _on_end,
    "node_start": _on_node,
    "node_success": _on_node,
    "node_failure": _on_node,
    "node_skipped": _on_node,
    "artifact_written": _on_output,
    "node_result": _on_result,
    **dict.fromkeys(SEALING, _on_seal),
}
# As they stand in a line; events of any other type change nothing here.
ACTING: Final = frozenset(name.encode() for name in _ACTIONS)
