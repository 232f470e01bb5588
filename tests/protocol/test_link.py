"""The link table of behaviour 1.7 row by row on virtual time, and what it promises as a whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.protocol.effects import Count, Effect, Send
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.link import (
    MAX_PINGS_PER_S,
    CauseChanged,
    DropConnection,
    Link,
    LinkChanged,
    State,
    Trigger,
)
from tagmesh.protocol.messages import Goodbye, Ping, Pong, ProbeAnswer
from tests.protocol.link_bench import (
    ASKER,
    CLUSTER,
    CONNECTED,
    EPSILON,
    HELPER,
    INTO,
    PEER,
    RTT,
    UNCONNECTED,
    Bench,
    P,
    T,
    pings_in,
    prompt,
    silent,
    timing,
)

# The table, row by row ------------------------------------------------------------------------

ROWS: dict[str, tuple[int, Callable[[Bench], object], Callable[[Bench], list[Effect]], State, int]]
ROWS = {
    # name: retries, how to get into the state, the trigger, the next state, pings sent by it
    "restart, tick, R=0: down": (0, lambda b: b, Bench.tick, State.DOWN, 0),
    "restart, tick: retry_send_fail": (3, lambda b: b, Bench.tick, State.RETRY_SEND_FAIL, 0),
    "restart, attached: restarted": (3, lambda b: b, Bench.attach, State.RESTARTED, 1),
    "retry_send_fail, tick, c left: stays": (
        3, Bench.tick, Bench.tick, State.RETRY_SEND_FAIL, 0,
    ),
    "retry_send_fail, tick, c=0: down": (1, Bench.tick, Bench.tick, State.DOWN, 0),
    "retry_send_fail, attached: restarted": (3, Bench.tick, Bench.attach, State.RESTARTED, 1),
    "restarted, tick unanswered, R=0: down": (0, Bench.attach, Bench.tick, State.DOWN, 0),
    "restarted, tick unanswered: retrying": (3, Bench.attach, Bench.tick, State.RETRYING, 1),
    "restarted, answered: up": (3, Bench.attach, Bench.answer, State.UP, 0),
    "up, tick after P: ping": (3, Bench.up, Bench.tick, State.UP, 1),
    "up, tick unanswered, R=0: down": (
        0, lambda b: b.up().tick(), Bench.tick, State.DOWN, 0,
    ),
    "up, tick unanswered: retrying": (
        3, lambda b: b.up().tick(), Bench.tick, State.RETRYING, 1,
    ),
    "up, answered: stays": (3, lambda b: b.up().tick(), Bench.answer, State.UP, 0),
    "retrying, tick unanswered, c left: ping": (
        3, lambda b: b.retrying(2), Bench.tick, State.RETRYING, 1,
    ),
    "retrying, tick unanswered, c=0: down": (
        3, lambda b: b.retrying(0), Bench.tick, State.DOWN, 0,
    ),
    "retrying, answered: up": (3, lambda b: b.retrying(0), Bench.answer, State.UP, 0),
    "proving, tick after T: ping": (3, Bench.proving, Bench.tick, State.PROVING, 1),
    "proving, tick unanswered: retrying": (
        3, lambda b: b.proving().tick(), Bench.tick, State.RETRYING, 1,
    ),
    "proving, tick unanswered, R=0: down": (
        0, lambda b: b.proving().tick(), Bench.tick, State.DOWN, 0,
    ),
    "proving, answered after the hold: up": (
        3, lambda b: b.proving().tick(), Bench.answer, State.UP, 0,
    ),
    "down, attached: restarted": (
        3, lambda b: b.do(b.link.gone("x", b.now)), Bench.attach, State.RESTARTED, 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_table(row: str) -> None:
    retries, prepare, trigger, after, pings = ROWS[row]
    bench = Bench(retries)
    prepare(bench)
    before = bench.link.state
    effects = trigger(bench)
    assert bench.link.state is after
    assert pings_in(effects) == pings
    changes = [(e.before, e.after) for e in effects if isinstance(e, LinkChanged)]
    assert changes == ([(before, after)] if before is not after else [])


def test_every_pair_that_can_happen_is_in_the_table() -> None:
    expected = (
        {(s, Trigger.TICK) for s in State if s is not State.DOWN}
        | {(s, Trigger.ANSWERED) for s in CONNECTED}
        | {(s, Trigger.LOST) for s in CONNECTED}
        | {(s, Trigger.ATTACHED) for s in UNCONNECTED}
        | {(s, Trigger.GONE) for s in State}
    )
    assert set(Link.TABLE) == expected


@pytest.mark.parametrize("state", [s for s in State if s is not State.DOWN])
def test_gone_in_any_state_is_down_at_once(state: State) -> None:
    bench = Bench()
    INTO[state](bench)
    assert bench.link.state is state
    effects = bench.do(bench.link.gone("nobody listens", bench.now))
    assert effects == [LinkChanged(before=state, after=State.DOWN, cause="nobody listens")]
    assert bench.link.deadline is None


def test_gone_in_down_shows_the_newer_cause_and_changes_nothing() -> None:
    bench = Bench()
    INTO[State.DOWN](bench)
    since = bench.link.since
    bench.now += 5
    told = bench.do(bench.link.gone("refused: disabled", bench.now))
    assert told == [CauseChanged("refused: disabled")]
    assert (bench.link.state, bench.link.cause) == (State.DOWN, "refused: disabled")
    assert (bench.link.since, bench.link.deadline) == (since, None)


@pytest.mark.parametrize("state", CONNECTED)
def test_a_lost_connection_restarts_and_the_tick_follows_at_once(state: State) -> None:
    bench = Bench()
    INTO[state](bench)
    effects = bench.do(bench.link.lost("reset by peer", bench.now))
    assert effects == [LinkChanged(before=state, after=State.RESTART, cause="reset by peer")]
    assert bench.link.deadline == bench.now
    bench.tick()
    assert bench.link.state is State.RETRY_SEND_FAIL
    assert bench.link.cause == "reset by peer; no connection"


@pytest.mark.parametrize("state", UNCONNECTED)
def test_without_a_connection_nothing_can_be_lost_or_arrive(state: State) -> None:
    bench = Bench()
    INTO[state](bench)
    deadline = bench.link.deadline
    assert bench.do(bench.link.lost("again", bench.now)) == []
    assert bench.receive(Ping(CLUSTER, 1)) == [Count("late")]
    assert bench.receive(Pong(CLUSTER, 1)) == [Count("late")]
    assert bench.do(bench.link.asked(ASKER, 1, bench.now)) == [Count("L-3")]
    assert (bench.link.state, bench.link.deadline) == (state, deadline)


@pytest.mark.parametrize("retries", range(1, 6))
def test_without_a_connection_it_is_down_after_r_timeouts(retries: int) -> None:
    bench = Bench(retries).up()
    start = bench.now
    bench.do(bench.link.lost("reset", bench.now))
    bench.run(start + 60, silent)
    assert bench.log[-1] == (
        start + retries * T,
        LinkChanged(before=State.RETRY_SEND_FAIL, after=State.DOWN, cause="reset; no connection"),
    )


@pytest.mark.parametrize("state", CONNECTED)
def test_attached_twice(state: State) -> None:
    bench = Bench()
    INTO[state](bench)
    assert bench.attach(incarnation=1) == []
    with pytest.raises(Misuse, match="attached already"):
        bench.attach(incarnation=2)
    assert bench.link.state is state


def test_other_messages_are_misuse() -> None:
    with pytest.raises(Misuse, match="a link does not take Goodbye"):
        Bench().up().receive(Goodbye(CLUSTER, "x"))


def test_a_tick_before_the_deadline_or_without_one_does_nothing() -> None:
    bench = Bench().up()
    assert bench.link.deadline is not None
    assert bench.tick_at(bench.link.deadline - EPSILON) == []
    bench.do(bench.link.gone("x", bench.now))
    assert bench.tick_at(bench.now + 1000) == []


# Detection (P1) -------------------------------------------------------------------------------


@pytest.mark.parametrize("retries", range(6))
def test_a_dead_path_is_noticed_after_exactly_p_plus_r_plus_1_timeouts(retries: int) -> None:
    bench = Bench(retries).up()
    last_sign = bench.now
    bench.run(last_sign + 100, silent)
    assert bench.link.state is State.DOWN
    downs = [at for at, e in bench.log if isinstance(e, LinkChanged) and e.after is State.DOWN]
    assert downs == [last_sign + P + (retries + 1) * T] == [last_sign + timing(retries).detection_s]
    assert len(bench.pings()) == 1 + (retries + 1)
    assert isinstance(bench.log[-1][1], DropConnection)


@given(
    retries=st.integers(0, 5),
    signs=st.lists(st.floats(0.001, 6.0), max_size=20),
    pongs=st.lists(st.sampled_from([None, 0.01, 0.5, 0.99, 1.5]), max_size=20),
)
def test_from_the_last_life_sign_to_down_takes_at_most_the_detection_time(
    retries: int, signs: list[float], pongs: list[float | None]
) -> None:
    """However life signs and pongs are mixed."""
    bench = Bench(retries).up()
    script = iter(pongs)
    for pause in signs:
        bench.run(bench.now + pause, lambda _ping: next(script, None))
        if bench.link.state is State.DOWN:
            break
        bench.do(bench.link.heard(bench.now))
    else:
        bench.run(bench.now + 100, silent)
    down = next(at for at, e in bench.log if isinstance(e, LinkChanged) and e.after is State.DOWN)
    assert bench.link.state is State.DOWN
    assert down - bench.link._heard_at <= timing(retries).detection_s + EPSILON


# Limits and promises --------------------------------------------------------------------------


def test_w16_more_pings_per_second_than_the_limit_are_dropped() -> None:
    bench = Bench().up()
    served = [bench.receive(Ping(CLUSTER, n)) for n in range(MAX_PINGS_PER_S + 5)]
    assert served[MAX_PINGS_PER_S - 1] == [Send(Pong(CLUSTER, MAX_PINGS_PER_S - 1))]
    assert served[MAX_PINGS_PER_S:] == [[Count("W16")]] * 5
    bench.now += 1.0
    assert bench.receive(Ping(CLUSTER, 1)) == [Send(Pong(CLUSTER, 1))]


def test_1000_lost_replies_over_a_lifetime_do_not_wear_out_the_retries() -> None:
    """Row 2 of 1.23 and I13."""
    bench = Bench(3).up()
    for _ in range(500):
        bench.tick()  # the regular ping stays unanswered,
        bench.tick()  # and so does the first retry
        bench.tick()
        bench.now += RTT
        bench.answer()
    assert bench.link.timing == timing(3)
    start = bench.now
    bench.run(start + 60, silent)
    assert bench.log[-1][0] == start + timing(3).detection_s


def test_a_healthy_idle_link_stays_up_for_an_hour() -> None:
    """P2."""
    bench = Bench().up()
    bench.run(bench.now + 3600, prompt)
    assert bench.states() == [State.RESTARTED, State.UP]
    assert 800 <= len(bench.pings()) <= 3600 / P + 1


# Any order of inputs ----------------------------------------------------------------------------

INPUTS = st.one_of(
    st.tuples(st.just("wait"), st.floats(0.01, 8.0)),
    st.tuples(st.just("late"), st.floats(0.01, 8.0)),
    st.tuples(
        st.sampled_from(["attach", "lost", "gone", "heard", "ping", "pong", "stale", "asked"]),
        st.integers(1, 2),
    ),
    st.tuples(st.just("answered"), st.integers(0, 30)),
)


@given(retries=st.integers(0, 4), inputs=st.lists(INPUTS, max_size=60))
def test_any_order_of_inputs_keeps_the_promises(
    retries: int, inputs: list[tuple[str, float]]
) -> None:
    bench = Bench(retries)
    link = bench.link
    for name, value in inputs:
        match name:
            case "wait":
                bench.run(bench.now + value, silent)
            case "late":
                bench.tick_at(bench.now + value)
            case "attach":
                if not link.state.connected:
                    bench.attach(int(value))
            case "lost":
                bench.do(link.lost("lost", bench.now))
            case "gone":
                bench.do(link.gone("gone", bench.now))
            case "heard":
                bench.do(link.heard(bench.now))
            case "ping":
                bench.receive(Ping(CLUSTER, 1))
            case "pong":
                bench.receive(Pong(CLUSTER, bench.last_ping().number if bench.pings() else 0))
            case "stale":
                bench.receive(Pong(CLUSTER, 0))
            case "asked":
                bench.do(link.asked(NodeId(int(value)), 1, bench.now))
            case _:
                answer = ProbeAnswer(CLUSTER, PEER, int(value), True)
                bench.do(link.answered(HELPER, answer))
        assert (link.deadline is None) == (link.state is State.DOWN)
        assert link.deadline is None or link.deadline <= bench.now + max(P, T)
    changes = [e for _, e in bench.log if isinstance(e, LinkChanged)]
    state = State.RESTART
    for change in changes:
        assert change.before is state
        assert change.after is not state
        assert change.cause
        state = change.after
    assert state is link.state
    assert link.cause
    drops = [i for i, (_, e) in enumerate(bench.log) if isinstance(e, DropConnection)]
    for i in drops:
        assert bench.log[i - 1][1] == LinkChanged(
            before=bench.log[i - 1][1].before,  # type: ignore[attr-defined]
            after=State.DOWN,
            cause=bench.log[i][1].cause,  # type: ignore[attr-defined]
        )
    assert link.timing == timing(retries)
