"""Who is there, and what happens when one crashes (H2, H5, P14).

Actors address each other by name, so a restarted one is found again. A crash stays local: the
actor is started anew after a short pause; its `on_start` tells the others what they must know.
Too many crashes in a row mark the node unhealthy, loudly, and restarting goes on with longer
pauses.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pykka

from .actor import ClusterActor, Inbox

if TYPE_CHECKING:
    from .runtime import Runtime, Timer

Name = tuple[str | int, ...]
"""``("gate",)``, ``("peer", 3)``, ``("link", 1, 3)`` …"""

RESTART_PAUSE_S = 0.1
MAX_RESTART_PAUSE_S = 5.0
UNHEALTHY_CRASHES = 5
UNHEALTHY_WINDOW_S = 60.0

logger = logging.getLogger("tagmesh.actors")

Factory = Callable[[], "pykka.ActorRef[Any]"]


class Supervisor:
    """The registry of one node's actors. Belongs to the hub's thread."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._factories: dict[Name, Factory] = {}
        self._refs: dict[Name, pykka.ActorRef[Any]] = {}
        self._inboxes: dict[Name, Inbox] = {}
        self._restarts: dict[Name, Timer] = {}
        self._recent: deque[float] = deque()
        self._stopping = False
        self.crashes = 0
        self.dead_letters: Counter[str] = Counter()
        """Messages to nobody or to a full inbox, by the kind of addressee."""

    @property
    def healthy(self) -> bool:
        """Fewer than `UNHEALTHY_CRASHES` crashes in the last `UNHEALTHY_WINDOW_S` seconds."""
        now = self._runtime.monotonic()
        while self._recent and now - self._recent[0] > UNHEALTHY_WINDOW_S:
            self._recent.popleft()
        return len(self._recent) < UNHEALTHY_CRASHES

    def start_child(self, name: Name, factory: Factory) -> None:
        """Start an actor and keep it running until `stop_child`."""
        assert name not in self._factories, f"{name} runs already"
        self._factories[name] = factory
        self._start(name)

    def _start(self, name: Name) -> None:
        ref = self._refs[name] = self._factories[name]()
        self._inboxes[name] = ref.actor_inbox  # type: ignore[assignment] # our actors have no other

    def stop_child(self, name: Name) -> None:
        """Stop an actor for good; unknown names are no error."""
        self._factories.pop(name, None)
        timer = self._restarts.pop(name, None)
        if timer is not None:
            timer.cancel()
        self._inboxes.pop(name, None)
        ref = self._refs.pop(name, None)
        if ref is not None:
            ref.stop(block=False)

    def stop_all(self) -> None:
        """Stop every actor of this node, last started first."""
        self._stopping = True
        for name in reversed(list(self._factories)):
            self.stop_child(name)

    def has(self, name: Name) -> bool:
        """Is there such a child, running or about to be restarted?"""
        return name in self._factories

    def names(self, kind: str) -> list[Name]:
        """Names of all children of a kind, sorted."""
        return sorted(name for name in self._factories if name[0] == kind)

    def count(self) -> dict[str, int]:
        """How many children of each kind there are."""
        return dict(Counter(str(name[0]) for name in sorted(self._factories)))

    def waiting(self) -> dict[str, int]:
        """How many messages wait for the children of each kind."""
        found: Counter[str] = Counter()
        for name, inbox in sorted(self._inboxes.items()):
            found[str(name[0])] += len(inbox)
        return dict(found)

    def ref(self, name: Name) -> pykka.ActorRef[Any] | None:
        """The running actor of that name."""
        return self._refs.get(name)

    def actor(self, name: Name) -> ClusterActor | None:
        """The actor object, for the simulator's checkers only."""
        ref = self._refs.get(name)
        actor = ref._actor_weakref() if ref is not None else None  # noqa: SLF001
        assert actor is None or isinstance(actor, ClusterActor)
        return actor

    def tell(self, name: Name, message: object) -> bool:
        """Tell by name; False (and a count) when nobody took it."""
        inbox = self._inboxes.get(name)
        if inbox is None or not inbox.tell(message):
            self.dead_letters[str(name[0])] += 1
            return False
        return True

    def hand(self, name: Name, message: object) -> bool:
        """`tell`, but who rests acts at once; see `ClusterActor.act` for who may."""
        inbox = self._inboxes.get(name)
        if inbox is None or not (inbox.actor.act(message) or inbox.tell(message)):
            self.dead_letters[str(name[0])] += 1
            return False
        return True

    def crashed(self, name: Name, error: BaseException) -> None:
        """An actor reports its own crash."""
        self._refs.pop(name, None)
        self._inboxes.pop(name, None)
        self.crashes += 1
        self._recent.append(self._runtime.monotonic())
        if not self.healthy:
            logger.critical("node unhealthy: %d actor crashes in a minute", len(self._recent))
        if name in self._factories and not self._stopping:
            over = max(len(self._recent) - UNHEALTHY_CRASHES, 0)
            pause = min(RESTART_PAUSE_S * 2.0 ** min(over, 16), MAX_RESTART_PAUSE_S)
            logger.warning("actor %s restarts in %.1f s after %r", name, pause, error)
            self._restarts[name] = self._runtime.call_later(pause, lambda: self._restart(name))

    def _restart(self, name: Name) -> None:
        self._restarts.pop(name, None)
        if name in self._factories and not self._stopping:
            self._start(name)
