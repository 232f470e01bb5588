"""A sharing tag as an application sees it: ``node.cluster(1).tag("vip1")``. Thread-safe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pykka

from ..protocol.errors import Misuse, StaleTag, TagmeshError, TimedOut
from ..protocol.identity import NodeId
from ..protocol.tag_base import Tag
from ..protocol.tag_claims import MAX_KNOWN_TAGS
from ..protocol.tag_words import Change, Epoch, Token, check_tag, epoch_of
from .actor import ReplyFuture
from .mail import Describe
from .tag_entry import OnTag, TagEntry, TagListener
from .tag_mail import ActivateTag, HandOverTag, ReleaseTag

if TYPE_CHECKING:
    from ..protocol.identity import ClusterId
    from ..protocol.status import TagStatus
    from ..storage.base import LeaseStore
    from .life import NodeLife
    from .system import NodeSystem
    from .worker import Worker

WAIT_S = 20.0
"""How long an activation or a hand-over is waited for; it may be carried out later."""
ASKED = "the application asked for it"

F = TypeVar("F", bound=OnTag)


class Guard:
    """Inside ``with tag.guard():``."""

    def __init__(self, tag: SharingTag, token: Token) -> None:
        self.token = token
        """Of the epoch; pass it on with what is written under it."""
        self._tag = tag

    def check(self) -> None:
        """`StaleTag` when the tag is no longer active here under this epoch."""
        if self._tag.token != self.token:
            raise StaleTag(
                f"tag {self.token.tag!a} is not active here under epoch {self.token.epoch} any"
                " more: stop, another node may go on with it"
            )


class SharingTag:
    """One tag of one cluster. Whether the node runs or not, the object stays the same."""

    def __init__(self, node: NodeLife, cluster_id: ClusterId, name: str, *, active: bool) -> None:
        """``active``: it is to be active here when the node starts."""
        self.name = check_tag(name)
        self.cluster_id = cluster_id
        self._node = node
        self._starts_active = active
        self._entry: TagEntry | None = None
        self._functions: list[tuple[bool, OnTag]] = []
        self._listeners: list[TagListener] = []
        self._worker: Worker | None = None

    def __repr__(self) -> str:
        state = "active" if self.active else "backup"
        return f"<SharingTag {self.name}/{self.cluster_id} {state}>"

    # What is so now ----------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Is it active here, at this moment? Quick."""
        return self.token is not None

    @property
    def token(self) -> Token | None:
        """Of the epoch that is active here at this moment; None = none is. Quick."""
        entry = self._entry
        return entry.token if entry is not None else None

    @property
    def holder(self) -> NodeId | None:
        """The node that has it, as seen from here; None = nobody."""
        return self._rules().holding().node_id

    @property
    def epoch(self) -> Epoch | None:
        """The highest that was claimed, as far as heard here; None = nobody ever did."""
        known = self._rules().known
        return epoch_of(known) if known is not None else None

    @property
    def history(self) -> list[Change]:
        """Who had it and why, the last changes as heard here, the oldest first."""
        return list(self._rules().history)

    def status(self) -> TagStatus:
        """All of that together, for people."""
        return self._node.run_in_hub(lambda s: s.tag_status(self.cluster_id, self.name))

    # Who is to have it -------------------------------------------------------------------------

    def activate(
        self, *, force: bool = False, reason: str = ASKED, timeout: float = WAIT_S
    ) -> None:
        """Have the tag here; when it returns, it is active.

        ``force``: also without the store, which may give one epoch to two nodes. Raises
        `TagRefused` or `Misuse` with the reason, `TimedOut`: then it may become active yet.
        """
        self._wait(ActivateTag(reason, force), timeout)

    def release(self, *, reason: str = ASKED) -> None:
        """Give the tag up; `Misuse` when it is not active here. In mode lease another takes it."""
        self._wait(ReleaseTag(reason), WAIT_S)

    def hand_over(self, to: int, *, reason: str = ASKED, timeout: float = WAIT_S) -> None:
        """Give the tag to node ``to``, which must have all data of it; never are two active.

        `Misuse` when that node cannot have it, `TagRefused` when it did not take it; in both cases
        this node has it still or again.
        """
        self._wait(HandOverTag(NodeId(to), reason), timeout)

    def pause(self, *, paused: bool = True) -> None:
        """Mode lease: nobody takes the tag over until it goes on; the owner may keep it."""
        self._in_store(lambda store: store.pause(self.cluster_id, self.name, paused=paused))

    def prefer(self, nodes: Sequence[int]) -> None:
        """Mode lease: only these nodes are to have the tag, the best first; () = all, by id."""
        ids = [NodeId(node) for node in nodes]
        self._in_store(lambda store: store.prefer(self.cluster_id, self.name, ids))

    def free(self, stopped: Sequence[int]) -> None:
        """Mode lease: free a lease that ran out, of which owner and electors are gone for good.

        ``stopped``: all of them. Nobody but a person knows that none of them runs and goes on with
        the tag; if one does, two nodes have it. `Misuse` says what else to do, or whom to name.
        """
        ids = [NodeId(node) for node in stopped]
        self._in_store(lambda store: store.free(self.cluster_id, self.name, stopped=ids))

    # Acting under it ---------------------------------------------------------------------------

    @contextmanager
    def guard(self, token: Token | None = None) -> Iterator[Guard]:
        """Do what only the node may do that has the tag; `StaleTag` when this node has it not.

        With ``token`` also when the tag has been activated anew since. Inside, call ``check()``
        before each effect: the tag may go while the block runs.
        """
        held = token if token is not None else self.token
        if held is None:
            raise StaleTag(
                f"tag {self.name!a} of cluster {self.cluster_id} is not active here: leave this to"
                " the node that has it (tag.holder), or activate the tag"
            )
        guard = Guard(self, held)
        guard.check()
        yield guard

    def on_active(self, function: F) -> F:
        """Call ``function(token)`` in a worker thread when the tag becomes active. A decorator."""
        return self._listen(True, function)

    def on_backup(self, function: F) -> F:
        """Call it when the tag is no longer active here, with the token that is over."""
        return self._listen(False, function)

    def _listen(self, active: bool, function: F) -> F:
        with self._node.in_turn():
            self._functions.append((active, function))
            if self._node.running:
                self._node.run_in_hub(self._equip)
        return function

    # Called by the node ------------------------------------------------------------------------

    def begin(self, system: NodeSystem) -> None:
        """The node starts, or runs already; in its thread."""
        self._worker, self._listeners = None, []
        self._equip(system)
        self._entry = system.declare_tag(
            self.cluster_id, self.name, self._listeners, active=self._starts_active
        )

    def ended(self) -> None:
        """The node has stopped."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()
        self._entry = None

    def _equip(self, system: NodeSystem) -> None:
        if self._functions and self._worker is None:
            name = f"tagmesh-{self._node.node_id}-tag-{self.name}"
            self._worker = system.context.runtime.worker(name)
        for active, function in self._functions[len(self._listeners) :]:
            assert self._worker is not None
            self._listeners.append(TagListener(active, function, self._worker))

    # Asking ------------------------------------------------------------------------------------

    def _rules(self) -> Tag:
        rules: Tag = self._ask(Describe())
        return rules

    def _ask(self, mail: object) -> Any:
        return self._node.run_in_hub(lambda s: s.ask_tag(self.cluster_id, self.name, mail))

    def _wait(self, mail: object, timeout: float) -> None:
        def answer(system: NodeSystem) -> TagmeshError | None:
            reply: Any = system.ask_tag(self.cluster_id, self.name, mail)
            if isinstance(reply, pykka.Future):
                reply = reply.get(timeout=timeout)
            assert reply is None or isinstance(reply, TagmeshError)
            return reply

        try:
            error = self._node.run_in_hub(answer)
        except pykka.Timeout:
            raise TimedOut(
                f"tag {self.name!a}: no end after {timeout:g} s; it may be carried out yet"
            ) from None
        if error is not None:
            raise error

    def _in_store(self, change: Callable[[LeaseStore], object]) -> None:
        def ask(system: NodeSystem) -> Exception | None:
            context, future = system.context, ReplyFuture()
            if context.config.tag(self.cluster_id, self.name).mode != "lease":
                raise Misuse(f"tag {self.name!a} has no lease: its mode is manual")
            store = cast("LeaseStore", context.tag_store)
            context.runtime.call_in_pool(
                lambda: change(store), lambda _row, error: future.set(error)
            )
            failed: Exception | None = future.get(timeout=WAIT_S)
            return failed

        if (error := self._node.run_in_hub(ask)) is not None:
            raise error


class Tags:
    """The sharing tags of one cluster of one node, by name."""

    def __init__(self, node: NodeLife, cluster_id: ClusterId) -> None:
        self._node = node
        self._cluster_id = cluster_id
        starts = node.config.cluster(cluster_id).sharing_tags
        self._tags = {
            start.name: SharingTag(node, cluster_id, start.name, active=start.active)
            for start in starts
        }

    def tag(self, name: str) -> SharingTag:
        """The tag of that name, declared here from now on; `Misuse` when no tag can have it."""
        known = self._tags.get(name)
        if known is not None:
            return known
        with self._node.in_turn():
            if name not in self._tags:
                if len(self._tags) >= MAX_KNOWN_TAGS:
                    raise Misuse(
                        f"cluster {self._cluster_id} has {MAX_KNOWN_TAGS} sharing tags on this node"
                        f" already, the most possible: {name!a} cannot be added"
                    )
                made = SharingTag(self._node, self._cluster_id, name, active=False)
                if self._node.running:
                    self._node.run_in_hub(made.begin)
                self._tags[name] = made
            return self._tags[name]

    def declared(self) -> list[str]:
        """Their names, sorted."""
        return sorted(self._tags)

    def begin(self, system: NodeSystem) -> None:
        """The node starts; in its thread."""
        for tag in self._tags.values():
            tag.begin(system)

    def ended(self) -> None:
        """The node has stopped."""
        for tag in self._tags.values():
            tag.ended()
