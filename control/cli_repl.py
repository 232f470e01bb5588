"""``tagmesh repl``: a Python prompt with a laboratory, or with a node that runs elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from .. import __version__
from .cli import EXIT_NO_ANSWER, Failure
from .cli_ctl import instance_client
from .client import NoAnswer
from .repl import Mi, make_prompt

if TYPE_CHECKING:
    from ..protocol.events import EventRecord
    from .node import Node

TOLD = frozenset(["node_up", "node_down", "link_changed", "route_changed", "tag_changed"])
"""Events of a laboratory that are worth a line each."""


@click.command(short_help="A Python prompt with nodes in it.")
@click.option("--nodes", type=click.IntRange(1, 16), default=3, show_default=True)
@click.option("--connect", metavar="URL", help="A node that runs, instead of a laboratory.")
@click.option("--plain", is_flag=True, help="Python's own prompt, also where IPython is installed.")
def repl(nodes: int, connect: str | None, plain: bool) -> None:
    """A Python prompt: a cluster in this process to play with, or a node that runs elsewhere.

    What happens is printed above the prompt. With --connect everything goes over the management
    interface of that node, which runs no code for it; $TAGMESH_TOKEN_FILE has its token.
    """
    if connect is not None:
        _connected(connect, plain=plain)
        return
    from .lab import LocalCluster

    with LocalCluster(nodes) as lab:
        first, *_ = lab
        names = {"lab": lab} | {f"n{node.node_id}": node for node in lab}
        prompt_for(lab, names, first.mi, f"lab of {nodes} nodes", plain=plain)


def prompt_for(
    nodes: Iterable[Node],
    names: Mapping[str, Any],
    mi: Mi,
    what: str = "",
    *,
    plain: bool = False,
) -> None:
    """A prompt beside nodes of this process, whose events it tells."""
    from .wording import event_line

    prompt = make_prompt(names, mi, plain=plain)
    over = False

    def teller(node: Node) -> None:
        def tell(record: EventRecord) -> None:
            if not over and record.kind.value in TOLD:
                prompt.say(f"node {node.node_id} {event_line(record)}")

        node.on()(tell)

    for node in nodes:
        teller(node)
    with contextlib.suppress(SystemExit):
        prompt.run(_banner(what or f"node {next(iter(nodes)).node_id}", names))
    over = True


def _connected(url: str, *, plain: bool) -> None:
    from .connected import ConnectedNode, Watch

    try:
        node = ConnectedNode(instance_client(url, None))
    except NoAnswer as error:
        raise Failure(str(error), EXIT_NO_ANSWER) from error
    prompt = make_prompt({"node": node}, node.mi, plain=plain)
    with Watch(node, prompt.say), contextlib.suppress(SystemExit):
        prompt.run(_banner(f"node {node.node_id} at {url}", {"node": node}))


def _banner(what: str, names: Mapping[str, Any]) -> str:
    return (
        f"tagmesh {__version__} · {what} · {', '.join(names)} · help({next(iter(names))}),"
        " Tab completes, %mi COMMAND asks, Ctrl-D ends"
    )
