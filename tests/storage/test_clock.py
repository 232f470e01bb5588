"""Leases are judged by one clock, and by nobody's own (P18)."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tagmesh.storage import SqlTagStore, clock
from tests.storage.owners import C1, TTL_S, VIP, A, B, row_of

if TYPE_CHECKING:
    from .conftest import Storage

STEPPED = """
import datetime, sys, time
URL, STEP_S = sys.argv[1], float(sys.argv[2])
real_s, real = time.time, datetime.datetime
class Stepped(real):
    @classmethod
    def now(cls, tz=None): return real.now(tz) + datetime.timedelta(seconds=STEP_S)
    @classmethod
    def utcnow(cls): return real.utcnow() + datetime.timedelta(seconds=STEP_S)
time.time = lambda: real_s() + STEP_S
time.time_ns = lambda: int(time.time() * 1e9)
datetime.datetime = Stepped
from tagmesh.protocol.config import ProvisioningSettings
from tagmesh.protocol.tag_words import Owner
from tagmesh.storage import SqlTagStore
tags = SqlTagStore(ProvisioningSettings(url=URL))
print(tags.acquire(1, "vip1", Owner(2, 1), seen=1, ttl_s=60).done)
print(round(tags.acquire(1, "vip2", Owner(2, 1), seen=0, ttl_s=60).row.left_s, -1))
"""


@pytest.mark.parametrize("step_s", [-3e8, -600, 600, 3e8])
def test_the_clock_of_a_client_makes_no_difference(
    tags: SqlTagStore, storage: Storage, step_s: float
) -> None:
    """P18: wrong by minutes or years, it ends no lease of others and makes no long one."""
    tags.acquire(C1, VIP, A, seen=0, ttl_s=TTL_S)
    run = [sys.executable, "-c", STEPPED, storage.settings.url, str(step_s)]
    done = subprocess.run(run, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "60.0"]
    assert not tags.acquire(C1, "vip2", A, seen=1, ttl_s=TTL_S).done


def test_a_lease_from_before_the_start_of_the_host_is_over(
    sqlite_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_storage.init(*map(sqlite_storage.node, (1, 2)))
    with sqlite_storage.tags() as tags:
        tags.acquire(C1, VIP, A, seen=0, ttl_s=TTL_S)
        monkeypatch.setattr(clock, "_host_ms", lambda: 1000)
        assert row_of(tags).left_s == 0
        assert tags.acquire(C1, VIP, B, seen=1, ttl_s=TTL_S).done
        assert row_of(tags).left_s > TTL_S
