"""What a hand-made node has of its clusters and tags: they note what they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from tagmesh.protocol.capability_words import Answer
from tagmesh.protocol.contract import Capability, Quarantined
from tagmesh.protocol.diffing import DEFAULT_LISTED_KEYS, KeyDiff, NodeDiff, Unlike
from tagmesh.protocol.donors import Rejection, Verdict
from tagmesh.protocol.errors import TimedOut, Unknown
from tagmesh.protocol.identity import NodeId

if TYPE_CHECKING:
    from tests.control.fake_node import FakeNode


class FakeCluster:
    """Notes what it is asked; plan 1 is the only one there is."""

    def __init__(self, node: FakeNode) -> None:
        self._node = node

    def tag(self, name: str) -> FakeTag:
        return FakeTag(self._node, name)

    def capability(self, name: str) -> Capability:
        return self._node.capabilities.get(name, Capability())

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
        words = [*force, *([state] if state else [])]
        self._node.asked.append(("sync", name, tuple(tags), mirror, dry_run, *words))
        return self._node.answer

    def enable(self, name: str) -> None:
        self._node.asked.append(("enable", name))

    def disable(self, name: str) -> None:
        self._node.asked.append(("disable", name))

    def explain_donor(self, name: str, tag: str = "") -> list[Verdict]:
        if tag:
            why = f"node 2 has {tag}"
            return [Verdict(node_id=NodeId(3), rejection=Rejection.NOT_TAG_OWNER, detail=why)]
        return [
            Verdict(node_id=NodeId(2), place=1, detail="1 hop, position 7"),
            Verdict(node_id=NodeId(3), rejection=Rejection.UNREACHABLE, detail="no path"),
        ]

    def diff(
        self,
        name: str,
        tag: str = "",
        nodes: Sequence[int] = (),
        *,
        limit: int = DEFAULT_LISTED_KEYS,
    ) -> list[NodeDiff]:
        self._node.asked.append(("diff", name, tag, tuple(nodes), limit))
        if tag == "busy":
            raise TimedOut("not compared in 60 s: a sync is under way here")
        keys = KeyDiff("\x1b[2Jbob", Unlike.MISSING), KeyDiff(("a", 7), Unlike.EXTRA)
        two, three = NodeId(2), NodeId(3)
        found = [
            NodeDiff(node_id=two, compared=True, missing=1, extra=3, keys=keys),
            NodeDiff(node_id=three, compared=False, reason="unreachable: no path"),
        ]
        alike = NodeDiff(node_id=two, compared=True)
        return [alike] if tag else found

    def quarantine(self, name: str) -> list[Quarantined]:
        message = msgspec.msgpack.encode({"user": "\x1b[2Jbob"})
        return [
            Quarantined(NodeId(2), "message", message, "ValueError: no such user"),
            Quarantined(NodeId(3), "record", b"\xc1", "not msgpack"),
        ]

    def confirm(self, name: str, plan_id: int) -> int:
        return self._decide("confirm", name, plan_id)

    def discard(self, name: str, plan_id: int) -> None:
        self._decide("discard", name, plan_id)

    def undo(self, name: str, plan_id: int) -> int:
        return self._decide("undo", name, plan_id)

    def _decide(self, what: str, name: str, plan_id: int) -> int:
        if plan_id != 1:
            raise Unknown(f"there is no waiting mirror plan {plan_id}")
        self._node.asked.append((what, name))
        return 30


class FakeTag:
    """Notes what it is asked; raises ``node.broken_tag`` if there is one."""

    def __init__(self, node: FakeNode, name: str) -> None:
        self._node = node
        self._name = name

    def activate(self, *, force: bool = False, reason: str = "", timeout: float = 0.0) -> None:
        self._note("activate", force, reason)

    def release(self, *, reason: str = "") -> None:
        self._note("release", reason)

    def hand_over(self, to: int, *, reason: str = "", timeout: float = 0.0) -> None:
        self._note("hand_over", to, reason)

    def pause(self, *, paused: bool = True) -> None:
        self._note("pause", paused)

    def prefer(self, nodes: Sequence[int]) -> None:
        self._note("prefer", *nodes)

    def free(self, stopped: Sequence[int]) -> None:
        self._note("free", *stopped)

    def _note(self, what: str, *words: object) -> None:
        if self._node.broken_tag is not None:
            raise self._node.broken_tag
        self._node.asked.append((what, self._name, *words))
