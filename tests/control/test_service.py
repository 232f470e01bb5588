"""sd_notify: what is sent, and when nothing is."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagmesh.control.service import Service


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        yield manager


def environ(manager: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.getsockname(), **more}


def test_each_step_of_a_life_is_told(manager: socket.socket) -> None:
    service = Service(environ(manager))
    service.ready("node 1 listens\nat bins:h:1")
    assert manager.recv(1000) == b"READY=1\nSTATUS=node 1 listens at bins:h:1"
    service.reloading()
    assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", manager.recv(1000))
    service.alive()
    service.stopping()
    assert [manager.recv(1000) for _ in range(2)] == [b"WATCHDOG=1", b"STOPPING=1"]


def test_an_abstract_socket_begins_with_an_at_sign() -> None:
    name = f"tagmesh-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(5)
        Service({"NOTIFY_SOCKET": f"@{name}"}).alive()
        assert manager.recv(1000) == b"WATCHDOG=1"


def test_the_watchdog_is_fed_twice_per_period(manager: socket.socket) -> None:
    assert Service(environ(manager, WATCHDOG_USEC="30000000")).watchdog_s == 15.0
    mine = str(os.getpid())
    assert Service(environ(manager, WATCHDOG_USEC="2000000", WATCHDOG_PID=mine)).watchdog_s == 1.0


@pytest.mark.parametrize(
    "more",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"},
     {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}],
)  # fmt: skip
def test_no_watchdog_for_us(manager: socket.socket, more: dict[str, str]) -> None:
    assert Service(environ(manager, **more)).watchdog_s is None


def test_without_a_manager_and_with_a_deaf_one_nothing_happens(
    manager: socket.socket, tmp_path: Path
) -> None:
    assert Service({"WATCHDOG_USEC": "30000000"}).watchdog_s is None
    Service({}).ready("x")
    Service({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("x")
    flooded = Service(environ(manager))
    for _ in range(10_000):  # nobody reads: it must not block
        flooded.alive()
