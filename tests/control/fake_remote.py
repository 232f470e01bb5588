"""Commands on other nodes that are not there: what they would say is made up here."""

from __future__ import annotations

from tagmesh.capabilities.pending import Reply
from tagmesh.control.commands import COMMANDS
from tagmesh.control.remote import RemoteCommands
from tagmesh.protocol.config import AdminSettings
from tagmesh.protocol.errors import NodeDown
from tests.control.fake_node import FakeNode

DOWN = 3


class FakeRemote(RemoteCommands):
    """Every other node answers as this one would, but for one that just went down."""

    def __init__(self, node: FakeNode) -> None:
        super().__init__(node, COMMANDS, AdminSettings(), run=lambda job: job())

    def ask(self, node: int, key: str, request: bytes, timeout_s: float) -> Reply:
        reply = Reply(node, timeout_s)
        if node == DOWN:
            reply.finish(None, NodeDown(f"node {node} went down: {key!r} never came"))
        else:
            reply.finish(self.do_here(request, "node 1"), None)
        return reply


def with_remote(node: FakeNode) -> FakeNode:
    node.capabilities[RemoteCommands.name] = FakeRemote(node)
    return node
