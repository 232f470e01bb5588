"""Dialogs for tests, and small clusters that have some."""

from __future__ import annotations

from typing import Any

from tagmesh.capabilities.dialog_records import Dialog, DialogKey, DialogState, dialog_of
from tagmesh.capabilities.dialogs import Dialogs
from tests.capabilities.fake_cluster import FakeCluster

NOW_S = 1_760_000_000
"""When the clocks of `fake_cluster` begin."""


def dialog(number: int = 1, **columns: Any) -> Dialog:
    """An answered dialog that expires a minute later."""
    return dialog_of(
        {
            "dlg_id": (7 << 32) + number,
            "callid": f"call-{number:03}@10.0.0.1",
            "from_uri": "sip:alice@example.net",
            "from_tag": f"a{number}",
            "to_uri": "sip:bob@example.net",
            "to_tag": f"b{number}",
            "state": DialogState.CONFIRMED,
            "start_time": NOW_S - 60,
            "timeout": NOW_S + 60,
            **columns,
        }
    )


LIFE_S = 60.0
"""Of a sample."""


class Heard(Dialogs):
    """Notes what its functions are told."""

    def __init__(self) -> None:
        super().__init__(run=lambda function: function())
        self.heard: list[tuple[str, str, int | None]] = []
        """(what, Call-ID, number of the epoch)."""
        self.on_expired(lambda d, token: self._saw_end("over", d, token))
        self.on_ended(lambda d, why, token: self._saw_end(why, d, token))

    def _saw_end(self, what: str, ended: Dialog, token: Any) -> None:
        self.heard.append((what, ended.callid, token.epoch.number if token else None))


def booted(nodes: int = 2) -> FakeCluster[Heard]:
    """Tag vip1 is active on node 1, vip2 on node 2."""
    cluster = FakeCluster(Heard, nodes)
    cluster.activate(1, "vip1")
    cluster.activate(2, "vip2")
    return cluster


def keys(cluster: FakeCluster[Heard], node: int) -> list[DialogKey]:
    return [each.key for each in cluster[node].listed()]
