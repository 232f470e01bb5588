"""Random histories of sharing tags: the database answers as that of the simulator does."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings

from tagmesh.protocol.config import ProvisioningSettings
from tagmesh.protocol.errors import Misuse, NotProvisioned
from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.tag_messages import Claim
from tagmesh.protocol.tag_words import Owner
from tagmesh.simulation.tag_store import SimulatedTagStore
from tagmesh.storage import Provisioning, SqlTagStore, clock
from tests.servers import MEMORY
from tests.storage.conftest import Storage
from tests.storage.owners import A_RESTARTED, C1, C2, A, B

# Mostly one tag and low numbers, so that the steps of a history meet.
CLUSTERS, TAGS = st.sampled_from([C1] * 5 + [C2]), st.sampled_from(["vip1"] * 5 + ["vip2"])
OWNERS, NUMBERS = st.sampled_from([A, A_RESTARTED, B]), st.integers(0, 3)
TTLS_S = st.sampled_from([0.5, 2.0])
NODE = st.integers(1, 2).map(NodeId)
NODES = st.lists(NODE, unique=True).map(sorted)


def _step(name: str, **arguments: Any) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.tuples(st.just(name), st.fixed_dictionaries({"cluster": CLUSTERS} | arguments))


def _heard(tag: str, number: int, owner: Owner, released: bool) -> Claim:
    return Claim(tag, number, owner.node_id, owner.incarnation, 50, released=released)


STEPS = st.one_of(
    _step("claim", tag=TAGS, owner=OWNERS, seen=NUMBERS),
    _step("acquire", tag=TAGS, owner=OWNERS, seen=NUMBERS, ttl_s=TTLS_S, electors=NODES),
    _step("acquire", tag=TAGS, owner=OWNERS, seen=NUMBERS, ttl_s=TTLS_S, electors=NODES),
    _step("renew", tag=TAGS, owner=OWNERS, number=NUMBERS, ttl_s=TTLS_S, electors=NODES),
    _step("free", tag=TAGS, stopped=NODES),
    _step("free", tag=TAGS, stopped=st.just([A.node_id, B.node_id])),
    _step("enable", node=NODE, state=st.sampled_from([1, 1, 0])),
    _step("release", tag=TAGS, owner=OWNERS, number=NUMBERS),
    _step("keep", claim=st.builds(_heard, TAGS, NUMBERS, OWNERS, st.booleans())),
    _step("pause", tag=TAGS, paused=st.booleans()),
    _step("prefer", tag=TAGS, nodes=NODES),
    _step("load"),
    st.tuples(st.just("time"), st.fixed_dictionaries({"ms": st.integers(0, 2500)})),
)


@pytest.fixture
def url() -> Iterator[str]:
    memory = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="tagmesh-model-", dir=memory) as folder:
        url = f"sqlite:///{Path(folder, 'nodes.db')}"
        provisioning = Provisioning(ProvisioningSettings(url=url))
        provisioning.init()
        for cluster, node in itertools.product((C1, C2), (A.node_id, B.node_id)):
            provisioning.add(Storage.node(node, cluster))
        yield url


def _outcome(store: SqlTagStore | SimulatedTagStore, name: str, arguments: dict[str, Any]) -> Any:
    try:
        return getattr(store, name)(**arguments)
    except (Misuse, NotProvisioned) as error:
        return str(error)


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
    off: set[tuple[ClusterId, NodeId]] = set()
    model = SimulatedTagStore(
        lambda: now_ms, shared=True, enabled=lambda cluster, node: (cluster, node) not in off
    )
    nodes = store._nodes
    with store._database.transaction() as connection:
        connection.execute(store._tags.delete())
        connection.execute(nodes.update().values(state=1))
    for name, arguments in steps:
        if name == "time":
            now_ms += arguments["ms"]
        elif name == "enable":
            cluster, node, state = arguments["cluster"], arguments["node"], arguments["state"]
            (off.discard if state else off.add)((cluster, node))
            row = sa.and_(nodes.c.cluster_id == cluster, nodes.c.node_id == node)
            with store._database.transaction() as connection:
                connection.execute(nodes.update().where(row).values(state=state))
        else:
            assert _outcome(store, name, arguments) == _outcome(model, name, arguments)
    store.close()
