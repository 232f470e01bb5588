"""The events, heard by the real ``opensips-event`` from PyPI and the package behind it."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opensips.event import OpenSIPSEventHandler
from opensips.mi import OpenSIPSMI, OpenSIPSMIException

from tagmesh.control.datagram import DatagramServer
from tagmesh.control.fifo import FifoServer
from tagmesh.control.subscriptions import EVENTS
from tests.control.fake_node import FakeNode, in_a_hub, served
from tests.control.http_calls import address_of

PROGRAM = Path(sys.executable).with_name("opensips-event")
TIMEOUT_S = 30.0
STATE = "E_CLUSTERER_NODE_STATE_CHANGED"
PARAMS = {"cluster_id": 1, "node_id": 2, "new_state": 0}


@pytest.fixture
def node() -> Iterator[FakeNode]:
    made = FakeNode()
    yield made
    made.subscriptions.close()


@contextlib.contextmanager
def asked(transport: str, node: FakeNode, folder: Path) -> Iterator[Any]:
    """The package's client of the management interface."""
    if transport == "http":
        with served(node) as url:
            yield OpenSIPSMI("http", url=f"{url}/mi")
    elif transport == "fifo":
        path = folder / "mi.fifo"
        with in_a_hub(lambda: FifoServer(node, str(path), str(folder))):
            yield OpenSIPSMI("fifo", fifo_file=str(path), fifo_reply_dir=str(folder))
    else:
        path = folder / "mi.sock"
        address = "udp:127.0.0.1:0" if transport == "udp" else f"unix:{path}"
        with in_a_hub(lambda: DatagramServer(node, address)) as server:
            where = (
                {"datagram_ip": "127.0.0.1", "datagram_port": server.address.rpartition(":")[2]}
                if transport == "udp"
                else {"datagram_unix_socket": str(path)}
            )
            yield OpenSIPSMI("datagram", datagram_timeout=TIMEOUT_S, **where)


@pytest.mark.parametrize(
    ("transport", "sockets"),
    [("http", "udp"), ("http", "unix"), ("fifo", "udp"), ("udp", "udp"), ("unix", "unix")],
)
def test_the_package_subscribes_hears_and_leaves(
    node: FakeNode, tmp_path: Path, transport: str, sockets: str
) -> None:
    heard: queue.Queue[Any] = queue.Queue()
    where = {"ip": "127.0.0.1"} if sockets == "udp" else {"unix_path": str(tmp_path / "panel")}
    with asked(transport, node, tmp_path) as client:
        subscription = OpenSIPSEventHandler(client, "datagram", **where).subscribe(
            STATE, heard.put, 60
        )
        assert [one.event for one in node.subscriptions.listed()] == [STATE]
        node.subscriptions.publish(STATE, PARAMS)
        assert heard.get(timeout=TIMEOUT_S) == {
            "jsonrpc": "2.0", "method": STATE, "params": PARAMS
        }  # fmt: skip
        subscription.unsubscribe()
        assert node.subscriptions.listed() == []


def test_the_package_is_told_of_its_mistakes(node: FakeNode, tmp_path: Path) -> None:
    with asked("http", node, tmp_path) as client:
        handler = OpenSIPSEventHandler(client, "datagram", ip="127.0.0.1")
        with pytest.raises(OpenSIPSMIException, match="400: Bad parameter value"):
            handler.subscribe("E_PIKE_BLOCKED", print, 60)
        with pytest.raises(OpenSIPSMIException, match="Negative expire value"):
            handler.subscribe(STATE, print, -1)


def program(url: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """``opensips-event``, told to reach the node over HTTP."""
    host, port = address_of(url)
    return subprocess.Popen(
        [str(PROGRAM), "-t", "http", "-i", host, "-p", str(port), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1", "HOME": str(folder)},
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "not so in time"
        time.sleep(0.02)


def test_the_program_prints_an_event(node: FakeNode, tmp_path: Path) -> None:
    with (
        served(node) as url,
        program(url, tmp_path, "--listen-ip", "127.0.0.1", STATE) as running,
    ):
        try:
            wait_until(lambda: bool(node.subscriptions.listed()))
            node.subscriptions.publish(STATE, PARAMS)
            assert running.stdout is not None
            text = ""
            while not text.endswith("\n}\n"):
                line = running.stdout.readline()
                assert line, "it ended"
                text += line
            assert json.loads(text)["params"] == PARAMS
        finally:
            running.kill()


def test_the_program_completes_the_names_of_events(node: FakeNode, tmp_path: Path) -> None:
    with served(node) as url, program(url, tmp_path, "--bash-complete") as running:
        out, _ = running.communicate(timeout=TIMEOUT_S)
    assert out.split() == list(EVENTS)


def test_the_program_says_what_is_wrong(node: FakeNode, tmp_path: Path) -> None:
    with served(node) as url:
        arguments = ("--listen-ip", "127.0.0.1", "E_PIKE_BLOCKED")
        with program(url, tmp_path, *arguments) as running:
            _, errors = running.communicate(timeout=TIMEOUT_S)
    assert running.returncode != 0
    assert "400: Bad parameter value" in errors
