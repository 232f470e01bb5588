"""What several folders of tests share: throw-away database servers, no skips in CI."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

import hypothesis
import pytest

from tests.servers import DatabaseServer, MariaDbServer, PostgresServer

_Server = TypeVar("_Server", bound=DatabaseServer)


def pytest_configure() -> None:
    """A shell starts what runs in its background with SIGINT ignored, and so would every child be:
    tests that interrupt a program need it as a terminal has it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    hypothesis.settings.register_profile("untimed", deadline=None)  # cores are shared
    hypothesis.settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With ``CI`` set nothing may be missing: a skipped test has failed."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI forbids: {report.longrepr}"
    return report


@contextmanager
def _running(kind: type[_Server]) -> Iterator[_Server]:
    binaries = kind.binaries()
    if binaries is None:
        what = f"no {kind.name} on this machine; install the Debian packages {kind.packages}"
        if os.environ.get("CI"):
            pytest.fail(what)
        pytest.skip(what)
    server = kind(binaries)
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running server; tests that stop or freeze it must start or thaw it again."""
    with _running(PostgresServer) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDbServer]:
    """As `postgres_server`."""
    with _running(MariaDbServer) as server:
        yield server
