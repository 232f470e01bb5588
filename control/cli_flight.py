"""``tagmesh flight`` and ``tagmesh ctl flight``: the recording of a node's links (B14)."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from .cli_client import client_of
from .cli_output import output_option, print_json, printable

if TYPE_CHECKING:
    from ..protocol.flight_recorder import Flight, Frame, Input
    from ..simulation.flight_replay import Replayed


@click.group(name="flight")
def ctl_flight() -> None:
    """The last messages of every link of this instance."""


@ctl_flight.command()
@click.argument("file", type=click.Path(dir_okay=False, writable=True, path_type=Path))
@output_option
@click.pass_context
def dump(ctx: click.Context, file: Path, output: str) -> None:
    """Write them to FILE: heads, and what carries the state of the cluster; no payloads."""
    from ..actors.flight_dump import write_private

    told = client_of(ctx).call("tagmesh_flight")
    content = base64.b64decode(told["flight"])
    try:
        write_private(file, content)
    except OSError as error:
        raise click.ClickException(f"cannot write {file}: {error.strerror}") from error
    if output == "json":
        print_json({"file": str(file), "bytes": len(content)})
    else:
        click.echo(f"ok: {len(content)} bytes; read them with: tagmesh flight decode {file}")


@click.group(short_help="Read a recording of a node's links.")
def flight() -> None:
    """Read what 'tagmesh ctl flight dump' wrote, or a node by itself after a fault."""


@flight.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@output_option
def decode(file: Path, output: str) -> None:
    """What FILE holds, a line per message, in the order of the node."""
    read = read_flight(file)
    if output == "json":
        print_json(msgspec.to_builtins(read, builtin_types=()))
        return
    for line in lines(read):
        click.echo(printable(line))


def read_flight(file: Path) -> Flight:
    """The recording in a file; `Misuse` when it is none."""
    from ..protocol.flight_recorder import from_bytes

    return from_bytes(file.read_bytes())


def lines(flight: Flight) -> Iterator[str]:
    """For people: the head, then messages and inputs in order; times before the end, in seconds."""
    when = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(flight.wall_s))
    yield f"node {flight.node_id}, {flight.software}, until {when}: {flight.reason}"
    if flight.lost:
        yield f"{flight.lost} earlier messages that carry state are not kept any more"
    inputs = [step for there in flight.clusters for step in there.inputs]
    steps: list[Frame | Input] = [*flight.frames, *inputs]
    for step in sorted(steps, key=lambda step: step.order):
        yield f"{step.at_s - flight.at_s:+11.3f}  {_step(step)}"


def _step(step: Frame | Input) -> str:
    from ..protocol.flight_recorder import Frame
    from ..protocol.wire import decode

    where = f"cluster {step.cluster_id}" if step.cluster_id else "connection"
    if not isinstance(step, Frame):
        nodes = [str(record.node_id) for record in step.members]
        tags = [f"{claim.tag} epoch {claim.number} of {claim.owner}" for claim in step.claims]
        about = [str(step.peer)] if step.peer else nodes or tags
        cause = f": {step.cause}" if step.cause else ""
        return f"        {where}: {step.what} {', '.join(about)}{cause}"
    way = f"to {step.peer}" if step.out else f"from {step.peer}"
    text = step.kind
    if step.body:
        text = ", ".join(repr(message) for message in decode(step.body).messages)
    size = f", {step.size_bytes} bytes" if step.size_bytes else ""
    return f"{way:8}{where}: {text}{size}"


def replay_lines(replayed: Replayed) -> Iterator[str]:
    """For people: what applications were told, and where it led."""
    yield f"cluster {replayed.cluster_id}"
    for heard in replayed.heard:
        told = heard.announce
        yield f"{heard.at_s:11.3f}  {told.kind.value} node {told.node_id}: {told.cause}"
    for node, near in replayed.adjacency:
        way = replayed.routes.get(str(node))
        route = f", by way of {' '.join(map(str, way))}" if way else ""
        yield f"  {node}: linked with {' '.join(map(str, near)) or 'nobody'}{route}"
    for claim in replayed.claims:
        word = "released by" if claim.released else "with"
        yield f"  tag {claim.tag}: epoch {claim.number} {word} node {claim.owner}"
    end = {True: "as the node had it", False: "NOT as the node had it", None: "of that time"}
    yield f"  {end[replayed.same]} at the end"
