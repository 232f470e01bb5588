"""I3: no two nodes are active in one epoch, in mode lease no two at all, and one remains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..actors.tag import TagActor
from ..protocol.tag_messages import Claim
from ..protocol.tag_words import Epoch, holding
from .check import Check
from .rows import CLUSTER

if TYPE_CHECKING:
    from ..protocol.identity import NodeId
    from .trouble import Trouble
    from .world import World

_Life = tuple[int, int]
"""(node, its incarnation)"""


class TagChecks(Check):
    """The sharing tags of these names. What tokens say is looked at after every step.

    A node that activates a tag by force, dies before its claim is stored or heard, and does it
    again, has one epoch in two lives: that is what is unsafe in it (decision 16).
    """

    def __init__(self, world: World, trouble: Trouble, names: list[str]) -> None:
        super().__init__(world, trouble)
        self.names = names
        self._owners: dict[tuple[str, Epoch], _Life] = {}
        """Of every epoch ever seen, who was active in it."""
        world.on_step.append(self.step)

    def step(self, _world: World) -> None:
        """Who may act under a tag, at this moment."""
        for name in self.names:
            active = self.world.active(name)
            for node, token in active.items():
                context = self.world.processes[node].system.context
                life = (node, context.incarnation)
                first = self._owners.setdefault((name, token.epoch), life)
                if first != life and not (first[0] == node and (node, name) in self.world.forced):
                    self.fail("I3", f"{name}: {first} and {life} in epoch {token.epoch}")
            if len(active) > 1 and self._leased(name):
                self.fail("I3", f"{name}: nodes {sorted(active)} have the lease at one instant")

    def healed(self) -> None:
        """All know the same highest claim, and its owner is active if it lives, nobody else."""
        for name in self.names:
            known = {node: self._known(node, name) for node, _ in self.running()}
            if len(set(known.values())) > 1:
                self.fail("I3", f"{name}: the nodes know different claims: {known}")
            lives = {n: p.system.context.incarnation for n, p in self.running()}
            claim = next(iter(known.values()), None)
            holder = holding(claim, lives).node_id
            active = sorted(self.world.active(name))
            if active != ([holder] if holder is not None else []):
                self.fail("I3", f"{name}: {active} are active, and node {holder} should be")
            if holder is None and self._leased(name):
                self.fail("I3", f"{name}: nobody took the lease")

    def _known(self, node: NodeId, name: str) -> Claim | None:
        actor = self.world.processes[node].system.context.supervisor.actor(("tag", CLUSTER, name))
        if not isinstance(actor, TagActor):
            self.fail("I3", f"{name}: node {node} has no actor of it")
        return actor.rules.known

    def _leased(self, name: str) -> bool:
        entries = [p.system.context.tags[CLUSTER, name] for _, p in self.running()]
        return any(entry.settings.mode == "lease" for entry in entries)
