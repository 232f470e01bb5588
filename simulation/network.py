"""The paths of a simulated network: delay, and cuts in one or both directions."""

from __future__ import annotations

import random

from ..protocol.identity import NodeId

MIN_DELAY_S = 0.0005
MAX_DELAY_S = 0.005


class SimulatedPath:
    """See `transport.loopback.Path`."""

    def __init__(self, source: random.Random) -> None:
        self._random = source
        self._cut: set[tuple[NodeId, NodeId]] = set()

    def delay_s(self, source: NodeId, target: NodeId, size_bytes: int) -> float | None:  # noqa: ARG002
        """Seconds on the way; None = lost."""
        if (source, target) in self._cut:
            return None
        return self._random.uniform(MIN_DELAY_S, MAX_DELAY_S)

    def cut(self, source: NodeId, target: NodeId) -> None:
        """Lose what goes from ``source`` to ``target``."""
        self._cut.add((source, target))

    def heal(self, source: NodeId, target: NodeId) -> None:
        """Undo `cut`."""
        self._cut.discard((source, target))

    def heal_all(self) -> None:
        """Undo every cut."""
        self._cut.clear()

    def is_cut(self, source: NodeId, target: NodeId) -> bool:
        """Is that direction cut?"""
        return (source, target) in self._cut
