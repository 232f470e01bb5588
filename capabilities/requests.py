"""Requests with replies, and the request and reply messages of OpenSIPS scripts.

A request has a number and the life of the node that asks; the reply repeats both, so it finds its
request, or nobody. Every request ends: with the reply, with an error of the other side, or with one
of this side (the node went down, time is over, too many under way).
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from ..protocol.contract import Capability, Outcome, Result
from ..protocol.errors import (
    Busy,
    CapabilityDisabled,
    Misuse,
    NodeDown,
    PeerViolation,
    RemoteError,
    TagmeshError,
    Unreachable,
)
from ..protocol.identity import NodeId
from ..protocol.messages import CapState
from .background import Background, Run
from .pending import Pending, Reply

MAX_IN_FLIGHT = 10_000
"""Requests of this node that have no reply yet."""
MAX_WAITING = 10_000
"""Messages of others that wait for their handler."""
MAX_ERROR_CHARS = 1000
"""Of what a handler raised, as it is told to the one who asked."""
MAX_TIMEOUT_S = 86_400.0
DEFAULT_TIMEOUT_S = 5.0

OnRequest = Callable[[Any, NodeId], Any]
"""Gets the payload and who asks; what it returns is the reply."""
OnMessage = Callable[[Any, NodeId, str], None]
"""Gets the message, who sent it, and the tag of its exchange."""
F = TypeVar("F", bound=Callable[..., Any])

# Messages are (kind, life, number, body), and for exchanges (kind, tag, 0, message).
_Message = tuple[int, Any, Any, Any]
_REQUEST, _ANSWER, _RAISED, _BUSY, _REQ, _RPL = range(6)
_TO_HANDLERS = (_REQUEST, _REQ, _RPL)
_FULL = "as much as may wait for a handler is waiting at the node addressed"
_SENT, _QUEUED = Outcome.SENT, Outcome.QUEUED
_ERRORS: dict[Outcome, type[TagmeshError]] = {
    Outcome.BUSY: Busy,
    Outcome.DISABLED: CapabilityDisabled,
    Outcome.UNREACHABLE: Unreachable,
}


class Code(int):
    """As the functions of OpenSIPS return it: 1, −1 switched off, −2 unreachable, −3 error."""

    tag: str
    """Of the exchange: its replies have the same."""

    @property
    def code(self) -> int:
        """The number."""
        return int(self)


def _raised(life: Any, number: Any, error: BaseException) -> _Message:
    return (_RAISED, life, number, f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARS])


def _code(code: int, tag: str) -> Code:
    result = Code(code)
    result.tag = tag
    return result


class Requests(Capability):
    """The capability. Everything but the methods that the node calls is for any thread."""

    name = "tagmesh-requests"
    inline = True

    def __init__(
        self,
        *,
        run: Run | None = None,
        parallel: int = 1,
        random_bits: Callable[[int], int] = secrets.randbits,
    ) -> None:
        """``run`` has handlers called where they may block, at most ``parallel`` at a time;
        without it there are as many threads."""
        self._random_bits = random_bits
        self._life = random_bits(63)
        self._pending = Pending(MAX_IN_FLIGHT, self)
        self._waiting: deque[tuple[int, NodeId, Any, Any, Any]] = deque()
        self._background = Background(self._step, run, parallel)
        self._handler: OnRequest | None = None
        self._handler_inline = False
        self._on_req: tuple[OnMessage, ...] = ()
        self._on_rpl: tuple[OnMessage, ...] = ()
        self.late = 0
        """Replies that came when nobody waited any more."""
        self.dropped = 0
        """Messages that found too many waiting, and replies that could not be sent."""

    # Asking --------------------------------------------------------------------------------------

    def request(self, node: int, payload: Any, timeout_s: float = DEFAULT_TIMEOUT_S) -> Reply:
        """Ask a node. The reply comes as a `Reply`, and so does every failure: `NodeDown`,
        `Unreachable`, `CapabilityDisabled`, `Busy`, `TimedOut`, `RemoteError`.

        Raises `Misuse` for what cannot be sent.
        """
        if not 0 < timeout_s <= MAX_TIMEOUT_S:
            raise Misuse(f"timeout_s is {timeout_s}: above 0 and at most {MAX_TIMEOUT_S} seconds")
        reply = Reply(node, timeout_s)
        number = self._pending.begin(reply)
        if number is None:
            reply.finish(None, Busy(f"{MAX_IN_FLIGHT} requests of this node are under way already"))
            return reply
        message = (_REQUEST, self._life, number, payload)
        port = self.port
        try:
            if node != port.node_id:
                result = port.send(node, message)
            else:
                result = self._to_myself(message)
        except BaseException:
            self._pending.finish(number, None)
            raise
        if result.outcome is not _SENT and result.outcome is not _QUEUED:
            why = result.detail or f"node {node}: {result.outcome.value}"
            self._pending.finish(number, None, _ERRORS[result.outcome](why))
        return reply

    @property
    def in_flight(self) -> int:
        """Requests of this node that have no reply yet."""
        return len(self._pending)

    @property
    def timed_out(self) -> int:
        """Requests of this node that had no reply in time."""
        return self._pending.timed_out

    # Answering -----------------------------------------------------------------------------------

    def on_request(self, function: OnRequest, *, inline: bool = False) -> OnRequest:
        """Have a function answer requests: what it returns is the reply, what it raises is told as
        `RemoteError`. ``inline`` = it never waits, call it in the hub."""
        self._handler, self._handler_inline = function, inline
        return function

    # Exchanges, as in OpenSIPS scripts -----------------------------------------------------------

    def cluster_send_req(self, node: int, msg: Any, tag: str | None = None) -> Code:
        """Send a request message; replies to it have the same tag, a new one unless given."""
        tag = tag or self._new_tag()
        return _code(self._send(node, (_REQ, tag, 0, msg)).code, tag)

    def cluster_send_rpl(self, node: int, msg: Any, tag: str) -> Code:
        """Send a reply message to who sent the request with that tag."""
        return _code(self._send(node, (_RPL, tag, 0, msg)).code, tag)

    def cluster_broadcast_req(self, msg: Any, *, include_self: bool = False) -> Code:
        """Send a request message to all others; 1 when at least one of them will get it."""
        tag = self._new_tag()
        message = (_REQ, tag, 0, msg)
        codes = {result.code for result in self.port.broadcast(message).values()}
        if include_self:
            codes.add(self._send(self.port.node_id, message).code)
        if 1 in codes or len(codes) == 1:
            return _code(max(codes), tag)
        return _code(-3 if codes else -2, tag)

    def on_req_received(self, function: OnMessage) -> OnMessage:
        """Have a function called with request messages (``E_CLUSTERER_REQ_RECEIVED``)."""
        self._on_req += (function,)
        return function

    def on_rpl_received(self, function: OnMessage) -> OnMessage:
        """Have a function called with reply messages (``E_CLUSTERER_RPL_RECEIVED``)."""
        self._on_rpl += (function,)
        return function

    # The node calls ------------------------------------------------------------------------------

    def on_batch(self, messages: Sequence[Any], source: NodeId) -> None:
        """See `Capability.on_batch`."""
        strangers = 0
        life, finish = self._life, self._pending.finish
        replies: list[_Message] = []
        for message in messages:
            try:
                kind, one, two, body = message
            except (TypeError, ValueError):
                strangers += 1
                continue
            if kind == _REQUEST and self._handler_inline:
                replies.append(self._reply_to(source, one, two, body))
            elif kind == _ANSWER:
                if one != life or not finish(two, body):
                    self.late += 1
            elif kind == _RAISED:
                self._failed(one, two, RemoteError(str(body)[:MAX_ERROR_CHARS]))
            elif kind == _BUSY:
                self._failed(one, two, Busy(_FULL))
            elif kind in _TO_HANDLERS:
                if len(self._waiting) < MAX_WAITING:
                    self._waiting.append((kind, source, one, two, body))
                elif kind == _REQUEST:
                    self._reply(source, (_BUSY, one, two, None))
                else:
                    self.dropped += 1
            else:
                strangers += 1
        if len(replies) == 1:
            self._reply(source, replies[0])
        elif replies:
            self._reply_all(source, replies)
        if self._waiting:
            self._background.wake()
        if strangers:
            raise PeerViolation(f"{strangers} of {len(messages)} messages are of no known kind")

    def on_node_down(self, node: NodeId, cause: str) -> None:
        """See `Capability.on_node_down`: what was asked of it will not be answered."""
        self._pending.fail(NodeDown(f"node {node} went down: {cause}"), node)

    def on_state(self, state: CapState, reason: str) -> None:
        """See `Capability.on_state`."""
        if state == CapState.DISABLED:
            self._waiting.clear()
            self._pending.fail(CapabilityDisabled(f"requests are switched off: {reason}"))

    def give_up(self) -> None:
        """The node stops: no reply comes any more, and no timer says so."""
        self._pending.fail(Unreachable("this node was stopped before a reply came"))

    # ---------------------------------------------------------------------------------------------

    def _send(self, node: int, message: _Message) -> Result:
        port = self.port
        return port.send(node, message) if node != port.node_id else self._to_myself(message)

    def _to_myself(self, message: _Message) -> Result:
        port = self.port
        try:
            copy = msgspec.msgpack.decode(msgspec.msgpack.encode(message))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise Misuse(
                f"a {type(message[3]).__name__} cannot be sent as it is: {error}"
            ) from error
        port.call(lambda: self.on_batch([copy], port.node_id))
        return Result(_SENT, (port.node_id,))

    def _new_tag(self) -> str:
        return str(UUID(int=self._random_bits(128), version=4))

    def _failed(self, life: Any, number: Any, error: Exception) -> None:
        if life != self._life or not self._pending.finish(number, None, error):
            self.late += 1

    def _step(self) -> bool:
        try:
            kind, source, one, two, body = self._waiting.popleft()
        except IndexError:
            return False
        if self._waiting:
            self._background.wake()  # this one may take long
        if kind == _REQUEST:
            self._reply(source, self._reply_to(source, one, two, body))
            return True
        for function in self._on_req if kind == _REQ else self._on_rpl:
            self._background.attempt(function, body, source, str(one))
        return True

    def _reply_to(self, source: NodeId, life: Any, number: Any, payload: Any) -> _Message:
        """What the handler says to a request."""
        if self._handler is None:
            return (_RAISED, life, number, "nothing answers requests there")
        try:
            return (_ANSWER, life, number, self._handler(payload, source))
        except BaseException as error:  # noqa: BLE001 - the one who asked is told
            return _raised(life, number, error)

    def _reply_all(self, node: NodeId, replies: list[_Message]) -> None:
        """Send the replies to requests that came together; each counts for itself if they cannot
        be sent as one."""
        try:
            if node != self.port.node_id and self.port.send_many(node, replies):
                return
        except Exception:  # noqa: BLE001, S110 - one cannot be packed, or they are too much
            pass
        for reply in replies:
            self._reply(node, reply)

    def _reply(self, node: NodeId, reply: _Message) -> None:
        port = self.port
        try:
            result = port.send(node, reply) if node != port.node_id else self._to_myself(reply)
        except Exception as error:  # noqa: BLE001 - the one who asked is told
            result = self._send(node, _raised(reply[1], reply[2], error))
        if result.outcome is not _SENT:
            self.dropped += result.outcome is not _QUEUED
