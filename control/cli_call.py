"""``tagmesh ctl call``: one command on several nodes, and what each of them says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from .cli import EXIT_REFUSED
from .cli_client import client_of, the_only
from .cli_completion import methods
from .cli_output import output_option, print_columns, print_json
from .client import MiClient

MAX_ANSWER_CHARS = 100
"""Of an answer in the table; -o json has it whole."""
HEADER = ("Node", "Answer", "Seconds", "What it said")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", shell_complete=methods)
@click.argument("params", nargs=-1)
@click.option(
    "--nodes", default="all", show_default=True,
    help="all, reachable, 1,3, tag:NAME (its holder), cap:NAME (where it is ok).",
)  # fmt: skip
@click.option("--timeout", default="5s", show_default=True, help="For all answers together.")
@click.option("--key", default="", help="Of an earlier call: what was done under it is not again.")
@click.option("--cluster", type=int, help="Needed when the instance is in several clusters.")
@output_option
@click.pass_context
def call(
    ctx: click.Context,
    command: str,
    params: Sequence[str],
    nodes: str,
    timeout: str,
    key: str,
    cluster: int | None,
    output: str,
) -> None:
    """Have nodes run a management COMMAND; a row for each, also for those that are away.

    What a node does for others is in its [admin] remote and remote_nodes. Exit status 1 when not
    all of them did it.
    """
    client = client_of(ctx)
    named = {
        "cluster_id": _the_cluster(client) if cluster is None else cluster,
        "cmd_name": command,
        "cmd_params": list(params),
        "nodes": nodes,
        "timeout": timeout,
        "key": key,
    }
    answer = client.call("cluster_call", named)
    if output == "json":
        print_json(answer)
    else:
        print_columns(HEADER, [_row(row) for row in answer["Nodes"]])
    if any(row["status"] != "ok" for row in answer["Nodes"]):
        ctx.exit(EXIT_REFUSED)


def _the_cluster(client: MiClient) -> int:
    snapshot, _ = client.state()
    clusters = [cluster.cluster_id for cluster in snapshot.clusters]
    return the_only(clusters, clusters, "a cluster")


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    said = row.get("reason") or row.get("error") or row.get("result")
    text = said if isinstance(said, str) else json.dumps(said)
    if isinstance(said, dict) and "code" in said:
        text = f"{said['code']} {said['message']}" + (f": {d}" if (d := said.get("data")) else "")
    if len(text) > MAX_ANSWER_CHARS:
        text = f"{text[: MAX_ANSWER_CHARS - 1]}…"
    seconds = "" if row["seconds"] is None else f"{row['seconds']:.3f}"
    return row["node_id"], row["status"], seconds, text
