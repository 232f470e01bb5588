"""A link in a sentence."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.control.link_view import LinkView
from tagmesh.protocol.errors import Misuse
from tests.control.fake_node import FakeNode


def test_a_link_is_explained_as_it_is_now() -> None:
    node = FakeNode()
    assert repr(LinkView(node.status, 2, 1)) == (
        "Up for 12 s; reached directly, 0.4 ms there and back"
    )
    view = LinkView(node.status, 3, None)
    assert view.explain().startswith("Down for ")
    assert view.explain().endswith("; reachable via 2 (2 hops)")
    cluster = node.current.clusters[0]
    gone = [
        msgspec.structs.replace(p, next_hop=None, route=[], why="cut\x1b[2J") for p in cluster.peers
    ]
    changed = msgspec.structs.replace(cluster, peers=gone)
    node.current = msgspec.structs.replace(node.current, clusters=[changed])
    assert view.explain().endswith(": cut\\x1b[2J; not reachable")


def test_a_node_that_is_not_there() -> None:
    with pytest.raises(Misuse, match=r"node 1 knows no node 9; it knows \[2, 3, 4\]"):
        LinkView(FakeNode().status, 9, None)
    with pytest.raises(Misuse, match="knows no node 2"):
        LinkView(FakeNode().status, 2, 7)
