"""Connections to PostgreSQL on which no wait lasts longer than a given time (H14, H15)."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

_Answer = TypeVar("_Answer")


def connect(*, query_timeout_s: float, read_only: bool, **params: Any) -> psycopg.Connection[Any]:
    """A connection whose server gives up a statement after ``query_timeout_s`` seconds.

    It also ends a transaction in which this process is silent for as long: one that is stopped
    there must not keep its locks.

    Establishing it takes at most ``max(2, query_timeout_s)`` seconds per address of the host: libpq
    knows no shorter time. Raises `psycopg.Error`.
    """
    timeout_ms = max(1, int(query_timeout_s * 1000))
    params |= {
        "connect_timeout": max(2, round(query_timeout_s)),
        "tcp_user_timeout": timeout_ms,
        "client_encoding": "UTF8",
    }
    connection = _BoundedConnection.connect(autocommit=True, **params)
    connection.query_timeout_s = query_timeout_s
    try:
        # Not as start-up options: those belong to the user's URL (search_path).
        connection.execute(
            "SELECT set_config('statement_timeout', %s, false),"
            " set_config('idle_in_transaction_session_timeout', %s, false),"
            " set_config('default_transaction_read_only', %s, false)",
            (str(timeout_ms), str(timeout_ms), "on" if read_only else "off"),
        )
        connection.autocommit = False
    except psycopg.Error:
        connection.close()
        raise
    return connection


class _BoundedConnection(psycopg.Connection[Any]):
    """Also ends when the server is frozen: its kernel still acknowledges, so nothing else fires."""

    query_timeout_s: float = 2.0

    def wait(self, gen: Generator[Any, Any, _Answer], *args: Any, **options: Any) -> _Answer:
        return super().wait(self._bounded(gen), *args, **options)

    def _bounded(self, gen: Generator[Any, Any, _Answer]) -> Generator[Any, Any, _Answer]:
        # The server's own statement_timeout comes first where it can: its message is better.
        deadline_s = time.monotonic() + self.query_timeout_s * 1.25
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if time.monotonic() > deadline_s:
                    self.pgconn.finish()
                    raise psycopg.OperationalError("the server does not answer")
                wanted = gen.send(ready)
        except StopIteration as done:
            answer: _Answer = done.value
            return answer
