"""What an attempt ran, where it ran a program: its part of a report.

`replay.fold.run_report` applies the events and has the rest; docs/exec.md says where they come
from.
"""

from typing import Any, Final

import msgspec

from replay.trace.events import ArtifactRead, Captured, NodeFailed, NodeStarted, NodeSucceeded

_TAIL: Final = 2_000  # characters of its output that a report holds


class Ran(msgspec.Struct, gc=False, kw_only=True):
    """A program that an attempt ran, or files that it read.

    Attributes:
        command: The program and its arguments.
        variables: Variables of its environment that were recorded.
        exit_status: What it returned.
        signal: What ended it, if it did not return.
        inputs: What it was to read.
        captured: What it printed: where that is, and its last lines.
    """

    command: list[str] | None = None
    variables: dict[str, str | None] | None = None
    exit_status: int | None = None
    signal: str | None = None
    inputs: list[dict[str, Any]] = []
    captured: list[dict[str, Any]] = []


def begun(event: NodeStarted) -> Ran | None:
    """Return what an attempt runs from now on; None if it is no program."""
    if event.command is None:
        return None
    return Ran(command=event.command, variables=event.variables)


def ended(ran: Ran, event: NodeSucceeded | NodeFailed) -> None:
    """Note how the program ended."""
    ran.exit_status, ran.signal = event.exit_status, event.signal


def read(ran: Ran, event: ArtifactRead) -> None:
    """Note what it was to read."""
    ran.inputs.append(
        {"path": event.path, "size": event.size, "digest": event.digest, "kind": event.kind}
    )


def printed(ran: Ran, event: Captured) -> None:
    """Note what it printed; the whole text stays in the trace and in its file."""
    tail = None if event.text is None else event.text[-_TAIL:]
    if tail is not None and event.text is not None and len(tail) < len(event.text):
        tail = tail.partition("\n")[2] or tail
    ran.captured.append(
        {
            "stream": event.stream,
            "size": event.size,
            "truncated": event.truncated,
            "binary": event.binary,
            "path": event.path,
            "digest": event.digest,
            "tail": tail,
        }
    )


def view(ran: Ran | None) -> dict[str, Any]:
    """Return it as a report has it: nothing where nothing was run, and no key without a value."""
    if ran is None:
        return {}
    found = {
        "command": ran.command,
        "variables": ran.variables,
        "exit_status": ran.exit_status,
        "signal": ran.signal,
        "inputs": ran.inputs or None,
        "captured": ran.captured or None,
    }
    return {name: value for name, value in found.items() if value is not None}
