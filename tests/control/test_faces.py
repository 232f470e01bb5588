"""The faces start as configured, all or none."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tagmesh.control.faces import Faces
from tagmesh.protocol.config import AdminSettings
from tagmesh.protocol.errors import Misuse
from tests.control.fake_node import FakeNode


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
