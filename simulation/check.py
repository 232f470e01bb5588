"""What a check is, and what it says when an invariant does not hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

from ..protocol.cluster_settings import ClusterSettings
from ..protocol.events import EventRecord
from ..protocol.identity import NodeId
from .inside import Seen
from .trouble import Trouble

if TYPE_CHECKING:
    from .world import Process, World

LOG_TAIL = 40


class Violation(AssertionError):  # noqa: N818 - says what it is
    """An invariant does not hold in this world; names it, says how, and ends with the history."""

    def __init__(self, invariant: str, text: str, world: World) -> None:
        self.invariant = invariant
        self.text = text
        self.at_s = world.now
        tail = "\n".join(world.log[-LOG_TAIL:])
        where = f"seed {world.seed}, virtual second {world.now:.3f}"
        super().__init__(f"{invariant}: {text} ({where})\n{tail}")


class Check:
    """One family of invariants over one world. `Checkers` calls the hooks."""

    def __init__(self, world: World, trouble: Trouble, seen: Seen | None = None) -> None:
        """``seen``: shared by several checks, so that nothing is looked up twice."""
        self.world = world
        self.trouble = trouble
        self.seen = seen if seen is not None else Seen()

    def booted(self, node: NodeId) -> None:
        """A new process of that node runs."""

    def event(self, node: NodeId, record: EventRecord) -> None:
        """An application on that node heard this."""

    def look(self) -> None:
        """Often: what is cheap to read."""

    def survey(self) -> None:
        """Now and then: what takes a look at everything."""

    def healed(self) -> None:
        """Faults are over, everybody runs and the views agree: what must be true now."""

    def fail(self, invariant: str, text: str) -> NoReturn:
        """The invariant does not hold."""
        raise Violation(invariant, text, self.world)

    def running(self) -> Iterator[tuple[NodeId, Process]]:
        """The processes that run and are not stopped, by node id; no strangers, no impostors."""
        for node, process in sorted(self.world.processes.items()):
            if process.member and not process.runtime.paused:
                yield node, process

    def settings(self, process: Process) -> ClusterSettings:
        """The cluster's settings as that process read them."""
        return process.system.context.config.clusters[0]
