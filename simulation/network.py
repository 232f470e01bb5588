"""The paths of a simulated network: delay, loss, cuts and clogs, each direction by itself."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from ..protocol.errors import Misuse
from ..protocol.identity import NodeId

MIN_DELAY_S = 0.0005
MAX_DELAY_S = 0.005
"""What a path without faults takes."""

Direction = tuple[NodeId, NodeId]


class SimulatedPath:
    """See `transport.Path`. ``defer(delay_s, action)`` runs what a clog held."""

    def __init__(
        self, source: random.Random, defer: Callable[[float, Callable[[], None]], None]
    ) -> None:
        self._random = source
        self._defer = defer
        self._cut: set[Direction] = set()
        self._slow: dict[Direction, tuple[float, float]] = {}
        self._loss: dict[Direction, float] = {}
        self._clogged: set[Direction] = set()
        self._held: dict[Direction, list[Callable[[], None]]] = {}

    def delay_s(self, source: NodeId, target: NodeId, size_bytes: int) -> float | None:  # noqa: ARG002
        """Seconds on the way; None = lost, infinity = clogged."""
        usual_s = MIN_DELAY_S + (MAX_DELAY_S - MIN_DELAY_S) * self._random.random()
        if not (self._cut or self._slow or self._loss or self._clogged):
            return usual_s
        way = (source, target)
        if way in self._clogged:
            return math.inf
        if way in self._cut or self._random.random() < self._loss.get(way, 0.0):
            return None
        delay_s, jitter_s = self._slow.get(way, (0.0, 0.0))
        return usual_s + delay_s + jitter_s * self._random.random()

    def hold(self, source: NodeId, target: NodeId, action: Callable[[], None]) -> None:
        """See `transport.Path.hold`."""
        self._held.setdefault((source, target), []).append(action)

    def cut(self, source: NodeId, target: NodeId) -> None:
        """Lose what goes from ``source`` to ``target``; what a clog holds waits for `heal`."""
        self._cut.add((source, target))

    def slow(self, source: NodeId, target: NodeId, delay_s: float, jitter_s: float) -> None:
        """Add ``delay_s`` and up to ``jitter_s`` more to each chunk; 0 and 0 undo it."""
        if delay_s < 0 or jitter_s < 0:
            raise Misuse(f"a delay of {delay_s:g} + {jitter_s:g} s is negative")
        self._slow.pop((source, target), None)
        if delay_s or jitter_s:
            self._slow[source, target] = (delay_s, jitter_s)

    def lose(self, source: NodeId, target: NodeId, rate: float) -> None:
        """Lose this share of the chunks; 0 undoes it."""
        if not 0.0 <= rate <= 1.0:
            raise Misuse(f"a rate of {rate:g} is not in 0 … 1")
        self._loss.pop((source, target), None)
        if rate:
            self._loss[source, target] = rate

    def clog(self, source: NodeId, target: NodeId) -> None:
        """Hold what goes from ``source`` to ``target``; what is on its way already arrives."""
        self._clogged.add((source, target))

    def unclog(self, source: NodeId, target: NodeId) -> None:
        """Let what was held go, in order, unless the direction is cut besides."""
        way = (source, target)
        self._clogged.discard(way)
        if way not in self._cut:
            for action in self._held.pop(way, []):
                self._defer(MIN_DELAY_S, action)

    def heal(self, source: NodeId, target: NodeId) -> None:
        """Undo every fault of that direction."""
        way = (source, target)
        self._cut.discard(way)
        self._slow.pop(way, None)
        self._loss.pop(way, None)
        self.unclog(source, target)

    def heal_all(self) -> None:
        """Undo every fault."""
        self._cut.clear()
        self._slow.clear()
        self._loss.clear()
        self._clogged.clear()
        for source, target in list(self._held):
            self.unclog(source, target)

    def is_cut(self, source: NodeId, target: NodeId) -> bool:
        """Does nothing come through in that direction: is it cut or clogged?"""
        return (source, target) in self._cut or (source, target) in self._clogged
