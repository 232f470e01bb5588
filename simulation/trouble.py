"""What was done to a world: who was in trouble, with what, and until when.

The checkers need it, because most of what must hold is about what may *not* happen without
trouble. The world is asked through the names it offers to everybody: each fault that is called on
it is noted here, so a history does nothing special to be checked.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..protocol.config import ProvisioningSettings
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
SICK = frozenset({"slow", "lose"})
"""Messages are late, and nobody can say how much."""
SWITCHED = {"slow": ("delay_s", "jitter_s"), "lose": ("rate",), "slow_reader": ("on",)}
"""Faults with a measure; 0 or False ends them."""
HARMLESS = {"slow": 0.1}
"""Up to this measure a fault is none (P2): a round trip on a path that adds 0.1 s is well below
every ping_timeout worlds are given."""
READ_S = ProvisioningSettings().refresh_interval_s + 1.0
"""An edited row is known to everybody who can read: the refresh, and a look of the checkers."""


class Trouble:
    """Notes the faults of one world from now on. Times are virtual seconds."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._going: dict[Who, dict[str, float]] = {}
        self._over: dict[Who, float] = {}
        self._noted: dict[Who, float] = {}
        """When anything was done to them the last time."""
        self._late_s: dict[Who, float] = {}
        self._edited: dict[int, float] = {}
        self._looked_at = world.now
        self._blind: set[int] = set()
        """Who could not read rows when it was looked last."""
        self._unread: dict[int, dict[int, float]] = {}
        """Reader → node → the last moment in which the one could not read what the other's row
        has become.
        """
        self.silent: dict[tuple[int, int], float] = {}
        """(source, target) → since when nothing gets through that way."""
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
        for name in ("write", "lose_last_write"):
            setattr(world.storage, name, self._noting_rows(getattr(world.storage, name)))

    def look(self) -> None:
        """Call often. Who cannot read rows does not know what was edited just before, or since.

        When nobody runs, nothing calls: who could not read then, could not in between.
        """
        before, now = self._looked_at, self._world.now
        for reader in self._world.ids:
            if self._reads_rows(reader):
                self._blind.discard(reader)
                continue
            unread = self._unread.setdefault(reader, {})
            for node, at in self._edited.items():
                known_s = (before if reader in self._blind else now) - max(at, unread.get(node, at))
                if known_s <= READ_S:
                    unread[node] = now
            self._blind.add(reader)
        self._looked_at = now

    def _reads_rows(self, node: NodeId) -> bool:
        process = self._world.processes.get(node)
        if process is None or process.runtime.paused:
            return False
        return self._world.storage.mode == "ok" and process.runtime.database == "ok"

    def until(self, *who: int) -> float:
        """The last moment in which these nodes, or the path between them, were in trouble.

        The present moment while they are; −inf when they never were.
        """
        return max(self._until(key) for key in self._keys(who))

    def path_until(self, a: int, b: int) -> float:
        """The same of the path between two nodes alone."""
        return self._until(frozenset((a, b)))

    def edited_until(self, *nodes: int, by: Sequence[int]) -> float:
        """When the row of any of these (none given: of anybody) was edited the last time.

        The last look while one of ``by`` cannot read that; −inf when it never was.
        """
        edited = {n: at for n, at in self._edited.items() if n in nodes or not nodes}
        unread = [self._unread.get(reader, {}) for reader in by]
        times = (max(at, rows.get(n, at)) for n, at in edited.items() for rows in unread)
        return max(times, default=-math.inf)

    def since(self, kind: str, *who: int) -> float | None:
        """Since when this kind of trouble has been going on; None = it is not."""
        return self._going.get(frozenset(who), {}).get(kind)

    def nodes_in(self, kind: str) -> Iterator[tuple[NodeId, float]]:
        """The nodes in this kind of trouble, and since when."""
        for who, going in self._going.items():
            if len(who) == 1 and kind in going:
                yield NodeId(min(who)), going[kind]

    def only_silent(self, source: int, target: int) -> bool:
        """Nothing else has ailed that path since that way fell silent: the way back is whole."""
        who = frozenset((source, target))
        well = (target, source) not in self.silent and not SICK & self._going.get(who, {}).keys()
        return well and self._noted[who] <= self.silent[source, target]

    def late_s(self, a: int, b: int) -> float:
        """How long anything has ever been on its way between two nodes, at most."""
        return self._late_s.get(frozenset((a, b)), 0.0)

    def sick(self) -> bool:
        """Is there a path that is neither whole nor dead?"""
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
            self.look()
            result = inner(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            self._note(name, dict(bound.arguments))
            return result

        return noted

    def _noting_rows(self, inner: Callable[..., None]) -> Callable[..., None]:
        storage = self._world.storage

        def noted(*args: Any) -> None:
            before = dict(storage.records)
            inner(*args)
            ids = before.keys() | storage.records.keys()
            edited = {n for n in ids if before.get(n) is not storage.records.get(n)}
            self._edited.update(dict.fromkeys(edited, self._world.now))

        return noted

    def _note(self, name: str, arguments: dict[str, Any]) -> None:
        self.last = self._world.now
        if name == "heal_all":
            for who in [who for who in self._going if len(who) > 1]:
                self._end(who, None)
            self._listen(list(self.silent))
            return
        count = 2 if name in PAIR_BEGINS or name in PAIR_ENDS or name == "reset" else 1
        who = frozenset(int(n) for n in list(arguments.values())[:count])
        self._noted[who] = self._world.now
        if name in PAIR_ENDS:
            self._end(who, PAIR_ENDS[name])
        elif name in NODE_ENDS:
            self._end(who, NODE_ENDS[name])
            if name == "boot":
                self.booted[min(who)] = self._world.now
        elif name in MOMENTS:
            self._over[who] = self._world.now
        elif self._measure(name, who, arguments) > HARMLESS.get(name, 0.0):
            self._going.setdefault(who, {}).setdefault(name, self._world.now)
        elif name in self._going.get(who, {}):
            self._end(who, name)
        self._forget_blocks()
        if len(who) > 1:
            a, b = sorted(who)
            self._listen([(a, b), (b, a)])
        else:
            self._listen([way for way in self.silent if who & {*way}])

    def _measure(self, name: str, who: Who, arguments: dict[str, Any]) -> float:
        """How much of a fault there is; 1 of one that has no measure."""
        if name not in SWITCHED:
            return 1.0
        measure = float(sum(arguments[key] for key in SWITCHED[name]))
        if name == "slow":
            self._late_s[who] = max(self._late_s.get(who, 0.0), measure)
        return measure

    def _forget_blocks(self) -> None:
        """The switch is in the process: it ends with it."""
        for who in [who for who, going in self._going.items() if "block" in going]:
            if not self._is_blocked(*map(NodeId, sorted(who))):
                self._end(who, "block")

    def _listen(self, ways: Sequence[tuple[int, int]]) -> None:
        """Note which of these ways have fallen silent, and which are not any more."""
        for way in ways:
            source, target = map(NodeId, way)
            if self._world.path.is_cut(source, target) or self._is_blocked(source, target):
                self.silent.setdefault((source, target), self._world.now)
            else:
                self.silent.pop((source, target), None)

    def _is_blocked(self, a: NodeId, b: NodeId) -> bool:
        """A block by either end ends what both send."""
        processes = self._world.processes
        return any(
            end in processes and processes[end].transport.blocks(other)
            for end, other in ((a, b), (b, a))
        )

    def _end(self, who: Who, kind: str | None) -> None:
        """``kind`` None: everything, except the switch of a transport."""
        going = self._going.get(who, {})
        self._over[who] = self._world.now
        for name in [kind] if kind is not None else [k for k in going if k != "block"]:
            since = going.pop(name, None)
            if name == "pause" and since is not None:
                self.resumed[min(who)] = (self._world.now, self._world.now - since)
        if not going:
            self._going.pop(who, None)
