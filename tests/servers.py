"""Throw-away database servers from the machine's packages, each in a temporary folder."""

from __future__ import annotations

import glob
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

START_TIMEOUT_S = 20.0
MEMORY = Path("/dev/shm")
MEMORY_NEEDED_BYTES = 256 * 1024**2


class DatabaseServer(ABC):
    """One server of its own, on a free loopback port."""

    name: ClassVar[str]
    packages: ClassVar[str]
    """Of Debian, to install it."""
    crash: ClassVar[signal.Signals]
    """Ends it without a goodbye."""
    driver: ClassVar[str]
    """Of SQLAlchemy."""
    wipe: ClassVar[tuple[str, ...]]
    """Statements after which its database is empty."""

    def __init__(self, binaries: Path) -> None:
        self.password = f"pw-{secrets.token_hex(8)}"
        self.port = _free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="tagmesh-db-", dir=self._where()))
        self._binaries = binaries
        self._process: subprocess.Popen[bytes] | None = None
        self._log = self.folder / "server.log"
        self._as: dict[str, str | int] = {}

    @staticmethod
    def _where() -> Path | None:
        """The folder for its folder; None = the usual one."""
        return None

    @staticmethod
    @abstractmethod
    def binaries() -> Path | None:
        """The folder of its programs; None = it is not on this machine."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Of its database, over TCP."""

    @abstractmethod
    def create(self) -> None:
        """Make its data folder."""

    @abstractmethod
    def _command(self) -> list[str | Path]:
        """Runs it in the foreground."""

    @abstractmethod
    def _accepts(self) -> bool:
        """Whether it takes connections."""

    def empty(self) -> None:
        """Nothing is in its database any more."""
        url = self.url.replace("://", f"+{self.driver}://", 1)
        engine = sa.create_engine(url, poolclass=NullPool)
        with engine.begin() as connection:
            for statement in self.wipe:
                connection.exec_driver_sql(statement)

    def start(self) -> None:
        """Returns when it accepts connections."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                cwd=self.folder, **self._as,  # type: ignore[call-overload]
            )  # fmt: skip
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"{self.name} did not start:\n{self._log.read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """At once, as in a crash: connections break, the next start recovers."""
        if self._process is not None:
            self.thaw()
            self._process.send_signal(self.crash)
            self._process.wait(START_TIMEOUT_S)
            self._process = None

    def freeze(self) -> None:
        """Stop all its processes as SIGSTOP does: its kernel still accepts and acknowledges."""
        for process in self._processes():
            os.kill(process, signal.SIGSTOP)

    def thaw(self) -> None:
        for process in self._processes():
            os.kill(process, signal.SIGCONT)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def _processes(self) -> list[int]:
        assert self._process is not None
        main = self._process.pid
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        return [main, *map(int, children)]

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._binaries / program, *arguments],
            check=False, capture_output=True, text=True, cwd=self.folder,
            timeout=START_TIMEOUT_S, **self._as,  # type: ignore[call-overload]
        )  # fmt: skip
        assert done.returncode == 0, f"{program} failed: {done.stderr}"


class PostgresServer(DatabaseServer):
    """Also on a Unix socket, where no password is asked for."""

    name = "PostgreSQL"
    packages = "postgresql"
    crash = signal.SIGQUIT
    driver = "psycopg"
    wipe = ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    user = "postgres"

    def __init__(self, binaries: Path) -> None:
        super().__init__(binaries)
        # initdb and the server refuse to run as root.
        if os.geteuid() == 0:
            owner = pwd.getpwnam(self.user)
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self._as = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": ()}  # type: ignore[dict-item]

    @staticmethod
    def binaries() -> Path | None:
        found = glob.glob("/usr/lib/postgresql/*/bin/initdb")  # noqa: PTH207 - absolute pattern
        newest = max(found, key=lambda path: int(Path(path).parts[-3]), default=None)
        return Path(newest).parent if newest else None

    @property
    def url(self) -> str:
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def socket_url(self) -> str:
        """Of its database, over the Unix socket."""
        return f"postgresql://{self.user}@/postgres?host={self.folder}&port={self.port}"

    def create(self) -> None:
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        password_file.chmod(0o644)  # inside a folder of mode 0700
        self._run(
            "initdb", "--pgdata", str(self.folder / "data"), "--username", self.user,
            "--pwfile", str(password_file), "--auth-host", "scram-sha-256", "--auth-local", "trust",
            "--encoding", "UTF8", "--locale", "C", "--no-sync",
        )  # fmt: skip
        password_file.unlink()

    def _command(self) -> list[str | Path]:
        settings = (
            "listen_addresses=127.0.0.1", f"port={self.port}",
            f"unix_socket_directories={self.folder}", "fsync=off", "full_page_writes=off",
            "shared_buffers=16MB", "max_connections=30",
        )  # fmt: skip
        options = [part for setting in settings for part in ("-c", setting)]
        return [self._binaries / "postgres", "-D", self.folder / "data", *options]

    def _accepts(self) -> bool:
        command = [str(self._binaries / "pg_isready"), "-q", "-h", "127.0.0.1", f"-p{self.port}"]
        return subprocess.run(command, check=False, timeout=START_TIMEOUT_S).returncode == 0


class MariaDbServer(DatabaseServer):
    """With an empty database ``tagmesh`` and a user who may do everything in it."""

    name = "MariaDB"
    packages = "mariadb-server-core mariadb-client-core"
    crash = signal.SIGKILL
    driver = "pymysql"
    wipe = ("DROP DATABASE tagmesh", "CREATE DATABASE tagmesh CHARACTER SET utf8mb4")
    user = "tagmesh"

    @staticmethod
    def binaries() -> Path | None:
        # The client's package has what the first program needs to run.
        programs = ("mariadb-install-db", "my_print_defaults")
        there = all(Path("/usr/bin", program).exists() for program in programs)
        return Path("/usr/sbin") if there and Path("/usr/sbin/mariadbd").exists() else None

    @staticmethod
    def _where() -> Path | None:
        # No option keeps it from waiting for the disk at each change of a table.
        enough = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_NEEDED_BYTES
        return MEMORY if enough and os.access(MEMORY, os.W_OK) else None

    @property
    def url(self) -> str:
        return f"mysql://{self.user}:{self.password}@127.0.0.1:{self.port}/tagmesh"

    def create(self) -> None:
        self._run(
            "../bin/mariadb-install-db", *self._common(), "--skip-test-db", "--skip-name-resolve",
            "--innodb-log-file-size=8M",
        )  # fmt: skip
        (self.folder / "init.sql").write_text(
            "CREATE DATABASE IF NOT EXISTS tagmesh;\n"
            f"CREATE USER IF NOT EXISTS {self.user}@'127.0.0.1'"
            f" IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL ON tagmesh.* TO {self.user}@'127.0.0.1';\n"
        )

    def _common(self) -> list[str]:
        # It runs as root only where it is told to.
        as_root = ["--user=root"] if os.geteuid() == 0 else []
        return ["--no-defaults", f"--datadir={self.folder / 'data'}", *as_root]

    def _command(self) -> list[str | Path]:
        return [
            self._binaries / "mariadbd", *self._common(), "--bind-address=127.0.0.1",
            f"--port={self.port}", f"--socket={self.folder / 'socket'}", "--skip-name-resolve",
            f"--pid-file={self.folder / 'pid'}", f"--init-file={self.folder / 'init.sql'}",
            "--innodb-buffer-pool-size=16M", "--innodb-flush-method=nosync",
        ]  # fmt: skip

    def _accepts(self) -> bool:
        with socket.socket() as probe:  # its port opens last
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
