"""What applications do while faults happen: the load of a swarm with capabilities.

A seed draws posts, broadcasts, writes, deletes, switches and syncs. What must be true of them is
checked on the way (`checks_delivery`, `checks_sync`) and, when all is healed, by `Traffic.settle`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ..capabilities.records import Version
from ..protocol.contract import Capability
from ..protocol.errors import Busy, CapabilityDisabled
from ..protocol.identity import NodeId
from ..protocol.messages import CapState
from ..protocol.partition import SLOTS
from .check import Violation
from .checks_delivery import DeliveryChecks
from .checks_flow import FlowChecks
from .checks_partition import PartitionChecks
from .checks_sync import SyncChecks
from .records import (
    LETTERS,
    NAMES,
    NEVER,
    NOTES,
    RECORDS,
    REGISTERED,
    Duty,
    Notes,
    Post,
    Records,
    Watched,
    provide_all,
)

if TYPE_CHECKING:
    from .check import Check
    from .trouble import Trouble
    from .world import World

C = TypeVar("C", bound=Capability)

MEAN_PAUSE_S = 0.4
"""Between two things that applications do."""
KEYS = 40
MAX_BURST = 30
"""Letters at once."""
SYNCED_S = 90.0
"""After healing every capability is OK this long after the nodes agree (I6): the longest silence
of a donor, the longest pause of `rounds`, and the places of S-28 after that."""
QUIET_S = 40.0
"""What waits is delivered this long after that: the longest pause of reliable streams, twice."""
SWITCH_SHARE, MAX_OFF_S = 0.02, 20.0
VERIFY_INTERVAL_S = 10.0
"""Between two comparisons of a map with another node's."""


class Traffic:
    """The applications of one world; made before its nodes boot."""

    def __init__(
        self, world: World, outs: Collection[int] = (), *, wrong_year: bool = False
    ) -> None:
        """``outs``: nodes that will not be members all the time. ``wrong_year``: some clock is set
        so far off that what was deleted is forgotten as if it were long ago."""
        self.world = world
        self.ledger = provide_all(world)
        world.capability_settings[RECORDS] = {"verify_interval": f"{VERIFY_INTERVAL_S:g}s"}
        self._dice = random.Random(f"traffic {world.seed}")  # noqa: S311 - a seed, not a secret
        self._outs = frozenset(outs)
        self.ledger.forgetful = wrong_year
        self._disturbed: set[tuple[int, str]] = set()
        """(node, capability) that was ever switched off."""

    def checks(self, trouble: Trouble) -> list[Check]:
        """What is checked while it goes on."""
        return [
            DeliveryChecks(self.world, trouble, self.ledger),
            SyncChecks(self.world, trouble),
            FlowChecks(self.world, trouble),
            PartitionChecks(self.world, trouble),
        ]

    def timeline(self, phase_s: float) -> list[tuple[float, Callable[[], None]]]:
        """(virtual second, what to do then), sorted."""
        at_s, moments = 0.0, []
        while (at_s := at_s + self._dice.expovariate(1 / MEAN_PAUSE_S)) < phase_s:
            node = self._dice.choice(self.world.ids)
            if self._dice.random() < SWITCH_SHARE:
                name = self._dice.choice(NAMES)
                back_s = min(at_s + self._dice.uniform(0.05, MAX_OFF_S), phase_s)
                moments.append((at_s, partial(self.switch, node, name, on=False)))
                moments.append((back_s, partial(self.switch, node, name, on=True)))
            else:
                moments.append((at_s, partial(self._act, node, self._dice.random())))
        return sorted(moments, key=lambda moment: moment[0])

    # What applications do ---------------------------------------------------------------------

    def _act(self, node: int, how: float) -> None:
        if node not in self.world.processes or self.world.processes[NodeId(node)].runtime.paused:
            return
        if how < 0.3:
            self._post(node, REGISTERED)
        elif how < 0.5:
            self._post(node, LETTERS)
        elif how < 0.65:
            notes = self.of(node, NOTES, Notes)
            if notes.state_now is CapState.OK:
                notes.add()
        elif how < 0.96:
            self._write(node)
        else:
            name = self._dice.choice((NOTES, RECORDS))
            self.world.remark(f"node {node} asks for a sync of {name}")
            self.world.capability(node, name).port.request_sync()

    def _post(self, node: int, name: str) -> None:
        post = self.of(node, name, Post)
        others = [n for n in self.world.ids if n != node]
        to, count = self._dice.choice(others), self._dice.randint(1, MAX_BURST)
        for _ in range(count):
            post.post(to)

    def _write(self, node: int) -> None:
        records = self.of(node, RECORDS, Records)
        key = self._dice.randrange(KEYS)
        try:
            if self._dice.random() < 0.2 and records.has(key):
                records.delete(key)
            else:
                records.put(key, self.world.scheduler.steps)
        except (Busy, CapabilityDisabled):
            return
        records.wrote(key)

    def switch(self, node: int, name: str, *, on: bool) -> None:
        """An operator switches a capability on or off."""
        if node in self.world.processes:
            self._disturbed.add((node, name))
            self.world.switch(node, name, on=on)

    def of(self, node: int, name: str, kind: type[C]) -> C:
        """The object of a capability that a node's process has."""
        found = self.world.capability(node, name)
        assert isinstance(found, kind), found
        return found

    # When all is healed -----------------------------------------------------------------------

    def settle(self) -> None:
        """Everybody is OK in time (I6), every letter arrives that must, the maps are equal (I5)."""
        self._all_on()
        self._until(self._all_ok, SYNCED_S, "I6", self._who_is_not_ok)
        self._until(self._all_at_work, QUIET_S, "P-1", lambda: "the work is not divided")
        self._until(self._all_posted, QUIET_S, "I5", lambda: "somebody may not send to somebody")
        for node in self.world.members():
            self.of(node, RECORDS, Records).put(f"last of {node}", node)
        self._until(self._all_arrived, QUIET_S, "I5", self._what_is_missing)
        self._until(self._fresh_everywhere, QUIET_S, "I5", lambda: "a last record is missing")
        rounds_s = VERIFY_INTERVAL_S * 2 * len(self.world.members())
        self._until(self._equal, rounds_s, "I5", self._what_differs)
        self._nothing_lost()

    def _nothing_lost(self) -> None:
        """Of nodes that were there all the time all reliable letters came, and what they wrote is
        everywhere, or something newer (I5)."""
        whole = self._whole(RECORDS)
        tables = {node: self.of(node, RECORDS, Records).versions() for node in whole}
        for key, (version, deleted) in self.ledger.written.items():
            for node, table in tables.items():
                if version[-1] in whole and not deleted and table.get(key, NEVER) < version:
                    self._fail("I5", f"node {node} has lost what was written: {key!r} {version}")
        whole = self._whole(REGISTERED)
        for node in whole:
            post = self.of(node, REGISTERED, Post)
            for other in whole:
                if lost := self.of(other, REGISTERED, Post).gaps.get((node, post.life)):
                    self._fail("I5", f"{lost} registered letters of {node} did not come to {other}")

    def _until(
        self, held: Callable[[], bool], within_s: float, invariant: str, text: Callable[[], str]
    ) -> None:
        try:
            self.world.until(held, within_s)
        except TimeoutError:
            self._fail(invariant, f"{text()}, {within_s:g} s after everything was healed")

    def _fail(self, invariant: str, text: str) -> None:
        raise Violation(invariant, text, self.world)

    def _all_on(self) -> None:
        """Also where a node did not run when it should have been switched on (C-4)."""
        for node in self.world.members():
            for name in NAMES:
                if self.world.state(node, name) is CapState.DISABLED:
                    self.switch(node, name, on=True)

    def _all_ok(self) -> bool:
        return not self._who_is_not_ok()

    def _who_is_not_ok(self) -> str:
        world = self.world
        return ", ".join(
            f"{name} of node {node} is {world.state(node, name).name.lower()}"
            for node in world.members()
            for name in NAMES
            if world.state(node, name) is not CapState.OK
        )

    def _all_posted(self) -> bool:
        """Everybody may send to everybody, and does."""
        members = self.world.members()
        accepted = [
            self.of(node, name, Post).post(other)
            for name in (LETTERS, REGISTERED)
            for node in members
            for other in members
            if other != node
        ]
        noted = [self.of(node, NOTES, Notes).add() for node in members]
        return all([*accepted, *noted])

    def _all_arrived(self) -> bool:
        return not self._what_is_missing()

    def _what_is_missing(self) -> str:
        return ", ".join(
            f"{name} from node {node} to {other} came up to number {came} of {last}"
            for name in (LETTERS, REGISTERED)
            for node in self.world.members()
            for other in self.world.members()
            if other != node
            for last in [self.of(node, name, Post).posted[other]]
            for came in [self._came(name, node, other)]
            if came != last
        )

    def _came(self, name: str, node: int, other: int) -> int:
        life = self.of(node, name, Post).life
        return self.of(other, name, Post).heard.get((node, life), 0)

    def _whole(self, name: str) -> list[NodeId]:
        """The members that were there all the time: one life, never switched off, never out."""
        return [
            node
            for node in self.world.members()
            if self.ledger.first[node, name] == self.of(node, name, Watched).life
            and (node, name) not in self._disturbed
            and node not in self._outs
        ]

    def _equal(self) -> bool:
        return not self._what_differs()

    def _what_differs(self) -> str:
        """All members have the same records, whoever wrote them and died. What was deleted may be
        back on some when clocks differ by more than deletions are remembered."""
        tables = {
            node: self.of(node, RECORDS, Records).versions(tombstones=not self.ledger.forgetful)
            for node in self.world.members()
        }
        newest: dict[bytes, Version] = {}
        for table in tables.values():
            for key, version in table.items():
                newest[key] = max(version, newest.get(key, version))
        return ", ".join(
            f"records of node {node} have {key!r} as {table.get(key)}, not as {version}"
            for node, table in tables.items()
            for key, version in newest.items()
            if table.get(key) != version and (key in table or not self.ledger.forgetful)
        )

    def _fresh_everywhere(self) -> bool:
        """What was written in the end has come to everybody."""
        members = self.world.members()
        maps = [self.of(node, RECORDS, Records) for node in members]
        notes = [self.of(node, NOTES, Notes) for node in members]
        return all(records.has(f"last of {node}") for records in maps for node in members) and all(
            other.last in one.notes for one in notes for other in notes
        )

    def _all_at_work(self) -> bool:
        """All follow one view, and each slot is somebody's work (P-1, P-3)."""
        duties = [self.world.partition(node, NOTES) for node in self.world.members()]
        held = [slot for duty in duties if isinstance(duty, Duty) for slot in duty.slots]
        return len({duty.view.id for duty in duties}) == 1 and sorted(held) == list(range(SLOTS))
