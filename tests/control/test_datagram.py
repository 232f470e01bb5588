"""MI over datagrams: real sockets, the server in a thread and hub of its own."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tagmesh.control.datagram import MAX_REPLY_BYTES, DatagramServer
from tagmesh.protocol.errors import Misuse
from tests.control.fake_node import FakeNode, in_a_hub, make_status, peer

VERSION = b'{"jsonrpc":"2.0","id":7,"method":"version"}'
TIMEOUT_S = 10.0


class Client:
    """A socket of either kind."""

    def __init__(self, address: str, folder: Path) -> None:
        kind, _, place = address.partition(":")
        host, _, number = place.rpartition(":")
        self.to: Any = place if kind == "unix" else (host, int(number))
        family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(TIMEOUT_S)
        if kind == "unix":
            self.socket.bind(str(folder / "client"))

    def send(self, request: bytes) -> None:
        self.socket.sendto(request, self.to)

    def ask(self, request: bytes) -> Any:
        self.send(request)
        return json.loads(self.socket.recv(65_536))


@pytest.fixture(params=["udp:127.0.0.1:0", "unix"])
def client(node: FakeNode, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Client]:
    path = tmp_path / "mi"
    address = f"unix:{path}" if request.param == "unix" else request.param
    with in_a_hub(lambda: DatagramServer(node, address)) as server:
        asks = Client(server.address, tmp_path)
        yield asks
        asks.socket.close()
    assert not path.exists()


def test_one_request_gets_one_reply(client: Client) -> None:
    assert client.ask(VERSION)["result"]["Server"].startswith("tagmesh")


def test_mistakes_are_told(client: Client) -> None:
    for request, code in (
        (b"", -32700),
        (b"\xff", -32700),
        (VERSION + VERSION, -32700),
        (b"[]", -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"fly"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"help","params":["fly"]}', 404),
    ):
        assert client.ask(request)["error"]["code"] == code, request


def test_a_notification_is_done_and_not_answered(client: Client, node: FakeNode) -> None:
    client.send(b'{"jsonrpc":"2.0","method":"tagmesh_cut","params":[3]}')
    while not node.switched:
        assert client.ask(VERSION)["id"] == 7
    assert node.switched == [("cut", 3)]


def test_a_reply_that_clients_would_cut_is_an_error_that_says_so(
    client: Client, node: FakeNode
) -> None:
    (cluster,) = node.current.clusters
    many = [peer(number, description="x" * 60) for number in range(2, 400)]
    node.current = make_status(
        clusters=[type(cluster)(cluster_id=1, enabled=True, peers=many, topology=[])]
    )
    reply = client.ask(b'{"jsonrpc":"2.0","id":"a","method":"clusterer_list"}')
    assert reply["id"] == "a"
    assert reply["error"]["code"] == -32000
    assert reply["error"]["data"].startswith("reply too large for datagram")
    node.current = make_status(
        clusters=[type(cluster)(cluster_id=1, enabled=True, peers=many[:150], topology=[])]
    )
    fitting = client.ask(b'{"jsonrpc":"2.0","id":"a","method":"clusterer_list"}')
    assert MAX_REPLY_BYTES / 2 < len(json.dumps(fitting)) < MAX_REPLY_BYTES * 1.2


def test_a_client_that_is_gone_disturbs_nobody(client: Client, tmp_path: Path) -> None:
    family = client.socket.family
    for number in range(5):
        with socket.socket(family, socket.SOCK_DGRAM) as gone:
            if family == socket.AF_UNIX:
                gone.bind(str(tmp_path / f"gone-{number}"))
            gone.sendto(VERSION, client.to)
    assert client.ask(VERSION)["id"] == 7


def test_who_has_no_address_gets_no_reply(node: FakeNode, tmp_path: Path) -> None:
    with in_a_hub(lambda: DatagramServer(node, f"unix:{tmp_path / 'mi'}")) as server:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
            nameless.sendto(VERSION, str(tmp_path / "mi"))
        named = Client(server.address, tmp_path)
        assert named.ask(VERSION)["id"] == 7
        named.socket.close()


def test_ipv6_works_where_it_is(node: FakeNode) -> None:
    with in_a_hub(lambda: DatagramServer(node, "udp:[::1]:0")) as server:
        assert server.address.startswith("udp:[::1]:")


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("udp:0.0.0.0:8080", "only a loopback address"),
        ("udp:10.0.0.5:8080", "only a loopback address"),
        ("udp:example.org:8080", "must have the form"),
        ("udp:127.0.0.1:66000", "choose another port"),
        ("tcp:127.0.0.1:8080", "must begin with udp: or unix:"),
        ("unix:/nowhere/mi", "No such file"),
    ],
)
def test_an_address_that_cannot_be_is_told(node: FakeNode, address: str, text: str) -> None:
    with pytest.raises(Misuse, match=text):
        DatagramServer(node, address)


def test_a_port_in_use_is_told(node: FakeNode) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Misuse, match="in use"):
            DatagramServer(node, f"udp:127.0.0.1:{taken.getsockname()[1]}")
