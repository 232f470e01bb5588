"""``tagmesh ctl caps``, ``cap`` and ``sync``: capabilities of a running instance."""

from __future__ import annotations

from typing import Any

import click

from .cli_client import client_of, print_result, print_table, the_only
from .cli_output import output_option, print_json

cluster_option = click.option(
    "--cluster", type=int, help="Needed when the capability is in several clusters."
)


def _which(ctx: click.Context, name: str, cluster: int | None) -> list[Any]:
    """(cluster, name) as the instance wants it."""
    if cluster is None:
        snapshot, _ = client_of(ctx).state()
        known = {c.cluster_id: [x.name for x in c.capabilities] for c in snapshot.clusters}
        having = [c for c, names in known.items() if name in names]
        cluster = the_only(having, known, f"capability {name}")
    return [cluster, name]


@click.command()
@output_option
@click.pass_context
def caps(ctx: click.Context, output: str) -> None:
    """The capabilities of each node, as this instance sees them."""
    snapshot, raw = client_of(ctx).state()
    if output == "json":
        print_json({"node_id": raw["node_id"], "clusters": [_caps(c) for c in raw["clusters"]]})
        return
    from .tables_capabilities import caps_table

    print_table(caps_table(snapshot))


def _caps(cluster: dict[str, Any]) -> dict[str, Any]:
    return {
        "cluster_id": cluster["cluster_id"],
        "capabilities": cluster["capabilities"],
        "peers": [
            {"node_id": peer["node_id"], "capabilities": peer["capabilities"]}
            for peer in cluster["peers"]
        ],
    }


@click.group()
def cap() -> None:
    """One capability: switch it, look at what it refused, and at its donors."""


@cap.command()
@click.argument("name")
@cluster_option
@output_option
@click.pass_context
def enable(ctx: click.Context, name: str, cluster: int | None, output: str) -> None:
    """Switch capability NAME on, on this instance; it syncs first if it wants to."""
    _switch(ctx, name, cluster, output, on=True)


@cap.command()
@click.argument("name")
@cluster_option
@output_option
@click.pass_context
def disable(ctx: click.Context, name: str, cluster: int | None, output: str) -> None:
    """Switch capability NAME off, on this instance: it neither sends nor delivers."""
    _switch(ctx, name, cluster, output, on=False)


def _switch(ctx: click.Context, name: str, cluster: int | None, output: str, *, on: bool) -> None:
    which = _which(ctx, name, cluster)
    result = client_of(ctx).call("clusterer_set_cap_status", [*which, int(on)])
    done = f"ok: {name} switched {'on' if on else 'off'} in cluster {which[0]}"
    print_json(result) if output == "json" else click.echo(done)


@cap.command()
@click.argument("name")
@cluster_option
@output_option
@click.pass_context
def quarantine(ctx: click.Context, name: str, cluster: int | None, output: str) -> None:
    """The newest messages and records that the code of NAME refused by raising."""
    listed = client_of(ctx).call("tagmesh_quarantine", _which(ctx, name, cluster))
    print_result(listed, output, "tables_capabilities:quarantine_table")


@click.command()
@click.argument("name")
@cluster_option
@click.option("--tag", default="", help="The records with this sharing tag, not those without one.")
@click.option("--node", "nodes", type=int, multiple=True, help="Only with this one; repeatable.")
@click.option("--limit", type=int, default=100, show_default=True, help="Keys listed per node.")
@output_option
@click.pass_context
def diff(
    ctx: click.Context,
    name: str,
    cluster: int | None,
    tag: str,
    nodes: tuple[int, ...],
    limit: int,
    output: str,
) -> None:
    """Which records of capability NAME other nodes do not have as this instance has them.

    Nothing is changed. Exits with 1 when something differs or could not be compared.
    """
    which = [*_which(ctx, name, cluster), tag, ",".join(map(str, nodes)), limit]
    found = client_of(ctx).call("tagmesh_diff", which)
    print_result(found, output, "tables_capabilities:diff_table")
    if not found["alike"]:
        ctx.exit(1)


@cap.command()
@click.argument("name")
@cluster_option
@click.option("--tag", default="", help="For the records with this sharing tag.")
@output_option
@click.pass_context
def donors(ctx: click.Context, name: str, cluster: int | None, tag: str, output: str) -> None:
    """Which nodes would be asked for the data of NAME, in order, and why not the others."""
    which = [*_which(ctx, name, cluster), *([tag] if tag else [])]
    listed = client_of(ctx).call("tagmesh_explain_donor", which)
    print_result(listed, output, "tables_capabilities:donors_table")


@click.group(invoke_without_command=True)
@output_option
@click.pass_context
def sync(ctx: click.Context, output: str) -> None:
    """The syncs under way, what waits for one, and how the last ones ended."""
    if ctx.invoked_subcommand is None:
        status = client_of(ctx).call("tagmesh_sync_status")
        print_result(status, output, "tables_capabilities:sync_table")


@sync.command()
@click.argument("name")
@cluster_option
@click.option("--tag", default="", help="Only the records with this tag.")
@click.option("--mirror", is_flag=True, help="Drop what the donor does not have, too.")
@click.option("--dry-run", is_flag=True, help="Only tell what --mirror would drop.")
@click.option("--force", is_flag=True, help="Fetch --tag though it is active on this instance.")
@click.option("--backup", is_flag=True, help="Only the tags that are backup on this instance.")
@output_option
@click.pass_context
def start(
    ctx: click.Context,
    name: str,
    cluster: int | None,
    tag: str,
    mirror: bool,
    dry_run: bool,
    force: bool,
    backup: bool,
    output: str,
) -> None:
    """Ask for a sync of capability NAME; 'tagmesh ctl sync' shows how it goes."""
    if backup and (tag or mirror or dry_run or force):
        raise click.UsageError("--backup stands alone: it says itself which tags are fetched")
    given = {"backup": backup, "force": force, "dry_run": dry_run, "mirror": mirror}
    mode = next((word for word, said in given.items() if said), "union")
    which = _which(ctx, name, cluster)
    result = client_of(ctx).call("tagmesh_sync_start", [*which, tag, mode])
    said = {
        "taken": f"ok: {name} is synced as soon as there is a donor",
        "in_progress": f"a sync of {name} is under way already",
    }
    print_json(result) if output == "json" else click.echo(said[result["answer"]])


def _decision(decision: str, about: str, done: str) -> None:
    """Add ``sync DECISION NAME PLAN``."""

    @sync.command(name=decision, help=about)
    @click.argument("name")
    @click.argument("plan", type=int)
    @cluster_option
    @output_option
    @click.pass_context
    def decide(ctx: click.Context, name: str, plan: int, cluster: int | None, output: str) -> None:
        which = _which(ctx, name, cluster)
        result = client_of(ctx).call("tagmesh_sync_plan", [*which, plan, decision])
        print_json(result) if output == "json" else click.echo(f"ok: {done.format(**result)}")


_decision("confirm", "Drop what mirror PLAN of capability NAME names.", "{records} records dropped")
_decision("discard", "Forget mirror PLAN of capability NAME.", "nothing was dropped")
_decision("undo", "Restore what mirror PLAN of NAME dropped.", "{records} records restored")
