"""States that are over, limits of the settings, the head of messages."""

from __future__ import annotations

from typing import Any

import pytest

from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.messages import MAX_TAGS, MAX_TEXT_CHARS, MAX_WINDOW, SyncAck, SyncId
from tagmesh.protocol.sync_words import (
    MAX_PACKET_BYTES,
    MIN_PACKET_BYTES,
    DonorState,
    Here,
    JoinerState,
    SyncSettings,
    TryState,
    Why,
    Wish,
)


def test_the_states_in_which_nothing_can_happen_any_more() -> None:
    over = [s.value for kind in (JoinerState, DonorState, TryState) for s in kind if s.over]
    assert over == ["done", "failed", "finished", "aborted", "complete", "lost", "stuck"]


def test_the_states_are_those_of_the_specification() -> None:
    """S-20: what operators read in progress and reports."""
    joiner = "choosing requested receiving verifying applying done failed"
    assert [state.value for state in JoinerState] == joiner.split()
    donor = "accepted snapshotting sending finished aborted"
    assert [state.value for state in DonorState] == donor.split()


@pytest.mark.parametrize(
    "wrong",
    [
        {"packet_bytes": MIN_PACKET_BYTES - 1},
        {"packet_bytes": MAX_PACKET_BYTES + 1},
        {"window_chunks": 0},
        {"window_chunks": MAX_WINDOW + 1},
    ],
)
def test_settings_have_limits(wrong: dict[str, int]) -> None:
    (name,) = wrong
    with pytest.raises(Misuse, match=f"{name} is .*: it must be"):
        SyncSettings(**wrong)


@pytest.mark.parametrize(
    "right",
    [
        {},
        {"packet_bytes": MIN_PACKET_BYTES, "window_chunks": 1},
        {"packet_bytes": MAX_PACKET_BYTES, "window_chunks": MAX_WINDOW},
    ],
)
def test_settings_within_the_limits(right: dict[str, int]) -> None:
    assert SyncSettings(**right).request_timeout_s == 2.0


def test_what_can_be_wished() -> None:
    plain: dict[str, Any] = {"keyed": False, "version_min": 1, "version_max": 1}
    assert Wish(**plain, tags=tuple(map(str, range(MAX_TAGS)))).tags[-1] == "63"
    assert Wish(**plain, tags=("x" * 64,)).mirror is False
    with pytest.raises(Misuse, match="65 tags in one sync"):
        Wish(**plain, tags=tuple(map(str, range(MAX_TAGS + 1))))
    with pytest.raises(Misuse, match="is longer than 64 characters"):
        Wish(**plain, tags=("x" * 65,))
    with pytest.raises(AssertionError):
        Wish(**plain, mirror=True)


def test_the_head_of_a_message() -> None:
    here = Here(cluster_id=1, node_id=2, incarnation=3, capability="calls", ttl=9)
    message = SyncAck(*here.head(4), SyncId(2, 3, 1), 0, 8)
    assert (message.cluster_id, message.source, message.incarnation) == (1, 2, 3)
    assert (message.destination, message.ttl, message.capability) == (4, 9, "calls")


def test_reasons_fit_their_field() -> None:
    assert all(len(reason) <= MAX_TEXT_CHARS for reason in Why)
