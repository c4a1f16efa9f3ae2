"""What an enemy without the operator's key does to signatures; with the rest of `attacks`."""

import json
from collections.abc import Callable
from typing import Any, Final

import orjson

from observability.signing.keys import SigningKey, certify
from replay.audit.checkpoint import Checkpoint
from replay.audit.merkle import root
from replay.trace.line import GENESIS, seal, stored_hash
from tests.reliability.attacks import ATTACKS, REGISTRY, Case, Files, attack, lines_of, rest_of

__all__ = ["ATTACKS"]

_NAMES: Final = ("follows", "settled", "trace", "registry", "parent")
_SEALS: Final = frozenset({"key_rotated", "checkpoint"})

Event = dict[str, Any]
# An event, and the hashes of its writer's lines so far; None takes the event away.
Change = Callable[[Event, list[str]], Event | None]


def remade(case: Case, change: Change) -> Files:
    """Change the events of all traces, and make all numbers and hashes in the folder anew."""
    written = []
    for name, data in case.files.items():
        for n, line in enumerate(lines_of(data)):
            fields = json.loads(line)
            written.append((fields["mono_us"], name == REGISTRY, name, n, line, fields))
    reach: dict[str, tuple[int, str]] = {}  # what named a line, and what names it now
    made: dict[str, list[bytes]] = {name: [] for name in case.files}
    last = dict.fromkeys(case.files, GENESIS)
    hashes: dict[str, list[str]] = {}
    for _, _, name, _, line, fields in sorted(written, key=lambda one: one[:4]):
        writer = fields["writer"]
        changed = fields if name == REGISTRY else change(fields, hashes.setdefault(writer, []))
        if changed is not None:
            changed["seq"] = len(made[name])
            del changed["hash"]
            for named in filter(None, map(changed.get, _NAMES)):
                _name_anew(named, reach, made)
            sealed, last[name] = seal(last[name], orjson.dumps(changed)[:-1])
            made[name].append(sealed)
            if name != REGISTRY:
                hashes[writer].append(last[name].decode())
        reach[(stored_hash(line) or b"").decode()] = len(made[name]), last[name].decode()
    return {name: b"".join(made[name]) + rest_of(data) for name, data in case.files.items()}


def _name_anew(
    named: dict[str, Any], reach: dict[str, tuple[int, str]], made: dict[str, list[bytes]]
) -> None:
    """Let what names lines name them as they are now."""
    named["lines"], named["hash"] = reach.get(named["hash"], (named["lines"], named["hash"]))
    if named.get("fragment"):
        named["fragment"]["offset"] = sum(map(len, made[named["path"]]))


def _some_writer(case: Case) -> str:
    """Return a writer that has signed its end."""
    events = [json.loads(line) for name in case.traces() for line in lines_of(case.files[name])]
    return str(case.rng.choice([e["writer"] for e in events if e["event_type"] == "checkpoint"]))


@attack(found="complete", kept=True, signed=True)
def strip_the_signing(case: Case) -> Files:
    """Take away all that signs, from all files, and make all hashes anew."""

    def change(event: Event, _: list[str]) -> Event | None:
        event.pop("signing", None)
        return None if event["event_type"] in _SEALS else event

    return remade(case, change)


@attack("unsealed", signed=True)
def strip_a_checkpoint(case: Case) -> Files:
    """Take away a writer's checkpoints, and make all hashes anew."""
    writer = _some_writer(case)

    def change(event: Event, _: list[str]) -> Event | None:
        mine = event["writer"] == writer
        return None if mine and event["event_type"] == "checkpoint" else event

    return remade(case, change)


@attack("unsealed", signed=True)
def strip_a_key(case: Case) -> Files:
    """Take away the lines that name a writer's next keys, and make all hashes anew."""
    writer = _some_writer(case)

    def change(event: Event, _: list[str]) -> Event | None:
        mine = event["writer"] == writer
        return None if mine and event["event_type"] == "key_rotated" else event

    return remade(case, change)


@attack("unsealed", signed=True)
def keep_the_signatures(case: Case) -> Files:
    """Change an event, leave all notes as they are, and make all hashes anew."""
    events = [json.loads(line) for name in case.traces() for line in lines_of(case.files[name])]
    chosen = case.rng.choice([e["n"] for e in events if e["event_type"] == "tick"])

    def change(event: Event, _: list[str]) -> Event:
        return {**event, "text": "forged"} if event.get("n") == chosen else event

    return remade(case, change)


@attack(found="complete", kept=True, signed=True)
def sign_by_another_operator(case: Case) -> Files:
    """Change an event, and sign everything anew by keys of one's own, under the same names."""
    operator = SigningKey.new("ops.example")
    return _signed_anew(case, lambda key, writer: certify(key, operator, writer=writer))


@attack("unsealed", signed=True)
def sign_under_the_old_certificates(case: Case) -> Files:
    """The same, with the genuine certificates left as they are."""
    return _signed_anew(case, None)


def _signed_anew(case: Case, certificate: Callable[[SigningKey, str], str] | None) -> Files:
    keys: dict[str, SigningKey] = {}

    def change(event: Event, hashes: list[str]) -> Event:
        writer, kind = event["writer"], event["event_type"]
        name = f"auditfold/{writer}"
        if kind == "tick":
            event["text"] = "forged"
        elif kind == "writer_opened":
            keys[writer] = SigningKey.new(name)
            event["signing"]["key"] = str(keys[writer].verifier)
            if certificate is not None:
                event["signing"]["certificate"] = certificate(keys[writer], writer)
        elif kind == "key_rotated":
            keys[f"next of {writer}"] = SigningKey.new(name)
            event["key"] = str(keys[f"next of {writer}"].verifier)
        elif kind == "checkpoint":
            text = Checkpoint(name, len(hashes), root(hashes)).text()
            current, keys[writer] = keys[writer], keys[f"next of {writer}"]
            event["note"] = f"{text}\n{current.sign(text)}{keys[writer].sign(text)}"
        return event

    return remade(case, change)


@attack("unsealed", signed=True)
def swap_two_notes(case: Case) -> Files:
    """Put the note of one writer in the place of another one's, and make all hashes anew."""
    notes = [
        (event["writer"], event["note"])
        for name in case.traces()
        for event in map(json.loads, lines_of(case.files[name]))
        if event["event_type"] == "checkpoint"
    ]
    (one, his), (other, its) = case.rng.sample(notes, 2)

    def change(event: Event, _: list[str]) -> Event:
        if event["event_type"] == "checkpoint" and event["writer"] in {one, other}:
            event["note"] = its if event["writer"] == one else his
        return event

    return remade(case, change)
