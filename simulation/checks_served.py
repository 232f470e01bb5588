"""I4 with sharing tags: the records of a tag that somebody has are served by that node alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..protocol.identity import NodeId
from ..protocol.messages import Message, SyncAnswer, SyncChunk, SyncId, SyncRequest, TagTerm
from ..protocol.sync_pieces import decode_chunk
from ..protocol.sync_tenure import rank_of_term
from ..protocol.tag_words import holding
from .check import Check
from .rows import CLUSTER

if TYPE_CHECKING:
    from ..transport.loopback_connection import Endpoint
    from .trouble import Trouble
    from .world import Process, World


class ServedChecks(Check):
    """Reads what donors send, and what applications and claims say of the tags there.

    What a donor sends may wait there while the tag moves. So who was in the right at any moment
    from the request on may serve; that a session ends when a tag leaves (K-6) others test.
    """

    def __init__(self, world: World, trouble: Trouble) -> None:
        super().__init__(world, trouble)
        self._requests: dict[SyncId, SyncRequest] = {}
        self._waiting: dict[int, SyncRequest] = {}
        """Joiner → its last request, until it is accepted."""
        self._rightful: dict[SyncId, set[str]] = {}
        """Of what a session asked for: the tags that its donor could serve at some moment."""
        self._claimed: dict[SyncId, frozenset[str]] = {}
        """The tags that somebody had claimed, as the donor knew when it accepted the request."""
        self._wrong: list[str] = []
        """What was sent: an actor would take what is raised for a crash of its own."""
        sent = world.network.on_sent

        def watch(end: Endpoint, messages: Sequence[Message]) -> None:
            for message in messages:
                self._sync(end.node, message)
            if sent is not None:
                sent(end, messages)

        world.network.on_sent = watch
        world.on_step.append(self._tell)

    def _tell(self, _world: World) -> None:
        for request in self._waiting.values():
            if request.terms:
                self._look_at(request)
        for text in self._wrong:
            self.fail("I4", text)

    def _sync(self, node: NodeId, message: Message) -> None:
        match message:
            case SyncRequest() if message.source == node:
                self._requests[message.session] = self._waiting[node] = message
            case SyncAnswer() if message.source == node and not message.refusal:
                self._serves(node, message, [tag for tag, _, _ in message.held])
            case SyncChunk() if message.source == node:
                pieces = decode_chunk(message.pieces)
                self._serves(node, message, [piece.tag for piece in pieces if piece.tag])
            case _:
                pass

    def _serves(self, node: NodeId, message: SyncAnswer | SyncChunk, tags: Sequence[str]) -> None:
        """K-1: it has them; or nobody has them, and the joiner knows that (K-4, K-7)."""
        process, request = self.world.processes.get(node), self._requests.get(message.session)
        if process is None or not process.member or request is None:
            return
        if self._waiting.get(request.source) == request:
            del self._waiting[request.source]
        table = process.system.context.claims[CLUSTER]
        claimed = frozenset(claim.tag for claim in table.claims)
        claimed = self._claimed.setdefault(message.session, claimed)
        rightful = self._look_at(request)
        terms = {term.tag for term in request.terms}
        for tag in tags:
            if tag not in rightful and (tag in terms or tag in claimed):
                held = self.world.active(tag)
                text = f"node {node} serves {tag} to node {message.destination}"
                self._wrong.append(f"{text}, and {sorted(held)} have it: {table.of(tag)}")

    def _look_at(self, request: SyncRequest) -> set[str]:
        """The tags that the donor could serve at this moment, or an earlier one."""
        rightful = self._rightful.setdefault(request.session, set())
        process = self.world.processes.get(NodeId(request.destination))
        if process is not None and process.member:
            for term in request.terms:
                if term.tag not in rightful and self._may(process, request, term):
                    rightful.add(term.tag)
        return rightful

    def _may(self, process: Process, request: SyncRequest, term: TagTerm) -> bool:
        context = process.system.context
        token = self.world.active(term.tag).get(context.me)
        if token is not None:
            return token.epoch.rank >= rank_of_term(term)
        table, view = context.claims.get(CLUSTER), context.views.get(CLUSTER)
        if table is None or view is None:
            return False  # it begins
        owner = holding(table.of(term.tag), view.incarnations).node_id
        return request.unowned and owner in (None, context.me, request.source)
