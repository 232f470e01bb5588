"""A TLS peer made of pyOpenSSL alone."""

from __future__ import annotations

import contextlib
from functools import cached_property

import gevent
from OpenSSL import SSL

from tests.transport.links import Recorder, Server, TlsNetwork, until


class RawPeer:
    """A node with a good certificate whose bytes are up to the test."""

    def __init__(self, network: TlsNetwork, server: Server) -> None:
        issuer = network.ca.as_issuer(network.ca.issue(1))
        context = SSL.Context(SSL.TLS_METHOD)
        context.use_certificate(issuer.certificate)
        context.use_privatekey(issuer.key)
        self.tls = SSL.Connection(context, None)
        self.tls.set_connect_state()
        self.sock = server.stranger()
        self._server = server

    def greet(self) -> None:
        while not self._server.connections:
            with contextlib.suppress(SSL.WantReadError):
                self.tls.do_handshake()
            self.pump()
            gevent.sleep(0.001)

    @cached_property
    def recorder(self) -> Recorder:
        until(lambda: bool(self._server.connections))
        return Recorder(self._server.connections[0])

    def pump(self) -> None:
        with contextlib.suppress(SSL.WantReadError):
            self.sock.send(self.tls.bio_read(256 * 1024))
        with contextlib.suppress(BlockingIOError, OSError):
            if data := self.sock.recv(65536):
                self.tls.bio_write(data)

    def write(self, data: bytes) -> None:
        self.tls.sendall(data)
        self.pump()
