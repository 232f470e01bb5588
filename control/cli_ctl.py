"""``tagmesh ctl``: ask a running instance, or change it.

Rich and everything below the client is imported where it is used: a command answers within 0.4 s,
Python's start included.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec

from ..protocol.errors import Misuse
from .cli import EXIT_NO_ANSWER, EXIT_NOT_ALLOWED, EXIT_REFUSED, EXIT_USAGE, Failure
from .cli_call import call
from .cli_capabilities import cap, caps, diff, sync
from .cli_client import client_of, print_result, print_table, the_only
from .cli_completion import methods
from .cli_flight import ctl_flight
from .cli_log import log_level
from .cli_output import output_option, print_json
from .cli_removal import node
from .cli_tags import tag, tags
from .cli_watch import events, health, wait
from .cli_why import why
from .client import DEFAULT_URL, MiClient, MiError, NoAnswer

EXIT_UNKNOWN = 3
_EXIT_BY_CODE = {
    404: EXIT_UNKNOWN,
    401: EXIT_NOT_ALLOWED,
    403: EXIT_NOT_ALLOWED,
    -32601: EXIT_USAGE,
    -32602: EXIT_USAGE,
}


class _Group(click.Group):
    """Gives what the instance said, or that it said nothing, its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except NoAnswer as error:
            raise Failure(str(error), EXIT_NO_ANSWER) from error
        except MiError as error:
            raise Failure(str(error), _EXIT_BY_CODE.get(error.code, EXIT_REFUSED)) from error


def instance(url: str | None, config: str | None, environ: Mapping[str, str]) -> tuple[str, str]:
    """Where the instance answers: ``--url``, ``--config``, $TAGMESH_URL, a configuration, default;
    and the file with its token, empty when there is none: $TAGMESH_TOKEN_FILE, or that of the
    configuration which named the place.

    Raises `Misuse` when the file named by ``--config`` has no ``[admin] http``, and `ConfigError`
    when the file has mistakes.
    """
    if url is None and config is None:
        url = environ.get("TAGMESH_URL")
    token_file = environ.get("TAGMESH_TOKEN_FILE", "")
    if url is not None:
        return url, token_file
    from .configfile import ConfigFileError, find_config, load_config

    try:
        file = find_config(config, environ)
    except ConfigFileError:  # nobody named one, and none is in the usual places
        return DEFAULT_URL, token_file
    admin = load_config(file, environ).admin
    address = admin.http
    if not address and config is not None:
        raise Misuse(
            f"{config}: [admin] http is empty, so the instance cannot be asked; "
            'set http = "127.0.0.1:8888" and restart it, or name another with --url'
        )
    return f"http://{address}" if address else DEFAULT_URL, token_file or admin.token_file


@click.group(cls=_Group, short_help="Ask or change a running instance.")
@click.option("--url", metavar="URL", help=f"The instance. [$TAGMESH_URL, {DEFAULT_URL}]")
@click.option("-c", "--config", metavar="FILE", help="Take the URL from [admin] http of this file.")
@click.pass_context
def ctl(ctx: click.Context, url: str | None, config: str | None) -> None:
    """Ask a running instance, or change it.

    An instance with [admin] token_file wants its token: from the same configuration, or from the
    file $TAGMESH_TOKEN_FILE.
    """
    ctx.obj = instance_client(url, config)


def instance_client(url: str | None, config: str | None) -> MiClient:
    """For the instance that `instance` finds."""
    place, token_file = instance(url, config, os.environ)
    token = ""
    if token_file:
        from .token import read_token

        token = read_token(token_file)
    return MiClient(place, token=token)


@ctl.command()
@output_option
@click.pass_context
def status(ctx: click.Context, output: str) -> None:
    """Clusters, links, routes and refused joins, as this instance sees them."""
    snapshot, raw = client_of(ctx).state()
    if output == "json":
        print_json(raw)
        return
    from .tables import status_table

    print_table(status_table(snapshot))


@ctl.command()
@output_option
@click.pass_context
def nodes(ctx: click.Context, output: str) -> None:
    """The other nodes, as clusterer_list of OpenSIPS tells them."""
    listed = client_of(ctx).call("clusterer_list")
    print_result(listed, output, "tables:nodes_table")


@ctl.command()
@output_option
@click.pass_context
def topology(ctx: click.Context, output: str) -> None:
    """Who is linked to whom, as clusterer_list_topology tells it."""
    listed = client_of(ctx).call("clusterer_list_topology")
    print_result(listed, output, "tables:topology_table")


@ctl.command()
@click.argument("node", type=int)
@click.option("--cluster", type=int, help="Needed when the node is in several clusters.")
@output_option
@click.pass_context
def trace(ctx: click.Context, node: int, cluster: int | None, output: str) -> None:
    """Ask the nodes on the way to NODE and show those passed."""
    client = client_of(ctx)
    if cluster is None:
        cluster = _cluster_of(client, node)
    traced = client.call("tagmesh_trace", [cluster, node])
    if output == "json":
        print_json(traced)
    else:
        click.echo(" > ".join(str(hop) for hop in [traced["from"], *traced["route"]]))


def _cluster_of(client: MiClient, node: int) -> int:
    """The one cluster of this instance that has ``node``; the first when none has."""
    snapshot, _ = client.state()
    known = {c.cluster_id: [p.node_id for p in c.peers] for c in snapshot.clusters}
    having = [c for c, nodes in known.items() if node in nodes]
    return the_only(having, known, f"node {node}")


@ctl.command(context_settings={"ignore_unknown_options": True})
@click.argument("method", shell_complete=methods)
@click.argument("params", nargs=-1)
@click.option("-o", "--output", type=click.Choice(["json"]), default="json", expose_value=False)
@click.pass_context
def mi(ctx: click.Context, method: str, params: Sequence[str]) -> None:
    """Run a management command and print its result as JSON.

    PARAMS are all values, in order, or all name=value; an array is written '["a", "b"]'.
    'tagmesh ctl mi which' lists the commands.
    """
    print_json(client_of(ctx).call(method, _mi_params(params)))


def _mi_params(params: Sequence[str]) -> list[Any] | dict[str, Any]:
    pairs = [param.split("=", 1) for param in params]
    if pairs and all(len(pair) == 2 and pair[0].isidentifier() for pair in pairs):
        return {pair[0]: _mi_param(pair[1]) for pair in pairs}
    return [_mi_param(param) for param in params]


def _mi_param(text: str) -> Any:
    """An array, or else the text; what only looks like an array is a text."""
    if text.startswith("["):
        with contextlib.suppress(ValueError):
            return msgspec.json.decode(text)
    return text


@ctl.command()
@output_option
@click.pass_context
def reload(ctx: click.Context, output: str) -> None:
    """Read the provisioned nodes now; links whose rows are as they were go on undisturbed."""
    result = client_of(ctx).call("clusterer_reload")
    print_json(result) if output == "json" else click.echo("ok: the provisioned nodes are read")


@ctl.group()
def link() -> None:
    """Cut and heal direct paths; needs [admin] fault_switch = true."""


@link.command()
@click.argument("node", type=int)
@output_option
@click.pass_context
def cut(ctx: click.Context, node: int, output: str) -> None:
    """Block the direct path to NODE; traffic goes round, if there is a way."""
    _switch(client_of(ctx), "tagmesh_cut", node, f"ok: direct path to node {node} cut", output)


@link.command()
@click.argument("node", type=int)
@output_option
@click.pass_context
def heal(ctx: click.Context, node: int, output: str) -> None:
    """Open the direct path to NODE again."""
    _switch(client_of(ctx), "tagmesh_heal", node, f"ok: direct path to node {node} healed", output)


def _switch(client: MiClient, command: str, node: int, done: str, output: str) -> None:
    result = client.call(command, [node])
    if output == "json":
        print_json(result)
    else:
        click.echo(done)


for _command in (
    call,
    caps,
    cap,
    sync,
    diff,
    tags,
    tag,
    events,
    wait,
    health,
    why,
    ctl_flight,
    log_level,
    node,
):
    ctl.add_command(_command)
