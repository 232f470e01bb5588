"""A node that is a hand-made status, with dialogs."""

from __future__ import annotations

from tagmesh.capabilities.dialogs import Dialogs
from tests.capabilities.dialog_samples import dialog
from tests.capabilities.fake_cluster import FakeCluster
from tests.control.fake_node import FakeNode

CALL = dialog(
    1,
    dlg_id=(0x5AF << 32) + 0x1A2B,
    caller_cseq="102",
    callee_cseq="7",
    caller_contact="sip:alice@10.0.0.9:5060",
    callee_contact="sip:bob@10.0.0.8",
    callee_route_set="<sip:10.0.0.7;lr>",
    caller_sock="udp:10.0.0.1:5060",
    callee_sock="tls:10.0.0.1:5061",
    script_flags=4,
    vars={"account": "acme", "note": "a\tb\x01é"},
    profiles=(("calls", ""), ("trunk", "berlin")),
)


def booted() -> tuple[FakeNode, FakeCluster[Dialogs]]:
    """A node with three dialogs of a tag that is active there; the second node of two."""
    cluster = FakeCluster(lambda: Dialogs(run=lambda function: function()), 2)
    cluster.activate(1, "vip1")
    cluster[1].create(CALL, "vip1")
    for number in (2, 3):
        cluster[1].create(dialog(number, profiles=(("trunk", "paris"),)), "vip1")
    cluster.settle()
    node = FakeNode()
    node.capabilities["dialog-dlg-repl"] = cluster[1]
    return node, cluster
