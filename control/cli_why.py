"""``tagmesh ctl why``: the chain from the present state to its root, in words (B14)."""

from __future__ import annotations

import click
import msgspec

from .cli_client import client_of, the_only
from .cli_output import output_option, print_json, printable

KINDS = ("node", "link", "cap", "tag")


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option("--cluster", type=int, help="Needed when the instance is in several clusters.")
@output_option
@click.pass_context
def why(ctx: click.Context, kind: str, name: str, cluster: int | None, output: str) -> None:
    """Why a node, the link with it, a capability or a sharing tag is as it is.

    NAME is the id of the node, or the name of the capability or tag; a tag may be NAME/CLUSTER.
    What is indented is the cause of what stands above it; in brackets stand the rule and the code
    of the cause. 'node' with the id of the instance itself tells of its row and of its database.
    """
    client = client_of(ctx)
    if kind == "tag" and cluster is None and "/" in name:
        name, _, number = name.rpartition("/")
        cluster = int(number) if number.isdecimal() else 0
    if cluster is None:
        snapshot, _ = client.state()
        having = [c.cluster_id for c in snapshot.clusters]
        cluster = the_only(having, having, f"{kind} {name}")
    found = client.call("tagmesh_why", [str(cluster), kind, name])
    if output == "json":
        print_json(found)
        return
    from ..protocol.explaining import Explanation

    for line in msgspec.convert(found, Explanation).lines():
        click.echo(printable(line))
