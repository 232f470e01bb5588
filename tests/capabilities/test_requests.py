"""Requests: every one ends, with a reply or with the right error; exchanges as in OpenSIPS."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tagmesh.capabilities.background import Run
from tagmesh.capabilities.requests import (
    DEFAULT_TIMEOUT_S,
    MAX_ERROR_CHARS,
    MAX_IN_FLIGHT,
    MAX_TIMEOUT_S,
    MAX_WAITING,
    Requests,
)
from tagmesh.protocol.errors import (
    Busy,
    CapabilityDisabled,
    Misuse,
    NodeDown,
    PeerViolation,
    RemoteError,
    TimedOut,
    Unreachable,
)
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import CapState
from tests.capabilities.fake_cluster import FakeCluster

ENOUGH_S = 30.0
ONE, TWO = NodeId(1), NodeId(2)
AT_ONCE: Run = lambda job: job()  # noqa: E731 - a function like any other


def requests(run: Run | None = AT_ONCE, nodes: int = 3) -> FakeCluster[Requests]:
    """Every node answers with its number and what it was asked."""
    dice = random.Random(1)
    cluster = FakeCluster(lambda: Requests(run=run, random_bits=dice.getrandbits), nodes)
    for node, capability in cluster.capabilities.items():
        capability.on_request(lambda payload, source, node=node: [node, payload, source])  # type: ignore[misc]  # bound now
    return cluster


def test_a_request_is_answered_by_the_node_asked() -> None:
    cluster = requests()
    reply = cluster[1].request(2, {"user": 42})
    assert not reply.done()
    assert cluster[1].in_flight == 1
    cluster.settle()
    assert reply.result() == [2, {"user": 42}, 1]
    assert cluster[1].in_flight == 0


def test_replies_find_their_requests_in_whatever_order_they_come() -> None:
    cluster = requests()
    cluster.reorders = True
    replies = [(n, cluster[1].request(2 + n % 2, n)) for n in range(500)]
    cluster.settle()
    assert all(reply.result() == [2 + n % 2, n, 1] for n, reply in replies)


def test_a_node_may_ask_itself() -> None:
    cluster = requests()
    value = {"t": (1, 2)}
    reply = cluster[1].request(1, value)
    value["t"] = (3, 4)
    cluster.settle()
    assert reply.result() == [1, {"t": [1, 2]}, 1], "as from another node"
    with pytest.raises(Misuse, match="cannot be sent"):
        cluster[1].request(1, object())
    assert cluster[1].in_flight == 0


@pytest.mark.parametrize("inline", [False, True])
def test_a_handler_that_raises_is_told_to_the_one_who_asked(inline: bool) -> None:
    cluster = requests()

    def breaks(payload: Any, source: NodeId) -> None:
        raise LookupError("no such user " + "x" * 5000)

    cluster[2].on_request(breaks, inline=inline)
    reply = cluster[1].request(2, 1)
    while cluster.longest < MAX_ERROR_CHARS:
        assert cluster.step()
    assert cluster.longest < MAX_ERROR_CHARS + 50, "it is cut before it travels"
    cluster.settle()
    with pytest.raises(RemoteError, match="LookupError: no such user x") as caught:
        reply.result()
    assert len(str(caught.value)) == MAX_ERROR_CHARS


def test_a_reply_that_cannot_be_packed_is_the_handlers_error() -> None:
    cluster = requests()
    cluster[2].on_request(lambda payload, source: object())
    reply = cluster[1].request(2, 1)
    cluster.settle()
    with pytest.raises(RemoteError, match="TypeError"):
        reply.result()


def test_where_nobody_answers_requests_that_is_said() -> None:
    cluster = FakeCluster(lambda: Requests(run=AT_ONCE))
    reply = cluster[1].request(2, 1)
    cluster.settle()
    with pytest.raises(RemoteError, match="nothing answers requests there"):
        reply.result()


def failing(cluster: FakeCluster[Requests], how: str) -> None:
    if how == "cut":
        cluster.cut(1, 2)
    elif how == "busy":
        cluster.busy.add((1, 2))
    elif how == "disabled":
        cluster.disabled.add(2)


@pytest.mark.parametrize(
    ("how", "error"), [("cut", Unreachable), ("busy", Busy), ("disabled", CapabilityDisabled)]
)
def test_what_cannot_be_sent_fails_at_once(how: str, error: type[Exception]) -> None:
    cluster = requests()
    failing(cluster, how)
    reply = cluster[1].request(2, 1)
    assert reply.done()
    with pytest.raises(error, match="node 2"):
        reply.result()
    assert cluster[1].in_flight == 0


def test_a_node_that_goes_down_fails_its_requests_at_once_and_no_others() -> None:
    cluster = requests()
    to_two, to_three = cluster[1].request(2, 1), cluster[1].request(3, 1)
    cluster.cut(1, 2)
    with pytest.raises(NodeDown, match="node 2 went down: cut"):
        to_two.result()
    cluster.settle()
    assert to_three.result() == [3, 1, 1]


def test_a_request_without_reply_times_out_and_the_late_reply_is_dropped() -> None:
    jobs: list[Callable[[], None]] = []
    cluster = requests(run=jobs.append)
    reply = cluster[1].request(2, 1, timeout_s=2.0)
    other = cluster[1].request(2, 2, timeout_s=60.0)
    cluster.advance(1.99)
    assert not reply.done()
    cluster.advance(0.02)
    with pytest.raises(TimedOut, match=r"node 2 did not answer in 2\.0 s"):
        reply.result()
    jobs[0]()
    cluster.settle()
    assert other.result() == [2, 2, 1]
    assert (cluster[1].late, cluster[1].timed_out) == (1, 1)
    cluster.advance(100)
    assert cluster[1].timed_out == 1


def test_a_reply_to_an_earlier_life_is_nobodys() -> None:
    """Node 1 asks, dies, comes back and asks: numbers are the same, lives are not."""
    jobs: list[Callable[[], None]] = []
    cluster = requests(run=jobs.append)
    cluster[1].request(2, "first life")
    cluster.settle()
    cluster.restart(1)
    reply = cluster[1].request(2, "second life")
    jobs[0]()
    cluster.step()
    assert (cluster[1].late, reply.done()) == (1, False)
    cluster.settle()
    jobs[1]()
    cluster.settle()
    assert reply.result() == [2, "second life", 1]


def test_too_many_requests_under_way_are_busy() -> None:
    cluster = requests()
    for _ in range(MAX_IN_FLIGHT):
        assert not cluster[1].request(2, None).done()
    one_more = cluster[1].request(2, None)
    with pytest.raises(Busy, match="10000 requests"):
        one_more.result()
    cluster.settle()
    assert cluster[1].in_flight == 0
    assert not cluster[1].request(2, None).done()


def test_a_node_whose_handler_is_behind_says_that_it_is_busy() -> None:
    jobs: list[Callable[[], None]] = []
    cluster = requests(run=jobs.append)
    for node in (1, 3):
        for _ in range(MAX_WAITING // 2):
            cluster[node].request(2, None)
    cluster.settle()
    refused = cluster[1].request(2, "one more")
    assert cluster[1].cluster_send_req(2, "an event too many") == 1
    cluster.settle()
    with pytest.raises(Busy, match="node addressed"):
        refused.result()
    assert cluster[2].dropped == 1
    (job,) = jobs
    job()
    cluster.settle()
    assert cluster[1].in_flight == cluster[3].in_flight == 0


def test_a_reply_that_finds_no_room_is_counted() -> None:
    cluster = requests()
    reply = cluster[1].request(2, 1)
    cluster.busy.add((2, 1))
    cluster.settle()
    assert cluster[2].dropped == 1
    cluster.advance(DEFAULT_TIMEOUT_S)
    with pytest.raises(TimedOut):
        reply.result()


def test_switched_off_nothing_waits_any_longer() -> None:
    jobs: list[Callable[[], None]] = []
    cluster = requests(run=jobs.append)
    asked = cluster[1].request(2, 1)
    cluster[2].request(1, 1)
    cluster.settle()
    cluster[1].on_state(CapState.DISABLED, "by an operator")
    with pytest.raises(CapabilityDisabled, match="by an operator"):
        asked.result()
    jobs[0](), jobs[1]()
    cluster.settle()
    assert cluster[1].late == 1
    assert cluster[2].in_flight == 1, "what waited for its handler is forgotten"


@pytest.mark.parametrize("timeout_s", [0, -1, MAX_TIMEOUT_S + 1, float("nan")])
def test_a_timeout_is_a_number_of_seconds(timeout_s: float) -> None:
    with pytest.raises(Misuse, match="timeout_s"):
        requests()[1].request(2, 1, timeout_s=timeout_s)


def test_handlers_run_away_from_the_hub_unless_they_say_that_they_never_wait() -> None:
    cluster = requests(run=None)
    where: list[threading.Thread] = []
    answered = threading.Event()

    def handler(payload: Any, source: NodeId) -> None:
        where.append(threading.current_thread())
        answered.set()

    cluster[2].on_request(handler)
    cluster[1].request(2, 1)
    cluster.settle()
    assert answered.wait(ENOUGH_S)
    cluster[3].on_request(handler, inline=True)
    cluster[1].request(3, 1)
    cluster.settle()
    assert where[0] is not threading.current_thread()
    assert where[1] is threading.current_thread()


MALFORMED = [
    None, 5, "abcd", [], [0, 1, 2], [0, 1, 2, 3, 4], [99, 1, 1, 1], ["0", 1, 1, 1], {"a": 1},
]  # fmt: skip


@pytest.mark.parametrize("message", MALFORMED, ids=repr)
def test_messages_of_no_known_kind_are_said_and_the_others_taken(message: Any) -> None:
    cluster = requests()
    reply = cluster[1].request(2, "good")
    life = cluster[1]._life
    with pytest.raises(PeerViolation, match="1 of 2 messages"):
        cluster[2].on_batch([message, [0, life, 1, "good"]], ONE)
    cluster.settle()
    assert reply.result() == [2, "good", 1]


@pytest.mark.parametrize("number", [0, 2, -1, 1.0, "1", None, [1], {"a": []}], ids=repr)
@pytest.mark.parametrize("kind", [1, 2, 3])
def test_replies_nobody_waits_for_are_counted(kind: int, number: Any) -> None:
    cluster = requests()
    reply = cluster[1].request(2, "good")
    cluster[1].on_batch([[kind, cluster[1]._life, number, "x"], [kind, 0, 1, "x"]], TWO)
    assert cluster[1].late == 2
    assert not reply.done()


# Exchanges ---------------------------------------------------------------------------------------


def listening(cluster: FakeCluster[Requests]) -> list[tuple[Any, ...]]:
    heard: list[tuple[Any, ...]] = []
    for node, capability in cluster.capabilities.items():
        capability.on_req_received(
            lambda msg, source, tag, node=node: heard.append(("req", node, msg, source, tag))  # type: ignore[misc]  # bound now
        )
        capability.on_rpl_received(
            lambda msg, source, tag, node=node: heard.append(("rpl", node, msg, source, tag))  # type: ignore[misc]  # bound now
        )
    return heard


def test_a_request_message_and_its_reply_have_the_same_tag() -> None:
    cluster = requests()
    heard = listening(cluster)
    sent = cluster[1].cluster_send_req(2, "who are you?")
    cluster.settle()
    assert sent == sent.code == 1
    assert uuid.UUID(sent.tag).version == 4
    assert heard == [("req", 2, "who are you?", 1, sent.tag)]
    answer = cluster[2].cluster_send_rpl(1, "node 2", sent.tag)
    cluster.settle()
    assert (answer, answer.tag) == (1, sent.tag)
    assert heard[1:] == [("rpl", 1, "node 2", 2, sent.tag)]
    assert cluster[1].cluster_send_req(2, "again").tag != sent.tag
    assert cluster[1].cluster_send_req(2, "my own", tag="call-17").tag == "call-17"


def test_the_codes_are_those_of_opensips() -> None:
    cluster = requests()
    assert cluster[1].cluster_send_req(2, "x") == 1
    cluster.busy.add((1, 2))
    assert cluster[1].cluster_send_req(2, "x") == -3
    cluster.cut(1, 2)
    assert cluster[1].cluster_send_req(2, "x") == -2
    cluster.disabled.add(1)
    assert cluster[1].cluster_send_rpl(3, "x", "tag") == -1


@pytest.mark.parametrize("include_self", [False, True])
def test_a_broadcast_reaches_all_others_and_oneself_if_wanted(include_self: bool) -> None:
    cluster = requests()
    heard = listening(cluster)
    sent = cluster[1].cluster_broadcast_req("x", include_self=include_self)
    cluster.settle()
    assert sent == 1
    wanted = [1, 2, 3] if include_self else [2, 3]
    assert sorted(heard) == [("req", node, "x", 1, sent.tag) for node in wanted]


def test_a_broadcast_says_how_it_went_altogether() -> None:
    cluster = requests()
    cluster.cut(1, 2)
    assert cluster[1].cluster_broadcast_req("x") == 1, "one of them gets it"
    cluster.cut(1, 3)
    assert cluster[1].cluster_broadcast_req("x") == -2
    assert cluster[1].cluster_broadcast_req("x", include_self=True) == 1
    cluster.heal(1, 3)
    cluster.busy.add((1, 3))
    assert cluster[1].cluster_broadcast_req("x") == -3
    cluster.disabled.add(1)
    assert cluster[1].cluster_broadcast_req("x") == -1
    assert requests(nodes=1)[1].cluster_broadcast_req("x") == -2, "there is nobody else"


def test_when_the_node_stops_nobody_waits_any_more() -> None:
    cluster = requests()
    cluster[2].on_request(lambda payload, _source: payload)
    replies = [cluster[1].request(node, "x") for node in (2, 3)]
    cluster[1].give_up()
    for reply in replies:
        with pytest.raises(Unreachable, match="this node was stopped"):
            reply.result(0)
    assert cluster[1].in_flight == 0


def test_a_function_that_raises_keeps_no_other_from_hearing() -> None:
    cluster = requests()

    def breaks(msg: Any, source: NodeId, tag: str) -> None:
        raise ZeroDivisionError

    cluster[2].on_req_received(breaks)
    heard = listening(cluster)
    cluster[1].cluster_send_req(2, "x")
    cluster[1].cluster_send_req(2, "y")
    cluster.settle()
    assert [event[2] for event in heard] == ["x", "y"]
