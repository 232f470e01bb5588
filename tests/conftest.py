"""What several folders of tests share: a throw-away PostgreSQL server, no skips in CI."""

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
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

START_TIMEOUT_S = 20.0
USER = "postgres"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With ``CI`` set nothing may be missing: a skipped test has failed."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI forbids: {report.longrepr}"
    return report


class PostgresServer:
    """One server of its own in a temporary folder, on a free loopback port and a Unix socket."""

    def __init__(self, binaries: Path) -> None:
        self.password = f"pw-{secrets.token_hex(8)}"
        self.port = _free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="tagmesh-pg-"))
        self._binaries = binaries
        self._process: subprocess.Popen[bytes] | None = None
        self._log = self.folder / "server.log"
        # initdb and the server refuse to run as root.
        self._as: dict[str, str | int] = {}
        if os.geteuid() == 0:
            owner = pwd.getpwnam(USER)
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self._as = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": ()}  # type: ignore[dict-item]

    @property
    def url(self) -> str:
        """Of its database, over TCP."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def socket_url(self) -> str:
        """Of its database, over the Unix socket, where no password is asked for."""
        return f"postgresql://{USER}@/postgres?host={self.folder}&port={self.port}"

    def create(self) -> None:
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        password_file.chmod(0o644)  # inside a folder of mode 0700
        self._run(
            "initdb", "--pgdata", str(self.folder / "data"), "--username", USER,
            "--pwfile", str(password_file), "--auth-host", "scram-sha-256", "--auth-local", "trust",
            "--encoding", "UTF8", "--locale", "C", "--no-sync",
        )  # fmt: skip
        password_file.unlink()

    def start(self) -> None:
        """Returns when it accepts connections."""
        settings = (
            "listen_addresses=127.0.0.1", f"port={self.port}",
            f"unix_socket_directories={self.folder}", "fsync=off", "full_page_writes=off",
            "shared_buffers=16MB", "max_connections=30",
        )  # fmt: skip
        options = [part for setting in settings for part in ("-c", setting)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self.folder / "data", *options],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder,
                **self._as,  # type: ignore[call-overload]
            )  # fmt: skip
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """At once, as in a crash: connections break, the next start recovers."""
        if self._process is not None:
            self.thaw()
            self._process.send_signal(signal.SIGQUIT)
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

    def _accepts(self) -> bool:
        command: list[str | Path] = [
            self._binaries / "pg_isready",
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
        ]
        return subprocess.run(command, check=False, timeout=START_TIMEOUT_S).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._binaries / program, *arguments],
            check=False, capture_output=True, text=True, cwd=self.folder,
            timeout=START_TIMEOUT_S, **self._as,  # type: ignore[call-overload]
        )  # fmt: skip
        assert done.returncode == 0, f"{program} failed: {done.stderr}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _postgres_binaries() -> Path | None:
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")  # noqa: PTH207 - absolute pattern
    newest = max(found, key=lambda path: int(Path(path).parts[-3]), default=None)
    return Path(newest).parent if newest else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running server; tests that stop or freeze it must start or thaw it again."""
    binaries = _postgres_binaries()
    if binaries is None:
        what = "no PostgreSQL server on this machine; install the Debian package 'postgresql'"
        if os.environ.get("CI"):
            pytest.fail(what)
        pytest.skip(what)
    server = PostgresServer(binaries)
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.remove()
