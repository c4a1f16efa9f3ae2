"""`auditfold schema`: the shape of events and reports for other programs, and for lnav."""

import click

from observability.cli.screen import print_json, write_bytes

_EVENTS = "events"
_REPORT = "report"


@click.command(
    "schema",
    epilog="""\b
Examples:
  auditfold schema > event.schema.json
  auditfold schema node_failure                lines of one type
  auditfold schema report > report.schema.json
  mkdir -p ~/.lnav/formats/auditfold
  auditfold schema --lnav > ~/.lnav/formats/auditfold/auditfold.json
""",
)
@click.argument("what", default=_EVENTS, metavar="[WHAT]")
@click.option("--lnav", is_flag=True, help="Write a format file for lnav 0.11 or newer instead.")
@click.option("--json", "as_json", is_flag=True, help="Write one line instead of many.")
def command(what: str, *, lnav: bool, as_json: bool) -> None:
    """Write the JSON Schema (2020-12) of WHAT: events (default), report, or one event type.

    It comes from the declarations that the program itself reads with.  Unknown keys and event
    types are allowed, as readers have to keep them; hashes and order are checked by audit.
    """
    import orjson

    schema = _lnav(what) if lnav else _schema(what)
    if as_json:
        print_json(schema)
    else:
        write_bytes(orjson.dumps(schema, option=orjson.OPT_INDENT_2) + b"\n")


def _schema(what: str) -> dict[str, object]:
    from replay.show.json_schema import event_schema, event_type_schema, report_schema

    if what == _EVENTS:
        return event_schema()
    if what == _REPORT:
        return report_schema()
    try:
        return event_type_schema(what)
    except KeyError:
        raise click.UsageError(_unknown(what)) from None


def _lnav(what: str) -> dict[str, object]:
    from replay.show.lnav import lnav_format

    if what != _EVENTS:
        raise click.UsageError(f"--lnav is about traces, not about {what!r}")
    return lnav_format()


def _unknown(what: str) -> str:
    from difflib import get_close_matches

    from replay.trace.events import EVENT_TYPES

    known = [_EVENTS, _REPORT, *EVENT_TYPES]
    near = get_close_matches(what.lower(), known, n=1)
    hint = f"Did you mean '{near[0]}'?" if near else f"Want one of: {', '.join(known)}."
    return f"no schema of '{what}'. {hint}"
