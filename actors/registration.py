"""A capability registered in one cluster: what outlives its actor."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..protocol.messages import CapabilityState, CapState
from .partitioning import WorkPartition

if TYPE_CHECKING:
    from ..protocol.contract import Capability, Progress, SyncReport
    from ..protocol.donors import CapabilityView
    from ..protocol.identity import ClusterId, NodeId
    from ..protocol.streams import InStream
    from .application import Application
    from .port import CapabilityPort
    from .straight import Straight
    from .worker import Worker


@dataclasses.dataclass(kw_only=True)
class Registration:
    """One per capability and cluster. Written in the hub, read by anybody."""

    cluster: ClusterId
    capability: Capability
    application: Application
    worker: Worker
    port: CapabilityPort
    enabled: bool = True
    """Not switched off by an operator."""
    said: CapabilityState = dataclasses.field(init=False)
    """What the other nodes are told."""
    progress: Progress | None = None
    """Of the sync under way."""
    last_report: SyncReport | None = None
    partition: WorkPartition = dataclasses.field(
        default_factory=lambda: WorkPartition(takes_part=False)
    )
    """How its work is divided; this node may take no part."""
    starts: Iterator[int] = dataclasses.field(default_factory=itertools.count)
    """Numbers the actors that this capability has had in this life."""
    sessions: Iterator[int] = dataclasses.field(default_factory=lambda: itertools.count(1))
    """Numbers the sync sessions of this life."""

    straight: Straight | None = None
    """The short way of its actor; None where single messages take none."""
    incoming: dict[NodeId, InStream] = dataclasses.field(default_factory=dict)
    """What was taken of each source's messages: an actor that forgot it would take them again."""

    def __post_init__(self) -> None:
        self.said = CapabilityState(self.name, CapState.DISABLED)

    @property
    def name(self) -> str:
        """Of the capability."""
        return self.capability.name

    def shorten(self, straight: Straight) -> None:
        """Single messages may go this way from now on."""
        self.straight = straight
        self.port.straight = straight.send

    def divide(self, around: CapabilityView, now: float) -> None:
        """Divide its work anew: my state or another's changed, or it is time (P-1, P-4)."""
        self.partition.see(around, now)
