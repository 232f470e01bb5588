"""Applications that write records with sharing tags while tags are moved and faults happen."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..capabilities.records import TOMBSTONE_S
from ..protocol.errors import Busy, CapabilityDisabled, NotTagOwner
from .check import Violation
from .checks_fencing import FencingChecks
from .checks_served import ServedChecks
from .faults import FaultPlan, run
from .tag_traffic import TagTraffic
from .tagged_records import TAGGED, TaggedRecords, provide_tagged

if TYPE_CHECKING:
    from ..protocol.identity import NodeId
    from .check import Check
    from .trouble import Trouble
    from .world import World

MEAN_PAUSE_S = 0.4
"""Between two writes."""
KEYS = 12
"""Of each tag."""
TTL_S = 15.0
VERIFY_INTERVAL_S = 5.0
"""Between two comparisons of the map with another node's."""
ROUNDS = 4
"""Comparisons with every other node until all have the same: an owner adopts, then all hear it."""


class FencedTraffic(TagTraffic):
    """The tags and tagged records of one world; made before its nodes boot."""

    def __init__(self, world: World, *, wrong_year: bool = False) -> None:
        """``wrong_year``: some clock is set so far off that deletions are forgotten at once, and
        what was deleted may be back on some nodes."""
        super().__init__(world)
        self._forgetful = wrong_year
        self.ledger = provide_tagged(world, self.names)
        world.capability_settings[TAGGED] = {"verify_interval": f"{VERIFY_INTERVAL_S:g}s"}
        self._luck = random.Random(f"tagged writes {world.seed}")  # noqa: S311 - a seed, not a secret

    def checks(self, trouble: Trouble) -> list[Check]:
        """What is checked while it goes on."""
        return [
            *super().checks(trouble),
            FencingChecks(self.world, trouble, self.ledger),
            ServedChecks(self.world, trouble),
        ]

    def timeline(self, phase_s: float) -> list[tuple[float, Callable[[], None]]]:
        """(virtual second, what to do then), sorted."""
        at_s, moments = 0.0, super().timeline(phase_s)
        while (at_s := at_s + self._luck.expovariate(1 / MEAN_PAUSE_S)) < phase_s:
            moments.append((at_s, self._write))
        return sorted(moments, key=lambda moment: moment[0])

    def _write(self) -> None:
        """Mostly where the tag is active, as far as the node itself knows."""
        tag = self._luck.choice(self.names)
        holders = sorted(self.world.active(tag)) or list(self.world.ids)
        node = self._luck.choice(holders if self._luck.random() < 0.8 else self.world.ids)
        process = self.world.processes.get(node)
        if process is None or process.runtime.paused:
            return
        records = self.records(node)
        key, how = f"{tag}-{self._luck.randrange(KEYS)}", self._luck.random()
        try:
            if how < 0.2 and records.has(key):
                records.delete(key)
            else:
                ttl_s = TTL_S if how > 0.8 else None
                records.put(key, self.world.scheduler.steps, tag=tag, ttl_s=ttl_s)
        except (Busy, CapabilityDisabled, NotTagOwner):
            return
        records.wrote(key, tag)

    def records(self, node: NodeId) -> TaggedRecords:
        """The map of a node that runs."""
        found = self.world.capability(node, TAGGED)
        assert isinstance(found, TaggedRecords)
        return found

    def settle(self) -> None:
        """One owner, and everybody has the same records."""
        super().settle()
        rounds_s = VERIFY_INTERVAL_S * len(self.world.members()) * ROUNDS
        try:
            self.world.until(self._equal, rounds_s)
        except TimeoutError:
            text = f"{self._what_differs()}, {rounds_s:g} s after everything was healed"
            raise Violation("I5", text, self.world) from None

    def _equal(self) -> bool:
        return not self._what_differs()

    def _what_differs(self) -> str:
        tables = {node: self.records(node).versions() for node in self.world.members()}
        first = next(iter(tables.values()), {})
        keys = sorted({key for table in tables.values() for key in table})
        return ", ".join(
            f"node {node} has {key!r} as {table.get(key)}, not as {first.get(key)}"
            for node, table in tables.items()
            for key in keys
            if table.get(key) != first.get(key)
            and not (self._forgetful and (key not in table or key not in first))
        )


def fenced(plan: FaultPlan, world: World | None = None) -> World:
    """`run` in a world with sharing tags and records under them, drawn with ``tags=True``."""
    world = world if world is not None else plan.world()
    wrong_year = any(f.kind == "clock" and abs(f.value) > TOMBSTONE_S for f in plan.faults)
    return run(plan, world, traffic=FencedTraffic(world, wrong_year=wrong_year))
