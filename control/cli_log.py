"""``tagmesh ctl log-level``: how much a running instance writes into its log."""

from __future__ import annotations

import click

from .cli_client import client_of
from .cli_output import output_option, print_json

LEVELS = {"critical": -2, "error": -1, "warning": 1, "info": 3, "debug": 4}
"""As OpenSIPS numbers them."""


@click.command(name="log-level")
@click.argument("level", type=click.Choice(list(LEVELS)), required=False)
@output_option
@click.pass_context
def log_level(ctx: click.Context, level: str | None, output: str) -> None:
    """Set the level of the log to LEVEL until the instance ends, or tell what it is."""
    client = client_of(ctx)
    if level is not None:
        result = client.call("log_level", [LEVELS[level]])
        print_json(result) if output == "json" else click.echo(f"ok: log level {level}")
        return
    result = client.call("log_level")
    if output == "json":
        print_json(result)
        return
    names = {number: name for name, number in LEVELS.items()}
    number = result["Processes"][0]["Log level"]
    click.echo(names.get(number, str(number)))
