"""A capability's own code: called where it may run, its mistakes set aside (behaviour 3, 35).

A message or record whose handler raises is quarantined: kept for a look, counted, logged. The node,
the capability and the messages after it go on.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ..protocol.contract import (
    MAX_QUARANTINE,
    MAX_QUARANTINE_BYTES,
    KeyedCapability,
    Quarantined,
)
from ..protocol.identity import NodeId
from ..protocol.messages import U63, Packets
from ..protocol.payloads import BadPayloads, unpack_payloads
from ..protocol.tag_words import Epoch
from .worker import attempt

if TYPE_CHECKING:
    from ..protocol.contract import Capability
    from ..protocol.sync_pieces import Piece

logger = logging.getLogger("tagmesh.capabilities")

_LOGGED = 10
"""The first mistakes of a capability have a line each, then every power of two."""
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


class Delivery(NamedTuple):
    """A batch for the application, but for the first ``skip`` of its messages."""

    packets: Packets
    skip: int


class Application:
    """The code of one registered capability. All but `position` runs in its worker."""

    def __init__(
        self, capability: Capability, on_fault: Callable[[str], None] = lambda _text: None
    ) -> None:
        """``on_fault``: is told of things set aside that are worth a line in the log."""
        self.capability = capability
        self._on_fault = on_fault
        self.quarantine: deque[Quarantined] = deque(maxlen=MAX_QUARANTINE)
        self.quarantined = 0
        self.taken = 0
        """Records that syncs brought, those set aside included."""
        self.given = 0
        """Records read for the syncs of others."""
        self.open = True
        """Switched on: what waits for the worker when it is switched off is not delivered (P11)."""

    def position(self) -> int:
        """See `Capability.position`; 0 when it raises or is no count. Called in the hub."""
        try:
            return msgspec.convert(self.capability.position(), U63)
        except BaseException:
            logger.exception("capability %s has no position", self.capability.name)
            return 0

    def deliver(self, batches: Sequence[Delivery]) -> None:
        """Hand over the messages of batches, in order."""
        for batch in batches:
            if not self.open:
                return
            self.deliver_one(*batch)

    def deliver_one(self, packets: Packets, skip: int) -> None:
        """Hand over the messages of a batch but for the first ``skip``; it is `open`."""
        source = NodeId(packets.source)
        try:
            messages = unpack_payloads(packets.payloads, packets.count)
        except BadPayloads as error:
            self.set_aside(source, "message", packets.payloads, error)
            return
        if skip:
            del messages[:skip]
        on_batch = self.capability.on_batch
        if on_batch is not None:
            try:
                on_batch(messages, source)
            except BaseException as error:  # noqa: BLE001 - as below
                for message in messages:
                    self.set_aside(source, "message", _pack(message), error)
            return
        on_message = self.capability.on_message
        for message in messages:
            try:
                on_message(message, source)
            except BaseException as error:  # noqa: BLE001 - an application's mistake ends nothing (H1)
                self.set_aside(source, "message", _pack(message), error)

    def take(self, pieces: Sequence[Piece], donor: NodeId, *, forced: bool = False) -> int:
        """Hand over the records of a chunk; how many were refused. ``forced``: see K-7."""
        before = self.quarantined
        capability = self.capability
        for piece in pieces:
            self.taken += len(piece.records)
            if isinstance(capability, KeyedCapability):
                epoch = self._vouches(donor, piece.tag)
                for item, error in capability.take_items(
                    piece.tag, piece.records, epoch=epoch, forced=forced
                ):
                    self.set_aside(donor, "record", item, error)
            else:
                self._take_one_by_one(piece.records, donor)
        return self.quarantined - before

    def _vouches(self, donor: NodeId, tag: str) -> Epoch | None:
        """The epoch under which a donor has a tag; None = it has it not."""
        if not tag:
            return None
        stands = self.capability.port.tag(tag)
        return stands.epoch if stands.holder == donor else None

    def _take_one_by_one(self, records: Sequence[msgspec.Raw], donor: NodeId) -> None:
        for record in records:
            try:
                self.capability.sync_item(_unpack(record))
            except BaseException as error:  # noqa: BLE001 - as above
                self.set_aside(donor, "record", bytes(record), error)

    def tell(self, function: Callable[[], None]) -> None:
        """Call one of the notices, such as ``on_node_up``; what it raises is logged."""
        error = attempt(function)
        if error is not None:
            logger.error("capability %s failed", self.capability.name, exc_info=error)

    def set_aside(
        self, source: NodeId, kind: str, payload: bytes, error: BaseException | str
    ) -> None:
        """Quarantine a message or record."""
        self.quarantined += 1
        text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        self.quarantine.append(
            Quarantined(source, kind, payload[:MAX_QUARANTINE_BYTES], text[:256])
        )
        if self.quarantined <= _LOGGED or self.quarantined & (self.quarantined - 1) == 0:
            self._on_fault(f"quarantine: {self.capability.name}: a {kind} of node {source}")
            logger.warning(
                "capability %s: a %s of node %d was set aside, %d so far",
                self.capability.name,
                kind,
                source,
                self.quarantined,
                exc_info=None if isinstance(error, str) else error,
            )
