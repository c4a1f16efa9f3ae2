"""Arguments and options that several commands have, worded once."""

import click

path_argument = click.argument("path", default=".", metavar="[PATH]")

run_option = click.option(
    "--run",
    default="latest",
    metavar="RUN",
    show_default=True,
    help="latest, a step number, or a part of a run id that only one run has.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout.")

strict_option = click.option(
    "--strict", is_flag=True, help="Exit 3 if a line could not be read; it is named either way."
)
