"""Sharing tags while others change them too, and while the database is away (P4)."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from tagmesh.protocol.errors import StorageUnavailable
from tagmesh.storage import SqlTagStore
from tagmesh.storage.engine import Conflict
from tagmesh.storage.tag_table import MAX_TRIES
from tests.storage.owners import C1, SLACK_S, TTL_S, VIP, A, B, row_of
from tests.storage.tag_race import judge_claims, judge_leases

if TYPE_CHECKING:
    from tests.servers import DatabaseServer

    from .conftest import Storage

ISOLATION_LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


@contextmanager
def _under_way(storage: Storage, statement: str) -> Iterator[Callable[[bool], None]]:
    """A transaction of somebody else that has changed the row and has not ended."""
    with storage.engine.connect() as connection:
        connection.exec_driver_sql(statement)

        def end(commit: bool) -> None:
            (connection.commit if commit else connection.rollback)()

        yield end


@pytest.mark.parametrize("isolation", ISOLATION_LEVELS)
@pytest.mark.parametrize("commit", [True, False], ids=["commits", "rolls back"])
@pytest.mark.parametrize("fixture", ["postgres_storage", "mariadb_storage"])
def test_a_claim_waits_for_another_and_then_judges(
    request: pytest.FixtureRequest, fixture: str, commit: bool, isolation: str
) -> None:
    """At each isolation level: whether the other one counts is known when it ends only."""
    storage: Storage = request.getfixturevalue(fixture)
    storage.init()
    answers: list[Any] = []
    with storage.tags() as tags:
        tags.claim(C1, VIP, A, seen=0)
        engine = tags._database._engine
        tags._database._engine = engine.execution_options(isolation_level=isolation)
        waiting = threading.Thread(target=lambda: answers.append(tags.claim(C1, VIP, A, seen=1)))
        with _under_way(storage, "UPDATE cluster_tags SET number = 2, owner = 2") as end:
            waiting.start()
            waiting.join(0.3)
            assert waiting.is_alive()
            end(commit)
            waiting.join(SLACK_S)
    ((done, row),) = answers
    assert done is not commit
    assert (row.number, row.owner.node_id) == ((2, 2) if commit else (2, 1))


def test_who_stops_in_a_transaction_keeps_the_others_away_for_a_moment_only(
    outage: tuple[Storage, DatabaseServer],
) -> None:
    """As when a process is stopped or cut off between its change and its commit."""
    storage, _ = outage
    storage.init()
    with storage.tags(query_timeout_s=1.0) as stopped, storage.tags(query_timeout_s=0.3) as tags:
        stopped.claim(C1, VIP, A, seen=0)

        def stop() -> None:
            with stopped._database.transaction() as connection:
                change = stopped._tags.update().values(owner=9, number=9)
                connection.execute(change)
                deadline_s = time.monotonic() + 2.0 + SLACK_S
                while row_of(tags).owner != B:
                    assert time.monotonic() < deadline_s
                    with suppress(StorageUnavailable):  # this wait is bounded too
                        tags.claim(C1, VIP, B, seen=1)
                connection.execute(change)

        with pytest.raises(StorageUnavailable):
            stop()
        assert row_of(tags).number == 2
        assert stopped.claim(C1, VIP, A, seen=2).done


def test_who_is_always_undone_gives_up(tags: SqlTagStore, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def undone() -> Any:
        tries.append(1)
        raise Conflict("could not serialize access")

    monkeypatch.setattr(tags._database, "transaction", undone)
    with pytest.raises(StorageUnavailable, match="could not serialize"):
        tags.claim(C1, VIP, A, seen=0)
    assert len(tries) == MAX_TRIES


def test_a_missing_table_says_what_to_do(storage: Storage) -> None:
    storage.run("CREATE TABLE other (id INTEGER)")
    with storage.tags() as tags:
        calls: list[Callable[[], Any]] = [
            lambda: tags.load(C1),
            lambda: tags.claim(C1, VIP, A, seen=0),
            lambda: tags.acquire(C1, VIP, A, seen=0, ttl_s=TTL_S),
        ]
        for call in calls:
            with pytest.raises(StorageUnavailable, match=r"cluster_tags.*`tagmesh db init`"):
                call()


@pytest.fixture(
    params=[
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
def outage(request: pytest.FixtureRequest) -> tuple[Storage, DatabaseServer]:
    return (
        request.getfixturevalue(f"{request.param}_storage"),
        request.getfixturevalue(f"{request.param}_server"),
    )


@pytest.mark.parametrize("kind", ["stopped", "frozen"])
def test_an_outage_is_an_error_in_bounded_time_and_costs_no_number(
    outage: tuple[Storage, DatabaseServer], kind: str
) -> None:
    storage, server = outage
    storage.init(storage.node(1))
    with storage.tags(url=server.url, query_timeout_s=0.4) as tags:
        assert tags.acquire(C1, VIP, A, seen=0, ttl_s=TTL_S).done
        (server.stop if kind == "stopped" else server.freeze)()
        try:
            calls: list[Callable[[], Any]] = [
                lambda: tags.renew(C1, VIP, A, number=1, ttl_s=TTL_S),
                lambda: tags.claim(C1, "vip2", A, seen=0),
            ]
            for call in calls:
                begun_s = time.monotonic()
                with pytest.raises(StorageUnavailable) as caught:
                    call()
                assert caught.value.may_pass
                # The old connection is given up first; libpq takes 2 s at least to make another.
                assert time.monotonic() - begun_s < 0.5 + 2.0 + SLACK_S
        finally:
            (server.start if kind == "stopped" else server.thaw)()
        assert tags.renew(C1, VIP, A, number=1, ttl_s=TTL_S).done
        assert tags.claim(C1, "vip2", A, seen=0).done
        assert row_of(tags, "vip2").number == 1


def test_a_locked_file_is_an_error_in_bounded_time(sqlite_storage: Storage) -> None:
    sqlite_storage.init()
    with sqlite_storage.tags(query_timeout_s=0.3) as tags:
        with sqlite_storage.locked():
            begun_s = time.monotonic()
            with pytest.raises(StorageUnavailable, match="longer than query_timeout"):
                tags.claim(C1, VIP, A, seen=0)
            assert 0.25 <= time.monotonic() - begun_s < 0.3 + SLACK_S
        assert tags.claim(C1, VIP, A, seen=0).done


RACE_TRIES = {"sqlite": 160, "postgresql": 800, "mariadb": 800}
"""Few enough for ten seconds; ``make soak`` has 10,000."""


def _race(storage: Storage, kind: str, tries: int) -> Any:
    program = [sys.executable, "-m", "tests.storage.tag_race", storage.settings.url]
    done = subprocess.run(
        [*program, "--kind", kind, "--tries", str(tries)],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_no_number_is_given_twice_to_processes_that_fight_for_it(
    tags: SqlTagStore, storage: Storage
) -> None:
    """P4."""
    reports = _race(storage, "claims", RACE_TRIES[storage.kind])
    assert sum(bool(report["given"]) for report in reports) > 1
    judge_claims(reports, row_of(tags).number)


def test_no_two_processes_hold_a_lease_at_one_instant(tags: SqlTagStore, storage: Storage) -> None:
    """B4."""
    judge_leases(_race(storage, "leases", 80))
    assert row_of(tags).number > 1


def test_the_judges_of_a_race_see_what_is_wrong() -> None:
    with pytest.raises(AssertionError, match="given twice"):
        judge_claims([{"given": [1, 2], "unknown": 0}, {"given": [2], "unknown": 0}], 2)
    with pytest.raises(AssertionError, match="given to nobody"):
        judge_claims([{"given": [1, 3], "unknown": 0}], 3)
    with pytest.raises(AssertionError, match=r"two owners for 500\.000 ms"):
        judge_leases([{"held": [(0.0, 1.0)]}, {"held": [(0.5, 2.0)]}])
