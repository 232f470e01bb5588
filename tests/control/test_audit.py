"""Every command that changes something leaves a line in the log, and a row where there are rows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tagmesh.control import audit
from tagmesh.control.audit import MAX_ROWS, MAX_WAITING, Audit
from tagmesh.protocol.config import ProvisioningSettings
from tagmesh.storage import Provisioning
from tagmesh.storage.audit_table import SqlAudit


@pytest.fixture
def settings(tmp_path: Path) -> ProvisioningSettings:
    return ProvisioningSettings(url=f"sqlite:///{tmp_path}/nodes.db")


class Jobs:
    """Nothing happens before `do`."""

    def __init__(self) -> None:
        self._jobs: list[Callable[[], None]] = []

    def run(self, job: Callable[[], None]) -> None:
        self._jobs.append(job)

    def do(self) -> None:
        while self._jobs:
            self._jobs.pop(0)()


def test_it_is_in_the_log_at_once_and_in_the_table_soon(
    settings: ProvisioningSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tagmesh.audit")
    Provisioning(settings).init()
    jobs = Jobs()
    noted = Audit(4, settings, jobs.run)
    noted.note("http", "clusterer_set_cap_status", "cluster_id=1", "OK")
    assert caplog.messages == ["http: clusterer_set_cap_status cluster_id=1: OK"]
    for number in range(2 * MAX_ROWS):
        noted.note("node 2", "x", str(number), "refused")
    jobs.do()
    noted.close()
    rows = SqlAudit(settings).newest(1000)
    assert [row.arguments for row in rows] == ["cluster_id=1", *map(str, range(2 * MAX_ROWS))]
    assert (rows[0].node_id, rows[0].who, rows[0].outcome) == (4, "http", "OK")


def test_a_database_that_is_away_loses_rows_but_nothing_of_the_log(
    settings: ProvisioningSettings, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = Jobs()
    noted = Audit(4, settings, jobs.run)
    noted.note("http", "x", "", "OK")
    jobs.do()
    assert "1 entries are in the log only" in caplog.messages[-1]
    Provisioning(settings).init()
    noted.note("http", "y", "", "OK")
    jobs.do()
    assert [row.command for row in SqlAudit(settings).newest(10)] == ["y"]


def test_what_waits_is_bounded(
    settings: ProvisioningSettings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert MAX_WAITING >= 100
    monkeypatch.setattr(audit, "MAX_WAITING", 3)
    Provisioning(settings).init()
    jobs = Jobs()
    noted = Audit(4, settings, jobs.run)
    for number in range(5):
        noted.note("http", "x", str(number), "OK")
    assert caplog.messages.count("3 entries wait for the database: this one is here only") == 2
    jobs.do()
    assert [row.arguments for row in SqlAudit(settings).newest(10)] == ["0", "1", "2"]


def test_static_provisioning_has_no_database(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tagmesh.audit")
    jobs = Jobs()
    Audit(4, ProvisioningSettings(mode="static"), jobs.run).note("fifo", "x", "", "OK")
    jobs.do()
    assert caplog.messages == ["fifo: x : OK"]
