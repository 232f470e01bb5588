"""A connection on real sockets: violations, sudden ends, names, and that nothing is left."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import gc
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from OpenSSL import SSL

from tagmesh.protocol import wire
from tagmesh.protocol.errors import Misuse, Reason
from tagmesh.protocol.identity import BinsUrl
from tagmesh.protocol.messages import Message
from tagmesh.transport import Connection, Ending, TlsTransport
from tagmesh.transport import connection as connection_module
from tagmesh.transport.addresses import RESOLVE_TIMEOUT_S
from tagmesh.transport.frames import frame
from tagmesh.transport.socketoptions import MAX_UNSENT_BYTES
from tests.pki import DAY, TestCa, now
from tests.transport.links import (
    ANY_PORT,
    SETTINGS,
    Pair,
    Recorder,
    Server,
    TlsNetwork,
    made,
    node,
    open_descriptors,
    packets,
    ping,
    strangers,
    text,
    until,
)
from tests.transport.raw_peer import RawPeer

SIOCOUTQNSD = 0x894B
"""ioctl of Linux: bytes written to a socket that were not sent yet."""


@pytest.fixture
def network(tmp_path: Path) -> Iterator[TlsNetwork]:
    with made(tmp_path, SETTINGS) as network:
        yield network


@pytest.fixture
def server(network: TlsNetwork) -> Server:
    return Server(network)


def test_a_refused_dialler_learns_why_on_the_connection(network: TlsNetwork) -> None:
    server = Server(network)
    credentials = network.ca.issue(1, not_after=now() + DAY)
    client = TlsTransport(credentials.settings(), SETTINGS, node(1))
    revoking = TlsTransport(
        network.ca.issue(3).settings(crl=network.ca.revoke(credentials)), SETTINGS, node(3)
    )
    refused: list[Ending] = []
    listener = revoking.listen(
        ANY_PORT, server.connections.append, lambda _, ending: refused.append(ending)
    )
    dialled: list[Connection] = []
    client.dial(listener.url, node(3), dialled.append, lambda _: None)
    until(lambda: bool(dialled))
    recorder = Recorder(dialled[0])
    assert dialled[0].send([ping(1)]), "TLS 1.3: it looks established"
    ending = recorder.ending
    assert (ending.reason, ending.by_peer) == (Reason.CERT_REVOKED, True)
    assert ending.node_id == 3
    until(lambda: bool(refused))
    assert (refused[0].reason, refused[0].by_peer) == (Reason.CERT_REVOKED, False)
    assert not server.connections
    client.close()
    revoking.close()


def test_a_killed_peer_is_noticed_at_once(network: TlsNetwork) -> None:
    """What kill -9 does: the kernel closes the socket without a word of TLS."""
    pair = Pair(network)
    started_s = time.monotonic()
    sock = pair.right.connection._sock  # type: ignore[attr-defined]
    sock.shutdown(socket.SHUT_RDWR)
    ending = pair.left.ending
    assert time.monotonic() - started_s < 0.2
    assert (ending.cause, ending.clean, ending.reason) == ("closed by the peer", False, None)


@pytest.fixture
def raw(network: TlsNetwork, server: Server) -> Iterator[RawPeer]:
    peer = RawPeer(network, server)
    peer.greet()
    assert not peer.recorder.endings
    yield peer
    peer.sock.close()


@pytest.mark.parametrize("words", [[], [ping(1), text(10)]])
def test_what_a_peer_says_and_hangs_up_is_heard_even_if_it_comes_with_the_handshake(
    network: TlsNetwork, server: Server, words: list[Message]
) -> None:
    """As a dialler does that refuses: to a slow node all of it comes in one read."""
    peer = RawPeer(network, server)
    finished = False
    while not finished:
        with contextlib.suppress(SSL.WantReadError):
            peer.tls.do_handshake()
            finished = True
        if not finished:
            peer.pump()
            gevent.sleep(0.001)
    if words:
        peer.tls.sendall(frame(wire.encode(words)))
    peer.tls.shutdown()
    peer.pump()
    assert peer.recorder.ending.clean
    assert peer.recorder.messages == words
    assert not server.refused
    peer.sock.close()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "the longest accepted"),
        (b"\0\0\0\0", "frame of length 0"),
        (b"\xff\xff\xff\xff", "frame of 4294967295 bytes"),
        (struct.pack(">I", 1024 * 1024 + 1), "frame of 1048577 bytes"),
        (frame(b"\xc1"), "cannot be decoded"),
        (frame(wire.encode([ping(1)]) + b"\0"), "cannot be decoded"),
    ],
)
def test_a_violation_ends_the_connection_with_its_sentence(
    raw: RawPeer, data: bytes, sentence: str
) -> None:
    raw.write(data)
    ending = raw.recorder.ending
    assert ending.reason is Reason.VIOLATION
    assert sentence in ending.cause
    assert not raw.recorder.messages


def test_unknown_messages_are_counted_and_skipped(raw: RawPeer) -> None:
    body = (
        b"\x93" + wire.encode([ping(1)])[1:] + b"\x92\xcd\x27\x0f\x01" + wire.encode([ping(2)])[1:]
    )
    raw.write(frame(body))
    until(lambda: raw.recorder.messages == [ping(1), ping(2)])
    assert raw.recorder.connection.unknown_messages == 1  # type: ignore[attr-defined]


def test_an_end_in_the_middle_of_a_frame_is_not_clean(raw: RawPeer) -> None:
    raw.write(frame(wire.encode([ping(1)])) + b"\0\0\0\x09half")
    until(lambda: raw.recorder.messages == [ping(1)])
    raw.tls.shutdown()
    raw.pump()
    ending = raw.recorder.ending
    assert not ending.clean
    assert "middle of a frame" in ending.cause


def test_a_dripping_frame_has_a_time_limit(raw: RawPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "FRAME_TIMEOUT_S", 0.1)
    raw.write(b"\0\0\0\xff")
    while not raw.recorder.endings:
        raw.write(b"x")
        gevent.sleep(0.01)
    assert "not complete within" in raw.recorder.ending.cause
    assert raw.recorder.ending.reason is Reason.VIOLATION


def test_a_consumer_that_fails_ends_its_connection_only(
    network: TlsNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    pair = Pair(network, start=False)

    def fail(_: object) -> None:
        raise RuntimeError("a bug")

    pair.left.start()
    pair.right.connection.start(fail, pair.right.endings.append)
    assert pair.left.connection.send([ping(1)])
    assert "internal error" in pair.right.ending.cause
    assert pair.left.ending
    assert "a bug" in caplog.text


def test_many_small_sends_of_one_turn_leave_together(network: TlsNetwork) -> None:
    pair = Pair(network)
    for number in range(1_000):
        assert pair.left.connection.send([ping(number)])
    until(lambda: len(pair.right.messages) == 1_000)
    assert len(pair.right.batches) <= 10


def test_a_peer_that_reads_nothing_costs_a_bounded_queue(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, send_queue_bytes=1024 * 1024)
    with made(tmp_path, settings) as network:
        pair = Pair(network)
        pair.right.connection.pause()
        while pair.left.connection.send([text(250)] * 100):
            gevent.sleep(0)
        assert pair.left.connection.queued_bytes <= 1024 * 1024 + 2048
        pair.left.connection.abort("too slow")
        assert pair.left.ending.cause == "too slow"


def test_the_kernel_holds_little_that_is_not_sent(network: TlsNetwork) -> None:
    """What lies there cannot be overtaken by a ping any more (B13)."""
    pair = Pair(network)
    pair.right.connection.pause()
    refused = 0
    while refused < 20:
        refused = 0 if pair.left.connection.send([packets(1, 32_000)]) else refused + 1
        gevent.sleep(0.001)
    unsent = bytearray(4)
    fcntl.ioctl(pair.left.connection._sock, SIOCOUTQNSD, unsent)  # type: ignore[attr-defined]
    assert int.from_bytes(unsent, sys.byteorder) <= 2 * MAX_UNSENT_BYTES


def test_names_that_do_not_resolve_fail_in_time(network: TlsNetwork) -> None:
    client = network.transport(1)
    failures: list[Ending] = []
    started_s = time.monotonic()
    client.dial(BinsUrl("no-such-host.invalid", 1), node(2), lambda _: None, failures.append)
    until(lambda: bool(failures))
    assert time.monotonic() - started_s < RESOLVE_TIMEOUT_S + 0.5
    assert "'no-such-host.invalid' cannot be resolved" in failures[0].cause
    assert not failures[0].nobody_there


def test_every_address_of_a_name_is_tried(
    network: TlsNetwork, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", server.address),
    ]
    resolver = type("Resolver", (), {"getaddrinfo": staticmethod(lambda *_: found)})()
    monkeypatch.setattr(gevent.get_hub(), "resolver", resolver)
    dialled: list[Connection] = []
    failures: list[Ending] = []
    client = network.transport(1)
    client.dial(BinsUrl("some-name", server.address[1]), node(2), dialled.append, failures.append)
    until(lambda: bool(dialled))
    found.pop()
    client.dial(BinsUrl("some-name", 1), node(2), dialled.append, failures.append)
    until(lambda: bool(failures))
    assert failures[0].nobody_there, "the last address refused"


def test_a_listener_that_never_answers_is_given_up(network: TlsNetwork) -> None:
    client = network.transport(1)
    failures: list[Ending] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = BinsUrl("127.0.0.1", silent.getsockname()[1])
        client.dial(url, node(2), lambda _: None, failures.append)
        until(lambda: bool(failures))
    assert "handshake_timeout" in failures[0].cause
    assert failures[0].reason is None


def test_a_full_backlog_is_a_connect_timeout(network: TlsNetwork) -> None:
    client = network.transport(1)
    failures: list[Ending] = []
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        client.dial(BinsUrl(*full.getsockname()), node(2), lambda _: None, failures.append)
        until(lambda: bool(failures))
        for sock in waiting:
            sock.close()
    assert "connect_timeout" in failures[0].cause


def test_a_foreign_thread_is_refused(network: TlsNetwork) -> None:
    transport = network.transport(1)
    told: list[str] = []

    def use() -> None:
        try:
            transport.listen(ANY_PORT, lambda _: None, lambda *_: None)
        except Misuse as error:
            told.append(str(error))
        finally:
            gevent.get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert "the thread it was made in" in told[0]


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    network = TlsNetwork(tmp_path, SETTINGS)
    Pair(network)  # what gevent and OpenSSL open once
    network.close()
    gc.collect()
    before = open_descriptors()
    for number in range(3):
        _live_a_little(tmp_path / str(number))
    gc.collect()
    assert open_descriptors() <= before


def _live_a_little(folder: Path) -> None:
    with made(folder, SETTINGS) as network:
        pair = Pair(network)
        server = Server(network)
        with strangers(server, 5):
            failures: list[Ending] = []
            pair.one.dial(server.listener.url, node(7), lambda _: None, failures.append)
            pair.one.dial(server.listener.url, node(2), lambda _: None, lambda _: None)
            until(lambda: bool(failures))
            assert pair.left.connection.send([text(200)] * 1_000)
            pair.left.connection.close("over")
            assert pair.left.ending


def test_a_certificate_authority_of_another_cluster_is_refused(
    network: TlsNetwork, server: Server, tmp_path: Path
) -> None:
    other = TlsTransport(TestCa(tmp_path / "x", name="x").issue(1).settings(), SETTINGS, node(1))
    failures: list[Ending] = []
    other.dial(server.listener.url, node(2), lambda _: None, failures.append)
    until(lambda: bool(failures and server.refused))
    assert (failures[0].reason, failures[0].by_peer) == (Reason.CERT_UNTRUSTED, False)
    assert (server.refused[0].reason, server.refused[0].by_peer) == (Reason.CERT_UNTRUSTED, True)
    other.close()


def test_a_peer_cannot_make_us_hoard_answers_it_does_not_read(
    network: TlsNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key updates ask for answers; here each thing read makes TLS owe 10 KiB (T20)."""
    pair = Pair(network)
    pair.right.connection.pause()
    while pair.left.connection.send([text(250)] * 100):
        gevent.sleep(0)
    session = pair.left.connection._session  # type: ignore[attr-defined]
    receive = session.receive

    def receive_and_owe(ciphertext: bytes) -> list[bytes]:
        chunks: list[bytes] = receive(ciphertext)
        session.owes = True
        return chunks

    monkeypatch.setattr(session, "receive", receive_and_owe)
    monkeypatch.setattr(session, "output", lambda: b"x" * 10 * 1024)
    asked = 0
    while not pair.left.endings:
        assert pair.right.connection.send([ping(asked)])
        asked += 1
        until(lambda: bool(pair.left.endings) or len(pair.left.messages) == asked)  # noqa: B023
        assert asked <= connection_module.MAX_UNREAD_REPLY_BYTES // (10 * 1024) + 1
    assert pair.left.ending.reason is Reason.VIOLATION
    assert asked > 10
