"""Random histories of sharing tags: the database answers as that of the simulator does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from tagmesh.protocol.config import ProvisioningSettings
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.tag_messages import Claim
from tagmesh.protocol.tag_words import Owner
from tagmesh.simulation.tag_store import SimulatedTagStore
from tagmesh.storage import Provisioning, SqlTagStore, clock
from tests.servers import MEMORY
from tests.storage.owners import A_RESTARTED, C1, C2, A, B

# Mostly one tag and low numbers, so that the steps of a history meet.
CLUSTERS, TAGS = st.sampled_from([C1] * 5 + [C2]), st.sampled_from(["vip1"] * 5 + ["vip2"])
OWNERS, NUMBERS = st.sampled_from([A, A_RESTARTED, B]), st.integers(0, 3)
TTLS_S = st.sampled_from([0.5, 2.0])


def _step(name: str, **arguments: Any) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.tuples(st.just(name), st.fixed_dictionaries({"cluster": CLUSTERS} | arguments))


def _heard(tag: str, number: int, owner: Owner, released: bool) -> Claim:
    return Claim(tag, number, owner.node_id, owner.incarnation, 50, released=released)


STEPS = st.one_of(
    _step("claim", tag=TAGS, owner=OWNERS, seen=NUMBERS),
    _step("acquire", tag=TAGS, owner=OWNERS, seen=NUMBERS, ttl_s=TTLS_S),
    _step("acquire", tag=TAGS, owner=OWNERS, seen=NUMBERS, ttl_s=TTLS_S),
    _step("renew", tag=TAGS, owner=OWNERS, number=NUMBERS, ttl_s=TTLS_S),
    _step("release", tag=TAGS, owner=OWNERS, number=NUMBERS),
    _step("keep", claim=st.builds(_heard, TAGS, NUMBERS, OWNERS, st.booleans())),
    _step("pause", tag=TAGS, paused=st.booleans()),
    _step("prefer", tag=TAGS, nodes=st.lists(st.integers(1, 3).map(NodeId), unique=True)),
    _step("load"),
    st.tuples(st.just("time"), st.fixed_dictionaries({"ms": st.integers(0, 2500)})),
)


@pytest.fixture
def url() -> Iterator[str]:
    memory = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="tagmesh-model-", dir=memory) as folder:
        url = f"sqlite:///{Path(folder, 'nodes.db')}"
        Provisioning(ProvisioningSettings(url=url)).init()
        yield url


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(STEPS, min_size=15, max_size=40))
def test_the_database_answers_as_the_simulated_one_does(
    url: str, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, dict[str, Any]]]
) -> None:
    now_ms = 1_000_000
    monkeypatch.setattr(clock, "_host_ms", lambda: now_ms)
    store = SqlTagStore(ProvisioningSettings(url=url))
    model = SimulatedTagStore(lambda: now_ms, shared=True)
    with store._database.transaction() as connection:
        connection.execute(store._tags.delete())
    for name, arguments in steps:
        if name == "time":
            now_ms += arguments["ms"]
        else:
            answer = getattr(store, name)(**arguments)
            assert answer == getattr(model, name)(**arguments)
    store.close()
