"""What the commands that ask an instance share."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..protocol.errors import Misuse
from .cli_output import print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import click

    from .client import MiClient


def client_of(ctx: click.Context) -> MiClient:
    """The client that the group made."""
    client: MiClient = ctx.obj
    return client


def print_table(renderable: Any) -> None:
    """Print something of `tables`."""
    from .tables import console

    console().print(renderable)


def print_result(result: Any, output: str, table: str) -> None:
    """As JSON, or as the table ``module:function`` makes of it, imported only then."""
    if output == "json":
        print_json(result)
        return
    module, _, function = table.partition(":")
    make: Callable[[Any], Any] = getattr(
        importlib.import_module(f".{module}", __package__), function
    )
    print_table(make(result))


def the_only(having: Iterable[int], all_of_them: Iterable[int], what: str) -> int:
    """The cluster meant when none was named: the one that has ``what``, or any, for the instance
    to say what it has."""
    found, known = list(having), list(all_of_them)
    if len(found) > 1:
        listed = ", ".join(map(str, found))
        raise Misuse(f"{what} is in the clusters {listed}: choose one with --cluster")
    if not known:
        raise Misuse(f"this instance is in no cluster, so it has no {what}")
    return found[0] if found else known[0]
