"""I3: no two nodes are active in one epoch, in mode lease no two at all, and one remains.

In mode lease epochs also rise as time goes on: who acts under a tag has a higher one than anybody
before, so whatever compares epochs refuses nobody who has the tag, and everybody who had it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..actors.tag import TagActor
from ..protocol.tag_messages import Claim
from ..protocol.tag_words import Epoch, Token, holding
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
    again, has one epoch in two lives: that is what is unsafe in it (decision 16). So has one that
    lost the file of its claims, and claims before it has heard of any.
    """

    def __init__(self, world: World, trouble: Trouble, names: list[str]) -> None:
        super().__init__(world, trouble)
        self.names = names
        self._owners: dict[tuple[str, Epoch], _Life] = {}
        """Of every epoch ever seen, who was active in it."""
        self._numbers: dict[tuple[str, int], _Life] = {}
        """The same of every number, where a database gives them."""
        self._highest: dict[str, Token] = {}
        """Of each tag, the highest epoch under which anybody was active."""
        world.on_step.append(self.step)

    def step(self, _world: World) -> None:
        """Who may act under a tag, at this moment."""
        for name in self.names:
            active = self.world.active(name)
            for node, token in active.items():
                context = self.world.processes[node].system.context
                life = (node, context.incarnation)
                first = self._owners.setdefault((name, token.epoch), life)
                if first != life and not self._unsafe(first[0], node, name):
                    self.fail("I3", f"{name}: {first} and {life} in epoch {token.epoch}")
                if not self.world.dynamic:
                    self._one_number(name, token.epoch.number, life)
            if active and self._leased(name):
                self._one_lease(name, active)

    def _one_number(self, name: str, number: int, life: _Life) -> None:
        """P4: the database gives each number once; what is forced is not asked for there."""
        first = self._numbers.setdefault((name, number), life)
        if first != life and not {(first[0], name), (life[0], name)} & self.world.forced:
            self.fail("I3", f"{name}: {first} and {life} were given number {number}")

    def _unsafe(self, first: int, node: NodeId, name: str) -> bool:
        """One node can have an epoch in two lives where it was forced, or its file was lost."""
        return first == node and ((node, name) in self.world.forced or node in self.world.forgot)

    def _one_lease(self, name: str, active: Mapping[NodeId, Token]) -> None:
        """A stranger that got the lease counts for none: nobody asks it whether an owner that does
        not reach the database may go on, and nobody listens to it.
        """
        active = {node: token for node, token in active.items() if not self._stranger(node)}
        if not active:
            return
        if len(active) > 1:
            self.fail("I3", f"{name}: nodes {sorted(active)} have the lease at one instant")
        (token,) = active.values()
        highest = self._highest.setdefault(name, token)
        if token.epoch.rank < highest.epoch.rank:
            text = f"epoch {token.epoch} is active after {highest.epoch}"
            self.fail("I3", f"{name}: {text}")
        self._highest[name] = token

    def _stranger(self, node: NodeId) -> bool:
        process = self.world.processes[node]
        return process.genuine and not process.member

    def healed(self) -> None:
        """All know the same highest claim, and its owner is active if it lives, nobody else."""
        if wrong := self.wrong():
            self.fail("I3", wrong)

    def wrong(self) -> str:
        """What is not yet as it must be when all is healed; "" = nothing."""
        return next(filter(None, map(self._wrong, self.names)), "")

    def _wrong(self, name: str) -> str:
        running = list(self.running())
        actors = {n: p.system.context.supervisor.actor(("tag", CLUSTER, name)) for n, p in running}
        members = self.world.members()
        known: dict[NodeId, Claim | None] = {}
        for node, actor in actors.items():
            if not isinstance(actor, TagActor):
                return f"{name}: node {node} has no actor of it"
            claim = actor.rules.known
            # who was told by a node that is no member any more differs from who was not
            known[node] = claim if claim is not None and claim.owner in members else None
        if len(set(known.values())) > 1:
            return f"{name}: the nodes know different claims: {known}"
        lives = {n: p.system.context.incarnation for n, p in running}
        holder = holding(next(iter(known.values()), None), lives).node_id
        active = sorted(self.world.active(name))
        if active != ([holder] if holder is not None else []):
            return f"{name}: {active} are active, and node {holder} should be"
        return f"{name}: nobody took the lease" if holder is None and self._leased(name) else ""

    def _leased(self, name: str) -> bool:
        return self.world.tag_settings.get(name, {}).get("mode") == "lease"
