"""Events by datagram: who gets them, in which form, for how long."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tagmesh.control.subscriptions import (
    EVENTS,
    MAX_PATH_BYTES,
    MAX_SUBSCRIPTIONS,
    Subscriptions,
)
from tagmesh.protocol.errors import Misuse

REQUEST, REPLY, STATE, TAG = EVENTS


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def known(clock: Clock) -> Iterator[Subscriptions]:
    subscriptions = Subscriptions(now=clock)
    yield subscriptions
    subscriptions.close()


@contextlib.contextmanager
def listening(family: int = socket.AF_INET, host: Any = ("127.0.0.1", 0)) -> Iterator[Any]:
    """A bound socket; loopback delivers what was sent before ``sendto`` returns."""
    with socket.socket(family, socket.SOCK_DGRAM) as bound:
        bound.bind(host)
        bound.settimeout(10)
        yield bound


def udp(bound: socket.socket) -> str:
    return f"udp:127.0.0.1:{bound.getsockname()[1]}"


def silent(bound: socket.socket) -> bool:
    bound.setblocking(False)
    try:
        bound.recv(1)
    except BlockingIOError:
        return True
    return False


def test_a_subscriber_gets_its_event_as_a_notification(known: Subscriptions) -> None:
    with listening() as bound:
        known.subscribe(STATE, udp(bound))
        known.publish(TAG, {"name": "vip1"})
        known.publish(STATE, {"cluster_id": 1, "node_id": 2, "new_state": 0})
        assert json.loads(bound.recv(65535)) == {
            "jsonrpc": "2.0",
            "method": "E_CLUSTERER_NODE_STATE_CHANGED",
            "params": {"cluster_id": 1, "node_id": 2, "new_state": 0},
        }
        assert silent(bound)


@pytest.mark.parametrize("prefix", ["unix:", ""])
def test_a_unix_socket_with_and_without_its_prefix(
    known: Subscriptions, tmp_path: Path, prefix: str
) -> None:
    path = str(tmp_path / "panel.sock")
    with listening(socket.AF_UNIX, path) as bound:
        known.subscribe(TAG, f"{prefix}{path}")
        known.publish(TAG, {"name": "vip1"})
        assert json.loads(bound.recv(65535))["params"] == {"name": "vip1"}
    assert known.find(TAG, f"unix:{path}") is not None


def test_ipv6(known: Subscriptions) -> None:
    with listening(socket.AF_INET6, ("::1", 0)) as bound:
        known.subscribe(TAG, f"udp:[::1]:{bound.getsockname()[1]}")
        known.publish(TAG, {})
        assert json.loads(bound.recv(65535))["method"] == TAG


def test_a_subscription_ends_by_itself(known: Subscriptions, clock: Clock) -> None:
    with listening() as bound:
        known.subscribe(STATE, udp(bound), 60)
        clock.now_s += 59
        (one,) = known.listed()
        assert (one.expire_s, known.left_s(one)) == (60, 1)
        clock.now_s += 1
        assert known.listed() == []
        known.publish(STATE, {})
        assert silent(bound)


def test_the_same_socket_again_lasts_longer_and_hears_once(
    known: Subscriptions, clock: Clock
) -> None:
    with listening() as bound:
        known.subscribe(STATE, udp(bound), 60)
        clock.now_s += 50
        known.subscribe(STATE, udp(bound), 60)
        clock.now_s += 50
        known.publish(STATE, {})
        bound.recv(65535)
        assert silent(bound)


def test_expire_0_ends_a_subscription(known: Subscriptions) -> None:
    with listening() as bound:
        known.subscribe(STATE, udp(bound))
        known.subscribe(TAG, udp(bound))
        known.subscribe(STATE, udp(bound), 0)
        known.subscribe(REPLY, udp(bound), 0)  # there is none: nothing to do
        assert [one.event for one in known.listed()] == [TAG]


def test_subscribers_that_are_gone_do_not_matter(known: Subscriptions, tmp_path: Path) -> None:
    with listening() as gone:
        address = udp(gone)
    with listening() as bound:
        known.subscribe(STATE, f"unix:{tmp_path / 'nobody.sock'}")
        known.subscribe(STATE, address)
        known.subscribe(STATE, udp(bound))
        for _ in range(3):  # the kernel tells of the first at the second
            known.publish(STATE, {})
        assert len([bound.recv(65535) for _ in range(3)]) == 3


def test_a_slow_reader_loses_events_and_stops_nobody(known: Subscriptions, tmp_path: Path) -> None:
    path = str(tmp_path / "slow.sock")
    with listening(socket.AF_UNIX, path) as slow, listening() as bound:
        known.subscribe(STATE, f"unix:{path}")
        known.subscribe(STATE, udp(bound))
        for number in range(1000):
            known.publish(STATE, {"number": number})
            assert json.loads(bound.recv(65535))["params"] == {"number": number}
        assert json.loads(slow.recv(65535))["params"] == {"number": 0}


@pytest.mark.parametrize(
    "address",
    ["", "udp:", "udp:127.0.0.1", "udp::9", "udp:127.0.0.1:0", "udp:127.0.0.1:65536",
     "udp:127.0.0.1:x", "udp:127.0.0.1:١", "udp:a b:9", "tcp:127.0.0.1:9", "unix:",
     "unix:/" + "x" * MAX_PATH_BYTES, "unix:/a\0b", "127.0.0.1:9"],
)  # fmt: skip
def test_what_is_no_address(known: Subscriptions, address: str) -> None:
    with pytest.raises(Misuse):
        known.subscribe(STATE, address)
    with pytest.raises(Misuse):
        known.find(STATE, address)
    assert known.listed() == []


def test_what_is_no_event(known: Subscriptions) -> None:
    with pytest.raises(Misuse, match="E_CLUSTERER_REQ_RECEIVED"):
        known.subscribe("E_PIKE_BLOCKED", "udp:127.0.0.1:9")


def test_there_are_so_many_and_no_more(known: Subscriptions) -> None:
    for number in range(MAX_SUBSCRIPTIONS):
        known.subscribe(STATE, f"udp:127.0.0.1:{9000 + number}")
    with pytest.raises(Misuse, match="already"):
        known.subscribe(STATE, "udp:127.0.0.1:8999")
    known.subscribe(STATE, "udp:127.0.0.1:9000", 5)  # it is there already
    known.subscribe(STATE, "udp:127.0.0.1:9001", 0)
    known.subscribe(STATE, "udp:127.0.0.1:8999")


def test_the_source_is_asked_before_the_first_event() -> None:
    begun: list[bool] = []
    known = Subscriptions(lambda: begun.append(True))
    known.subscribe(STATE, "udp:127.0.0.1:9", 0)
    assert begun == []
    known.subscribe(STATE, "udp:127.0.0.1:9")
    assert begun == [True]
