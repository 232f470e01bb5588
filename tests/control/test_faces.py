"""The faces start as configured, all or none."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from tagmesh.control.faces import Faces
from tagmesh.protocol.config import AdminSettings
from tagmesh.protocol.errors import Misuse
from tests.control.fake_node import FakeNode, in_a_hub
from tests.control.http_calls import JSON, exchange


def test_all_faces_run_and_end_together(tmp_path: Path) -> None:
    fifo, unix = tmp_path / "mi.fifo", tmp_path / "mi.sock"
    settings = AdminSettings(http="127.0.0.1:0", fifo=str(fifo), datagram=f"unix:{unix}")
    faces = Faces.start(FakeNode(), settings)
    assert faces.http is not None
    assert fifo.is_fifo()
    assert unix.is_socket()
    port = int(faces.http.url.rpartition(":")[2])
    faces.stop()
    assert list(tmp_path.iterdir()) == []
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))


def test_nothing_is_served_unless_it_is_asked_for() -> None:
    faces = Faces.start(FakeNode(), AdminSettings())
    assert (faces.http, faces.fifo, faces.datagram) == (None, None, None)
    faces.stop()


def test_when_one_cannot_start_none_stays(tmp_path: Path) -> None:
    fifo, precious = tmp_path / "mi.fifo", tmp_path / "precious"
    precious.write_text("")
    settings = AdminSettings(fifo=str(fifo), datagram=f"unix:{precious}")
    with pytest.raises(Misuse, match="something else lies there"):
        Faces.start(FakeNode(), settings)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_what_may_only_look_may_only_look_everywhere(tmp_path: Path) -> None:
    fifo, unix = tmp_path / "mi.fifo", tmp_path / "mi.sock"
    settings = AdminSettings(
        http="127.0.0.1:0", fifo=str(fifo), datagram=f"unix:{unix}", fifo_reply_dir=str(tmp_path),
        read_only=True,
    )  # fmt: skip
    node = FakeNode()
    cut = b'{"jsonrpc":"2.0","id":1,"method":"tagmesh_cut","params":[3]}'
    with in_a_hub(lambda: Faces.start(node, settings)) as faces:
        assert faces.http is not None
        _, _, body = exchange(faces.http.url, "POST", "/mi", cut, JSON)
        replies = [json.loads(body)]
        os.mkfifo(tmp_path / "reply")
        fifo.write_bytes(b":reply:" + cut)
        replies.append(json.loads((tmp_path / "reply").read_bytes()))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.bind(str(tmp_path / "client"))
            client.sendto(cut, str(unix))
            replies.append(json.loads(client.recv(65_536)))
    assert [reply["error"]["code"] for reply in replies] == [403] * 3
    assert node.switched == []


def test_udp_and_a_token_do_not_go_together(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("x" * 32)
    file.chmod(0o600)
    settings = AdminSettings(datagram="udp:127.0.0.1:0", token_file=str(file))
    with pytest.raises(Misuse, match="gets round token_file"):
        Faces.start(FakeNode(), settings)
    unix = AdminSettings(datagram=f"unix:{tmp_path / 'mi'}", token_file=str(file))
    Faces.start(FakeNode(), unix).stop()
