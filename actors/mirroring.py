"""The mirror plans of one capability: the shell of `protocol.mirror`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from ..protocol.contract import KeyedCapability
from ..protocol.errors import Unknown
from ..protocol.mirror import Drop, Mirror, MirrorDone, MirrorSettings, Plan, Restore, Undone
from .mail import Answered, PlanDecision

if TYPE_CHECKING:
    from ..protocol.effects import Effect
    from ..protocol.sync_words import MirrorStep
    from .actor import ReplyFuture
    from .registration import Registration


class Mirroring:
    """Belongs to a capability actor; runs in its turns."""

    def __init__(
        self,
        settings: MirrorSettings,
        registration: Registration,
        tell_self: Callable[[object], None],
        done: Callable[[int, int | None], None],
    ) -> None:
        """``done(dropped, plan_id)``: the step that a joiner waits for is over, or waits."""
        self._rules = Mirror(settings)
        self._registration = registration
        self._tell_self = tell_self
        self._done = done
        self._waiting: dict[int, ReplyFuture] = {}
        """Decisions of people, by plan."""

    @property
    def deadline(self) -> float | None:
        """When `tick` is wanted."""
        return self._rules.deadline

    def plans(self) -> Sequence[Plan]:
        """Those that are kept."""
        return self._rules.plans()

    def offer(self, step: MirrorStep, now: float) -> None:
        """A verified sync found records that the donor does not have."""
        self._apply(self._rules.offer(step.extras, dry_run=step.dry_run, now=now))

    def decide(self, decision: PlanDecision, now: float, future: ReplyFuture) -> ReplyFuture:
        """What somebody decides about a plan; the future gets how many records it concerned, or
        `Unknown` when there is no such plan."""
        try:
            effects = self._decide(decision, now)
        except Unknown:
            future.set_exception()
            return future
        if effects:
            self._waiting[decision.plan_id] = future
            self._apply(effects)
        else:
            future.set(0)
        return future

    def _decide(self, decision: PlanDecision, now: float) -> Sequence[Effect]:
        match decision.what:
            case "confirm":
                return self._rules.confirm(decision.plan_id, now)
            case "discard":
                self._rules.discard(decision.plan_id)
                return []
            case "undo":
                return self._rules.undo(decision.plan_id)
        raise AssertionError(f"no such decision: {decision.what}")

    def tick(self, now: float) -> None:
        """Let the rules look at the clock."""
        self._apply(self._rules.tick(now))

    def answered(self, message: object, now: float) -> None:
        """The application has dropped or restored records."""
        assert isinstance(message, Answered), f"no such mail: {message!r}"
        question = message.question
        match question:
            case Drop():
                records = [] if message.error else cast("list[bytes]", message.result)
                self._apply(self._rules.dropped(question.plan_id, question.tag, records, now))
            case Restore():
                count = 0 if message.error else int(message.result)
                self._apply(self._rules.restored(question.plan_id, question.tag, count))
            case _:
                raise AssertionError(f"nobody asked {question!r}")

    def _apply(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        capability = cast("KeyedCapability", self._registration.capability)
        match effect:
            case Drop():
                self._ask(effect, lambda: self._drop(capability, effect))
            case Restore():
                self._ask(effect, lambda: capability.restore(effect.tag, effect.records))
            case MirrorDone():
                if effect.plan_id in self._waiting:
                    self._decided(effect.plan_id, effect.dropped)
                else:
                    self._done(effect.dropped, effect.plan_id)
            case Undone():
                self._decided(effect.plan_id, effect.restored)
            case _:
                raise AssertionError(f"no such effect: {effect!r}")

    def _drop(self, capability: KeyedCapability, step: Drop) -> list[bytes]:
        """In the worker. A tag may have become active here since the plan was made (K-7)."""
        active = self._registration.port.tag(step.tag).active
        return [] if active else capability.drop(step.tag, step.keys)

    def _decided(self, plan_id: int, records: int) -> None:
        future = self._waiting.pop(plan_id, None)
        if future is not None:
            future.set(records)

    def _ask(self, question: Effect, call: Callable[[], Any]) -> None:
        ask(self._registration, question, call, self._tell_self)


def ask(
    registration: Registration,
    question: object,
    call: Callable[[], Any],
    tell: Callable[[object], None],
) -> None:
    """Call the application's code where it runs; ``tell`` gets an `Answered`."""
    results: list[Any] = []
    registration.worker.submit(
        lambda: results.append(call()),
        lambda error: tell(Answered(question, results[0] if results else None, error)),
    )
