"""``tagmesh ctl node``: remove a node from a cluster, or take that back."""

from __future__ import annotations

import click

from ..protocol.identity import MAX_ID
from .cli_client import client_of
from .cli_output import output_option, print_json

ID = click.IntRange(1, MAX_ID)


@click.group()
def node() -> None:
    """Remove nodes from a cluster."""


@node.command()
@click.argument("cluster", type=ID)
@click.argument("node", type=ID)
@output_option
@click.pass_context
def remove(ctx: click.Context, cluster: int, node: int, output: str) -> None:
    """Remove NODE from CLUSTER, whatever its state: every node closes its links with it.

    With a database its row is deleted, and a new row lets it in again. Without one the nodes
    refuse it for [provisioning] removal_memory, or until 'readmit'.
    """
    result = client_of(ctx).call("clusterer_remove_node", [cluster, node])
    said = f"ok: node {node} removed from cluster {cluster}" if result == "OK" else str(result)
    print_json(result) if output == "json" else click.echo(said)


@node.command()
@click.argument("cluster", type=ID)
@click.argument("node", type=ID)
@output_option
@click.pass_context
def readmit(ctx: click.Context, cluster: int, node: int, output: str) -> None:
    """Take the removal of NODE back, where no database says who may join.

    Do so on one of the others, which tells the rest, and on the node itself, if it heard of it.
    """
    result = client_of(ctx).call("tagmesh_readmit_node", [cluster, node])
    said = f"ok: node {node} may join cluster {cluster} again" if result == "OK" else str(result)
    print_json(result) if output == "json" else click.echo(said)
