"""What an administrator does to the tables, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tagmesh.protocol.config import MAX_NODES
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.identity import BinsUrl, ClusterId, NodeId
from tagmesh.storage import Provisioning

if TYPE_CHECKING:
    from .conftest import Storage

ONE = ClusterId(1)
OLD, NEW = "0a" * 32, "1b" * 32


def _nodes(storage: Storage) -> list[tuple[int, int]]:
    with storage.provisioning() as provisioning:
        return [(r.cluster_id, r.node_id) for r in provisioning.rows().records]


def test_rows_lists_all_clusters_or_one_and_the_bad_rows(storage: Storage) -> None:
    storage.init(storage.node(2, 7), storage.node(1), storage.node(2))
    storage.insert(id=20, node_id=20, state=7)
    with storage.provisioning() as provisioning:
        provisioning.pin(ONE, NodeId(2), OLD)
        provisioning.pin(ClusterId(7), NodeId(2), NEW)
        every, one = provisioning.rows(), provisioning.rows(ONE)
    assert [(r.cluster_id, r.node_id) for r in every.records] == [(1, 1), (1, 2), (7, 2)]
    assert [(r.cluster_id, r.node_id) for r in one.records] == [(1, 1), (1, 2)]
    assert [row.node_id for row in one.invalid] == [20]
    assert set(every.identities) == {(1, 2), (7, 2)}
    assert set(one.identities) == {(1, 2)}


def test_a_node_is_added_once_per_cluster(storage: Storage) -> None:
    storage.init(storage.node(2))
    with storage.provisioning() as provisioning:
        provisioning.add(storage.node(2, 7))
        with pytest.raises(Misuse, match="node 2 is in cluster 1 already"):
            provisioning.add(storage.node(2, url=BinsUrl("other", 1)))
    assert _nodes(storage) == [(1, 2), (7, 2)]


def test_a_row_that_a_rule_of_others_forbids_is_refused(storage: Storage) -> None:
    storage.init()
    storage.run("CREATE UNIQUE INDEX one_per_host ON clusterer (url)")
    with storage.provisioning() as provisioning:
        provisioning.add(storage.node(1))
        with pytest.raises(Misuse, match="or the table refuses it"):
            provisioning.add(storage.node(2, url=storage.node(1).url))
    assert _nodes(storage) == [(1, 1)]


UNREADABLE: list[tuple[dict[str, Any], str]] = [
    ({"url": BinsUrl("h" * 60, 5556)}, "longer than 64 characters"),
    ({"description": "d" * 65}, "description must be at most 64"),
    ({"description": "two\nlines"}, "description must be at most 64 printable"),
    ({"sip_addr": "s" * 65}, "sip_addr must be at most 64"),
    ({"flags": "f" * 65}, "flags must be at most 64"),
    ({"priority": -1}, "priority -1 is out of range"),
    ({"ping_retries": 1001}, "no_ping_retries 1001 is out of range"),
    ({"node_id": NodeId(0)}, "node_id 0 is out of range"),
    ({"cluster_id": ClusterId(2**31)}, "cluster_id 2147483648 is out of range"),
]


def test_what_opensips_could_not_read_is_not_written(storage: Storage) -> None:
    storage.init()
    with storage.provisioning() as provisioning:
        for changes, said in UNREADABLE:
            with pytest.raises(Misuse, match=said):
                provisioning.add(msgspec.structs.replace(storage.node(1), **changes))
    assert _nodes(storage) == []


def test_the_longest_texts_fit(storage: Storage) -> None:
    url = BinsUrl("h" * (64 - len("bins::5556")), 5556)
    added = storage.node(1, url=url, description="ü" * 64, sip_addr="s" * 64, flags="f" * 64)
    storage.init(added)
    with storage.provisioning() as provisioning:
        (loaded,) = provisioning.rows().records
    assert loaded.url == url
    assert (loaded.description, loaded.sip_addr, loaded.flags) == ("ü" * 64, "s" * 64, "f" * 64)


def test_hostile_texts_are_only_texts(storage: Storage) -> None:
    texts = ["'); DROP TABLE clusterer; --", '" OR 1=1', "%s {0} :x \\", "\\'"]
    storage.init(*(storage.node(n, description=t, flags=t) for n, t in enumerate(texts, 1)))
    with storage.provisioning() as provisioning:
        records = provisioning.rows().records
    assert [(r.description, r.flags) for r in records] == [(text, text) for text in texts]


def test_a_full_cluster_takes_no_more(storage: Storage) -> None:
    storage.init()
    with storage.engine.begin() as connection:
        for node in range(1, MAX_NODES + 1):
            connection.exec_driver_sql(
                f"INSERT INTO clusterer (cluster_id, node_id, url) VALUES (1, {node}, 'bins:a')"  # noqa: S608
            )
    with storage.provisioning() as provisioning:
        with pytest.raises(Misuse, match=f"cluster 1 has {MAX_NODES} nodes already"):
            provisioning.add(storage.node(9999))
        provisioning.add(storage.node(9999, 2))


def test_remove_takes_one_row(storage: Storage) -> None:
    storage.init(storage.node(1), storage.node(2), storage.node(2, 7))
    with storage.provisioning() as provisioning:
        provisioning.remove(ONE, NodeId(2))
    assert _nodes(storage) == [(1, 1), (7, 2)]


def test_set_state_takes_one_row(storage: Storage) -> None:
    storage.init(storage.node(1), storage.node(2), storage.node(2, 7))
    with storage.provisioning() as provisioning:
        provisioning.set_state(ONE, NodeId(2), enabled=False)
        provisioning.set_state(ONE, NodeId(2), enabled=False)  # no change is no error
        assert [r.enabled for r in provisioning.rows().records] == [True, False, True]
        provisioning.set_state(ONE, NodeId(2), enabled=True)
        assert all(r.enabled for r in provisioning.rows().records)


def test_an_unknown_node_is_misuse(storage: Storage) -> None:
    storage.init(storage.node(1))
    unknown = NodeId(5)
    with storage.provisioning() as p:
        calls: list[Callable[[], object]] = [
            lambda: p.remove(ONE, unknown),
            lambda: p.set_state(ONE, unknown, enabled=True),
            lambda: p.pin(ONE, unknown, OLD),
            lambda: p.revoke(ONE, unknown),
            lambda: p.remove(ClusterId(5), NodeId(1)),
        ]
        for call in calls:
            with pytest.raises(Misuse, match=r"there is no node \d in cluster \d of .*db list"):
                call()
        assert p.rows().identities == {}
    assert _nodes(storage) == [(1, 1)]


def _policy(provisioning: Provisioning) -> tuple[set[str], bool] | None:
    policy = provisioning.rows().identities.get((ONE, NodeId(1)))
    return None if policy is None else (set(policy.fingerprints), policy.revoked)


def test_the_life_of_pins_and_revocations(storage: Storage) -> None:
    storage.init(storage.node(1))
    me = (ONE, NodeId(1))
    with storage.provisioning() as provisioning:
        assert _policy(provisioning) is None
        provisioning.pin(*me, OLD)
        provisioning.pin(*me, OLD.upper())
        assert _policy(provisioning) == ({OLD}, False)
        provisioning.revoke(*me)
        assert _policy(provisioning) == (set(), True)
        with pytest.raises(Misuse, match="was revoked; issue a new one"):
            provisioning.pin(*me, OLD)
        provisioning.pin(*me, NEW)
        assert _policy(provisioning) == ({NEW}, False)


def test_revoking_without_a_pin_lasts_until_one(storage: Storage) -> None:
    storage.init(storage.node(1))
    me = (ONE, NodeId(1))
    with storage.provisioning() as provisioning:
        provisioning.revoke(*me)
        provisioning.revoke(*me)
        assert _policy(provisioning) == (set(), True)
        provisioning.pin(*me, NEW)
        assert _policy(provisioning) == ({NEW}, False)


def test_adding_an_id_again_lifts_no_revocation(storage: Storage) -> None:
    storage.init(storage.node(1))
    me = (ONE, NodeId(1))
    with storage.provisioning() as provisioning:
        provisioning.revoke(*me)
        provisioning.remove(*me)
        provisioning.add(storage.node(1))
        assert _policy(provisioning) == (set(), True)


def test_something_else_than_a_fingerprint_is_misuse(storage: Storage) -> None:
    storage.init(storage.node(1))
    with storage.provisioning() as provisioning:
        for text in ("", "ab", "xy" * 32, OLD + "0", "'; DROP TABLE clusterer; --"):
            with pytest.raises(Misuse, match="not a SHA-256 fingerprint"):
                provisioning.pin(ONE, NodeId(1), text)
        assert _policy(provisioning) is None


def test_a_pin_typed_by_hand_in_another_spelling_counts(storage: Storage) -> None:
    storage.init(storage.node(1))
    storage.run("INSERT INTO cluster_identity VALUES (1, 1, :pin, NULL)", pin=OLD.upper())
    with storage.provisioning() as provisioning:
        assert _policy(provisioning) == ({OLD}, False)
