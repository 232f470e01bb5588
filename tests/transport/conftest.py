"""Networks of both kinds: what the tests of the contract run on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagmesh.protocol.config import TransportSettings
from tests.transport.links import LoopbackOnHub, Network, TlsNetwork

SETTINGS = TransportSettings(connect_timeout_s=0.5, handshake_timeout_s=1.0, close_timeout_s=0.5)


@pytest.fixture(params=["tls", "loopback"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(kind: str, folder: Path, settings: TransportSettings) -> Network:
    return TlsNetwork(folder, settings) if kind == "tls" else LoopbackOnHub(settings)


@pytest.fixture
def network(kind: str, tmp_path: Path) -> Iterator[Network]:
    network = make(kind, tmp_path, SETTINGS)
    yield network
    network.close()


@pytest.fixture
def patient(kind: str, tmp_path: Path) -> Iterator[Network]:
    """A network that gives an orderly end all the time it needs, also on a busy machine."""
    network = make(kind, tmp_path, dataclasses.replace(SETTINGS, close_timeout_s=10.0))
    yield network
    network.close()


@pytest.fixture
def small(kind: str, tmp_path: Path) -> Iterator[Network]:
    """A network whose send queues are as small as they may be."""
    settings = dataclasses.replace(SETTINGS, send_queue_bytes=64 * 1024)
    network = make(kind, tmp_path, settings)
    yield network
    network.close()
