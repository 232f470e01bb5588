"""``tagmesh ctl tags`` and ``tag``: sharing tags as a running instance sees them."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from ..protocol.errors import Misuse
from .cli_client import client_of, print_table
from .cli_output import output_option, print_json


@click.command()
@output_option
@click.pass_context
def tags(ctx: click.Context, output: str) -> None:
    """The sharing tags: who has them, and under which epoch."""
    snapshot, raw = client_of(ctx).state()
    if output == "json":
        listed = [{"cluster_id": c["cluster_id"], "tags": c["tags"]} for c in raw["clusters"]]
        print_json({"node_id": raw["node_id"], "clusters": listed})
        return
    from .tables_tags import tags_table

    print_table(tags_table(snapshot))


@click.group()
def tag() -> None:
    """One sharing tag, named as NAME/CLUSTER."""


def _say(ctx: click.Context, command: str, params: list[Any], done: str, output: str) -> None:
    result = client_of(ctx).call(command, params)
    print_json(result) if output == "json" else click.echo(f"ok: {done}")


@tag.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Also when its number cannot be stored; unsafe.")
@output_option
@click.pass_context
def activate(ctx: click.Context, name: str, force: bool, output: str) -> None:
    """Have tag NAME on this instance; the node that has it becomes a backup."""
    result = client_of(ctx).call("tagmesh_tag_activate", [name, int(force)])
    if output == "json":
        print_json(result)
        return
    was = f"was node {result['was']}" if result["was"] is not None else "nobody had it"
    click.echo(f"ok: {name.rpartition('/')[0]} active on node {result['node_id']} ({was})")


@tag.command()
@click.argument("name")
@output_option
@click.pass_context
def release(ctx: click.Context, name: str, output: str) -> None:
    """Give up tag NAME, which is active on this instance."""
    _say(ctx, "tagmesh_tag_release", [name], f"{name} released", output)


@tag.command(name="hand-over")
@click.argument("name")
@click.argument("node", type=int)
@output_option
@click.pass_context
def hand_over(ctx: click.Context, name: str, node: int, output: str) -> None:
    """Give tag NAME, which is active on this instance, to NODE."""
    _say(ctx, "tagmesh_tag_hand_over", [name, node], f"{name} handed over to node {node}", output)


@tag.command()
@click.argument("name")
@output_option
@click.pass_context
def pause(ctx: click.Context, name: str, output: str) -> None:
    """Mode lease: nobody takes tag NAME over until 'resume'."""
    _say(ctx, "tagmesh_tag_pause", [name, 1], f"{name} stays where it is", output)


@tag.command()
@click.argument("name")
@output_option
@click.pass_context
def resume(ctx: click.Context, name: str, output: str) -> None:
    """Undo 'pause'."""
    _say(ctx, "tagmesh_tag_pause", [name, 0], f"{name} can be taken over again", output)


@tag.command()
@click.argument("name")
@click.argument("nodes", nargs=-1, type=int)
@output_option
@click.pass_context
def prefer(ctx: click.Context, name: str, nodes: tuple[int, ...], output: str) -> None:
    """Mode lease: NODES are to have tag NAME, the best first; none = all may."""
    listed = ",".join(map(str, nodes))
    done = f"{name} goes to {f'nodes {listed}' if listed else 'any node'}"
    _say(ctx, "tagmesh_tag_prefer", [name, listed], done, output)


@tag.command()
@click.argument("name")
@click.argument("nodes", nargs=-1, type=int, required=True)
@output_option
@click.pass_context
def free(ctx: click.Context, name: str, nodes: tuple[int, ...], output: str) -> None:
    """Mode lease: NODES, which had tag NAME or could take it, run no more and never will.

    Where one of them runs after all, two nodes may have the tag at once.
    """
    listed = ",".join(map(str, nodes))
    _say(ctx, "tagmesh_tag_free", [name, listed], f"{name} can be taken by any node", output)


@tag.command()
@click.argument("name")
@output_option
@click.pass_context
def explain(ctx: click.Context, name: str, output: str) -> None:
    """Who has tag NAME, which nodes may take it, and why the others may not."""
    snapshot, _ = client_of(ctx).state()
    known = {f"{t.name}/{c.cluster_id}": t for c in snapshot.clusters for t in c.tags}
    if name not in known:
        raise Misuse(f"this instance knows no tag {name!a}: see `tagmesh ctl tags`")
    status = known[name]
    if output == "json":
        print_json(msgspec.to_builtins(status, str_keys=True))
        return
    from .tables_tags import explained

    print_table(explained(status))
