"""What runs on the nodes of a simulated cluster: capabilities, their work, operators' switches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..actors.actor import ReplyFuture
from ..actors.flight_dump import flight, with_ends
from ..actors.mail import Switch
from ..actors.partitioning import WorkPartition
from ..actors.switches import Switches
from ..actors.tag import TagActor
from ..actors.tag_mail import ActivateTag, HandOverTag, ReleaseTag
from ..actors.why import why
from ..actors.worker import InlineWorker
from ..protocol.errors import Misuse, TagmeshError
from ..protocol.identity import NodeId
from .rows import CLUSTER

if TYPE_CHECKING:
    from ..actors.context import Context, Name
    from ..actors.registration import Registration
    from ..actors.reports import Ask
    from ..protocol.contract import Capability
    from ..protocol.explaining import Explanation
    from ..protocol.flight_recorder import Flight
    from ..protocol.lease_words import LeaseStanding
    from ..protocol.messages import CapState
    from ..protocol.tag_base import Tag
    from ..protocol.tag_words import Token
    from .machines import Process


Outcome = Callable[[], TagmeshError | None]
"""What came of something that was asked for: None = it is done; `NoReply` = nothing yet."""


class SimulatedSwitches(Switches):
    """Kept on the disk of a simulated machine."""

    def __init__(self, disk: dict[NodeId, bytes], node_id: NodeId) -> None:
        """``disk``: node → what its file holds."""
        super().__init__("", node_id)
        self._disk = disk
        self._node = node_id

    def _read(self) -> bytes:
        if self._node not in self._disk:
            raise FileNotFoundError
        return self._disk[self._node]

    def _write(self, content: bytes) -> None:
        self._disk[self._node] = content


class Services:
    """The part of a `World` that is about capabilities; all of them are in cluster 1."""

    def __init__(self, nodes: int) -> None:
        self.ids = tuple(NodeId(n) for n in range(1, nodes + 1))
        self.processes: dict[NodeId, Process] = {}
        self.switched: dict[tuple[NodeId, str], tuple[float, bool]] = {}
        """(node, capability) → when an operator switched it last, and whether on."""
        self._provided: list[Callable[[NodeId], Capability]] = []
        self._divided: dict[str, Callable[[NodeId], WorkPartition]] = {}
        self.forced: set[tuple[NodeId, str]] = set()
        """(node, tag): it was activated there by force, so that life's epoch may not be stored."""
        self.forgot: set[NodeId] = set()
        """Nodes that lost the file in which they kept what was claimed."""
        self._switches: dict[NodeId, bytes] = {}
        """What each node's disk holds of them (C-4)."""

    def provide(self, make: Callable[[NodeId], Capability]) -> None:
        """Give every process that boots from now on a capability: ``make(node)``."""
        self._provided.append(make)

    def divide(self, name: str, make: Callable[[NodeId], WorkPartition]) -> None:
        """Divide the work of a capability in every process that boots from now on (P-1)."""
        self._divided[name] = make

    def capability(self, node: int, name: str) -> Capability:
        """The object that the node's present process has."""
        return self.registration(node, name).capability

    def state(self, node: int, name: str) -> CapState:
        """What the node's present process says of its capability."""
        return self.registration(node, name).said.state

    def partition(self, node: int, name: str) -> WorkPartition:
        """How the work of a capability is divided, as the node's present process sees it."""
        found = self.registration(node, name).partition
        if not found.takes_part:
            raise Misuse(f"the work of {name!r} is not divided: divide() it before boot()")
        return found

    def switch(self, node: int, name: str, *, on: bool) -> None:
        """An operator switches a capability on or off, also for later starts (C-1, C-2, C-4)."""
        me, process = self._known(node), self._running(node)
        self.registration(node, name)
        process.system.context.supervisor.tell(
            ("capability", CLUSTER, name), Switch(on, "an operator")
        )
        self._kept(me).keep(CLUSTER, name, enabled=on)
        self.switched[me, name] = (process.runtime.monotonic(), on)
        self.remark(f"{name} of node {node} is switched {'on' if on else 'off'}")

    def why(self, node: int, kind: str, name: str) -> Explanation:
        """What the node's present process answers to ``why`` (B14)."""
        context = self._running(node).system.context
        return why(context, self._asker(context), CLUSTER, kind, name)

    def recording(self, node: int) -> Flight:
        """What the node's present process has recorded of its links (B14)."""
        context = self._running(node).system.context
        return with_ends(flight(context, "asked for"), context, self._asker(context))

    def _asker(self, context: Context) -> Ask:
        def ask(name: Name, mail: object) -> object:
            actor = context.supervisor.actor(name)
            return actor.on_receive(mail) if actor is not None else None

        return ask

    # Sharing tags --------------------------------------------------------------------------------

    def tag(self, node: int, name: str) -> Tag:
        """What the node's present process knows of a sharing tag that it declared."""
        return self._tag_actor(node, name).rules

    def lease(self, node: int, name: str) -> LeaseStanding:
        """How the lease on a tag stands, as the node's present process sees it."""
        found = self._tag_actor(node, name).standing()
        if found is None:
            raise Misuse(f"tag {name!r} has no lease: its mode is manual")
        return found

    def _tag_actor(self, node: int, name: str) -> TagActor:
        process = self._running(node)
        actor = process.system.context.supervisor.actor(("tag", CLUSTER, name))
        if not isinstance(actor, TagActor):
            raise Misuse(f"node {node} has no sharing tag {name!r} now: settings sharing_tags")
        return actor

    def active(self, name: str) -> dict[NodeId, Token]:
        """The nodes whose applications may act under the tag at this moment, with their tokens."""
        entries = {
            node: process.system.context.tags.get((CLUSTER, name))
            for node, process in sorted(self.processes.items())
        }
        return {n: e.token for n, e in entries.items() if e is not None and e.token is not None}

    def activate(self, node: int, name: str, *, force: bool = False) -> Outcome:
        """Somebody wants the tag there; call what is returned later on, see `Outcome`."""
        if force:
            self.forced.add((self._known(node), name))
        return self._ask_tag(node, name, ActivateTag("asked", force))

    def hand_over(self, node: int, name: str, to: int) -> Outcome:
        """Somebody has the node give the tag to another one."""
        return self._ask_tag(node, name, HandOverTag(NodeId(to), "asked"))

    def release(self, node: int, name: str) -> Outcome:
        """Somebody has the node give the tag up."""
        return self._ask_tag(node, name, ReleaseTag("asked"))

    def _ask_tag(
        self, node: int, name: str, mail: ActivateTag | HandOverTag | ReleaseTag
    ) -> Outcome:
        self.tag(node, name)
        self.remark(f"{type(mail).__name__} {name} at {node}")
        actor = self._running(node).system.context.supervisor.ref(("tag", CLUSTER, name))
        assert actor is not None
        future = actor.ask(mail, block=False)

        def outcome() -> TagmeshError | None:
            reply: Any = future.get(timeout=0)
            if isinstance(reply, ReplyFuture):
                reply = reply.get(timeout=0)
            assert reply is None or isinstance(reply, TagmeshError)
            return reply

        return outcome

    def _equip(self, me: NodeId, process: Process) -> None:
        """Register what the node's machine has; its actors have not begun."""
        switches = self._kept(me)
        for make in self._provided:
            made, runtime = make(me), process.system.context.runtime
            for each in (made, *made.companions):
                worker = InlineWorker() if each.inline else runtime.worker(each.name)
                switches.restore(process.system.register(CLUSTER, each, worker))
        for start in process.system.context.config.cluster(CLUSTER).sharing_tags:
            process.system.declare_tag(CLUSTER, start.name, [], active=start.active)
        for name, divide in self._divided.items():
            process.system.divide(CLUSTER, name, divide(me))

    def _lose_switches(self, me: NodeId) -> None:
        """The disk is gone."""
        self._switches.pop(me, None)
        self.switched = {key: how for key, how in self.switched.items() if key[0] != me}

    def _kept(self, me: NodeId) -> Switches:
        switches = SimulatedSwitches(self._switches, me)
        switches.load()
        return switches

    def registration(self, node: int, name: str) -> Registration:
        """All that the node's present process knows of its capability."""
        context = self._running(node).system.context
        found = context.registrations.get((CLUSTER, name))
        if found is None:
            raise Misuse(f"node {node} has no capability {name!r}: provide() it before boot()")
        return found

    def _known(self, node: int) -> NodeId:
        if node not in self.ids and node not in self.processes:
            raise Misuse(f"this world has nodes {self.ids[0]} … {self.ids[-1]}, not {node}")
        return NodeId(node)

    def _running(self, node: int) -> Process:
        process = self.processes.get(self._known(node))
        if process is None:
            raise Misuse(f"node {node} does not run")
        return process

    def remark(self, text: str) -> None:
        """Add to the history something that was done to the world or seen in it."""
        raise NotImplementedError
