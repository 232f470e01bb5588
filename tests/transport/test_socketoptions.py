"""What the kernel is told, as it tells it again."""

from __future__ import annotations

import socket

import pytest

from tagmesh.transport.socketoptions import MAX_UNSENT_BYTES, reset_at_close, set_options


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        dialled = socket.create_connection(server.getsockname())
        return dialled, server.accept()[0]


def test_options() -> None:
    one, other = pair()
    with one, other:
        set_options(one, 1.5)
        tcp = socket.IPPROTO_TCP
        assert one.getsockopt(tcp, socket.TCP_NODELAY)
        assert one.getsockopt(tcp, socket.TCP_NOTSENT_LOWAT) == MAX_UNSENT_BYTES
        assert one.getsockopt(tcp, socket.TCP_USER_TIMEOUT) == 1500
        set_options(other, None)
        assert other.getsockopt(tcp, socket.TCP_USER_TIMEOUT) == 0


def test_a_socket_that_is_over_is_left_to_who_reads_it() -> None:
    one, other = pair()
    other.close()
    one.close()
    set_options(one, 1.0)


def test_the_other_side_meets_a_reset() -> None:
    one, other = pair()
    with other:
        reset_at_close(one)
        one.close()
        with pytest.raises(ConnectionResetError):
            other.recv(1)
