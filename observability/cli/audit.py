"""`auditfold audit`: is the record true and whole, are outputs and counts as recorded."""

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import click

from observability.cli.options import json_option, path_argument
from observability.cli.screen import escape_json, is_terminal, print_lines, say, write_bytes

if TYPE_CHECKING:
    from replay.audit.anchors import Anchor

VKEYS: Final = "AUDITFOLD_VKEY"  # with spaces between them
_MOST_JOBS: Final = 4
_PATIENCE_S: Final = 1.0
_BETWEEN_S: Final = 0.1


@click.command(
    "audit",
    epilog="""\b
Examples:
  auditfold audit out
  auditfold audit --json out | jq .verdict
  auditfold audit --chain trace_04.jsonl.gz
  ssh host cat out/audit/step_04/trace_04.jsonl | auditfold audit -
  auditfold audit --vkey "$(cat operator.pub)" out
  auditfold audit --expect anchor.txt --require-anchor out
""",
)
@path_argument
@click.option(
    "--chain",
    is_flag=True,
    help="Only frames, hashes, order and names: not what lines say, no counts, no outputs.",
)
@click.option(
    "--outputs", is_flag=True, help="List every output; with --chain, look at them nevertheless."
)
@json_option
@click.option(
    "--strict", is_flag=True, help="Each event of a known type has to fit its declaration."
)
@click.option(
    "--vkey",
    "vkeys",
    multiple=True,
    metavar="KEY",
    envvar=VKEYS,
    help="Every writer has to be certified by this verifier key, as `auditfold key show` prints "
    f"it, or by another one that is given.  [env: {VKEYS}]",
)
@click.option(
    "--expect",
    multiple=True,
    metavar="NOTE",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="The files have to extend what this file says, which `auditfold checkpoint` wrote.",
)
@click.option(
    "--require-anchor",
    is_flag=True,
    help="Lines behind those that --expect proves are an error.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"How many processes read.  [default: one a processor, at most {_MOST_JOBS}]",
)
@click.pass_context
def command(
    ctx: click.Context,
    path: str,
    *,
    chain: bool,
    outputs: bool,
    as_json: bool,
    strict: bool,
    vkeys: tuple[str, ...],
    expect: tuple[str, ...],
    require_anchor: bool,
    jobs: int | None,
) -> None:
    """Check that evidence under PATH is as it was written, and outputs as they were recorded.

    \b
    complete       every line is as written, the end is there
    intact-prefix  what is there is as written; the end is not proven
    unchained      an older layout, without hashes
    tampered       something is not as written

    Exits 0 for a complete record and for a run that goes on, 1 if outputs or counts differ,
    3 for evidence that is damaged or incomplete, 4 for a newer version.
    """  # noqa: D301 - \b is click's
    from replay.audit.audit import audit

    chain_only = chain and not outputs
    keys = [vkey(key) for key in vkeys]
    anchors = [_anchor(note, keys) for note in expect]
    with _Progress() as progress:
        report = audit(
            path,
            chain_only=chain_only,
            strict=strict,
            jobs=jobs_of(jobs),
            progress=progress,
            vkeys=keys,
            anchors=anchors,
            require_anchor=require_anchor,
        )
    if as_json:
        import msgspec

        line = msgspec.json.encode(report) + b"\n"
        write_bytes(escape_json(line) if is_terminal() else line)
    else:
        from replay.show.audited import audit_lines

        print_lines(audit_lines(report, path, every_output=outputs, chain_only=chain_only))
    ctx.exit(report.exit_code())


def vkey(text: str) -> str:
    """Return a verifier key as it was given.

    Raises:
        BadParameter: It is none.
    """
    from replay.audit.checkpoint import KeyTextError, VerifierKey

    try:
        return str(VerifierKey.parse(text))
    except KeyTextError as error:
        raise click.BadParameter(str(error), param_hint=f"--vkey or {VKEYS}") from None


def _anchor(path: str, vkeys: list[str]) -> "Anchor":
    """Return the anchor in the file *path*; a signature by one of *vkeys* has to be right."""
    from replay.audit.anchors import MAX_ANCHOR, Anchor, signers_of
    from replay.audit.checkpoint import NoteError, VerifierKey

    with click.open_file(path, "rb") as stream:
        data = stream.read(MAX_ANCHOR + 1)
    try:
        text = data.decode()
        found = Anchor.parse(text, path=path)
        signers = signers_of(text, map(VerifierKey.parse, vkeys))
    except UnicodeDecodeError:
        raise click.BadParameter(f"{path}: not text", param_hint="--expect") from None
    except NoteError as error:
        raise click.BadParameter(f"{path}: {error}", param_hint="--expect") from None
    if vkeys and not signers:
        say(f"{path}: not signed by a key you gave: it is worth what the place is that kept it")
    return found


def jobs_of(given: int | None) -> int:
    """Return how many processes read: so many as were given, or one a processor."""
    return given or min(_MOST_JOBS, _processors())


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Progress:
    """Says on stderr how far a long audit is; silent where nobody looks, and for a short one."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _PATIENCE_S
        self._shown = False

    def __enter__(self) -> Callable[[int, int], None] | None:
        return self._show if sys.stderr is not None and sys.stderr.isatty() else None

    def __exit__(self, *_: object) -> None:
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)

    def _show(self, done: int, total: int) -> None:
        if time.monotonic() < self._next or not total:
            return
        self._next, self._shown = time.monotonic() + _BETWEEN_S, True
        text = f"\r{min(100, 100 * done // total)} % of {total / 1e6:.0f} MB read"
        click.echo(text, nl=False, err=True)
