"""``tagmesh completion``: what a shell needs to complete commands, options and values.

The scripts come from click, which asks the commands themselves: there is no second list.
"""

from __future__ import annotations

import click

SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print a completion script for a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes tagmesh in SHELL.

    bash: eval "$(tagmesh completion bash)" in ~/.bashrc; zsh the same in ~/.zshrc; fish: tagmesh
    completion fish > ~/.config/fish/completions/tagmesh.fish
    """
    from click.shell_completion import get_completion_class

    from .cli import root

    kind = get_completion_class(shell)
    assert kind is not None, "click has these three"
    click.echo(kind(root, {}, "tagmesh", "_TAGMESH_COMPLETE").source())


def methods(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The management commands that begin so."""
    from .commands import TABLE

    return [name for name in TABLE if name.startswith(incomplete)]
