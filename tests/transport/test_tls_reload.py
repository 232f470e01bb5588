"""Certificates are renewed under running links."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagmesh.protocol.errors import Misuse
from tagmesh.transport import Connection, Ending, TlsTransport
from tests.transport.links import (
    ANY_PORT,
    SETTINGS,
    Recorder,
    TlsNetwork,
    made,
    node,
    ping,
    until,
)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[TlsNetwork]:
    with made(tmp_path, SETTINGS) as network:
        yield network


def seen_by(dialler: TlsTransport, server: TlsTransport, number: int) -> Connection:
    """A new connection, with what the dialler learned of the other side."""
    accepted: list[Connection] = []
    dialled: list[Connection] = []
    failures: list[Ending] = []
    listener = server.listen(ANY_PORT, accepted.append, lambda *_: None)
    dialler.dial(listener.url, node(number), dialled.append, failures.append)
    until(lambda: bool(dialled and accepted) or bool(failures))
    assert not failures, failures
    Recorder(accepted[0])
    return dialled[0]


def test_new_connections_use_the_new_certificate_and_old_ones_stay(network: TlsNetwork) -> None:
    files, renewed = network.ca.issue(2), network.ca.issue(2)
    one = network.transport(1)
    two = TlsTransport(files.settings(), SETTINGS, node(2))
    try:
        before = seen_by(one, two, 2)
        heard = Recorder(before)
        for old, new in (
            (files.certificate, renewed.certificate),
            (files.private_key, renewed.private_key),
        ):
            shutil.copy(new, old)
        two.reload()
        after = seen_by(one, two, 2)
        assert after.identity.fingerprint != before.identity.fingerprint
        assert before.send([ping(1)])
        assert not heard.endings

        Path(files.certificate).write_text("nonsense")
        with pytest.raises(Misuse, match=r"tls\.certificate"):
            two.reload()
        assert seen_by(one, two, 2).identity.fingerprint == after.identity.fingerprint
    finally:
        two.close()


def test_a_listener_that_is_there_and_dials_use_it_too(network: TlsNetwork) -> None:
    files, renewed = network.ca.issue(2), network.ca.issue(2)
    two = TlsTransport(files.settings(), SETTINGS, node(2))
    accepted: list[Connection] = []
    dialled: list[Connection] = []
    try:
        listener = two.listen(ANY_PORT, lambda _: None, lambda *_: None)
        for old, new in (
            (files.certificate, renewed.certificate),
            (files.private_key, renewed.private_key),
        ):
            shutil.copy(new, old)
        two.reload()
        network.transport(1).dial(listener.url, node(2), dialled.append, lambda _: None)
        server = network.transport(3).listen(ANY_PORT, accepted.append, lambda *_: None)
        two.dial(server.url, node(3), lambda _: None, lambda _: None)
        until(lambda: bool(dialled and accepted))
        assert dialled[0].identity.fingerprint == accepted[0].identity.fingerprint
    finally:
        two.close()
