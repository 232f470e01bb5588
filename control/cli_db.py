"""``tagmesh db``: the tables, and who may join. Running nodes see a change by themselves."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ..protocol.config import ProvisioningSettings
from ..protocol.errors import Misuse
from ..protocol.identity import MAX_ID, BinsUrl, ClusterId, NodeId, NodeRecord
from .cli_config import config_option
from .cli_output import output_option, print_columns, print_done, print_json, printable
from .configfile import load_config

if TYPE_CHECKING:
    from ..storage.provisioning import Provisioning

ID = click.IntRange(1, MAX_ID)
cluster_option = click.option("--cluster", type=ID, required=True, help="Cluster id.")
node_option = click.option("--node", type=ID, required=True, help="Node id.")
EXIT_UNHEALTHY = 1
COLUMNS = ("cluster", "node", "url", "state", "ping_retries", "priority", "sip_addr", "flags",
           "description")  # fmt: skip


@click.group(short_help="Create and check the tables, change who may join.")
def db() -> None:
    """Create and check the tables, change who may join."""


@contextmanager
def _provisioning(path: str | None) -> Iterator[Provisioning]:
    from ..storage.provisioning import Provisioning

    provisioning = Provisioning(_settings(path))
    try:
        yield provisioning
    finally:
        provisioning.close()


def _settings(path: str | None) -> ProvisioningSettings:
    settings: ProvisioningSettings = load_config(path).provisioning
    if settings.mode != "database":
        raise Misuse(
            'the configuration says mode = "static" in [provisioning], so no database is used; '
            "nodes stand in its [[cluster]] tables"
        )
    return settings


@db.command()
@config_option
@output_option
def init(path: str | None, output: str) -> None:
    """Create the tables and columns that are missing; what is there stays untouched."""
    with _provisioning(path) as provisioning:
        created = provisioning.init()
        name = provisioning.name
    said = f"created {', '.join(created)}" if created else "nothing to do"
    print_done(f"{name}: {said}", {"database": name, "created": list(created)}, output)


@db.command()
@config_option
@output_option
def check(path: str | None, output: str) -> None:
    """Compare the tables with those needed; each difference on a line, then exit status 1."""
    with _provisioning(path) as provisioning:
        differences = provisioning.check()
        name = provisioning.name
    said = "\n".join(map(printable, differences)) if differences else f"{name}: OK"
    print_done(said, {"database": name, "differences": list(differences)}, output)
    if differences:
        click.get_current_context().exit(EXIT_UNHEALTHY)


@db.command()
@config_option
@cluster_option
@node_option
@click.option("--url", required=True, metavar="URL", help="bins:host[:port], where it listens.")
@click.option("--description", metavar="TEXT", help="Free text.")
@click.option("--flags", metavar="TEXT", help='"seed", or nothing.')
@click.option("--sip-addr", metavar="TEXT", help="Address of the SIP service there.")
@click.option("--priority", type=click.IntRange(0, MAX_ID), default=50, show_default=True)
@click.option(
    "--ping-retries", type=click.IntRange(0, 1000), default=3, show_default=True,
    help="Pings sent after the first unanswered one.",
)  # fmt: skip
@click.option("--disabled", is_flag=True, help="The node may not join yet.")
@output_option
def add(
    path: str | None,
    cluster: int,
    node: int,
    url: str,
    disabled: bool,
    output: str,
    **texts: Any,
) -> None:
    """Provision a node, so that it may join."""
    record = NodeRecord(
        cluster_id=ClusterId(cluster),
        node_id=NodeId(node),
        url=BinsUrl.parse(url),
        enabled=not disabled,
        **texts,
    )
    with _provisioning(path) as provisioning:
        provisioning.add(record)
    said = f"added node {node} to cluster {cluster} at {record.url}"
    print_done(said, {"added": _named(record)}, output)


@db.command(name="list")
@config_option
@click.option("--cluster", type=ID, help="Only this cluster.")
@output_option
def list_command(path: str | None, cluster: int | None, output: str) -> None:
    """List the provisioned nodes; rows that cannot be used are named on stderr."""
    with _provisioning(path) as provisioning:
        snapshot = provisioning.rows(None if cluster is None else ClusterId(cluster))
    if output == "json":
        nodes = [_named(record) for record in snapshot.records]
        invalid = [
            {"id": bad.db_id, "cluster": bad.cluster_id, "node": bad.node_id, "reason": bad.reason}
            for bad in snapshot.invalid
        ]
        print_json({"nodes": nodes, "invalid": invalid})
        return
    header = [column.replace("_", " ").upper() for column in COLUMNS]
    print_columns(header, [_row(record) for record in snapshot.records])
    for bad in snapshot.invalid:
        click.echo(f"row {bad.db_id} cannot be used: {bad.reason}", err=True)


def _named(record: NodeRecord) -> dict[str, object]:
    return dict(zip(COLUMNS, _row(record), strict=True))


def _row(record: NodeRecord) -> tuple[object, ...]:
    return (
        record.cluster_id,
        record.node_id,
        str(record.url),
        "enabled" if record.enabled else "disabled",
        record.ping_retries,
        record.priority,
        record.sip_addr,
        record.flags,
        record.description,
    )


@db.command()
@config_option
@click.option("-n", "--count", type=click.IntRange(1, 1000), default=20, show_default=True)
@output_option
def audit(path: str | None, count: int, output: str) -> None:
    """Who had which node do what: the newest commands that changed something, or were refused."""
    import msgspec

    from ..storage.audit_table import SqlAudit

    table = SqlAudit(_settings(path))
    try:
        entries = table.newest(count)
    finally:
        table.close()
    if output == "json":
        print_json([msgspec.structs.asdict(entry) for entry in entries])
        return
    header = ("TIME", "NODE", "WHO", "COMMAND", "ARGUMENTS", "OUTCOME")
    rows = [(_moment(e.at_s), e.node_id, e.who, e.command, e.arguments, e.outcome) for e in entries]
    print_columns(header, rows)


def _moment(at_s: float) -> str:
    moment = datetime.datetime.fromtimestamp(at_s).astimezone()
    return moment.isoformat(sep=" ", timespec="seconds")


@db.command()
@config_option
@cluster_option
@node_option
@output_option
def rm(path: str | None, cluster: int, node: int, output: str) -> None:
    """Remove a node; running nodes then drop their links with it."""
    with _provisioning(path) as provisioning:
        news = provisioning.remove(ClusterId(cluster), NodeId(node), "tagmesh db rm")
    said = f"removed node {node} from cluster {cluster}"
    if not news:
        said = f"node {node} was removed from cluster {cluster} already"
    print_done(said, {"removed": {"cluster": cluster, "node": node}}, output)
