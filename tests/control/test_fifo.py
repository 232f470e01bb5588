"""MI over a fifo: real fifos, the server in a thread and hub of its own."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tagmesh.control import fifo
from tagmesh.control.fifo import FifoServer
from tagmesh.control.mi import MAX_REQUEST_BYTES
from tests.control.fake_node import FakeNode, in_a_hub, make_status, peer

PATIENCE_S = 10.0
VERSION = b'{"jsonrpc":"2.0","id":7,"method":"version"}'


@pytest.fixture
def path(node: FakeNode, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "mi.fifo"
    with in_a_hub(lambda: FifoServer(node, str(path), str(tmp_path))):
        yield path
    assert not path.exists()


def write(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)


def line(reply: Path) -> bytes:
    """What comes into the fifo, up to its line end."""
    fd = os.open(reply, os.O_RDONLY | os.O_NONBLOCK)
    try:
        data = b""
        while not data.endswith(b"\n"):
            assert select.select([fd], [], [], PATIENCE_S)[0], "no reply"
            data += os.read(fd, 65_536)
        return data
    finally:
        os.close(fd)


@contextlib.contextmanager
def reply_fifo(path: Path, name: str = "reply") -> Iterator[Path]:
    reply = path.parent / name
    os.mkfifo(reply)
    try:
        yield reply
    finally:
        reply.unlink()


def ask(path: Path, body: bytes, name: str = "reply", written: str | None = None) -> Any:
    """The reply to one request, as a client of OpenSIPS gets it: one line."""
    with reply_fifo(path, name) as reply:
        write(path, f":{written or name}:".encode() + body)
        return json.loads(line(reply))


def test_a_request_is_answered_in_the_reply_fifo(path: Path) -> None:
    assert ask(path, VERSION)["result"]["Server"].startswith("tagmesh")
    assert ask(path, VERSION + b"\n")["id"] == 7


def test_a_client_that_only_looks_whether_it_can_write_disturbs_nobody(path: Path) -> None:
    for _ in range(3):
        write(path, b"")
    assert ask(path, VERSION)["id"] == 7


@pytest.mark.parametrize("written", ["/etc/reply", "../../reply", "/reply"])
def test_of_a_path_only_the_name_counts(path: Path, written: str) -> None:
    assert ask(path, VERSION, written=written)["id"] == 7


def test_mistakes_are_told(path: Path) -> None:
    assert ask(path, b"nonsense\n")["error"]["code"] == -32700
    assert ask(path, b"[1]")["error"]["code"] == -32600
    fly = b'{"jsonrpc":"2.0","id":1,"method":"fly"}'
    assert ask(path, fly)["error"]["code"] == -32601


def test_a_request_without_its_end_is_told_after_a_while(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fifo, "SILENCE_S", 0.05)
    assert ask(path, b'{"jsonrpc":')["error"]["code"] == -32700
    assert ask(path, VERSION)["id"] == 7


def test_a_request_that_is_too_long_is_told_and_the_next_one_is_heard(path: Path) -> None:
    with reply_fifo(path) as reply:
        long = b':reply:{"' + b"x" * (2 * MAX_REQUEST_BYTES) + b'"}\n'
        thread = threading.Thread(target=write, args=(path, long))
        thread.start()
        error = json.loads(line(reply))["error"]
        thread.join(10)
    assert (error["code"], error["data"]) == (-32600, "a request has at most 65536 bytes")
    assert ask(path, VERSION)["id"] == 7


def test_a_request_without_a_reply_fifo_is_done(path: Path, node: FakeNode) -> None:
    cut = b'::{"jsonrpc":"2.0","id":1,"method":"tagmesh_cut","params":["3"]}'
    write(path, cut)
    assert ask(path, VERSION)["id"] == 7
    assert node.switched == [("cut", 3)]


def test_a_reply_longer_than_a_pipe_holds_arrives_whole(node: FakeNode, path: Path) -> None:
    (cluster,) = node.current.clusters
    many = [peer(number, description="x" * 60) for number in range(2, 1500)]
    changed = make_status(
        clusters=[type(cluster)(cluster_id=1, enabled=True, peers=many, topology=[])]
    )
    node.current = changed
    listed = ask(path, b'{"jsonrpc":"2.0","id":1,"method":"clusterer_list"}')
    assert len(listed["result"]["Clusters"][0]["Nodes"]) == 1498


def test_many_clients_at_once_each_get_their_reply(path: Path) -> None:
    def one(number: int) -> bool:
        request = json.dumps({"jsonrpc": "2.0", "id": number, "method": "version"}).encode()
        return bool(ask(path, request, name=f"reply-{number}")["id"] == number)

    with ThreadPoolExecutor(fifo.MAX_PARALLEL + 8) as pool:
        assert all(pool.map(one, range(100)))


@pytest.mark.parametrize("kind", ["link", "link to a fifo", "file", "nothing", "no name"])
def test_a_reply_goes_into_no_link_and_no_file(
    path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    reply, victim = path.parent / "reply", path.parent / "victim"
    os.mkfifo(path.parent / "elsewhere")
    listening = os.open(path.parent / "elsewhere", os.O_RDONLY | os.O_NONBLOCK)
    victim.write_text("precious")
    if kind == "link":
        reply.symlink_to(victim)
    elif kind == "link to a fifo":
        reply.symlink_to(path.parent / "elsewhere")
    elif kind == "file":
        reply.write_text("precious")
    name = b".." if kind == "no name" else b"reply"
    with caplog.at_level(logging.WARNING, "tagmesh.mi"):
        write(path, b":" + name + b":" + VERSION)
        deadline = time.monotonic() + 10
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.01)
    assert [record.event for record in caplog.records] == ["mi_reply_failed"]  # type: ignore[attr-defined]  # ours
    assert victim.read_text() == "precious"
    assert os.read(listening, 100) == b""
    os.close(listening)
    assert not reply.is_file() or reply.read_text() == "precious"
    assert ask(path, VERSION, name="other")["id"] == 7


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_a_reply_goes_to_nobody_else(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever guesses a client's reply fifo and makes it first learns nothing."""
    with reply_fifo(path) as reply, caplog.at_level(logging.WARNING, "tagmesh.mi"):
        os.chown(reply, 12345, 12345)
        listening = os.open(reply, os.O_RDONLY | os.O_NONBLOCK)
        write(path, b":reply:" + VERSION)
        deadline = time.monotonic() + 10
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.01)
        assert os.read(listening, 100) == b""
        os.close(listening)
    assert "no fifo of this user or root" in caplog.text


def test_a_client_that_never_reads_is_given_up(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fifo, "REPLY_TIMEOUT_S", 0.05)
    with reply_fifo(path, "deaf"), caplog.at_level(logging.WARNING, "tagmesh.mi"):
        write(path, b":deaf:" + VERSION)
        deadline = time.monotonic() + 10
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "not read in time" in caplog.text


def test_no_descriptor_stays_open(node: FakeNode, tmp_path: Path) -> None:
    path = tmp_path / "mi.fifo"
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with in_a_hub(lambda: FifoServer(node, str(path), str(tmp_path))):
            ask(path, VERSION)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
