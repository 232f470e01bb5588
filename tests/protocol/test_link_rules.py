"""The rules L-1 … L-4 of the link, and its limits."""

from __future__ import annotations

import pytest

from tagmesh.protocol.effects import Count, Send
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.link import (
    AnswerQuestion,
    AskOthers,
    DropConnection,
    LinkChanged,
    State,
)
from tagmesh.protocol.messages import Ping, Pong, ProbeAnswer
from tests.protocol.link_bench import (
    ASKER,
    CLUSTER,
    CONNECTED,
    EPSILON,
    FLAP_WINDOW,
    HELPER,
    INTO,
    PEER,
    RTT,
    Bench,
    P,
    T,
    pings_in,
    prompt,
    silent,
    timing,
)

# L-1 ------------------------------------------------------------------------------------------


def test_l1_pings_are_numbered_and_the_pong_measures_the_round_trip() -> None:
    bench = Bench().up()
    assert bench.link.rtt_s == RTT
    bench.tick()
    bench.now += 0.5
    bench.answer()
    assert bench.link.rtt_s == 0.5
    assert [p.number for p in bench.pings()] == [1, 2]


@pytest.mark.parametrize("number", [0, 1, 3, 2**62])
def test_l1_the_pong_of_another_ping_answers_nothing(number: int) -> None:
    bench = Bench().up()
    bench.tick()
    assert bench.last_ping().number == 2
    bench.now += RTT
    deadline = bench.link.deadline
    assert bench.receive(Pong(CLUSTER, number)) == [Count("L-1")]
    assert bench.link.deadline == deadline


def test_l1_a_second_pong_of_the_same_number_answers_nothing() -> None:
    bench = Bench().up()
    assert bench.answer() == [Count("L-1")]


def test_l1_a_late_pong_is_only_a_life_sign() -> None:
    bench = Bench()
    bench.attach()
    bench.now += T
    assert bench.answer() == [Count("L-1")]
    assert bench.link.rtt_s is None
    effects = bench.tick()
    assert (bench.link.state, pings_in(effects)) == (State.RESTARTED, 1)


def test_l1_a_path_slower_than_the_timeout_never_comes_up_and_never_goes_down() -> None:
    bench = Bench()
    bench.attach()
    bench.run(bench.now + 100, lambda _ping: T + 0.25)
    assert set(bench.states()) <= {State.RESTARTED, State.RETRYING}


# L-2 ------------------------------------------------------------------------------------------


def test_l2_whatever_arrives_is_a_life_sign_so_the_round_counts_nothing() -> None:
    bench = Bench().up()
    bench.tick()
    bench.now += 0.5
    assert bench.do(bench.link.heard(bench.now)) == []
    effects = bench.tick()
    assert (bench.link.state, pings_in(effects)) == (State.UP, 1)


def test_l2_pings_of_the_peer_are_life_signs_and_are_answered() -> None:
    bench = Bench().up()
    bench.tick()
    bench.now += 0.5
    assert bench.receive(Ping(CLUSTER, 77)) == [Send(Pong(CLUSTER, 77))]
    bench.tick()
    assert bench.link.state is State.UP


def test_l2_bulk_data_keeps_a_link_up_while_pongs_are_late() -> None:
    """Row 31 of 1.23: OpenSIPS declared links down during a sync."""
    bench = Bench().up()
    for _ in range(100):
        bench.run(bench.now + 0.5, silent)
        bench.do(bench.link.heard(bench.now))
    assert bench.link.state is State.UP


def test_l2_a_life_sign_while_retrying_gives_the_retries_back_but_proves_no_way_back() -> None:
    bench = Bench(3).retrying(0)
    bench.now += 0.5
    bench.do(bench.link.heard(bench.now))
    heard_at = bench.now
    bench.tick()
    assert bench.states()[-1] is State.RETRYING
    bench.run(bench.now + 60, silent)
    downs = [at for at, e in bench.log if isinstance(e, LinkChanged) and e.after is State.DOWN]
    assert downs == [heard_at + 0.5 + 3 * T]


def test_l2_what_was_sent_is_no_life_sign() -> None:
    bench = Bench(1).up()
    start = bench.now
    bench.run(start + 3.0, silent)
    bench.do(bench.link.asked(ASKER, 9, bench.now))  # makes us send, at P - 1
    bench.run(start + 60, silent)
    downs = [at for at, e in bench.log if isinstance(e, LinkChanged) and e.after is State.DOWN]
    assert downs == [start + 3.0 + 2 * T]


# L-3 ------------------------------------------------------------------------------------------


def test_l3_the_neighbours_are_asked_with_the_last_retry_only() -> None:
    bench = Bench(3).up()
    bench.run(bench.now + 60, silent)
    asked = [(at, e) for at, e in bench.log if isinstance(e, AskOthers)]
    assert len(asked) == 1
    at, question = asked[0]
    assert question.number == bench.last_ping().number
    assert at == bench.log[-1][0] - T
    assert bench.link.cause == "4 pings unanswered, and no other node said it reaches it"


def test_l3_with_one_retry_that_retry_asks() -> None:
    bench = Bench(1).up()
    bench.tick()
    effects = bench.tick()
    assert bench.link.state is State.RETRYING
    assert AskOthers(bench.last_ping().number) in effects


def test_l3_without_retries_nobody_is_asked() -> None:
    bench = Bench(0).up()
    bench.do(bench.link.answered(HELPER, ProbeAnswer(CLUSTER, PEER, 0, True)))
    bench.run(bench.now + 60, silent)
    assert not [e for _, e in bench.log if isinstance(e, AskOthers)]
    assert bench.link.cause == "1 ping unanswered"


def test_l3_answers_name_the_cause() -> None:
    bench = Bench(3).retrying(0)
    number = bench.last_ping().number
    for helper in (5, 4):
        answer = ProbeAnswer(CLUSTER, PEER, number, True)
        assert bench.do(bench.link.answered(NodeId(helper), answer)) == []
    bench.tick()
    assert bench.link.state is State.DOWN
    assert bench.link.cause == (
        "4 pings unanswered, but reached by node 4, node 5: the path is broken"
    )
    assert bench.log[-1][1] == DropConnection(bench.link.cause)


@pytest.mark.parametrize(
    ("left", "offset", "reached"),
    [(0, 1, True), (0, 0, False), (1, 0, True)],
    ids=["of another question", "a no", "not asked yet"],
)
def test_l3_answers_that_do_not_count(left: int, offset: int, reached: bool) -> None:
    bench = Bench(3).retrying(left)
    answer = ProbeAnswer(CLUSTER, PEER, bench.last_ping().number + offset, reached)
    assert bench.do(bench.link.answered(HELPER, answer)) == [Count("L-3")]


def test_l3_an_answer_given_twice_or_after_the_link_came_back_counts_nothing() -> None:
    bench = Bench(3).retrying(0)
    answer = ProbeAnswer(CLUSTER, PEER, bench.last_ping().number, True)
    assert bench.do(bench.link.answered(HELPER, answer)) == []
    assert bench.do(bench.link.answered(HELPER, answer)) == [Count("L-3")]
    bench.now += RTT
    bench.answer()
    assert bench.do(bench.link.answered(ASKER, answer)) == [Count("L-3")]
    bench.run(bench.now + 60, silent)
    assert bench.link.cause.endswith("no other node said it reaches it")


def test_l3_a_question_is_answered_when_the_peer_answers() -> None:
    bench = Bench().up()
    bench.now += 1
    effects = bench.do(bench.link.asked(ASKER, 9, bench.now))
    assert pings_in(effects) == 1
    assert bench.link.deadline == bench.now + T
    bench.now += RTT
    assert bench.answer() == [AnswerQuestion(ASKER, 9)]
    assert bench.link.deadline == bench.now + P


def test_l3_questions_share_the_ping_that_is_outstanding() -> None:
    bench = Bench().up()
    bench.tick()
    deadline = bench.link.deadline
    bench.now += 0.75
    assert bench.do(bench.link.asked(ASKER, 9, bench.now)) == []
    assert bench.do(bench.link.asked(HELPER, 5, bench.now)) == []
    assert bench.do(bench.link.asked(ASKER, 10, bench.now)) == []
    assert bench.link.deadline == deadline
    assert bench.answer() == [AnswerQuestion(ASKER, 10), AnswerQuestion(HELPER, 5)]
    bench.tick()
    assert bench.answer() == []


def test_l3_a_question_about_a_lost_connection_is_not_answered_on_the_next_one() -> None:
    bench = Bench().up()
    bench.do(bench.link.asked(ASKER, 9, bench.now))
    bench.do(bench.link.lost("reset", bench.now))
    bench.attach()
    bench.now += RTT
    assert [type(e) for e in bench.answer()] == [LinkChanged]


def test_l3_being_asked_again_and_again_does_not_hide_a_dead_path() -> None:
    bench = Bench(3).up()
    start = bench.now
    while bench.link.state is not State.DOWN:
        bench.run(bench.now + 0.25, silent)
        bench.do(bench.link.asked(ASKER, 1, bench.now))
    assert bench.now - start <= timing(3).detection_s


def test_l3_being_asked_does_not_cost_a_healthy_link_a_retry() -> None:
    """A question just before the regular ping must give its own ping a whole timeout."""
    bench = Bench().up()
    bench.now += P - 0.25
    bench.do(bench.link.asked(ASKER, 1, bench.now))
    bench.run(bench.now + 0.5, silent)
    assert bench.link.state is State.UP


@pytest.mark.parametrize("state", [s for s in State if s not in (State.RESTART, State.DOWN)])
def test_l3_a_late_tick_gives_no_verdict(state: State) -> None:
    bench = Bench(3)
    INTO[state](bench)
    effects = bench.tick(late=T / 2 + EPSILON)
    assert effects[0] == Count("L-3 late")
    assert pings_in(effects) == (1 if state.connected else 0)
    assert bench.link.state is state
    assert bench.link.deadline == bench.now + T


def test_l3_a_tick_late_by_half_a_timeout_is_a_verdict() -> None:
    bench = Bench(3).up()
    bench.tick()
    bench.tick(late=T / 2)
    assert bench.link.state is State.RETRYING


def test_l3_a_late_last_round_asks_the_neighbours_again() -> None:
    bench = Bench(3).retrying(0)
    effects = bench.tick(late=20)
    assert AskOthers(bench.last_ping().number) in effects
    answer = ProbeAnswer(CLUSTER, PEER, bench.last_ping().number, True)
    assert bench.do(bench.link.answered(HELPER, answer)) == []


@pytest.mark.parametrize("state", CONNECTED)
def test_l3_a_process_stopped_for_20_s_declares_nobody_dead(state: State) -> None:
    """B20: the peer answers all the time, but its pongs are read after the timer fired."""
    bench = Bench(2)
    INTO[state](bench)
    number = bench.last_ping().number
    bench.tick(late=20)
    bench.receive(Pong(CLUSTER, number))  # waited in the socket
    bench.now += RTT
    bench.answer()
    bench.run(bench.now + 30, prompt)
    assert bench.link.state is State.UP
    assert State.DOWN not in bench.states()[bench.states().index(state) :]


def test_l3_a_peer_that_died_while_we_were_stopped_is_noticed() -> None:
    bench = Bench(3).up()
    bench.tick(late=20)
    resumed = bench.now
    bench.run(resumed + 60, silent)
    assert bench.link.state is State.DOWN
    assert bench.log[-1][0] <= resumed + timing(3).detection_s


# L-4 ------------------------------------------------------------------------------------------


def flap(bench: Bench, times: int) -> None:
    for _ in range(times):
        bench.attach()
        while bench.link.state is not State.UP:
            bench.run(bench.now + T / 2, prompt)
        bench.do(bench.link.gone("unplugged", bench.now))


@pytest.mark.parametrize(
    ("flaps", "hold"),
    [(0, 0.0), (1, 0.0), (2, 0.0), (3, T), (4, 2 * T), (5, 4 * T), (8, 30.0), (30, 30.0)],
)
def test_l4_the_nth_return_within_the_window_is_watched_longer(flaps: int, hold: float) -> None:
    bench = Bench()
    for number in range(flaps):
        bench.link._flaps.note(bench.now - number * 0.5)
    bench.link.incarnation = 1
    bench.attach(incarnation=1)
    start = bench.now
    bench.run(start + 100, prompt)
    ups = [at for at, e in bench.log if isinstance(e, LinkChanged) and e.after is State.UP]
    assert len(ups) == 1
    if hold == 0:
        assert ups[0] == start + RTT
    else:
        assert bench.states()[:2] == [State.RESTARTED, State.PROVING]
        assert start + RTT + hold <= ups[0] <= start + RTT + hold + T + RTT


def test_l4_third_flap_is_held_and_says_so() -> None:
    bench = Bench()
    flap(bench, 3)
    bench.attach()
    bench.now += RTT
    bench.answer()
    assert (bench.link.state, bench.link.cause) == (
        State.PROVING, "flapped 3 times: watched for 1 s",
    )  # fmt: skip
    bench.run(bench.now + 10, prompt)
    assert (bench.link.state, bench.link.cause) == (State.UP, "answers steadily")


def test_l4_while_watched_it_is_pinged_every_timeout() -> None:
    bench = Bench()
    flap(bench, 4)
    bench.attach()
    bench.now += RTT
    bench.answer()
    before = len(bench.pings())
    assert bench.link.deadline == bench.now + T
    bench.tick()
    bench.answer()
    assert bench.link.state is State.PROVING
    assert bench.link.deadline == bench.now + T
    bench.tick()
    assert len(bench.pings()) == before + 2


def test_l4_a_new_process_is_not_a_flapping_path() -> None:
    bench = Bench()
    flap(bench, 5)
    bench.up(incarnation=2)


def test_l4_what_happened_in_an_older_life_does_not_count_as_a_flap_of_this_one() -> None:
    bench = Bench()
    flap(bench, 2)
    bench.up()
    bench.do(bench.link.lost("killed", bench.now))
    bench.attach(incarnation=2)  # leaves UP of the first life open
    bench.do(bench.link.gone("x", bench.now))
    assert bench.link._flaps.count(bench.now) == 0


def test_l4_old_flaps_are_forgotten() -> None:
    bench = Bench()
    flap(bench, 5)
    bench.now += FLAP_WINDOW + 1
    bench.up()


def test_l4_going_down_without_having_been_up_is_no_flap() -> None:
    bench = Bench()
    bench.link.incarnation = 1
    for _ in range(10):
        bench.attach()
        bench.do(bench.link.gone("refused", bench.now))
    bench.up()
