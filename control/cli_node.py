"""``tagmesh node``: run a node in the foreground, as a service manager wants it."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

import click

from ..protocol.errors import TagmeshError
from .cli_config import config_option
from .cli_output import printable
from .configfile import load_config

if TYPE_CHECKING:
    from .node import Node
    from .service import Service


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
    SIGHUP reads certificates and provisioned nodes again; on a terminal it ends the node, as its
    terminal is gone. A service manager is told by sd_notify.
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

    from .service import Service

    stop = gevent.event.Event()
    service = Service(os.environ)
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stop.set)
    if sys.stderr.isatty():  # the terminal is gone, and nobody asked for a node without one
        gevent.signal_handler(signal.SIGHUP, stop.set)
    else:
        gevent.signal_handler(signal.SIGHUP, _reload, running, service)
    admin = running.admin_url
    said = f"node {running.node_id} listens at {running.url}" + (
        f", management at {admin}/mi" if admin else ""
    )
    click.echo(said, err=True)
    service.ready(said)
    gc.freeze()  # what start-up made stays; the collector need not look at it again
    while not stop.wait(service.watchdog_s):
        if _works(running):
            service.alive()
    service.stopping()
    running.stop()


def _works(running: Node) -> bool:
    """A node whose actors crash again and again, or do not answer, does not."""
    try:
        return running.status().healthy
    except Exception:
        logging.getLogger("tagmesh.service").exception("no status for the watchdog")
        return False


def _reload(running: Node, service: Service) -> None:
    """SIGHUP. What cannot be used is told, and what was in use stays in use."""
    service.reloading()
    try:
        running.reload()
        said = "reloaded: certificates, provisioned nodes"
    except TagmeshError as error:
        said = f"not reloaded: {error}"
    click.echo(printable(said), err=True)
    service.ready(said)
