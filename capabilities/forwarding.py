"""Writes that are done by the node that has the tag, for one that has not (M-2, ``forward=True``).

A request names the epoch in which the other node has the tag, as it is known here. So it is carried
out at most once: messages are delivered once to one life of a node, and another life has the tag
under another epoch, if at all. Every request ends: done, or with the error of the other node, or
with one of this side.
"""

from __future__ import annotations

from collections.abc import Callable

from ..protocol.contract import Capability, Outcome
from ..protocol.errors import (
    Busy,
    CapabilityDisabled,
    Misuse,
    NotTagOwner,
    RemoteError,
    TagmeshError,
    Unreachable,
)
from ..protocol.identity import NodeId
from .map_messages import Forward, Forwarded, Write
from .pending import Pending, Reply

FORWARD_TIMEOUT_S = 5.0
"""How long the owner is waited for."""
MAX_FORWARDED = 10_000
"""Writes of this node that others have not answered yet, per map."""
MAX_ERROR_CHARS = 1000
"""Of what the owner says, as it is told."""
_ERRORS: dict[str, type[TagmeshError]] = {
    kind.__name__: kind for kind in (Busy, CapabilityDisabled, Misuse, NotTagOwner)
}
_REFUSED: dict[Outcome, type[TagmeshError]] = {
    Outcome.BUSY: Busy,
    Outcome.DISABLED: CapabilityDisabled,
    Outcome.UNREACHABLE: Unreachable,
}


class Forwarding:
    """Of one map on one node. `asked` and `answered` are called in the hub, the others anywhere."""

    def __init__(self, owner: Capability, do: Callable[[Write], None]) -> None:
        """``owner`` has a port by then; ``do`` writes here, or raises."""
        self._owner = owner
        self._do = do
        self._pending = Pending(MAX_FORWARDED, owner)
        self._life = 0

    def ask(self, node: int, tag: str, write: Write) -> Reply:
        """Have the node that has the tag write something; the reply is None, or raises."""
        port = self._owner.port
        reply = Reply(node, FORWARD_TIMEOUT_S)
        epoch = port.tag(tag).epoch
        if epoch is None or epoch.owner != node:
            reply.finish(None, NotTagOwner(f"tag {tag!a} has just moved: try again", tag=tag))
            return reply
        if not self._life:
            self._life = int(port.wall() * 1_000_000)
        number = self._pending.begin(reply)
        if number is None:
            reply.finish(None, Busy(f"{MAX_FORWARDED} writes wait for other nodes already"))
            return reply
        try:
            result = port.send(node, Forward(self._life, number, tag, epoch, write))
        except BaseException:
            self._pending.finish(number, None)
            raise
        if not result:
            why = result.detail or f"node {node}: {result.outcome.value}"
            self._pending.finish(number, None, _REFUSED[result.outcome](why))
        return reply

    def asked(self, request: Forward, source: NodeId) -> None:
        """Another node has something written here."""
        port = self._owner.port
        error = text = ""
        token = port.tag(request.tag).token
        if token is None or token.epoch != request.epoch:
            error = "NotTagOwner"
            text = (
                f"tag {request.tag!a} is not active on node {port.node_id} under epoch"
                f" {request.epoch} any more: try again where it is"
            )
        else:
            try:
                self._do(request.write)
            except Exception as problem:  # noqa: BLE001 - whoever asked is told
                error, text = type(problem).__name__, str(problem)[:MAX_ERROR_CHARS]
        port.send(source, Forwarded(request.life, request.number, error, text))

    def answered(self, answer: Forwarded, source: NodeId) -> None:
        """The owner has done it, or not. An answer that nobody waits for is of no use."""
        if answer.life == self._life:
            self._pending.finish(answer.number, None, _error_of(answer, source))

    def fail(self, error: TagmeshError, node: int | None = None) -> None:
        """The end of all requests, or of all to one node."""
        self._pending.fail(error, node)


def _error_of(answer: Forwarded, source: NodeId) -> Exception | None:
    if not answer.error:
        return None
    if answer.error == "KeyError":
        return KeyError(answer.text)
    said = f"node {source}: {answer.text}"
    return _ERRORS.get(answer.error, RemoteError)(said)
