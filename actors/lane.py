"""One established connection, for those who send on it: who may send how much bulk data.

A lane is no actor: the capability and node actors of its node call it in their own turn, so that a
message leaves in the same turn of the loop that brought it. Credit is kept per cluster and
capability (R-10, B13): one that is slow to take its data waits here alone and disturbs nobody. Who
found no room is told `LaneOpen` when it may try again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..protocol.credit import Granted, Spent
from ..protocol.errors import PeerViolation
from ..protocol.messages import (
    MAX_CAPABILITIES,
    MAX_CLUSTERS,
    Credit,
    Message,
    Packets,
    SyncChunk,
)
from .mail import LaneOpen

if TYPE_CHECKING:
    from ..protocol.identity import NodeId
    from ..transport.base import Connection
    from .supervisor import Name, Supervisor

Bulk = Packets | SyncChunk
MAX_FLOWS = MAX_CLUSTERS * MAX_CAPABILITIES
"""Pairs of cluster and capability that a peer may use on one connection."""

_Flow = tuple[int, str]


MESSAGE_BYTES = 256
"""What a message costs beside its content: many small ones use up the credit, too."""


def size_of(message: Bulk) -> int:
    """The bytes that count against credit, the same at both ends."""
    content = message.payloads if isinstance(message, Packets) else message.pieces
    return MESSAGE_BYTES + len(content)


class Lane:
    """Belongs to the hub's thread; over when its connection is."""

    def __init__(
        self,
        peer: NodeId,
        connection: Connection,
        supervisor: Supervisor,
        window_bytes: Callable[[int], int],
        recorded: Callable[[Message], None] = lambda _message: None,
    ) -> None:
        """``window_bytes(cluster)``: credit of each of its capabilities, the same at both ends.

        ``recorded``: is told of each message that was sent.
        """
        self.peer = peer
        self.heard_at = 0.0
        """When something came last: a life sign for every link the connection carries (L-2)."""
        self._connection = connection
        self._supervisor = supervisor
        self._window_bytes = window_bytes
        self._recorded = recorded
        self._spent: dict[_Flow, Spent] = {}
        self._owed: dict[_Flow, Credit] = {}
        """Credit that the connection had no room for; the newest of each."""
        self._granted: dict[_Flow, Granted] = {}
        self._waiting: defaultdict[_Flow, dict[Name, None]] = defaultdict(dict)
        self._full = False
        connection.on_room = self._has_room

    # Sending

    def room_bytes(self, cluster: int, capability: str) -> int:
        """What may be sent now; 0 also while the connection has enough to write."""
        return 0 if self._full else self._account(cluster, capability).left_bytes

    def _account(self, cluster: int, capability: str) -> Spent:
        flow = (cluster, capability)
        spent = self._spent.get(flow)
        if spent is None:
            spent = self._spent[flow] = Spent(self._window_bytes(cluster))
        return spent

    def send(self, message: Bulk) -> bool:
        """Send, when there is room; otherwise nothing happens and `wait` tells when."""
        spent = self._account(message.cluster_id, message.capability)
        size = size_of(message)
        if self._full or size > spent.left_bytes:
            return False
        if not self._connection.send([message]):
            self._full = True  # on_room follows, or the end of the connection
            return False
        self._recorded(message)
        return spent.spend(size)

    def at_once(self, message: Packets) -> bool:
        """`send`, if it need not wait for anything else, not even the end of this turn of the loop;
        else nothing happened."""
        spent = self._spent.get((message.cluster_id, message.capability))
        size = size_of(message)
        if spent is None or self._full or not spent.spend(size):
            return False
        if self._connection.at_once((message,)):
            self._recorded(message)
            return True
        spent.take_back(size)
        return False

    def control(self, message: Message) -> bool:
        """Send what needs no credit, ahead of bulk data; False when it was not taken."""
        self._recorded(message)
        return self._connection.send([message])

    def wait(self, cluster: int, capability: str, name: Name) -> None:
        """Tell the actor ``name`` by `LaneOpen`, once, when there may be room."""
        self._waiting[cluster, capability][name] = None

    def credited(self, credit: Credit) -> None:
        """The peer allows more. `PeerViolation` when it takes back what it gave."""
        flow = (credit.cluster_id, credit.capability)
        if flow not in self._spent:
            raise PeerViolation(f"credit for {credit.capability!a}, which was never used")
        self._spent[flow].granted(credit.limit_bytes)
        self._wake(flow)

    def _has_room(self) -> None:
        self._full = False
        for flow, credit in list(self._owed.items()):
            if self._connection.send([credit]):
                del self._owed[flow]
        for flow in list(self._waiting):
            self._wake(flow)

    def _wake(self, flow: _Flow) -> None:
        for name in self._waiting.pop(flow, {}):
            self._supervisor.tell(name, LaneOpen(self.peer))

    # Receiving

    def received(self, message: Bulk) -> None:
        """A message came. `PeerViolation` when it is more than credit allowed."""
        flow = (message.cluster_id, message.capability)
        granted = self._granted.get(flow)
        if granted is None:
            if len(self._granted) >= MAX_FLOWS:
                raise PeerViolation(f"more than {MAX_FLOWS} capabilities on one connection")
            granted = self._granted[flow] = Granted(self._window_bytes(message.cluster_id))
        granted.received(size_of(message))

    def takes(self, message: Bulk, size_bytes: int) -> bool:
        """`received`, of what credit allows; else False, and nothing was counted. With its size."""
        granted = self._granted.get((message.cluster_id, message.capability))
        return granted is not None and granted.takes(size_bytes)

    def consumed(self, cluster: int, capability: str, size_bytes: int) -> None:
        """So many bytes of what came are dealt with, or dropped."""
        flow = (cluster, capability)
        limit = self._granted[flow].consumed(size_bytes)
        if limit is None:
            return
        credit = Credit(cluster, capability, limit)
        self._owed.pop(flow, None)
        if not self._connection.send([credit]):
            self._owed[flow] = credit  # on_room follows, or the end of the connection

    # For those who want to know what is on its way

    def sent_bytes(self) -> dict[_Flow, int]:
        """What was sent, by cluster and capability."""
        return {flow: spent.spent_bytes for flow, spent in self._spent.items()}

    def handled_bytes(self) -> dict[_Flow, int]:
        """What came and has been dealt with, by cluster and capability."""
        return {flow: granted.consumed_bytes for flow, granted in self._granted.items()}
