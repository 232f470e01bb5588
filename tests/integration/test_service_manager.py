"""A real node process under a service manager's eyes."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagmesh.control import pki
from tagmesh.control.workspace import Workspace
from tagmesh.protocol.identity import NodeId
from tests.integration.process_cluster import ProcessCluster

PATIENCE_S = 30.0


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_S)
        yield manager


def told(manager: socket.socket, wanted: str) -> str:
    """The next notification that begins so; the watchdog's may come in between."""
    while not (said := manager.recv(4096).decode()).startswith(wanted):
        assert said == "WATCHDOG=1", said
    return said


def test_a_node_tells_its_manager_how_it_is(tmp_path: Path, manager: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "200000"}
    with ProcessCluster(tmp_path / "cluster", 1, environ=environ) as cluster:
        cluster.start()
        assert "node 1 listens at bins:127.0.0.1:" in told(manager, "READY=1")
        for _ in range(3):
            told(manager, "WATCHDOG=1")

        before = cluster.status(1).certificate_ends_wall_s
        tls = cluster.space.folder / "node-1" / "tls"
        for file in tls.iterdir():
            file.unlink()
        pki.issue(cluster.space.folder / "ca", NodeId(1), tls, ips=["127.0.0.1"], days=3)
        cluster.signal(1, signal.SIGHUP)
        told(manager, "RELOADING=1")
        assert "STATUS=reloaded" in told(manager, "READY=1")
        after = cluster.status(1).certificate_ends_wall_s
        assert before is not None
        assert after is not None
        assert after < before

        (tls / "node.crt").write_text("nonsense")
        cluster.signal(1, signal.SIGHUP)
        told(manager, "RELOADING=1")
        assert "STATUS=not reloaded: " in told(manager, "READY=1")
        assert cluster.status(1).certificate_ends_wall_s == after
        told(manager, "WATCHDOG=1")

        cluster.signal(1, signal.SIGTERM)
        told(manager, "STOPPING=1")
        assert cluster.processes[1].wait(PATIENCE_S) == 0


def test_on_a_terminal_a_hangup_ends_the_node(tmp_path: Path) -> None:
    space = Workspace(tmp_path, 1)
    ours, theirs = pty.openpty()
    program = [sys.executable, "-m", "tagmesh", "node", "run", "-c", str(space.config(1))]
    with subprocess.Popen(program, stderr=theirs, start_new_session=True) as process:
        try:
            os.close(theirs)
            said = b""
            while b"listens at" not in said:
                said += os.read(ours, 4096)
            process.send_signal(signal.SIGHUP)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
            os.close(ours)
