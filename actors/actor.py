"""The base of all our actors: Pykka's actor, driven by callbacks of a `Runtime`.

Pykka's own loop blocks a thread on its inbox and stops every actor of the process when a
BaseException escapes (H1). Ours runs in bursts: the first message put into an empty inbox
schedules one callback, which handles what is there. The same class therefore runs on gevent and on
virtual time, nothing switches greenlets per message, and a handler that tries to block is told so
by the hub ("no blocking ask inside an actor", H4).
"""

from __future__ import annotations

import logging
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

import gevent.event
import msgspec
import pykka
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pykka._types import OptExcInfo

    from ..protocol.effects import Effect
    from .context import Context, Name
    from .runtime import Timer

MAX_INBOX = 10_000
"""Messages an inbox holds (H3); a teller that goes over it is told by `InboxFull`."""
MAX_BURST = 100
"""Messages handled before other callbacks of the hub get their turn (H19)."""

logger = logging.getLogger("tagmesh.actors")


class InboxFull(Exception):  # noqa: N818 - names the state, as queue.Full does
    """The actor does not keep up; the message was not taken."""


class Inbox:
    """A bounded queue that wakes its actor once per burst. `put` may come from any thread.

    It holds the envelopes of pykka, and what our actors tell each other without one: nobody waits
    for an answer to that.
    """

    def __init__(self, actor: ClusterActor) -> None:
        self.actor = actor
        self.waiting: deque[Any] = deque()
        """What waits, the oldest first; the actor takes it from there."""

    def put(self, envelope: Envelope[Any], /) -> None:
        """Queue; raises `InboxFull` at the limit. Stops are always taken."""
        if len(self.waiting) >= MAX_INBOX and not isinstance(envelope.message, _ActorStop):
            raise InboxFull(f"{self.actor.name} has {MAX_INBOX} messages waiting")
        self.waiting.append(envelope)
        self.actor.wake()

    def tell(self, mail: object) -> bool:
        """Queue, in the hub's thread; False when the actor is over or does not keep up (H3)."""
        if len(self.waiting) >= MAX_INBOX or self.actor.over:
            return False
        self.waiting.append(mail)
        self.actor.wake()
        return True

    def tick(self) -> None:
        """Queue a tick, always: it is one, however long the queue is."""
        self.waiting.append(_TICK)

    def get(self) -> Envelope[Any]:
        """The oldest, for pykka, which answers the envelopes that a stopped actor leaves."""
        item = self.waiting.popleft()
        return item if isinstance(item, Envelope) else Envelope(item)

    def empty(self) -> bool:
        """Nothing is waiting."""
        return not self.waiting

    def __len__(self) -> int:
        return len(self.waiting)


NoReply = pykka.Timeout
"""What `ReplyFuture.get` raises while there is none."""


class ReplyFuture(pykka.Future[Any]):
    """The reply to an `ask`. Only greenlets outside actors wait on it."""

    def __init__(self) -> None:
        super().__init__()
        self._result: gevent.event.AsyncResult = gevent.event.AsyncResult()

    def get(self, *, timeout: float | None = None) -> Any:
        """The reply, or the exception the handler raised; `pykka.Timeout` after ``timeout`` s."""
        if self._get_hook is not None:  # made by `map` and its kin, which `stop` uses
            return super().get(timeout=timeout)
        try:
            return self._result.get(timeout=timeout)
        except gevent.Timeout:
            raise pykka.Timeout(f"{timeout} seconds") from None

    @property
    def ready(self) -> bool:
        """The reply is there: `get` returns at once."""
        ready: bool = self._result.ready()
        return ready

    def set(self, value: Any = None) -> None:
        """Give the reply."""
        self._result.set(value)

    def set_exception(self, exc_info: OptExcInfo | None = None) -> None:
        """Give an exception as the reply."""
        error = (exc_info or sys.exc_info())[1]
        self._result.set_exception(error or pykka.ActorDeadError("stopped"))


class ClusterActor(pykka.Actor):
    """An actor with a name, a context, one timer, and a supervisor that hears of its crash.

    Subclasses own a rules object and implement `on_receive` and `perform` (one ``case`` per
    effect). `deadline` says when the rules want a tick; it comes as a call of `on_tick`.
    """

    def __init__(self, context: Context, name: Name) -> None:
        self.context = context
        self.name = name
        self.over = False
        """Stopped or crashed: nothing is handled any more."""
        self.awake = False
        """Something waits for it, or it is in the middle of something."""
        self._timer: Timer | None = None
        self._timer_at: float | None = None
        super().__init__()

    # The three hooks Pykka documents for new kinds of actors ----------------------------------

    def _create_actor_inbox(self) -> Inbox:  # type: ignore[override]
        self.inbox = Inbox(self)
        return self.inbox

    @staticmethod
    def _create_future() -> pykka.Future[Any]:
        return ReplyFuture()

    def _start_actor_loop(self) -> None:
        # The supervisor is the registry of a node. Pykka's is one for the whole process: whoever
        # calls its `stop_all` would stop ours too, and it holds what nobody else does (H5).
        pykka.ActorRegistry.unregister(self.actor_ref)
        self.awake = True
        self.context.runtime.call_soon(self._begin)

    # The loop ---------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something was put into the inbox."""
        if not self.awake:
            self.awake = True
            self.context.runtime.call_soon(self._burst)

    def act(self, mail: object) -> bool:
        """Handle ``mail``, and what is told meanwhile, now; False when it does not rest: what waits
        for it comes first. For callbacks of the hub, and for an actor that has nothing more to do
        with its own mail: so nothing is entered half done."""
        if self.awake or self.over or self.context.runtime.stopped:
            return False
        self.awake = True
        self._handle(mail)
        self.rest()
        return True

    def failed(self, error: BaseException) -> None:
        """What was done in its name without mail went wrong: that is a crash, too."""
        self._crash(error)
        if not self.awake:
            self._burst()

    def rest(self) -> None:
        """What was done in its name without mail is over; what was told meanwhile is handled."""
        if self.inbox.waiting or self.over:
            self._burst()
        else:
            self.awake = False

    def _begin(self) -> None:
        try:
            self.on_start()
            self._arm()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - H1, H2
            self._crash(error)
        self._burst()

    def _burst(self) -> None:
        waiting = self.inbox.waiting
        left = MAX_BURST
        while waiting and left and not self.over:
            left -= 1
            self._handle(waiting.popleft())
        self.awake = False
        if self.over:
            self._cancel_timer()
            self._actor_loop_teardown()
        elif waiting:
            self.wake()

    def _handle(self, item: Any) -> None:
        reply_to = None
        try:
            if isinstance(item, msgspec.Struct):  # all mail is; what pykka itself sends is not
                response = self.on_receive(item)
            elif isinstance(item, Envelope):
                reply_to = item.reply_to
                response = self._handle_receive(item.message)
            else:
                response = self._handle_receive(item)
            if not self.over and self.deadline != self._timer_at:
                self._arm()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - nothing may reach Pykka's stop_all (H1)
            if reply_to is not None:
                reply_to.set_exception((type(error), error, error.__traceback__))
            self._crash(error)
        else:
            if reply_to is not None:
                reply_to.set(response)

    def _crash(self, error: BaseException) -> None:
        logger.error("actor %s crashed", self.name, exc_info=error)
        self._cancel_timer()
        self.actor_stopped.set()
        self.over = True
        try:
            self.on_failure(type(error), error, error.__traceback__)
        except Exception:
            logger.exception("actor %s failed while cleaning up", self.name)
        self.context.supervisor.crashed(self.name, error)

    # Time ---------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When `on_tick` is wanted, on the runtime's monotonic clock."""
        return None

    def on_tick(self, now: float) -> None:
        """The deadline passed."""

    @property
    def now(self) -> float:
        """Seconds on the runtime's monotonic clock."""
        return self.context.runtime.monotonic()

    def _arm(self) -> None:
        deadline = self.deadline
        self._cancel_timer()
        if deadline is not None:
            self._timer_at = deadline
            self._timer = self.context.runtime.call_later(deadline - self.now, self._rang)

    def _rang(self) -> None:
        """What waits goes first: it may be the sign of life that the tick would miss."""
        self._timer = self._timer_at = None
        if self.over:
            return
        self.inbox.tick()
        if not self.awake:
            self.awake = True
            self._burst()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timer_at = None

    def _handle_receive(self, message: Any) -> Any:
        if message is _TICK:
            return self.on_tick(self.now)
        if isinstance(message, msgspec.Struct):
            return self.on_receive(message)
        reply = super()._handle_receive(message)
        self.over = self.actor_stopped.is_set()
        return reply

    # Effects ------------------------------------------------------------------------------------

    def apply(self, effects: Sequence[Effect]) -> None:
        """Perform what the rules ask for, in order."""
        for effect in effects:
            self.perform(effect)

    def perform(self, effect: Effect) -> None:
        """One ``case`` per effect; no opinion of its own."""
        raise NotImplementedError


def soonest(*times: float | None) -> float | None:
    """The first of several deadlines; None = there is none."""
    first: float | None = None
    for at in times:
        if at is not None and (first is None or at < first):
            first = at
    return first


class _Tick:
    """The timer's message to its own actor."""


_TICK = _Tick()
