"""`auditfold tail`: the last events as text, or as they were stored, and those that come."""

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, Literal

import click

from observability.cli.damage import refuse_lost_traces
from observability.cli.errors import ExitCode
from observability.cli.event_filter import EventFilter
from observability.cli.event_printer import EventPrinter
from observability.cli.options import (
    complete_run,
    json_option,
    path_argument,
    strict_option,
)
from observability.cli.screen import say, sleep_while_read
from observability.cli.times import TIME
from replay.trace.folder import NoTraceError, locate
from replay.trace.hints import Hints
from replay.trace.tail import Item, Tail, Torn

_LAST: Final = 10
_MAX_DIGITS: Final = 18


class CountType(click.ParamType[int | Literal["all"]]):
    """How many events: a number, or `all`."""

    name = "count"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | Literal["all"]:
        """Return the number or `all`, or refuse *value* as wrong usage."""
        if value == "all":
            return "all"
        if not (value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS):
            self.fail(f"{value!r}: want a whole number from 0, or 'all'", param, ctx)
        return int(value)


class PatternType(click.ParamType[re.Pattern[str]]):
    """A regular expression of Python."""

    name = "pattern"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> re.Pattern[str]:
        """Return it compiled, or refuse *value* as wrong usage."""
        try:
            return re.compile(value)
        except (re.error, OverflowError, RecursionError) as error:
            self.fail(f"{value!r} is no regular expression: {error}", param, ctx)


@click.command(
    "tail",
    epilog="""\b
Examples:
  auditfold tail                          the last 10 events under this folder
  auditfold tail -f out                   what happens, as it happens
  auditfold tail -n all --type node_failure out
  auditfold tail --since 10m --grep 'timeout|refused' out
  auditfold tail --json out | jq .event_type
""",
)
@path_argument
@click.option(
    "-n",
    "--lines",
    "count",
    type=CountType(),
    metavar="N",
    help=f"How many events, or 'all'.  [default: {_LAST}; all with --since]",
)
@click.option(
    "-f", "--follow", is_flag=True, help="Go on with what comes, from new files too, until Ctrl-C."
)
@click.option(
    "--type", "types", multiple=True, metavar="T", help="Only events of type T; repeatable."
)
@click.option("--node", metavar="ID", help="Only events of the node ID.")
@click.option(
    "--grep",
    type=PatternType(),
    metavar="RE",
    help="Only events in whose text the regular expression RE is found.",
)
@click.option(
    "--since",
    type=TIME,
    metavar="T",
    help="Only events since 2026-11-21T07:03:12Z, or 10m, 2h, 3d.",
)
@click.option(
    "--run",
    metavar="RUN",
    help="Only one run: latest, a step number, or part of a run id.",
    shell_complete=complete_run,
)
@click.option(
    "--poll",
    is_flag=True,
    help="With -f: only look again and again, without the notifications of the extra 'watch'.",
)
@json_option
@strict_option
def command(
    path: str,
    *,
    count: int | Literal["all"] | None,
    follow: bool,
    types: tuple[str, ...],
    node: str | None,
    grep: re.Pattern[str] | None,
    since: str | None,
    run: str | None,
    poll: bool,
    as_json: bool,
    strict: bool,
) -> int:
    """Print the last events under PATH, of all its traces in one order.

    Filters apply before -n counts.  With -f it waits for what is not there yet, and goes on
    when the last run has ended, when a file is removed and when another takes its place.
    With --json each line is printed as it was stored.
    """
    wanted = EventFilter(
        types=frozenset(name.lower() for name in types), node=node, grep=grep, since=since
    )
    for hint in wanted.hints():
        say(f"auditfold tail: {hint}")
    if count is None:
        count = _LAST if since is None else "all"
    if not follow:
        refuse_lost_traces(path, locate(path))
    printer = EventPrinter(path, as_stored=as_json, at_once=follow)
    with ExitStack() as stack:
        stack.callback(printer.summarise)
        if run is not None:
            from observability.cli.runs import readable_twice, run_id_of

            path = stack.enter_context(readable_twice(path))
            wanted = wanted.of_run(run_id_of(path, run))
        hints = stack.enter_context(Hints()) if follow and path != "-" and not poll else None
        tail = stack.enter_context(_tail(path, wanted, hints))
        for items in _lists(tail, None if count == "all" else count, follow=follow):
            printer.print(items)
            if follow and strict and printer.n_unreadable:
                break
        if not (follow or tail.has_events):
            printer.refuse_what_is_no_trace()
    return ExitCode.EVIDENCE if strict and printer.n_unreadable else ExitCode.DONE


def _tail(path: str, wanted: EventFilter, hints: Hints | None) -> Tail:
    wake = None if hints is None else hints.fileno()
    return Tail(
        path,
        keep=None if wanted == EventFilter() else wanted.keep,
        may_keep=wanted.may_keep(),
        since=wanted.since,
        run_ids=wanted.run_id is not None,
        sleep=partial(sleep_while_read, wake=wake),
        hints=hints,
    )


def _lists(tail: Tail, n: int | None, *, follow: bool) -> Iterator[Iterable[Item]]:
    """Yield what there is to print, whenever it is known to be there."""
    if not follow:
        yield tail.last(n)
        return
    if tail.given != "-":
        yield _there_yet(tail, n)
    yield from tail.follow()


def _there_yet(tail: Tail, n: int | None) -> Iterator[Item]:
    """Yield what is there before following begins, which may be nothing."""
    try:
        for item in tail.last(n):
            # What a writer is about to finish comes when it is finished.
            if not isinstance(item, Torn):
                yield item
    except NoTraceError as error:
        say(f"auditfold tail: {error.path}: no trace there yet, waiting for one")
