"""Which run `--run` means to `tail`, found by reading as little as that takes."""

import os
import shutil
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import click

from replay.fold.choice import RunChoiceError, choose
from replay.trace.events import ASIDE
from replay.trace.evidence import open_evidence
from replay.trace.merge import Key
from replay.trace.tail import Shown, Tail


class _Run(NamedTuple):
    """A run, as far as one of its events tells."""

    run_id: str
    step_number: str
    sort_key: Key


def run_id_of(path: str, run: str) -> str:
    """Return the id of the run that *run* means under *path*.

    The newest run, and that of a step, are found from the end; for a part of an id every line
    is read.

    Raises:
        click.UsageError: No run is meant, or several.
        NoTraceError, TraceError, OSError: The trace cannot be read.
    """
    runs: list[_Run] = []
    if run == "latest":
        runs = _last(path, step="")
    elif run.isascii() and run.isdigit():
        runs = _last(path, step=run)
    try:
        return choose(runs or _all_with(path, run), run).run_id
    except RunChoiceError as error:
        raise click.UsageError(str(error)) from None


def _last(path: str, *, step: str) -> list[_Run]:
    """Return the newest run, or that of the step of that number, if there is one."""
    needle = b'"step_number":"%s"' % step.encode()

    def keep(fields: Mapping[str, Any]) -> bool:
        if fields.get("run_id") is None or _is_aside(fields):
            return False
        return step in {"", fields["step_number"]}

    def may_keep(line: bytes) -> bool:
        return not step or needle in line

    with Tail(path, keep=keep, may_keep=may_keep, run_ids=True) as tail:
        return [_run(item.fields) for item in tail.last(1) if isinstance(item, Shown)]


def _is_aside(fields: Mapping[str, Any]) -> bool:
    """Return whether a person said it after the fact, which makes no run the newest."""
    if fields["event_type"] == "review_resolved" or fields.get("purpose") == ASIDE:
        return True
    return fields["event_type"] == "message" and fields.get("author") is not None


def _all_with(path: str, part: str) -> list[_Run]:
    """Return the runs that have *part* in their ids."""
    found: dict[str, _Run] = {}
    needle = last = part.encode("utf-8", "replace")

    def keep(fields: Mapping[str, Any]) -> bool:
        nonlocal last
        run_id = fields.get("run_id")
        if run_id is not None and part in run_id:
            found[run_id] = _run(fields)
            last = b'"run_id":"%s"' % run_id.encode()
        return False

    def may_keep(line: bytes) -> bool:
        # Lines of a run stand together: most are of the run that was found last.
        return needle in line and (not found or last not in line)

    with Tail(path, keep=keep, may_keep=may_keep, run_ids=True) as tail:
        deque(tail.last(None), maxlen=0)
    return list(found.values())


def _run(fields: Mapping[str, Any]) -> _Run:
    key = (fields["timestamp"], fields["writer"], fields["seq"])
    return _Run(fields["run_id"], fields["step_number"], key)


@contextmanager
def readable_twice(path: str) -> Iterator[str]:
    """Give a path that can be read more than once: of standard input a copy."""
    if path != "-":
        yield path
        return
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="auditfold-") as folder:
        copy = os.path.join(folder, "-")
        with open(copy, "xb") as target:
            shutil.copyfileobj(open_evidence("-"), target)
        yield copy
