"""I13: which trouble excuses a link that goes down or stays up, and which does not."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from tagmesh.protocol.cluster_settings import ClusterSettings
from tagmesh.protocol.events import Event, EventRecord
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.link import State
from tagmesh.simulation.check import Violation
from tagmesh.simulation.checkers import LOOK_S, SURVEY_S, Checkers
from tagmesh.simulation.checks_links import DEAD_MARGIN_S, STALL, LinkChecks
from tagmesh.simulation.inside import Seen
from tagmesh.simulation.rows import Mode
from tagmesh.simulation.trouble import READ_S
from tagmesh.simulation.world import CLUSTER, World
from tests.simulation.histories import DETECT_S, begin
from tests.simulation.taps import step_often

OVER_S = DETECT_S + ClusterSettings(id=CLUSTER).reconnect_cap_s
LONG_S = 30.0
"""All trouble of the beginning is over."""


def quiet(nodes: int = 3) -> tuple[World, Checkers]:
    """A world in which nothing has happened for long."""
    world, checkers = begin(1, nodes)
    world.run_for(LONG_S)
    return world, checkers


def break_link(world: World, a: int, b: int) -> None:
    """What no fault of the world did: the connection breaks."""
    for end in world.processes[NodeId(a)].transport.endpoints():
        if end.peer_node == b:
            end.abort("for no reason")
    world.run_for(0.1)


def heal_unseen(world: World) -> None:
    """The paths work again and the checkers do not know: a link that is up is one too many."""
    world.path.heal_all()


# A link that goes down ----------------------------------------------------------------------------


def test_a_link_that_goes_down_without_trouble_is_a_violation() -> None:
    world, _ = quiet()
    with pytest.raises(Violation, match=r"I13: link .* left Up .* no trouble there"):
        break_link(world, 1, 2)


def test_what_trouble_leaves_behind_is_over_in_time() -> None:
    """A dead path is noticed within the detection time, and dialled again within reconnect_cap."""
    world, _ = quiet()
    world.reset(1, 2)
    world.run_for(OVER_S - 0.2)
    break_link(world, 1, 2)
    world.reset(1, 2)
    world.run_for(OVER_S + 0.1)
    with pytest.raises(Violation, match=r"left Up .* no trouble there for 13\.\d s"):
        break_link(world, 1, 2)


def test_trouble_elsewhere_is_no_excuse() -> None:
    world, _ = quiet(nodes=4)
    world.cut(3, 4)
    world.pause(4)
    with pytest.raises(Violation, match="left Up"):
        break_link(world, 1, 2)


@pytest.mark.parametrize("mode", ["failing", "hanging", "stale"])
def test_a_row_edited_while_nobody_could_read_is_trouble_when_somebody_can(mode: Mode) -> None:
    """J-3. Seeds 1408 (a replica that lags) and 1533 (a database that fails): a row was removed,
    20 s later it could be read, and the links of the node ended "without trouble". The checker
    took the edit for over at once.
    """
    world, checkers = quiet()
    world.storage.mode = mode
    world.remove(2)
    world.run_for(LONG_S)
    world.storage.mode = "ok"
    world.run_for(READ_S)
    assert world.route(1, 2) == ()
    world.provision(2)
    checkers.after_healing()


def test_a_row_edited_elsewhere_or_long_ago_is_no_excuse() -> None:
    """The neighbours of the above: other rows, and rows that everybody could read meanwhile."""
    world, _ = quiet()
    world.storage.mode = "stale"
    world.disable(3)
    world.run_for(1.0)
    world.storage.mode = "ok"
    with pytest.raises(Violation, match=r"link .* left Up"):
        break_link(world, 1, 2)
    world, _ = quiet()
    world.provision(2, msgspec.structs.replace(world.storage.records[NodeId(2)], priority=7))
    world.run_for(READ_S + LOOK_S)
    world.storage.mode = "stale"
    world.run_for(LONG_S)
    with pytest.raises(Violation, match=r"link .* left Up"):
        break_link(world, 1, 2)


def test_a_path_that_is_a_little_slow_is_no_excuse() -> None:
    """P2, F15."""
    world, _ = quiet()
    world.slow(1, 2, 0.05, 0.05)
    world.run_for(1.0)
    with pytest.raises(Violation, match="left Up"):
        break_link(world, 1, 2)


@pytest.mark.parametrize(
    ("stopped_s", "after_s", "wrong"),
    [(STALL, 0.0, False), (STALL + 0.1, 0.0, True), (60.0, 0.9, True), (60.0, 1.0, False)],
)
def test_who_was_stopped_calls_nobody_silent_at_once(
    stopped_s: float, after_s: float, wrong: bool
) -> None:
    """L-3. A timer that was to run for 1 s more and is half a second late still counts."""
    world, checkers = quiet()
    world.pause(1)
    world.run_for(stopped_s)
    world.resume(1)
    world.run_for(after_s)
    check = LinkChecks(world, checkers.trouble, Seen())
    down = EventRecord(
        sequence=1,
        wall_s=0.0,
        kind=Event.LINK_CHANGED,
        node_id=NodeId(2),
        before=State.RETRYING.shown,
        after=State.DOWN.shown,
        cause="4 pings unanswered",
    )
    if wrong:
        with pytest.raises(Violation, match=f"stopped for {stopped_s:.1f} s, calls node 2 silent"):
            check.event(NodeId(1), down)
    else:
        check.event(NodeId(1), down)


# A link that stays --------------------------------------------------------------------------------


@pytest.mark.parametrize("both_ways", [True, False])
def test_a_dead_path_that_stays_in_use_is_a_violation(both_ways: bool) -> None:
    """F4: in one direction or both, within the detection time."""
    world, _ = quiet()
    begun = world.now
    (world.cut if both_ways else world.cut_one_way)(1, 2)
    heal_unseen(world)
    with pytest.raises(Violation, match=r"nothing gets through for .* is up") as caught:
        world.run_for(LONG_S)
    assert 0.0 < caught.value.at_s - begun - DETECT_S - DEAD_MARGIN_S <= SURVEY_S + LOOK_S


def almost_given_up(world: World) -> float:
    """2 hears nothing of 1 and is about to say so; the moment in which that way fell silent."""
    begun = world.now
    world.cut_one_way(1, 2)
    world.until(lambda: world.link(2, 1) is State.RETRYING, within_s=DETECT_S)
    world.run_for(2.8)
    return begun


def test_who_hears_somebody_that_hears_nothing_may_take_twice_as_long() -> None:
    """Seeds 68 and 197: 2 did not hear 1 any more and 1 heard 2, until that way was cut too, just
    before 2 gave up and would have said so. So 1 learns it from silence, which begins only now.
    """
    world, _ = quiet()
    begun = almost_given_up(world)
    world.cut(1, 2)
    world.until(lambda: world.link(1, 2) is State.DOWN, within_s=2 * DETECT_S)
    assert world.link(2, 1) is State.DOWN
    assert world.now - begun > DETECT_S + DEAD_MARGIN_S


def test_the_word_that_a_path_was_given_up_may_be_lost_where_chunks_are() -> None:
    """Seed 91: the same on a way back that was whole, but lost chunks, and this one."""
    world, _ = quiet()
    world.lose(1, 2, 1e-9)
    begun = almost_given_up(world)
    world.path.cut(NodeId(2), NodeId(1))
    world.until(lambda: world.link(1, 2) is State.DOWN, within_s=2 * DETECT_S)
    assert world.now - begun > DETECT_S + DEAD_MARGIN_S


def test_the_word_that_a_path_was_given_up_comes_on_a_way_back_that_is_whole() -> None:
    """F4: both ends know within the detection time. Here it does not come."""
    world, _ = quiet()
    begun = almost_given_up(world)
    world.path.cut(NodeId(2), NodeId(1))
    with pytest.raises(Violation, match=r"nothing gets through .* link 1-2"):
        world.run_for(LONG_S)
    assert world.now - begun < DETECT_S + DEAD_MARGIN_S + SURVEY_S + LOOK_S


def test_what_was_on_its_way_still_arrives() -> None:
    """A path that was slow when it was cut is silent so much later."""
    world, _ = quiet()
    world.slow(1, 2, 0.7, 0.0)
    world.run_for(LONG_S)
    begun = world.now
    world.cut(1, 2)
    heal_unseen(world)
    with pytest.raises(Violation, match="nothing gets through") as caught:
        world.run_for(LONG_S)
    assert caught.value.at_s - begun > DETECT_S + DEAD_MARGIN_S + 0.7


def test_a_link_that_is_neither_up_nor_down_on_a_dead_path_is_a_violation() -> None:
    """Who lost the connection dials for R·T; a link that was just made may do that, too."""
    world, checkers = quiet()
    world.cut(1, 2)
    world.run_for(LONG_S)
    world.remove(1)
    world.run_for(READ_S)
    world.provision(1)  # new links at all ends, on a path that has been dead for long
    world.until(lambda: _dialling(world, 1, 2), within_s=READ_S)
    world.run_for(LONG_S)
    link = world.processes[NodeId(1)].system.context.supervisor.actor(("link", CLUSTER, 2))
    rules = vars(link)["rules"]
    rules.state, rules.deadline = State.RETRY_SEND_FAIL, None
    with pytest.raises(Violation, match="link 1-2 is retry_send_fail"):
        world.run_for(LONG_S)
    assert checkers.trouble.silent


def _dialling(world: World, node: int, peer: int) -> bool:
    """There is such a link, and it has no connection yet."""
    links = world.processes[NodeId(node)].system.context.supervisor.names("link")
    linked = ("link", CLUSTER, peer) in links
    return linked and world.link(node, peer) is State.RETRY_SEND_FAIL


# The end of a process -----------------------------------------------------------------------------


def test_who_ended_is_down_at_once() -> None:
    """Design, section 7. Here what the kernel of the dead one says comes late."""
    world, _ = quiet()
    world.path.slow(NodeId(2), NodeId(1), 5.0, 0.0)
    begun = world.now
    world.crash(2)
    with pytest.raises(Violation, match=r"node 2 ended .* link 1-2 is up"):
        world.run_for(LONG_S)
    assert world.now - begun <= 2 * LOOK_S


def test_a_link_made_after_its_peer_ended_has_to_dial_first() -> None:
    """Seed 1156: node 1 was away, and its row was removed and written again meanwhile. The others
    made new links with it, which were looked at before their first dial had been refused.
    """
    world, _ = quiet()
    world.crash(1)
    world.path.slow(NodeId(2), NodeId(1), 0.4, 0.0)
    step_often(world, 120.0)
    for number in range(10):  # some of these fall between a read and a look
        world.remove(1)
        world.run_for(5.0 + 0.07 * number)
        world.provision(1)
        world.run_for(5.0)
        assert world.link(2, 1) is State.DOWN


def test_a_link_made_after_its_peer_ended_that_goes_on_dialling_is_a_violation() -> None:
    world, _ = quiet()
    world.crash(1)
    world.remove(1)
    world.run_for(LONG_S)
    world.path.slow(NodeId(2), NodeId(1), 5.0, 0.0)
    world.provision(1)
    with pytest.raises(Violation, match=r"node 1 ended .* link 2-1 is retry_send_fail"):
        world.run_for(LONG_S)


def test_trouble_that_is_not_over_may_hide_the_end_of_a_process() -> None:
    """Its peers may have lost it just before, and be in the middle of finding out."""
    world, _ = quiet()
    world.path.slow(NodeId(2), NodeId(1), 5.0, 0.0)
    world.reset(2, 1)
    world.run_for(0.1)
    world.crash(2)
    world.run_for(LONG_S)


# Configuration ------------------------------------------------------------------------------------


def test_a_configuration_that_is_replaced_is_a_violation() -> None:
    world, _ = quiet()
    context = world.processes[NodeId(1)].system.context
    context.config = dataclasses.replace(context.config)
    with pytest.raises(Violation, match="the configuration of node 1 was replaced"):
        world.run_for(LONG_S)


def test_times_that_change_are_a_violation() -> None:
    world, _ = quiet()
    link = world.processes[NodeId(1)].system.context.supervisor.actor(("link", CLUSTER, 2))
    rules = vars(link)["rules"]
    rules.timing = msgspec.structs.replace(rules.timing, retries=2)
    with pytest.raises(Violation, match="the times of link 1-2 changed"):
        world.run_for(LONG_S)
