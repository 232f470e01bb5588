"""What was done to a world: who was in trouble, with what, and until when.

The checkers need it, because most of what must hold is about what may *not* happen without
trouble. The world is asked through the names it offers to everybody: each fault that is called on
it is noted here, so a history does nothing special to be checked.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..protocol.identity import NodeId

if TYPE_CHECKING:
    from .world import World

Who = frozenset[int]
"""One node, or the two ends of a path."""

PAIR_BEGINS = ("cut", "cut_one_way", "slow", "lose", "clog", "block")
PAIR_ENDS = {"heal": None, "unclog": "clog", "unblock": "block"}
"""Method → the kind it ends; None = all kinds but ``block``."""
NODE_BEGINS = ("pause", "crash", "stop")
NODE_ENDS = {"resume": "pause", "boot": None}
MOMENTS = ("reset", "expire", "provision", "remove", "disable", "enable")
"""Over as soon as they happened. Steps of wall clocks and replayed messages trouble nobody."""
DEAD_PATH = frozenset({"cut", "cut_one_way", "clog", "block"})
"""Nothing comes through, at least in one direction."""
DEAD_BOTH_WAYS = frozenset({"cut", "block"})
"""Nothing comes through in either direction; a clog may be one way."""
SICK = frozenset({"slow", "lose", "slow_reader", "pause"})
"""Messages are late, and nobody can say how much."""
SWITCHED = {"slow": ("delay_s", "jitter_s"), "lose": ("rate",), "slow_reader": ("on",)}
"""Faults with a measure; 0 or False ends them."""


class Trouble:
    """Notes the faults of one world from now on. Times are virtual seconds."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._going: dict[Who, dict[str, float]] = {}
        self._over: dict[Who, float] = {}
        self.last = 0.0
        """When anything was done the last time."""
        self.resumed: dict[int, tuple[float, float]] = {}
        """Node → when its last pause ended, and how long it had been stopped."""
        self.booted: dict[int, float] = {}
        """Node → when its last process began."""
        names = (*PAIR_BEGINS, *PAIR_ENDS, *NODE_BEGINS, *NODE_ENDS, *MOMENTS, "slow_reader")
        for name in (*names, "heal_all"):
            if hasattr(world, name):
                setattr(world, name, self._noting(name, getattr(world, name)))

    def until(self, *who: int) -> float:
        """The last moment in which these nodes, or the path between them, were in trouble.

        The present moment while they are; −inf when they never were.
        """
        return max(self._until(key) for key in self._keys(who))

    def path_until(self, a: int, b: int) -> float:
        """The same of the path between two nodes alone."""
        return self._until(frozenset((a, b)))

    def since(self, kind: str, *who: int) -> float | None:
        """Since when this kind of trouble has been going on; None = it is not."""
        return self._going.get(frozenset(who), {}).get(kind)

    def dead_since(self, a: int, b: int) -> float | None:
        """Since when nothing gets through between two nodes in one direction or both."""
        going = self._going.get(frozenset((a, b)), {})
        return min((since for kind, since in going.items() if kind in DEAD_PATH), default=None)

    def dead_both_ways_since(self, a: int, b: int) -> float | None:
        """Since when nothing gets through between two nodes in either direction."""
        going = self._going.get(frozenset((a, b)), {})
        return min((since for kind, since in going.items() if kind in DEAD_BOTH_WAYS), default=None)

    def sick(self) -> bool:
        """Is there a path that is neither whole nor dead, or a process that does not read?"""
        return any(kind in SICK for going in self._going.values() for kind in going)

    def paused(self, node: int) -> bool:
        """Is the process stopped?"""
        return self.since("pause", node) is not None

    def _until(self, key: Who) -> float:
        ailing = self._is_cut(*sorted(key)) if len(key) > 1 else self._shows_an_end(min(key))
        if ailing or self._going.get(key):
            return self._world.now
        return self._over.get(key, -math.inf)

    def _shows_an_end(self, node: int) -> bool:
        """Whoever shows a certificate that ends may be refused at its next connection."""
        process = self._world.processes.get(NodeId(node))
        return process is not None and process.transport.identity.not_after_wall_s < math.inf

    def _is_cut(self, a: int, b: int) -> bool:
        """A path may be cut by other names than those of the world, or one way longer."""
        path, x, y = self._world.path, NodeId(a), NodeId(b)
        return path.is_cut(x, y) or path.is_cut(y, x)

    def _keys(self, who: tuple[int, ...]) -> list[Who]:
        return [frozenset((n,)) for n in who] + ([frozenset(who)] if len(who) > 1 else [])

    # Noting -----------------------------------------------------------------------------------

    def _noting(self, name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(inner)

        def noted(*args: Any, **kwargs: Any) -> Any:
            result = inner(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            self._note(name, dict(bound.arguments))
            return result

        return noted

    def _note(self, name: str, arguments: dict[str, Any]) -> None:
        self.last = self._world.now
        if name == "heal_all":
            for who in [who for who in self._going if len(who) > 1]:
                self._end(who, None)
            return
        count = 2 if name in PAIR_BEGINS or name in PAIR_ENDS or name == "reset" else 1
        who = frozenset(int(n) for n in list(arguments.values())[:count])
        switched_on = any(arguments[key] for key in SWITCHED.get(name, ())) or name not in SWITCHED
        if name in PAIR_ENDS:
            self._end(who, PAIR_ENDS[name])
        elif name in NODE_ENDS:
            self._end(who, NODE_ENDS[name])
            if name == "boot":
                self.booted[min(who)] = self._world.now
        elif name in MOMENTS:
            self._over[who] = self._world.now
        elif switched_on:
            self._going.setdefault(who, {}).setdefault(name, self._world.now)
        else:
            self._end(who, name)

    def _end(self, who: Who, kind: str | None) -> None:
        """``kind`` None: everything, except the switch of a transport."""
        self._over[who] = self._world.now
        going = self._going.get(who, {})
        for name in [kind] if kind is not None else [k for k in going if k != "block"]:
            since = going.pop(name, None)
            if name == "pause" and since is not None:
                self.resumed[min(who)] = (self._world.now, self._world.now - since)
        if not going:
            self._going.pop(who, None)
