"""The base actor: a crash stays local (P14, H1, H2), inboxes are bounded (H3), none blocks (H4)."""

from __future__ import annotations

from typing import Any

import gevent
import pykka
import pytest
from pykka.messages import ProxyCall

from tagmesh.actors.actor import MAX_BURST, MAX_INBOX, ClusterActor, InboxFull
from tagmesh.actors.context import Context
from tagmesh.actors.mail import Mail
from tagmesh.actors.runtime import GeventRuntime
from tagmesh.actors.supervisor import UNHEALTHY_CRASHES, UNHEALTHY_WINDOW_S, Name
from tagmesh.protocol.config import read_config
from tagmesh.protocol.identity import Incarnation, NodeId
from tagmesh.simulation.rows import SimulatedStorage
from tagmesh.simulation.runtime import Scheduler, SimulatedRuntime
from tagmesh.simulation.tag_store import SimulatedTagStore


class Letter(Mail, frozen=True):
    """What our actors tell each other is a struct."""

    content: object


class Echo(ClusterActor):
    """Notes what it gets; raises what it is told to raise, and calls what can be called."""

    def __init__(self, context: Context, name: Name, notes: list[object]) -> None:
        super().__init__(context, name)
        self.notes = notes
        self.alarm: float | None = None

    @property
    def deadline(self) -> float | None:
        return self.alarm

    def on_start(self) -> None:
        self.notes.append("start")

    def on_stop(self) -> None:
        self.notes.append("stop")

    def on_failure(self, *_exc_info: Any) -> None:
        self.notes.append("failure")

    def on_tick(self, now: float) -> None:
        self.alarm = None
        self.notes.append(("tick", now))

    def on_receive(self, message: object) -> object:
        if isinstance(message, Letter):
            message = message.content
        if isinstance(message, BaseException):
            raise message
        if callable(message):
            return message()
        if isinstance(message, float):
            self.alarm = message
        self.notes.append(message)
        return message


class Lab:
    """Actors on virtual time."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(1)
        self.context = make_context(SimulatedRuntime(self.scheduler, "lab"))
        self.notes: dict[str, list[object]] = {}

    def start(self, name: str) -> pykka.ActorRef[Any]:
        notes = self.notes.setdefault(name, [])
        supervisor = self.context.supervisor
        supervisor.start_child((name,), lambda: Echo.start(self.context, (name,), notes))
        ref = supervisor.ref((name,))
        assert ref is not None
        return ref

    def run(self, seconds: float = 0.0) -> None:
        self.scheduler.run_for(seconds)


def make_context(runtime: Any) -> Context:
    return Context(
        config=read_config({"node": {"id": 1}}),
        me=NodeId(1),
        incarnation=Incarnation(1),
        runtime=runtime,
        transport=None,  # type: ignore[arg-type]
        roster=SimulatedStorage({}),
        tag_store=SimulatedTagStore(lambda: 0, shared=True),
        software="test",
    )


@pytest.fixture
def lab() -> Lab:
    return Lab()


ESCAPES = [
    ValueError("v"), RuntimeError("r"), KeyError("k"), AssertionError("a"), MemoryError(),
    RecursionError(), OSError(5, "io"), StopIteration(), gevent.Timeout(None),
    gevent.GreenletExit(), SystemExit(3), GeneratorExit(),
]  # fmt: skip


@pytest.mark.parametrize("error", ESCAPES, ids=lambda e: type(e).__name__)
def test_whatever_escapes_a_handler_ends_that_actor_only(lab: Lab, error: BaseException) -> None:
    broken, other = lab.start("broken"), lab.start("other")
    broken.tell(error)
    other.tell("still here")
    lab.run(1.0)
    assert not broken.is_alive()
    assert lab.notes["broken"] == ["start", "failure", "start"], "restarted within a second"
    assert lab.notes["other"] == ["start", "still here"]
    assert lab.context.supervisor.crashes == 1


def test_an_interrupt_of_the_user_is_not_swallowed(lab: Lab) -> None:
    lab.start("a").tell(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        lab.run()


def test_an_asker_gets_the_exception_and_the_actor_is_restarted(lab: Lab) -> None:
    future = lab.start("a").ask(ValueError("mine"), block=False)
    lab.run(1.0)
    with pytest.raises(ValueError, match="mine"):
        future.get(timeout=0)
    assert lab.notes["a"][-1] == "start"


def test_what_waits_goes_before_a_tick(lab: Lab) -> None:
    """It may be the sign of life that the tick would miss."""
    ref = lab.start("a")
    lab.scheduler.at(2.0, lambda: ref.tell("still here"))
    ref.tell(2.0)
    lab.run(3.0)
    assert lab.notes["a"] == ["start", 2.0, "still here", ("tick", 2.0)]


def test_a_failing_start_is_a_crash_too(lab: Lab) -> None:
    class Failing(Echo):
        def on_start(self) -> None:
            self.notes.append("try")
            if len(self.notes) < 3:
                raise OSError("not yet")

    notes: list[object] = []
    lab.context.supervisor.start_child(("f",), lambda: Failing.start(lab.context, ("f",), notes))
    lab.run(1.0)
    assert notes == ["try", "failure", "try"]


def test_many_crashes_mark_the_node_unhealthy_until_they_stop(lab: Lab) -> None:
    lab.start("a")
    supervisor = lab.context.supervisor
    for _ in range(UNHEALTHY_CRASHES):
        assert supervisor.healthy
        supervisor.tell(("a",), ValueError())
        lab.run(1.0)
    assert not supervisor.healthy
    lab.run(UNHEALTHY_WINDOW_S + 1)
    assert supervisor.healthy


def test_a_thousand_crashes_leave_the_others_alone(lab: Lab) -> None:
    lab.start("other")
    lab.start("a")
    for _ in range(1000):
        lab.context.supervisor.tell(("a",), ValueError())
        lab.run(10.0)
    assert lab.notes["a"].count("start") == 1001
    assert lab.notes["other"] == ["start"]


def test_messages_to_nobody_are_counted(lab: Lab) -> None:
    assert not lab.context.supervisor.tell(("nobody", 3), "hello")
    assert lab.context.supervisor.dead_letters == {"nobody": 1}


def test_a_full_inbox_tells_the_teller(lab: Lab) -> None:
    ref = lab.start("a")
    for number in range(MAX_INBOX):
        ref.tell(number)
    with pytest.raises(InboxFull, match=str(MAX_INBOX)):
        ref.tell("too much")
    assert not lab.context.supervisor.tell(("a",), "too much")
    ref.stop(block=False)  # a stop is always taken
    lab.run()
    assert lab.notes["a"] == ["start", *range(MAX_INBOX), "stop"]


def test_a_busy_actor_lets_others_have_their_turn(lab: Lab) -> None:
    busy, other = lab.start("busy"), lab.start("other")
    lab.run()
    for number in range(10 * MAX_BURST):
        busy.tell(number)
    lab.scheduler.step(lab.scheduler.now)
    other.tell("now me")
    while "now me" not in lab.notes["other"]:
        assert lab.scheduler.step(lab.scheduler.now)
    assert len(lab.notes["busy"]) < 10 * MAX_BURST


def test_who_rests_acts_at_once_and_who_does_not_has_it_in_turn(lab: Lab) -> None:
    lab.start("a")
    hand, notes = lab.context.supervisor.hand, lab.notes["a"]
    assert hand(("a",), Letter("before it began"))
    assert notes == []
    lab.run()
    assert hand(("a",), Letter("at once"))
    assert notes == ["start", "before it began", "at once"]
    lab.context.supervisor.tell(("a",), Letter("waits"))
    assert hand(("a",), Letter("behind it"))
    assert notes[3:] == []
    lab.run()
    assert notes[3:] == ["waits", "behind it"]


def test_nobody_acts_while_it_acts(lab: Lab) -> None:
    """What it is handed meanwhile waits until it is done, and is dealt with before `hand` ends."""
    lab.start("a")
    lab.run()
    hand, notes = lab.context.supervisor.hand, lab.notes["a"]

    def again() -> None:
        assert hand(("a",), Letter("second"))
        notes.append("end of the first")

    assert hand(("a",), Letter(again))
    assert notes == ["start", "end of the first", "second"]


def test_what_is_handed_to_nobody_is_counted(lab: Lab) -> None:
    hand = lab.context.supervisor.hand
    assert not hand(("nobody",), Letter("x"))
    lab.start("a")
    lab.run()
    assert hand(("a",), Letter(ValueError("mine")))
    assert not hand(("a",), Letter("it crashed"))
    assert lab.context.supervisor.dead_letters == {"nobody": 1, "a": 1}
    lab.run(1.0)
    assert hand(("a",), Letter("it was restarted"))
    assert lab.notes["a"] == ["start", "failure", "start", "it was restarted"]


def test_the_timer_follows_the_deadline_of_who_acts_at_once(lab: Lab) -> None:
    lab.start("a")
    lab.run()
    lab.context.supervisor.hand(("a",), Letter(2.0))
    lab.run(10.0)
    assert lab.notes["a"] == ["start", 2.0, ("tick", 2.0)]


def test_a_process_that_is_stopped_does_nothing(lab: Lab) -> None:
    lab.start("a")
    lab.run()
    runtime = lab.context.runtime
    assert isinstance(runtime, SimulatedRuntime)
    runtime.pause()
    assert lab.context.supervisor.hand(("a",), Letter("later"))
    lab.run(1.0)
    assert lab.notes["a"] == ["start"]
    runtime.resume()
    lab.run()
    assert lab.notes["a"] == ["start", "later"]


def test_a_stopped_actor_answers_waiting_askers(lab: Lab) -> None:
    ref = lab.start("a")
    lab.run()
    ref.stop(block=False)
    lab.context.supervisor.tell(("a",), "nobody waits for an answer")
    future = ref.ask("too late", block=False)
    lab.run()
    with pytest.raises(pykka.ActorDeadError):
        future.get(timeout=0)
    assert lab.notes["a"] == ["start", "stop"]


def test_a_stopped_child_is_not_restarted(lab: Lab) -> None:
    ref = lab.start("a")
    lab.run()
    ref.tell(ValueError())
    lab.run()
    lab.context.supervisor.stop_child(("a",))
    lab.run(10.0)
    assert lab.notes["a"] == ["start", "failure"]
    lab.context.supervisor.stop_child(("a",))  # unknown now: no error


def test_the_timer_follows_the_deadline(lab: Lab) -> None:
    ref = lab.start("a")
    ref.tell(5.0)
    lab.run(1.0)
    ref.tell(2.0)
    lab.run(10.0)
    assert lab.notes["a"] == ["start", 5.0, 2.0, ("tick", 2.0)]


def test_proxies_work_as_in_pykka(lab: Lab) -> None:
    future = lab.start("a").ask(ProxyCall(attr_path=("on_receive",), args=("x",), kwargs={}),
                                block=False)  # fmt: skip
    lab.run()
    assert future.get(timeout=0) == "x"


class TestOnGevent:
    """The same class on the runtime of production."""

    def test_ask_and_stop(self) -> None:
        runtime = GeventRuntime()
        context = make_context(runtime)
        notes: list[object] = []
        ref = Echo.start(context, ("a",), notes)
        assert ref.ask("hello", timeout=1) == "hello"
        ref.stop(timeout=1)
        assert notes == ["start", "hello", "stop"]
        runtime.close()

    def test_a_wait_without_an_answer_ends(self) -> None:
        class Deaf(Echo):
            def on_receive(self, message: object) -> object:
                return pykka.get_all([])

            def wake(self) -> None:
                """Never."""

        runtime = GeventRuntime()
        ref = Deaf.start(make_context(runtime), ("a",), [])
        gevent.sleep(0)
        with pytest.raises(pykka.Timeout):
            ref.ask("anybody?", timeout=0.01)
        runtime.close()

    def test_a_handler_that_blocks_is_told_so(self) -> None:
        class Blocking(Echo):
            def on_receive(self, message: object) -> object:
                gevent.sleep(0.01)
                return message

        runtime = GeventRuntime()
        context = make_context(runtime)
        ref = Blocking.start(context, ("a",), [])
        with pytest.raises(gevent.exceptions.BlockingSwitchOutError):
            ref.ask("x", timeout=1)
        runtime.close()

    def test_tells_of_another_thread_arrive_in_order(self) -> None:
        runtime = GeventRuntime()
        notes: list[object] = []
        ref = Echo.start(make_context(runtime), ("a",), notes)

        def produce() -> None:
            for number in range(1000):
                ref.tell(number)

        pool = gevent.get_hub().threadpool
        pool.spawn(produce).get(timeout=5)
        assert ref.ask("end", timeout=5) == "end"
        assert notes == ["start", *range(1000), "end"]
        runtime.close()
