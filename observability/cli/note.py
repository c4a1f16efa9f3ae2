"""`auditfold note`: a person says something about a run, after the fact."""

import click

from observability.cli.errors import ExitCode
from observability.cli.options import json_option
from observability.cli.reading import choose_run, exit_code, open_place, say_damage
from observability.cli.review import author_of, by_option, path_option, say_failures
from observability.cli.screen import print_json, say
from replay.fold.runs import fold


@click.command(
    "note",
    epilog="""\b
Examples:
  auditfold note latest 'numbers sent to the customer' --by anna --path out
  auditfold note k3f9x2:b.csv 'two rows are right' --by anna --path out
  auditfold note 'latest:b.csv:Check balance' 'by the new rules' --path out
  auditfold note latest:train 'ran on the old machine' --path out
""",
)
@click.argument("target")
@click.argument("text")
@by_option
@path_option
@json_option
def command(target: str, text: str, *, by: str | None, path: str, as_json: bool) -> ExitCode:
    """Record TEXT about TARGET in the trace of its run, with who said it.

    TARGET is RUN, RUN:FILE, RUN:FILE:STEP, RUN:STEP of a batch, or RUN:NODE.  RUN is latest, a
    step number or a part of a run id; the others are names, or parts that only one has.
    """
    from observability.review import RefusedError, add_note
    from replay.fold.review_queue import UnclearError

    who = author_of(by)
    run, part = _parts(target)
    if not text.strip():
        raise click.UsageError("TEXT is empty; nothing was recorded")
    _, sources = open_place(path)
    index = fold(sources)
    say_damage(path, index)
    exit_code(index, strict=False)
    head = choose_run(path, index, run, given_as="TARGET")
    try:
        recorded = add_note(path, head.run_id, part, text, author=who)
    except UnclearError as error:
        raise click.UsageError(f"TARGET {error}; nothing was recorded") from None
    except ValueError as error:
        said = str(error) if isinstance(error, RefusedError) else f"TEXT: {error}"
        raise click.UsageError(f"{said}; nothing was recorded") from None
    if as_json:
        print_json({"run_id": head.run_id, "target": target, "timestamp": recorded.timestamp})
    else:
        say(f"noted: {target} in run {head.run_id}")
    return say_failures(recorded)


def _parts(target: str) -> tuple[str, str]:
    """Return RUN, and what of it is meant: empty for the run itself.

    Raises:
        click.UsageError: One of them is empty, as of a shell variable that is not set.
    """
    run, colon, part = target.partition(":")
    if not target.strip():
        raise click.UsageError("TARGET is empty, want RUN or RUN:FILE; nothing was recorded")
    if not run.strip():
        raise click.UsageError(f"TARGET {target}: no RUN before the colon; nothing was recorded")
    if colon and not part.strip():
        raise click.UsageError(
            f"TARGET {target}: nothing behind the colon; the run itself is {run}; "
            "nothing was recorded"
        )
    return run, part
