"""The events of a node under the names and with the parameters that OpenSIPS gives them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from ..actors.embedding import EmbeddedNode
from ..protocol.events import Event, EventRecord
from ..protocol.identity import NodeId
from .subscriptions import Subscriptions

REACHABILITY = {Event.NODE_UP: 1, Event.NODE_DOWN: 0}


class Notices:
    """Brings a node's events to its subscribers; before the first of them it costs nothing."""

    def __init__(self, node: EmbeddedNode) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._hears = False
        self._clusters: set[int] = set()
        self.subscriptions = Subscriptions(self._hear)

    def _hear(self) -> None:
        clusters = {status.cluster_id for status in self._node.status().clusters}
        with self._lock:
            if not self._hears:
                self._hears = True
                self._node.on(*REACHABILITY, Event.TAG_CHANGED)(self._happened)
            for cluster_id in sorted(clusters - self._clusters):
                requests = self._node.cluster(cluster_id).requests
                requests.on_req_received(self._came("E_CLUSTERER_REQ_RECEIVED", cluster_id))
                requests.on_rpl_received(self._came("E_CLUSTERER_RPL_RECEIVED", cluster_id))
            self._clusters |= clusters

    def _happened(self, record: EventRecord) -> None:
        self.subscriptions.publish(*notice(record))

    def _came(self, event: str, cluster_id: int) -> Callable[[Any, NodeId, str], None]:
        return partial(self._message, event, cluster_id)

    def _message(self, event: str, cluster_id: int, msg: Any, source: NodeId, tag: str) -> None:
        text = msg if isinstance(msg, str) else msgspec.json.encode(msg).decode()
        params = {"cluster_id": cluster_id, "src_id": source, "msg": text, "tag": tag}
        self.subscriptions.publish(event, params)


def notice(record: EventRecord) -> tuple[str, dict[str, Any]]:
    """The name and parameters of an event of reachability or of a sharing tag."""
    if record.kind in REACHABILITY:
        return "E_CLUSTERER_NODE_STATE_CHANGED", {
            "cluster_id": record.cluster_id,
            "node_id": record.node_id,
            "new_state": REACHABILITY[record.kind],
        }
    assert record.kind is Event.TAG_CHANGED, "no other is asked for"
    return "E_CLUSTERER_SHARING_TAG_CHANGED", {
        "name": record.tag,
        "cluster": record.cluster_id,
        "state": "active" if record.after == "active" else "backup",
        "reason": record.cause,
    }
