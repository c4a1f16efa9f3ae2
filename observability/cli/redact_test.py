"""`auditfold redact-test`: what redaction would hide in a text or a trace, before it matters."""

from collections import Counter
from collections.abc import Iterator
from typing import IO, Any, Final

import click

from observability.cli.errors import ExitCode
from observability.cli.options import json_option
from observability.cli.screen import print_json, say, width

_WIDEST: Final = 200  # columns where no terminal says otherwise
_BEFORE: Final = 30  # columns of what stands before the first marker, in a line that is cut
_MARK: Final = "[REDACTED:"


class RuleType(click.ParamType[tuple[str, str]]):
    """A name and a regular expression of Python."""

    name = "rule"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return both, or refuse *value* as wrong usage."""
        from observability.redaction.redact import Redactor

        name, equals, pattern = value.partition("=")
        if not equals:
            self.fail(f"{value!r}: want NAME=REGEX", param, ctx)
        try:
            Redactor([(name, pattern)])
        except ValueError as error:
            self.fail(str(error).removeprefix("redact: "), param, ctx)
        return name, pattern


@click.command(
    "redact-test",
    epilog="""\b
Examples:
  auditfold redact-test app.log
  my-program 2>&1 | auditfold redact-test
  auditfold redact-test out                          the traces of a folder
  auditfold redact-test --pattern 'customer=CUST-[0-9]{6}' app.log
  auditfold redact-test --json app.log | jq .rules
  auditfold redact-test --rules
""",
)
@click.argument("path", default="-", metavar="[PATH]")
@click.option(
    "--pattern",
    "patterns",
    type=RuleType(),
    multiple=True,
    metavar="NAME=REGEX",
    help="A further rule, as the argument `redact` of an observer takes it; repeatable.",
)
@click.option("--rules", "list_rules", is_flag=True, help="List the rules and read nothing.")
@json_option
def command(
    path: str, *, patterns: tuple[tuple[str, str], ...], list_rules: bool, as_json: bool
) -> int:
    """Say what redaction would hide in PATH, without showing it.

    PATH is a file of any text, a trace, a folder of traces, or -, which is standard input and
    the default.  A line that is an object of JSON is looked at as a payload, by its keys too.
    One row a line: where, the rules, and the text as it would be written.

    Exits 0 if nothing would be hidden, 1 if something would.
    """
    if list_rules:
        _list_rules(as_json=as_json)
        return ExitCode.DONE
    from observability.dry_run import exposures, numbered_lines
    from observability.redaction.redact import Redactor

    redactor = Redactor(patterns)
    found: list[dict[str, Any]] = []
    rules: Counter[str] = Counter()
    n_found = 0
    columns = width() or _WIDEST
    for name, stream in _streams(path):
        with stream:
            for one in exposures(numbered_lines(stream), redactor):
                n_found += 1
                rules.update(one.rules)
                if as_json:
                    found.append({"path": name, **one._asdict()})
                else:
                    where = f"{name}:{one.line}: {', '.join(dict.fromkeys(one.rules))}: "
                    text = one.text if one.place is None else f"{one.place}: {one.text}"
                    _print_row(where, text, columns)
    if as_json:
        print_json({"path": path, "found": found, "rules": dict(sorted(rules.items()))})
    else:
        _summarise(rules, n_found)
    return ExitCode.BAD if n_found else ExitCode.DONE


def _streams(path: str) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and stream of each file that *path* means."""
    import os

    from replay.trace.evidence import open_evidence
    from replay.trace.folder import locate

    if path == "-":
        import sys

        if sys.stdin is not None and sys.stdin.isatty():
            say("auditfold redact-test: reading from the terminal; Ctrl-D ends it")
        yield "-", open_evidence("-")
    elif os.path.isdir(path):
        for trace in locate(path).traces:
            yield os.path.join(path, trace.shown), open_evidence(trace.path)
    elif path.endswith(".gz"):
        yield path, open_evidence(path)
    else:
        yield path, open(path, "rb")  # noqa: SIM115 - the caller closes it


def _print_row(where: str, text: str, columns: int) -> None:
    """Print one finding in a row; the text is cut to what stands around its first marker."""
    from replay.show.line import harmless

    where, text = harmless(where), harmless(text.strip())
    room = max(columns - len(where), 2 * _BEFORE)
    if len(text) > room:
        begin = max(0, text.find(_MARK) - _BEFORE)
        begin = min(begin, len(text) - room + 3)
        cut = text[begin:]
        text = f"...{cut[3:]}" if begin else cut
    if len(text) > room:
        text = f"{text[: room - 3]}..."
    click.echo(where + text)


def _summarise(rules: Counter[str], n_lines: int) -> None:
    if not rules:
        click.echo("nothing would be hidden")
        return
    parts = ", ".join(f"{count} {rule}" for rule, count in rules.most_common())
    places = "1 place" if n_lines == 1 else f"{n_lines} places"
    click.echo(f"{places} would be hidden: {parts}")


def _list_rules(*, as_json: bool) -> None:
    from observability.dry_run import described_rules

    rules = described_rules()
    if as_json:
        print_json([rule._asdict() for rule in rules])
        return
    widest = max(len(rule.name) for rule in rules)
    for rule in rules:
        click.echo(f"{rule.name:{widest}}  {rule.says}")
