"""Does the faults of a plan to a world, and undoes them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from ..protocol.errors import NotProvisioned, StorageUnavailable
from ..transport.loopback import CertificateEnded
from .rows import Mode
from .runtime import Database, Disk
from .world import World

if TYPE_CHECKING:
    from .faults import Fault

Action = Callable[[], None]
SWIZZLE_SHARE = 0.5
"""Of a swizzle-clog's time in which the nodes are clogged one by one; then they are unclogged."""
RESTART_S = 1.0
"""Between the end of a process and the next one, when an operator has changed its files."""


class Player:
    """One per run of a plan. Everything goes through the names a `World` offers to everybody."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._blocked: set[tuple[int, int]] = set()
        self._files: set[tuple[str, int]] = set()
        """(kind of fault, node) for each machine whose certificate or software is not as it was."""

    def timeline(self, faults: Sequence[Fault]) -> list[tuple[float, Action]]:
        """(virtual second, what to do then), sorted; a fault's parts may be any number."""
        moments = [
            (at_s, fault.number, part, action)
            for fault in faults
            for part, (at_s, action) in enumerate(self._parts(fault))
        ]
        return [(at_s, action) for at_s, _, _, action in sorted(moments, key=lambda m: m[:3])]

    def heal(self) -> None:
        """End everything that ails paths, nodes, rows and storage, and boot who does not run."""
        world = self.world
        world.storage.mode = "ok"
        world.mend_databases()
        world.heal_all()
        for a, b in sorted(self._blocked):
            self._unblock(a, b)
        for kind, node in sorted(self._files):
            self._restore(kind, node)
        outdated = world.outdated()
        for node, process in sorted(world.processes.items()):
            if not process.member or node in outdated:
                world.crash(node)
            elif process.runtime.paused:
                world.resume(node)
        for node in sorted(world.processes):
            world.slow_reader(node, on=False)
        if not world.dynamic:
            for node in world.ids:
                if node not in world.storage.records:
                    world.provision(node)
                elif node not in world.storage.enabled():
                    world.enable(node)
        world.boot_all()

    def _parts(self, fault: Fault) -> Iterator[tuple[float, Action]]:
        begin_s, end_s = fault.at_s, fault.at_s + fault.for_s
        if fault.kind == "swizzle":
            yield from self._swizzle(fault)
            return
        if fault.kind in ("certificate", "software"):
            yield from self._other_files(fault)
            return
        begin, end = self._both(fault)
        yield begin_s, begin
        if end is not None:
            yield end_s, end

    def _both(self, fault: Fault) -> tuple[Action, Action | None]:
        """What a fault does and what ends it."""
        world, nodes = self.world, fault.nodes
        a, b = (*nodes, 0, 0)[:2]
        match fault.kind:
            case "blip" | "cut":
                return lambda: world.cut(a, b), lambda: world.heal(a, b)
            case "cut one way":
                return lambda: world.cut_one_way(a, b), lambda: world.heal(a, b)
            case "clog":
                return lambda: world.clog(a, b), lambda: world.unclog(a, b)
            case "clog one way":
                return (
                    lambda: world.clog(a, b, one_way=True),
                    lambda: world.unclog(a, b, one_way=True),
                )
            case "slow":
                jitter_s = fault.value / 2
                return (
                    lambda: world.slow(a, b, fault.value, jitter_s),
                    lambda: world.slow(a, b, 0.0),
                )
            case "lose":
                return lambda: world.lose(a, b, fault.value), lambda: world.lose(a, b, 0.0)
            case "partition" | "bridge":
                pairs = self._pairs(fault)
                return lambda: self._each(world.cut, pairs), lambda: self._each(world.heal, pairs)
            case "block":
                return lambda: self._block(a, b), lambda: self._unblock(a, b)
            case "reset":
                return lambda: world.reset(a, b), None
            case "dial":
                return lambda: self._dial(a, b), None
            case "replay":
                return lambda: self._replay(a, b), None
            case _:
                return self._of_nodes(fault)

    def _of_nodes(self, fault: Fault) -> tuple[Action, Action | None]:
        world = self.world
        a, b = (*fault.nodes, 0, 0)[:2]
        match fault.kind:
            case "clock":
                return lambda: world.step_clock(a, fault.value), None
            case "crash":
                return lambda: self._crash(a, cast("Disk", fault.word)), lambda: self._boot(a)
            case "stop":
                return lambda: self._stop(a), lambda: self._boot(a)
            case "pause":
                return lambda: self._pause(a), lambda: self._resume(a)
            case "slow reader":
                return lambda: self._reader(a, on=True), lambda: self._reader(a, on=False)
            case "database":
                how = cast("Database", fault.word)
                return lambda: world.database(a, how), lambda: world.database(a, "ok")
            case "storage":
                return lambda: self._storage(fault.word), lambda: self._storage("ok")
            case "remove":
                return lambda: self._remove(a), lambda: world.provision(a)
            case "disable":
                return lambda: self._disable(a), lambda: self._enable(a)
            case "stranger":
                return lambda: self._stranger(a), lambda: self._crash(a, "kept")
            case "impostor":
                return lambda: self._impostor(a, b), lambda: self._unmask(a)
            case _:
                raise AssertionError(f"no such fault: {fault}")

    # Faults of paths --------------------------------------------------------------------------

    def _pairs(self, fault: Fault) -> list[tuple[int, int]]:
        """The pairs a partition, or a bridge, keeps apart."""
        apart = set(fault.nodes)
        every = itertools.combinations(self.world.ids, 2)
        if fault.kind == "bridge":
            return [(a, b) for a, b in every if not apart & {a, b}]
        return [(a, b) for a, b in every if (a in apart) != (b in apart)]

    def _each(self, act: Callable[[int, int], None], pairs: Sequence[tuple[int, int]]) -> None:
        for a, b in pairs:
            act(a, b)

    def _swizzle(self, fault: Fault) -> Iterator[tuple[float, Action]]:
        """Clog nodes one after the other, then unclog them in another order."""
        count = len(fault.nodes)
        for place, node in enumerate(fault.nodes):
            others = [n for n in self.world.ids if n != node]
            clogged_s = fault.at_s + fault.for_s * SWIZZLE_SHARE * place / count
            back = count - place if place % 2 else place + 1
            free_s = fault.at_s + fault.for_s * (SWIZZLE_SHARE + (1 - SWIZZLE_SHARE) * back / count)
            pairs = [(node, other) for other in others]
            yield clogged_s, partial(self._each, self.world.clog, pairs)
            yield free_s, partial(self._each, self.world.unclog, pairs)

    def _block(self, a: int, b: int) -> None:
        if self._runs(a):
            self.world.block(a, b)
            self._blocked.add((a, b))

    def _unblock(self, a: int, b: int) -> None:
        self._blocked.discard((a, b))
        if self._runs(a):
            self.world.unblock(a, b)

    def _dial(self, a: int, b: int) -> None:
        """Both ends lose their connection and dial at the same moment."""
        self.world.reset(a, b)
        self.world.dial(a, b)

    def _replay(self, a: int, b: int) -> None:
        if self._runs(b) and not self.world.processes[self.world.ids[b - 1]].runtime.paused:
            self.world.replay(a, b)

    # Faults of nodes --------------------------------------------------------------------------

    def _runs(self, node: int) -> bool:
        return node in self.world.processes

    def _boot(self, node: int, certificate_of: int | None = None) -> None:
        """Without an answer of its database, a row or a good certificate a node does not start."""
        if not self._runs(node):
            try:
                self.world.boot(node, certificate_of=certificate_of)
            except (StorageUnavailable, NotProvisioned, CertificateEnded) as refused:
                self.world.remark(f"node {node} does not start: {refused}")

    def _crash(self, node: int, disk: Disk) -> None:
        if self._runs(node):
            self._forget_blocks(node)
            self.world.crash(node, disk)

    def _stop(self, node: int) -> None:
        if self._runs(node):
            self._forget_blocks(node)
            self.world.stop(node)

    def _forget_blocks(self, node: int) -> None:
        """The switch is in the process: it ends with it."""
        for a, b in sorted(self._blocked):
            if a == node:
                self._unblock(a, b)

    def _other_files(self, fault: Fault) -> Iterator[tuple[float, Action]]:
        """A certificate ends, or other software comes; in the end an operator puts it right."""
        node, begin_s, end_s = fault.nodes[0], fault.at_s, fault.at_s + fault.for_s
        if fault.kind == "certificate":
            yield begin_s, lambda: self._expire(*fault.nodes)
        else:
            yield begin_s, lambda: self._install(node, fault.word)
            yield begin_s + RESTART_S, lambda: self._boot(node)
        yield end_s, lambda: self._put_right(fault.kind, node)
        yield end_s + RESTART_S, lambda: self._boot(node)

    def _expire(self, node: int, other: int) -> None:
        """Nobody notices until a connection ends."""
        self._files.add(("certificate", node))
        self.world.expire(node)
        self.world.reset(node, other)

    def _install(self, node: int, versions: str) -> None:
        lowest, highest = versions.split("-")
        self._files.add(("software", node))
        self.world.install(node, (int(lowest), int(highest)))
        self._stop(node)

    def _put_right(self, kind: str, node: int) -> None:
        self._restore(kind, node)
        self._stop(node)

    def _restore(self, kind: str, node: int) -> None:
        self._files.discard((kind, node))
        if kind == "certificate":
            self.world.renew(node)
        else:
            self.world.install(node)

    def _pause(self, node: int) -> None:
        if self._runs(node):
            self.world.pause(node)

    def _resume(self, node: int) -> None:
        if self._runs(node):
            self.world.resume(node)

    def _reader(self, node: int, *, on: bool) -> None:
        if self._runs(node):
            self.world.slow_reader(node, on=on)

    def _storage(self, mode: str) -> None:
        self.world.storage.mode = cast("Mode", mode)
        self.world.remark(f"storage {mode}")

    def _remove(self, node: int) -> None:
        if node in self.world.storage.records:
            self.world.remove(node)

    def _disable(self, node: int) -> None:
        if node in self.world.storage.records:
            self.world.disable(node)

    def _enable(self, node: int) -> None:
        if node in self.world.storage.records:
            self.world.enable(node)

    def _stranger(self, node: int) -> None:
        if not self._runs(node):
            self.world.boot(node, provisioned=False)

    def _impostor(self, node: int, other: int) -> None:
        """A machine that was taken over: it runs with the certificate of another node."""
        self._crash(node, "kept")
        self._boot(node, certificate_of=other)

    def _unmask(self, node: int) -> None:
        self._crash(node, "kept")
        self._boot(node)
