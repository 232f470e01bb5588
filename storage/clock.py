"""The clock that judges leases: the database server's, or of an SQLite file the host's.

No client's idea of the time goes into a statement, so a node whose clock is wrong or is set changes
nothing (P18). SQLite has no server: its "now" would be the wall clock, which may be set. It is lent
the host's monotonic clock instead, which all processes of a host share and nobody sets. That clock
begins anew when the host does, so a lease with more time left than it was ever given is from before
that, and is over. On a server such a lease only says that the clock was set back: it goes on.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

_LENT = "tagmesh_now_ms"


class now_ms(FunctionElement[int]):  # noqa: N801 - reads as the functions of sqlalchemy.func do
    """Milliseconds on the clock that judges; only differences mean something."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(now_ms, "sqlite")
def _sqlite(_element: Any, _compiler: Any, **_options: Any) -> str:
    return f"{_LENT}()"


@compiles(now_ms, "postgresql")
def _postgresql(_element: Any, _compiler: Any, **_options: Any) -> str:
    # Of the statement, as in MySQL: one time for all of its expressions.
    return "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)"


@compiles(now_ms, "mysql", "mariadb")
def _mysql(_element: Any, _compiler: Any, **_options: Any) -> str:
    # Not UNIX_TIMESTAMP(NOW(3)): it is ambiguous in the hour that a time zone has twice.
    return "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)"


def left_ms(
    until_ms: ColumnElement[int], ttl_ms: ColumnElement[int], *, server: bool
) -> ColumnElement[int]:
    """How long a lease that was given for ``ttl_ms`` and ends at ``until_ms`` lasts; ≤ 0 = over."""
    left = until_ms - now_ms()
    return left if server else sa.case((left > ttl_ms, 0), else_=left)


def lend(connection: sqlite3.Connection) -> None:
    """Give an SQLite connection the clock of this host."""
    connection.create_function(_LENT, 0, _host_ms)


def _host_ms() -> int:
    return time.monotonic_ns() // 1_000_000
