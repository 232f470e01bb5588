"""Sizes of profiles are sums over the nodes that are there."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.capabilities.dialog_profiles import (
    CELLS_PER_MESSAGE,
    MAX_VALUES,
    REFRESH_S,
    TELL_S,
    Cell,
    DialogProfiles,
    Told,
)
from tagmesh.capabilities.dialog_records import MAX_PROFILE_CHARS, MAX_VALUE_CHARS
from tagmesh.protocol.errors import PeerViolation, Unknown
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import MAX_PAYLOAD_BYTES
from tests.capabilities.fake_cluster import FakeCluster


class Counting(DialogProfiles):
    """Counts what the test says."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}
        super().__init__(count=lambda: self.counts)

    def set(self, profile: str, value: str, count: int) -> None:
        self.counts[profile, value] = count
        if not count:
            del self.counts[profile, value]
        self.wake()


def booted(nodes: int = 3) -> FakeCluster[Counting]:
    return FakeCluster(Counting, nodes)


def sizes(cluster: FakeCluster[Counting], profile: str, value: str | None = None) -> list[int]:
    return [node.size(profile, value) for node in cluster.capabilities.values()]


def test_sizes_are_sums_over_all_nodes() -> None:
    cluster = booted()
    cluster[1].set("trunk", "berlin", 3)
    cluster[1].set("trunk", "paris", 1)
    cluster[2].set("trunk", "berlin", 4)
    cluster[2].set("calls", "", 9)
    cluster.advance(TELL_S)
    assert sizes(cluster, "trunk", "berlin") == [7, 7, 7]
    assert sizes(cluster, "trunk") == [8, 8, 8]
    assert sizes(cluster, "trunk", "nowhere") == [0, 0, 0]
    assert [node.values("trunk") for node in cluster.capabilities.values()] == [
        {"berlin": 7, "paris": 1}
    ] * 3
    assert cluster[3].names() == {"calls": False, "trunk": True}


def test_what_is_counted_here_is_seen_here_at_once() -> None:
    cluster = booted()
    cluster[1].counts["calls", ""] = 5
    assert cluster[1].size("calls") == 5


def test_a_profile_that_nobody_ever_saw_is_unknown() -> None:
    with pytest.raises(Unknown, match="'cals'"):
        booted()[1].size("cals")


def test_changes_are_told_soon_and_an_emptied_profile_stays_known() -> None:
    cluster = booted()
    cluster[1].set("calls", "", 5)
    cluster.advance(TELL_S)
    cluster[1].set("calls", "", 2)
    cluster.advance(TELL_S)
    assert sizes(cluster, "calls") == [2, 2, 2]
    cluster[1].set("calls", "", 0)
    cluster.advance(TELL_S)
    assert sizes(cluster, "calls") == [0, 0, 0]


def test_a_node_that_is_gone_counts_no_more_and_counts_again_when_it_is_back() -> None:
    cluster = booted()
    for node in (1, 2):
        cluster[node].set("calls", "", node)
    cluster.advance(TELL_S)
    cluster.cut(1, 3)
    assert sizes(cluster, "calls") == [3, 3, 2]
    cluster.heal(1, 3)
    cluster.advance(TELL_S)
    assert sizes(cluster, "calls") == [3, 3, 3]
    cluster.restart(1)
    cluster.advance(TELL_S)
    assert sizes(cluster, "calls") == [2, 2, 2]


def test_a_word_that_was_not_accepted_does_no_lasting_harm() -> None:
    """Neither a new value nor one that is gone is missed for ever by a busy node."""
    cluster = booted()
    cluster[1].set("calls", "", 5)
    cluster[1].set("trunk", "paris", 1)
    cluster.advance(TELL_S)
    cluster.busy.add((1, 3))
    cluster[1].set("trunk", "paris", 0)
    cluster[1].set("trunk", "berlin", 1)
    cluster.advance(TELL_S)
    assert cluster[3].values("trunk") == {"paris": 1}
    cluster.busy.clear()
    cluster.advance(REFRESH_S)
    assert cluster[3].values("trunk") == {"berlin": 1}


def test_with_nothing_to_count_nothing_is_said() -> None:
    cluster = booted()
    cluster.advance(5 * REFRESH_S)
    assert cluster.timers == 0
    cluster[1].set("calls", "", 1)
    cluster.advance(TELL_S)
    cluster[1].set("calls", "", 0)
    cluster.advance(2 * REFRESH_S)
    assert cluster.timers == 0
    assert sizes(cluster, "calls") == [0, 0, 0]


def test_many_values_are_told_in_many_messages() -> None:
    cluster = booted()
    for number in range(3 * CELLS_PER_MESSAGE + 1):
        cluster[1].set("account", str(number), 1)
    cluster.advance(TELL_S)
    assert sizes(cluster, "account") == [3 * CELLS_PER_MESSAGE + 1] * 3
    cluster[1].counts.clear()
    cluster.advance(REFRESH_S)
    assert sizes(cluster, "account") == [0] * 3


def test_the_longest_message_fits() -> None:
    cell = Cell("€" * MAX_PROFILE_CHARS, "€" * MAX_VALUE_CHARS, 2**63 - 1)
    told = Told(2**62, False, [cell] * CELLS_PER_MESSAGE)
    assert len(msgspec.msgpack.encode(told)) < MAX_PAYLOAD_BYTES


def test_more_values_than_may_be_are_not_counted_and_said_so() -> None:
    cluster = booted(2)
    for number in range(MAX_VALUES + 3):
        cluster[1].counts["account", str(number)] = 1
    cluster[1].wake()
    cluster.advance(TELL_S)
    assert cluster[1].uncounted == 3
    assert sizes(cluster, "account") == [MAX_VALUES] * 2
    with pytest.raises(PeerViolation, match="more than 10000 values: 1 more"):
        cluster[2].on_message([1, False, [["account", "one more", 1]]], NodeId(1))


@pytest.mark.parametrize(
    "message",
    [
        "text",
        [1, False],
        [1, False, [["", "x", 1]]],
        [1, False, [["calls", "x", -1]]],
        [-1, False, []],
        [1, False, [["p" * 65, "", 1]]],
    ],
)
def test_what_is_no_count_is_refused(message: object) -> None:
    cluster = booted()
    with pytest.raises(msgspec.ValidationError):
        cluster[1].on_message(message, NodeId(2))
