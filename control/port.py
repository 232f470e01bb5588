"""What the faces for people need of a running node, and nothing more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ..protocol.capability_words import Answer
from ..protocol.config import Config
from ..protocol.contract import Capability, Quarantined
from ..protocol.diffing import NodeDiff
from ..protocol.donors import Verdict
from ..protocol.events import EventRecord
from ..protocol.explaining import Explanation
from ..protocol.status import Status
from .subscriptions import Subscriptions


class TagPort(Protocol):
    """One sharing tag; see `actors.sharing`. Every method raises what it says there."""

    def activate(self, *, force: bool = False, reason: str = ..., timeout: float = ...) -> None:
        """Have it here."""
        ...

    def release(self, *, reason: str = ...) -> None:
        """Give it up."""
        ...

    def hand_over(self, to: int, *, reason: str = ..., timeout: float = ...) -> None:
        """Give it to another node."""
        ...

    def pause(self, *, paused: bool = True) -> None:
        """Whether nobody takes it over by himself."""
        ...

    def prefer(self, nodes: Sequence[int]) -> None:
        """Who is to have it."""
        ...

    def free(self, stopped: Sequence[int]) -> None:
        """Nobody of those who could have it runs any more."""
        ...


class ClusterPort(Protocol):
    """The capabilities of one cluster; every method raises `Unknown` when there is none of a name.

    See `actors.operations` for what they do.
    """

    def tag(self, name: str) -> TagPort:
        """A sharing tag, used here from now on; `Misuse` when it cannot be one."""
        ...

    def capability(self, name: str) -> Capability:
        """The object that was registered."""
        ...

    def sync(
        self,
        name: str,
        *,
        tags: Sequence[str] = (),
        mirror: bool = False,
        dry_run: bool = False,
        state: str = "",
        force: Sequence[str] = (),
    ) -> Answer:
        """Ask for a sync."""
        ...

    def enable(self, name: str) -> None:
        """Switch a capability on."""
        ...

    def disable(self, name: str) -> None:
        """Switch a capability off."""
        ...

    def explain_donor(self, name: str, tag: str = "") -> list[Verdict]:
        """Every other node as a donor, of a sharing tag."""
        ...

    def diff(
        self, name: str, tag: str = "", nodes: Sequence[int] = (), *, limit: int = ...
    ) -> list[NodeDiff]:
        """Which records other nodes do not have as they are here."""
        ...

    def quarantine(self, name: str) -> list[Quarantined]:
        """What was set aside, the newest."""
        ...

    def confirm(self, name: str, plan_id: int) -> int:
        """Carry a mirror plan out; how many records were dropped."""
        ...

    def discard(self, name: str, plan_id: int) -> None:
        """Forget a mirror plan."""
        ...

    def undo(self, name: str, plan_id: int) -> int:
        """Restore what a mirror plan dropped; how many records."""
        ...


class NodePort(Protocol):
    """A running node as the management interface sees it.

    Every call may come from any OS thread and may block it: the HTTP server makes them in worker
    threads, never in the hub, so an implementation has one way to answer, whichever thread or
    greenlet the node itself runs in.
    """

    def status(self) -> Status:
        """The whole snapshot, quickly (milliseconds)."""
        ...

    @property
    def config(self) -> Config:
        """Its settings."""
        ...

    @property
    def subscriptions(self) -> Subscriptions:
        """Who hears of its events by datagram."""
        ...

    def events(self) -> Iterable[EventRecord]:
        """The last events, oldest first, their numbers without a gap; quickly."""
        ...

    def why(self, kind: str, name: str | int, cluster: int | None = None) -> Explanation:
        """How a ``node``, ``link``, ``cap`` or ``tag`` stands, and what led to it; `Unknown`."""
        ...

    def recording(self) -> bytes:
        """The last messages of every link as a file; quickly."""
        ...

    def cluster(self, cluster: int) -> ClusterPort:
        """The capabilities of one cluster."""
        ...

    def trace_route(self, cluster: int, node: int, timeout: float) -> list[int]:
        """Ask the nodes on the way: the nodes passed, the destination last. ``timeout``: seconds.

        Raises `NodeDown` when the destination is unreachable or does not answer in time, `Misuse`
        when the cluster or the node is unknown.
        """
        ...

    def reload_rows(self, timeout: float) -> None:
        """Read the provisioned nodes again. Raises `Misuse` where there are no rows, and
        `StorageUnavailable`."""
        ...

    def remove_node(self, cluster: int, node: int, *, timeout: float) -> bool:
        """Remove another node from a cluster; False = it was removed already. Raises `Unknown`,
        `StorageUnavailable`, `TimedOut`."""
        ...

    def readmit_node(self, cluster: int, node: int, *, timeout: float) -> bool:
        """Take a removal back; False = there is none. Raises `Misuse` where there are rows,
        `StorageUnavailable`, `TimedOut`."""
        ...

    def note(self, who: str, command: str, arguments: str, outcome: str) -> None:
        """Somebody asked for a command that changes something, and this came of it; quickly."""
        ...

    def cut(self, node: int) -> None:
        """Block the direct path to ``node`` with the transport's test switch.

        Raises `Misuse` unless ``[admin] fault_switch`` is on.
        """
        ...

    def heal(self, node: int) -> None:
        """Undo `cut`; healing a path that is not cut does nothing. Raises like `cut`."""
        ...
