"""`auditfold checkpoint`: an anchor, to keep where nobody who may write the traces can reach."""

import click

from observability.cli.audit import jobs_of
from observability.cli.errors import ExitCode
from observability.cli.options import OutputFile, json_option, path_argument
from observability.cli.screen import path_text, print_json, print_lines, print_text, write_bytes


@click.command(
    "checkpoint",
    epilog="""\b
Examples:
  auditfold checkpoint out -o /elsewhere/anchor.txt
  auditfold checkpoint out | ssh notary 'cat > anchor.txt'
  git commit -m "Data of $(date -I)" -m "$(auditfold checkpoint out)"
  auditfold audit --expect /elsewhere/anchor.txt out
""",
)
@path_argument
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=OutputFile(),
    help="Write it there, beside and renamed.  [default: stdout]",
)
@click.option(
    "--key",
    metavar="KEY",
    type=click.Path(exists=True, dir_okay=False),
    help="Sign it with this operator's key.",
)
@json_option
def command(path: str, *, output: str | None, key: str | None, as_json: bool) -> ExitCode:
    """Write how far all traces under PATH reach, in one note over the registry.

    Kept where those who may write PATH cannot, it shows later that nothing of it was changed,
    cut off or put back: audit --expect.  The chains are audited first; of a folder that was
    tampered with no anchor is written, and the exit is 3.
    """
    from replay.audit.audit import anchor
    from replay.show.audited import audit_lines

    operator = None
    if key is not None:
        from observability.signing.keys import load_key

        operator = load_key(key)
    report, checkpoint = anchor(path, jobs=jobs_of(None))
    if checkpoint is None:
        print_lines(audit_lines(report, path, chain_only=True))
        return ExitCode(report.exit_code())
    text = checkpoint.text()
    note = text if operator is None else f"{text}\n{operator.sign(text)}"
    if output is not None:
        from observability.files import write_beside

        write_beside(output, [note.encode()])
    if as_json:
        found = {"origin": checkpoint.origin, "size": checkpoint.size, "note": note}
        print_json({**found, "root": checkpoint.root.hex(), "file": output and path_text(output)})
    elif output is None:
        write_bytes(note.encode())
    else:
        print_text(f"{output}: {checkpoint.size} lines of the registry")
    return ExitCode.DONE
