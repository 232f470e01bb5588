"""The management commands that have other nodes do something (I-2, B15)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from ..capabilities.pending import Reply
from ..protocol.errors import (
    Busy,
    CapabilityDisabled,
    Misuse,
    RemoteError,
    TagmeshError,
)
from ..protocol.kinds import duration
from ..protocol.status import ClusterStatus, PeerStatus, Status
from .command import DONE, Command, CommandError, the_cluster
from .port import NodePort
from .remote import MAX_KEY_CHARS, RemoteCommands

DEFAULT_TIMEOUT = "5s"
MIN_TIMEOUT_S, MAX_TIMEOUT_S = 0.05, 60.0
FIRE_AND_FORGET_S = 5.0
"""What nobody waits for is forgotten after so long."""
SELECTORS = "all, reachable, ids (1,3), tag:NAME (its holder), cap:NAME (where it is ok)"

Words = list[str]


def _remote(port: NodePort, cluster: int) -> RemoteCommands:
    found = port.cluster(cluster).capability(RemoteCommands.name)
    assert isinstance(found, RemoteCommands), "nobody else has this name"
    return found


def _request(cmd_name: str, cmd_params: Words) -> bytes:
    return msgspec.json.encode(
        {"jsonrpc": "2.0", "method": cmd_name, "params": cmd_params, "id": 1}
    )


def _send(
    port: NodePort,
    *,
    cluster_id: int,
    destination: int,
    cmd_name: str,
    cmd_params: Words | None = None,
) -> str:
    status = port.status()
    cluster = the_cluster(status, cluster_id)
    if destination == status.node_id:
        raise CommandError(400, "Local node specified as destination")
    if not cluster.enabled:
        return "Local node disabled"
    peer = next((peer for peer in cluster.peers if peer.node_id == destination), None)
    if peer is None or peer.next_hop is None:
        why = f"node {destination} is not in this cluster" if peer is None else peer.why
        raise CommandError(400, "Destination down", why)
    request = _request(cmd_name, cmd_params or [])
    reply = _remote(port, cluster_id).ask(destination, _new_key(), request, FIRE_AND_FORGET_S)
    if reply.done():
        try:
            reply.result()
        except TagmeshError as error:
            raise CommandError(400, "Send error", str(error)) from error
    return DONE


def _broadcast(
    port: NodePort, *, cluster_id: int, cmd_name: str, cmd_params: Words | None = None
) -> Any:
    status = port.status()
    cluster = the_cluster(status, cluster_id)
    remote = _remote(port, cluster_id)
    command = remote.command(cmd_name)
    if command is None:
        raise CommandError(400, "Command to be run not found")
    if command.named_only:
        raise CommandError(400, "Commands requiring named params not supported")
    request, key = _request(cmd_name, cmd_params or []), _new_key()
    for peer in cluster.peers:
        if peer.next_hop is not None:
            remote.ask(peer.node_id, key, request, FIRE_AND_FORGET_S)
    done = _outcome(remote.do_here(request, "cluster_broadcast_mi"))
    if done["status"] == "error":
        error = done["error"]
        raise CommandError(error["code"], error["message"], error.get("data", ""))
    return done["result"]


def _call(
    port: NodePort,
    *,
    cluster_id: int,
    cmd_name: str,
    cmd_params: Words | None = None,
    nodes: str = "all",
    timeout: str = DEFAULT_TIMEOUT,
    key: str = "",
) -> dict[str, Any]:
    """A row per node: ``ok`` and its result, ``error`` and what it said, ``absent`` and why."""
    status = port.status()
    cluster = the_cluster(status, cluster_id)
    chosen = select(status, cluster, nodes)
    try:
        timeout_s = duration(MIN_TIMEOUT_S, MAX_TIMEOUT_S).read(timeout)
    except Misuse as misuse:
        raise CommandError(400, "Bad value for 'timeout'", str(misuse)) from misuse
    if len(key) > MAX_KEY_CHARS:
        raise CommandError(400, "Bad value for 'key'", f"at most {MAX_KEY_CHARS} characters")
    key = key or _new_key()
    remote, request = _remote(port, cluster_id), _request(cmd_name, cmd_params or [])
    if remote.asks_nodes(cmd_name):
        raise CommandError(400, "Bad value for 'cmd_name'", f"{cmd_name} asks other nodes itself")
    begun = time.monotonic()
    peers = {peer.node_id: peer for peer in cluster.peers}
    asked = {
        node: remote.ask(node, key, request, timeout_s)
        for node in chosen
        if node in peers and peers[node].next_hop is not None
    }
    times = _stop_watches(asked, begun)
    rows: list[dict[str, Any]] = []
    for node in chosen:
        if node == status.node_id:
            row = _outcome(remote.do_here(request, "cluster_call"))
            times[node] = time.monotonic() - begun
        elif node in asked:
            row = _came(asked[node])
        else:
            row = {"status": "absent", "reason": _why_not(peers.get(node))}
        seconds = round(times.get(node, 0.0), 6) if row["status"] != "absent" else None
        rows.append({"node_id": node, **row, "seconds": seconds})
    return {"cluster_id": cluster_id, "cmd_name": cmd_name, "key": key, "Nodes": rows}


def select(status: Status, cluster: ClusterStatus, nodes: str) -> list[int]:
    """The provisioned nodes that a selector means, sorted; 400 for one that means nothing."""
    peers = cluster.peers
    everybody = sorted([status.node_id, *(peer.node_id for peer in peers)])
    what, _, name = nodes.partition(":")
    if nodes == "all":
        return everybody
    if nodes == "reachable":
        away = {peer.node_id for peer in peers if peer.next_hop is None}
        return [node for node in everybody if node not in away]
    if what == "tag":
        return _holder(cluster, name)
    if what == "cap":
        found = [peer.node_id for peer in peers if _is_ok(peer.capabilities, name)]
        found += [status.node_id] if _is_ok(cluster.capabilities, name) else []
        return sorted(found)
    return _listed(nodes, everybody)


def _holder(cluster: ClusterStatus, name: str) -> list[int]:
    for tag in cluster.tags:
        if tag.name == name:
            return [] if tag.holder is None else [tag.holder]
    known = ", ".join(tag.name for tag in cluster.tags) or "none"
    raise CommandError(404, "Tag not found", f"known here: {known}")


def _is_ok(capabilities: Iterable[Any], name: str) -> bool:
    return any(c.name == name and c.state == "ok" for c in capabilities)


def _listed(nodes: str, everybody: list[int]) -> list[int]:
    words = [word.strip() for word in nodes.split(",")]
    if not all(word.isascii() and word.isdigit() for word in words):
        raise CommandError(400, "Bad value for 'nodes'", f"one of {SELECTORS}")
    chosen = sorted({int(word) for word in words})
    strangers = [node for node in chosen if node not in everybody]
    if strangers:
        known = ", ".join(map(str, everybody))
        raise CommandError(404, "Node id not found", f"{strangers[0]}; nodes here: {known}")
    return chosen


def _why_not(peer: PeerStatus | None) -> str:
    assert peer is not None, "only provisioned nodes are chosen"
    return peer.why if peer.why and peer.why != "-" else f"link {peer.link}, no route"


def _stop_watches(asked: Mapping[int, Reply], begun: float) -> dict[int, float]:
    """When each reply came, filled in as they come."""
    times: dict[int, float] = {}

    def stop(node: int) -> Callable[[Reply], None]:
        return lambda _: times.update({node: time.monotonic() - begun})

    for node, reply in asked.items():
        reply.add_done_callback(stop(node))
    return times


def _came(reply: Reply) -> dict[str, Any]:
    try:
        return _outcome(reply.result())
    except (RemoteError, Busy, CapabilityDisabled) as error:
        message = {"code": 500, "message": type(error).__name__, "data": str(error)}
        return {"status": "error", "error": message}
    except TagmeshError as error:  # went down, no way any more, too late
        return {"status": "absent", "reason": str(error)}


def _outcome(reply: object) -> dict[str, Any]:
    """Of a JSON-RPC reply."""
    try:
        decoded = msgspec.json.decode(reply) if isinstance(reply, bytes) else None
    except ValueError:
        decoded = None
    match decoded:
        case {"result": result}:
            return {"status": "ok", "result": result}
        case {"error": {"code": int(), "message": str()} as error}:
            return {"status": "error", "error": error}
    error = {"code": 500, "message": "Bad reply", "data": "it is no JSON-RPC reply"}
    return {"status": "error", "error": error}


def _new_key() -> str:
    return secrets.token_hex(8)


_OPTIONS = ("nodes", "timeout", "key")
COMMANDS = (
    Command(
        name="cluster_send_mi",
        module="clusterer",
        recipes=(
            ("cluster_id", "destination", "cmd_name"),
            ("cluster_id", "destination", "cmd_name", "cmd_params"),
        ),
        types={"cluster_id": int, "destination": int, "cmd_name": str, "cmd_params": list},
        help="has another node run a command; what comes of it is told there only",
        run=_send,
        changing=True,
        admin=True,
        asks_nodes=True,
    ),
    Command(
        name="cluster_broadcast_mi",
        module="clusterer",
        recipes=(("cluster_id", "cmd_name"), ("cluster_id", "cmd_name", "cmd_params")),
        types={"cluster_id": int, "cmd_name": str, "cmd_params": list},
        help="runs a command here and has all nodes that can be reached run it; the local result",
        run=_broadcast,
        changing=True,
        admin=True,
        asks_nodes=True,
        waits=True,
    ),
    Command(
        name="cluster_call",
        module="tagmesh",
        recipes=tuple(
            ("cluster_id", "cmd_name", *params, *options)
            for params in ((), ("cmd_params",))
            for options in ((), _OPTIONS[:1], _OPTIONS[:2], _OPTIONS)
        ),
        named_only=True,
        types={
            "cluster_id": int,
            "cmd_name": str,
            "cmd_params": list,
            "nodes": str,
            "timeout": str,
            "key": str,
        },
        help=f"runs a command on several nodes, one answer of each; nodes: {SELECTORS}",
        run=_call,
        changing=True,
        admin=True,
        asks_nodes=True,
        waits=True,
    ),
)
