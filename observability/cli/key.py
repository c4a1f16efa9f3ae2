"""`auditfold key`: the keys that traces are signed with, made, certified and shown."""

import platform
import re

import click

from observability.cli.options import OutputFile, json_option
from observability.cli.screen import path_text, print_json, print_text

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9.-]+")
_COUNT = 100
_LONGEST_NAME = 200  # bytes; it stands in every certificate and in every closing checkpoint

_output_option = click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    type=OutputFile(),
    help="The file to make (0600); it must not be there.",
)


@click.group("key", no_args_is_help=True)
def command() -> None:
    """Make and show the keys that traces are signed with.

    An operator's key vouches for writers: it certifies the first key of each, and audit
    --vkey asks for that.  Keep it from those whose work is audited; where it must not be on
    the machine at all, certify keys beforehand and take only those there.
    """


@command.command(
    "new",
    epilog="""\b
Examples:
  auditfold key new -o operator.key
  AUDITFOLD_SIGNING_KEY=operator.key python pipeline.py
""",
)
@_output_option
@click.option("--name", metavar="NAME", help="Whose it is.  [default: the name of this machine]")
@json_option
def new(output: str, *, name: str | None, as_json: bool) -> None:
    """Make an operator's key; the last word that is printed is its verifier key."""
    from observability.signing.keys import SigningKey, write_key
    from replay.audit.notes import is_name
    from replay.show.line import harmless

    name = name or _NOT_IN_A_NAME.sub("-", platform.node()).strip("-") or "auditfold"
    if not is_name(name) or harmless(name) != name or len(name.encode()) > _LONGEST_NAME:
        message = f"{name[:80]!r}: want a name without spaces, '+' and control characters"
        message += f", at most {_LONGEST_NAME} bytes"
        raise click.BadParameter(message, param_hint="NAME")
    key = SigningKey.new(name)
    write_key(output, key)
    if as_json:
        print_json({"file": path_text(output), "vkey": str(key.verifier)})
    else:
        print_text(f"{output} is secret; whoever audits needs its verifier key")
        print_text(str(key.verifier))


@command.command(
    "certify",
    epilog="""\b
Examples:
  auditfold key certify operator.key -o worker.keys
  auditfold key certify operator.key --count 5000 -o worker.keys
  AUDITFOLD_SIGNING_KEY=worker.keys python pipeline.py
""",
)
@click.argument("key", metavar="KEY", type=click.Path(exists=True, dir_okay=False))
@_output_option
@click.option(
    "--count",
    type=click.IntRange(1, 100_000),
    default=_COUNT,
    show_default=True,
    metavar="N",
    help="How many writers they are for: each run takes one, each fork another one.",
)
@json_option
def certify(key: str, output: str, *, count: int, as_json: bool) -> None:
    """Certify N keys by the operator's KEY, for a machine that KEY must not be on.

    Each writer takes one out of the file, so that whoever takes the machine later has none of
    those that were used.
    """
    from observability.signing.keys import load_key, write_certified

    operator = load_key(key)
    write_certified(output, operator, count=count)
    if as_json:
        print_json({"file": path_text(output), "count": count, "vkey": str(operator.verifier)})
    else:
        print_text(f"{output}: {count} keys, certified by {operator.verifier}")


@command.command(
    "show",
    epilog="""\b
Examples:
  auditfold audit --vkey "$(auditfold key show operator.key)" out
  auditfold key show worker.keys
""",
)
@click.argument("key", metavar="KEY", type=click.Path(exists=True, dir_okay=False))
@json_option
def show(key: str, *, as_json: bool) -> None:
    """Print the verifier key of KEY; of a file of certified keys, how many are left."""
    from observability.signing.keys import certified_keys, load_key

    left = certified_keys(key)
    if left is None:
        vkey = str(load_key(key).verifier)
        print_json({"vkey": vkey}) if as_json else print_text(vkey)
        return
    count, signer = left
    if as_json:
        print_json({"count": count, "certified_by": signer})
    else:
        print_text(f"{count} keys left, certified by {signer}")
