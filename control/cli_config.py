"""``tagmesh config``: check and show the configuration, or print an example."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from .cli_output import output_option, print_done, print_json
from .configfile import example, find_config, load_config, show, tables_of, unknown_variables
from .modules import find_module

_Function = TypeVar("_Function", bound=Callable[..., Any])


def config_option(function: _Function) -> _Function:
    """Add ``-c FILE``; the function gets it as ``path``, None when not given."""
    return click.option(
        "-c",
        "--config",
        "path",
        metavar="FILE",
        help="Configuration file.  [default: $TAGMESH_CONFIG, or tagmesh.toml here,"
        " in ~/.config/tagmesh or in /etc/tagmesh]",
    )(function)


@click.group(short_help="Check or show the configuration, print an example.")
def config() -> None:
    """Check or show the configuration, print an example."""


@config.command()
@config_option
@output_option
def check(path: str | None, output: str) -> None:
    """Validate the configuration file; every mistake in it is shown at once."""
    loaded = load_config(path)
    for variable, near in unknown_variables(os.environ).items():
        click.echo(f"note: ${variable} is no setting and is ignored; nearest: ${near}", err=True)
    for settings in loaded.capabilities:
        if settings.module is not None:
            find_module(settings)
    source = str(find_config(path, os.environ))
    node, mode = loaded.node.id, loaded.provisioning.mode
    result = {"file": source, "node": node, "provisioning": mode}
    print_done(f"{source}: OK, node {node}, {mode} provisioning", result, output)


@config.command(name="show")
@config_option
@output_option
def show_command(path: str | None, output: str) -> None:
    """Print every setting as it is in use, secrets masked."""
    loaded = load_config(path)
    if output == "json":
        print_json(tables_of(loaded))
    else:
        click.echo(show(loaded), nl=False)


@config.command(name="example")
def example_command() -> None:
    """Print a commented configuration file with every default."""
    click.echo(example(), nl=False)
