"""The management commands about capabilities and their syncs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec

from ..protocol.capability_words import Answer
from ..protocol.contract import Progress, Quarantined
from ..protocol.diffing import DEFAULT_LISTED_KEYS, NodeDiff, Unlike
from ..protocol.errors import Misuse, TimedOut, Unknown
from ..protocol.status import CapabilityStatus, ClusterStatus, DonorSession, Status
from .command import DONE, Command, CommandError, per_cluster, the_cluster
from .port import ClusterPort, NodePort

MAX_SHOWN_CHARS = 200
"""Of a message or record that was set aside."""
MODES = ("union", "mirror", "dry_run", "force", "backup")


def list_cap(status: Status) -> dict[str, Any]:
    """``{"Clusters": [{"cluster_id", "Capabilities": [{"name", "state", "enabled"}]}]}``."""
    return per_cluster(
        status,
        "Capabilities",
        lambda cluster: [
            {
                "name": capability.name,
                "state": "Ok" if capability.state == "ok" else "not synced",
                "enabled": "yes" if capability.enabled else "no",
            }
            for capability in cluster.capabilities
        ],
    )


def sync_status(status: Status) -> dict[str, Any]:
    """``{"clusters": [{"cluster_id", "sessions", "waiting", "last"}]}`` (S-29).

    ``sessions``: syncs under way, in which this node is ``joiner`` or ``donor``; ``items`` of
    ``expected`` records. ``waiting``: capabilities that want a sync, and why they have none.
    ``last``: how the last one of each capability ended, and the mirror plans that are kept.
    """
    return {"clusters": [_sync_status(cluster) for cluster in status.clusters]}


def _sync_status(cluster: ClusterStatus) -> dict[str, Any]:
    capabilities = cluster.capabilities
    return {
        "cluster_id": cluster.cluster_id,
        "sessions": [session for c in capabilities for session in _sessions(c)],
        "waiting": [
            {"capability": c.name, "state": c.state, "reason": c.reason}
            for c in capabilities
            if c.state in ("pending", "degraded")
        ],
        "last": [
            {"capability": c.name, "report": c.last_report, "plans": c.plans}
            for c in capabilities
            if c.last_report is not None or c.plans
        ],
    }


def _sessions(capability: CapabilityStatus) -> Iterator[dict[str, Any]]:
    mine = capability.progress
    if mine is not None:
        yield _session(capability, "joiner", mine.donor, mine, mine.seconds)
    for theirs in capability.donating:
        yield _session(capability, "donor", theirs.joiner, theirs, None)


def _session(
    capability: CapabilityStatus,
    role: str,
    node: int,
    done: Progress | DonorSession,
    seconds: float | None,
) -> dict[str, Any]:
    return {
        "capability": capability.name,
        "role": role,
        "node_id": node,
        "state": done.state,
        "items": done.done,
        "expected": done.total,
        "bytes": done.bytes,
        "seconds": seconds,
    }


def _cluster(port: NodePort, cluster_id: int, capability: str) -> ClusterPort:
    """The cluster, when it and the capability are there."""
    cluster = the_cluster(port.status(), cluster_id)
    names = [known.name for known in cluster.capabilities]
    if capability not in names:
        listed = ", ".join(names) or "none"
        raise CommandError(404, "Capability not found", f"registered on this node: {listed}")
    return port.cluster(cluster_id)


def _set_cap_status(port: NodePort, *, cluster_id: int, capability: str, status: int) -> str:
    if status not in (0, 1):
        raise CommandError(400, "Bad value for 'status'", "0 switches off, 1 switches on")
    cluster = _cluster(port, cluster_id, capability)
    switch = cluster.enable if status else cluster.disable
    _done(lambda: switch(capability))
    return DONE


def _sync_start(
    port: NodePort, *, cluster_id: int, capability: str, tag: str = "", mode: str = "union"
) -> dict[str, str]:
    if mode not in MODES:
        raise CommandError(400, "Bad value for 'mode'", f"one of {', '.join(MODES)}")
    cluster = _cluster(port, cluster_id, capability)
    tags = [tag] if tag else []
    mirror = mode in ("mirror", "dry_run")
    force = tags if mode == "force" else []
    state = "backup" if mode == "backup" else ""
    answer: Answer = _done(
        lambda: cluster.sync(
            capability,
            tags=tags,
            mirror=mirror,
            dry_run=mode == "dry_run",
            state=state,
            force=force,
        )
    )
    if answer is Answer.DISABLED:
        raise CommandError(
            400, "Capability disabled", f"clusterer_set_cap_status {cluster_id} {capability} 1"
        )
    return {"answer": answer.value}


def _sync_plan(
    port: NodePort, *, cluster_id: int, capability: str, plan_id: int, decision: str
) -> dict[str, int]:
    cluster = _cluster(port, cluster_id, capability)
    decisions: dict[str, Callable[[str, int], int | None]] = {
        "confirm": cluster.confirm,
        "discard": cluster.discard,
        "undo": cluster.undo,
    }
    if decision not in decisions:
        raise CommandError(400, "Bad value for 'decision'", f"one of {', '.join(decisions)}")
    return {"records": _done(lambda: decisions[decision](capability, plan_id)) or 0}


def _quarantine(port: NodePort, *, cluster_id: int, capability: str) -> dict[str, Any]:
    cluster = _cluster(port, cluster_id, capability)
    listed = _done(lambda: cluster.quarantine(capability))
    return {"capability": capability, "quarantine": [_shown(item) for item in listed]}


def _shown(item: Quarantined) -> dict[str, Any]:
    text = ascii(item.payload)
    with suppress(ValueError, RecursionError):  # it may be cut, or never was a message
        text = ascii(msgspec.msgpack.decode(item.payload))
    return {
        "node_id": item.source,
        "kind": item.kind,
        "error": item.error,
        "content": text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}…",
        "payload": item.payload,
    }


def _explain_donor(
    port: NodePort, *, cluster_id: int, capability: str, tag: str = ""
) -> dict[str, Any]:
    cluster = _cluster(port, cluster_id, capability)
    return {
        "capability": capability,
        "donors": _done(lambda: cluster.explain_donor(capability, tag)),
    }


def _diff(
    port: NodePort,
    *,
    cluster_id: int,
    capability: str,
    tag: str = "",
    nodes: str = "",
    limit: int = DEFAULT_LISTED_KEYS,
) -> dict[str, Any]:
    words = nodes.split(",") if nodes else []
    if not all(word.isdecimal() for word in words):
        raise CommandError(400, "Bad value for 'nodes'", "ids of nodes, such as 2,3")
    cluster = _cluster(port, cluster_id, capability)
    others = list(map(int, words))
    found = _done(lambda: cluster.diff(capability, tag, others, limit=limit))
    return {
        "capability": capability,
        "tag": tag,
        "node_id": port.status().node_id,
        "alike": all(node.alike for node in found),
        "nodes": [_node_diff(node) for node in found],
    }


def _node_diff(node: NodeDiff) -> dict[str, Any]:
    counts = {unlike.value: getattr(node, unlike.value) for unlike in Unlike}
    listed = [{"key": _key(each.key), "unlike": each.unlike.value} for each in node.keys]
    told = {"node_id": node.node_id, "compared": node.compared, "reason": node.reason}
    return {**told, **counts, "keys": listed, "unlisted": sum(counts.values()) - len(listed)}


def _key(key: Any) -> str:
    return key if isinstance(key, str) else ascii(key)


def _done(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Unknown as unknown:
        raise CommandError(404, "Not found", str(unknown)) from unknown
    except (Misuse, TimedOut) as misuse:
        raise CommandError(400, "Not possible now", str(misuse)) from misuse


_WHICH = ("cluster_id", "capability")
_TYPES = {"cluster_id": int, "capability": str}

COMMANDS = (
    Command(
        name="clusterer_list_cap",
        module="clusterer",
        recipes=((),),
        help="lists the capabilities of this node with their state",
        run=lambda port: list_cap(port.status()),
    ),
    Command(
        name="clusterer_set_cap_status",
        module="clusterer",
        recipes=((*_WHICH, "status"),),
        types={**_TYPES, "status": int},
        help="switches a capability of this node off (0) or on (1)",
        run=_set_cap_status,
        changing=True,
    ),
    Command(
        name="tagmesh_sync_status",
        module="tagmesh",
        recipes=((),),
        help="the syncs under way, what waits for one, and how the last ones ended",
        run=lambda port: sync_status(port.status()),
    ),
    Command(
        name="tagmesh_sync_start",
        module="tagmesh",
        recipes=(_WHICH, (*_WHICH, "tag"), (*_WHICH, "tag", "mode")),
        types={**_TYPES, "tag": str, "mode": str},
        help="asks for a sync of one tag, or all (''); mode: union, mirror, dry_run, force, or"
        " backup: the tags that are backup here",
        run=_sync_start,
        changing=True,
    ),
    Command(
        name="tagmesh_sync_plan",
        module="tagmesh",
        recipes=((*_WHICH, "plan_id", "decision"),),
        types={**_TYPES, "plan_id": int, "decision": str},
        help="decides about a mirror plan: confirm, discard or undo",
        run=_sync_plan,
        changing=True,
    ),
    Command(
        name="tagmesh_quarantine",
        module="tagmesh",
        recipes=(_WHICH,),
        types=_TYPES,
        help="lists the newest messages and records that a capability's code refused by raising",
        run=_quarantine,
    ),
    Command(
        name="tagmesh_explain_donor",
        module="tagmesh",
        recipes=(_WHICH, (*_WHICH, "tag")),
        types={**_TYPES, "tag": str},
        help="tells in which order other nodes would be asked as donors, and why not the others",
        run=_explain_donor,
    ),
    Command(
        name="tagmesh_diff",
        module="tagmesh",
        recipes=(
            _WHICH,
            (*_WHICH, "tag"),
            (*_WHICH, "tag", "nodes"),
            (*_WHICH, "tag", "nodes", "limit"),
        ),
        types={**_TYPES, "tag": str, "nodes": str, "limit": int},
        help="tells which records with a tag ('': without one) other nodes do not have as they are"
        " here; nodes: such as 2,3, '' = all",
        run=_diff,
        waits=True,
    ),
)
