"""``tagmesh node``: run a node in the foreground, as a service manager wants it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from .cli_config import config_option
from .configfile import load_config

if TYPE_CHECKING:
    from .node import Node


@click.group(short_help="Run a node.")
def node() -> None:
    """Run a node."""


@node.command()
@config_option
@click.option("--log", type=click.Choice(["console", "json"]), default="console", help="Log form.")
@click.option("-v", "--verbose", is_flag=True, help="Log details too.")
def run(path: str | None, log: str, verbose: bool) -> None:
    """Join the clusters this node is provisioned in, until SIGTERM or Ctrl-C.

    Logs go to stderr. On the signal the peers are told, connections are closed, and it exits 0.
    """
    config = load_config(path)
    from .logs import log_to_stderr
    from .node import Node

    log_to_stderr(json_lines=log == "json", verbose=verbose)
    running = Node(config)
    running.start(inline=True)
    _serve(running)


def _serve(running: Node) -> None:
    import gc

    import gevent
    import gevent.event

    stop = gevent.event.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stop.set)
    admin = running.admin_url
    click.echo(
        f"node {running.node_id} listens at {running.url}"
        + (f", management at {admin}/mi" if admin else ""),
        err=True,
    )
    gc.freeze()  # what start-up made stays; the collector need not look at it again
    stop.wait()
    running.stop()
