"""From a configured URL to transactions whose every wait is bounded and whose errors are plain."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool, QueuePool

from ..protocol.config import ProvisioningSettings
from ..protocol.errors import Misuse, StorageUnavailable
from . import clock
from .failures import FAILURES, is_conflict, may_pass, sentence

Access = Literal["read", "write", "create"]
"""``create`` also makes the file of an SQLite database that does not exist."""

_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "mariadb+pymysql": "mariadb+pymysql",
}
_SHOWN_OPTIONS = ("host", "port")  # the other options of a URL may hold secrets (S15)


class Conflict(StorageUnavailable):
    """Another transaction changed the same rows meanwhile and this one was undone: try it again."""


class Database:
    """One database with bounded waits. Calls block: make them in worker threads, one at a time.

    SQLite is opened anew for each transaction, so a file that was replaced is noticed and no
    connection belongs to a thread; a server keeps one connection, tried before use.
    """

    def __init__(self, settings: ProvisioningSettings, access: Access) -> None:
        """Does not connect. Raises `Misuse` for a URL that can never work."""
        url = read_url(settings.url)
        self.name = shown_url(url)
        self.is_server = url.get_backend_name() != "sqlite"
        """Whether it serves several hosts; else it is a file of this one."""
        self._secrets = [secret for secret in (url.password, quote(url.password or "")) if secret]
        self._file = Path(url.database or "") if url.drivername == "sqlite" else None
        self._access = access
        self._timeout_s = settings.query_timeout_s
        self._engine = self._sqlite(self._file) if self._file else self._server(url)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction, committed at the end unless an exception passes.

        All reads in it see one state of the database. Raises `StorageUnavailable`, of which
        `Conflict` means that nothing is wrong and nothing was done.
        """
        if self._file and self._access != "create" and not self._file.exists():
            raise StorageUnavailable(
                f"database {self.name}: there is no such file; create it with `tagmesh db init`",
                may_pass=False,
            )
        try:
            with self._engine.begin() as connection:
                yield connection
        except FAILURES as error:
            said = sentence(error, self._secrets)
            kind = Conflict if is_conflict(error) else StorageUnavailable
            # None: the chain would carry the statement, its values and the connection's options.
            raise kind(f"database {self.name}: {said}", may_pass=may_pass(error)) from None

    def close(self) -> None:
        """Give connections back. A later transaction opens them again."""
        self._engine.dispose()

    def _sqlite(self, file: Path) -> Engine:
        mode = "rwc" if self._access == "create" else "rw"
        address = f"file:{quote(str(file))}?mode={mode}"
        begin = "BEGIN" if self._access == "read" else "BEGIN IMMEDIATE"

        def connect() -> sqlite3.Connection:
            # isolation_level None: the module would begin transactions only before writes.
            connection = sqlite3.connect(
                address, uri=True, timeout=self._timeout_s, isolation_level=None
            )
            # Bytes that are not UTF-8 in one row must not hide the others.
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            clock.lend(connection)
            if self._access == "read":
                connection.execute("PRAGMA query_only = ON")
            return connection

        engine = sqlalchemy.create_engine("sqlite://", creator=connect, poolclass=NullPool)

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        return engine

    def _server(self, url: URL) -> Engine:
        limits: dict[str, Any] = {}
        if url.get_backend_name() != "postgresql":
            names = ("connect_timeout", "read_timeout", "write_timeout")
            limits = dict.fromkeys(names, self._timeout_s)
            limits["init_command"] = _mysql_limits(self._timeout_s)
        try:
            engine = sqlalchemy.create_engine(
                url,
                connect_args=limits,
                poolclass=QueuePool,
                pool_size=1,
                max_overflow=0,
                pool_timeout=self._timeout_s,
                pool_pre_ping=True,
                isolation_level="REPEATABLE READ",
                hide_parameters=True,
            )
        except ImportError:
            extra = "postgres" if url.get_backend_name() == "postgresql" else "mysql"
            raise Misuse(
                f"database {self.name}: its driver is not installed; pip install 'tagmesh[{extra}]'"
            ) from None
        if url.get_backend_name() == "postgresql":
            self._bound_postgres(engine)
        return engine

    def _bound_postgres(self, engine: Engine) -> None:
        from . import postgres  # psycopg is an extra

        @event.listens_for(engine, "do_connect")
        def _connect(_dialect: Any, _record: Any, _args: Any, params: dict[str, Any]) -> Any:
            return postgres.connect(
                query_timeout_s=self._timeout_s, read_only=self._access == "read", **params
            )


def _mysql_limits(timeout_s: float) -> str:
    """How long the server waits: for a lock, and for a client that is silent in a transaction.

    Else a process that is stopped there keeps its locks as long as its connection lives. MySQL has
    no such limit: it takes what stands in the comment for one.
    """
    whole_s = max(1, math.ceil(timeout_s))
    idle = f"/*M!100300 SESSION idle_transaction_timeout = {whole_s}, */"
    return f"SET {idle} SESSION innodb_lock_wait_timeout = {whole_s}"


def read_url(text: str) -> URL:
    """The URL of a database with the driver tagmesh uses. Raises `Misuse`, never showing ``text``.

    ``postgres://`` and ``postgresql://`` mean psycopg 3, ``mysql://`` and ``mariadb://`` PyMySQL.
    """
    allowed = "allowed: sqlite:///path, postgresql://…, mysql://…"
    try:
        url = sqlalchemy.make_url(text)
    except (ArgumentError, ValueError):
        raise Misuse(f"[provisioning] url is not a database URL; {allowed}") from None
    driver = _DRIVERS.get(url.drivername)
    if driver is None:
        raise Misuse(f"[provisioning] url begins with {ascii(url.drivername)[:40]}; {allowed}")
    if driver == "sqlite" and (url.host or url.query or url.database in (None, "", ":memory:")):
        raise Misuse(
            "[provisioning] url must name a file as sqlite:///relative/path or"
            " sqlite:////absolute/path, without options: all processes of a node read it"
        )
    return url.set(drivername=driver)


def shown_url(url: URL) -> str:
    """The URL for people: password masked, options left out, driver as the user wrote it."""
    options = {key: value for key, value in url.query.items() if key in _SHOWN_OPTIONS}
    shown = url.set(drivername=url.get_backend_name(), query=options)
    return shown.render_as_string(hide_password=True)
