"""``[capability."name"]`` tables, and what follows from them for a capability."""

from __future__ import annotations

from typing import Any

import pytest

from tagmesh.protocol.capability_settings import (
    CapabilitySettings,
    policy_of,
    read_capabilities,
)
from tagmesh.protocol.cluster_settings import ClusterSettings
from tagmesh.protocol.contract import Capability, KeyedCapability
from tagmesh.protocol.named_tables import MAX_TABLES
from tagmesh.protocol.settings import Reader


def read(
    raw: object, clusters: list[int] | None = None
) -> tuple[tuple[CapabilitySettings, ...], list[str]]:
    reader = Reader()
    found = read_capabilities(reader, raw, clusters)
    return found, [str(problem) for problem in reader.problems]


def test_tables_in_the_order_of_the_file() -> None:
    found, problems = read({"b": {"cluster": 1, "auto_sync": False}, "a": {"enabled": False}})
    assert problems == []
    assert found == (
        CapabilitySettings(name="b", cluster=1, auto_sync=False),
        CapabilitySettings(name="a", enabled=False),
    )


NAME = "allowed: 1 to 64 printable ASCII characters"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (5, '[capability] -: 5 is not a table; allowed: [capability."name"]'),
        ({"x": 5}, "[capability.'x'] -: 5 is not a table; allowed: a table"),
        ({"": {}}, f"[capability.''] -: cannot be the name of a capability; {NAME}"),
        ({"é": {}}, f"[capability.'\\xe9'] -: cannot be the name of a capability; {NAME}"),
        ({7: {}}, f"[capability.7] -: cannot be the name of a capability; {NAME}"),
        (
            {"x": {"autosync": True}},
            "[capability.'x'] autosync: unknown key; allowed: cluster, auto_sync, orphan_sync,"
            " enabled, verify_interval, module; did you mean 'auto_sync'?",
        ),
        (
            {"x": {"enabled": "yes"}},
            "[capability.'x'] enabled: 'yes' is not a switch; allowed: true | false",
        ),
        (
            {"x": {"cluster": 4}},
            "[capability.'x'] cluster: there is no cluster 4;"
            " allowed: the id of a [[cluster]]: 1, 3",
        ),
        (
            {str(n): {} for n in range(MAX_TABLES + 1)},
            "[capability] -: 1025 tables; allowed: at most 1024",
        ),
    ],
)
def test_tables_that_cannot_be(raw: object, problem: str) -> None:
    assert read(raw, [1, 3])[1] == [problem]


def test_one_wrong_table_does_not_hide_the_others() -> None:
    found, problems = read({"a": 1, "b": {}, "c": 2})
    assert ([c.name for c in found], len(problems)) == (["b"], 2)


class Plain(Capability):
    name = "plain"
    version_min, version_max = 2, 3
    sync_condition = "same_sip_addr"


class Keyed(KeyedCapability):
    name = "keyed"


class Synced(Plain):
    startup_sync = True


@pytest.mark.parametrize(
    ("module", "given", "startup_sync", "auto_sync"),
    [
        (Plain(), None, False, False),
        (Plain(), True, False, True),
        (Synced(), None, True, True),
        (Synced(), False, True, False),
    ],
)
def test_the_operator_has_the_last_word_on_the_sync_at_the_start(
    module: Capability, given: Any, startup_sync: bool, auto_sync: bool
) -> None:
    policy = policy_of(module, CapabilitySettings(auto_sync=given), ClusterSettings(id=1))
    assert (policy.startup_sync, policy.auto_sync) == (startup_sync, auto_sync)


def test_what_the_module_wants_of_donors_and_the_cluster_of_time() -> None:
    cluster = ClusterSettings(
        id=1, seed_fallback_interval_s=9.0, newest_decides=False, quorum_share=0.1
    )
    policy = policy_of(Plain(), CapabilitySettings(), cluster)
    wants = policy.wants
    assert (wants.condition, wants.version_min, wants.version_max) == ("same_sip_addr", 2, 3)
    assert policy.seed_fallback_interval_s == 9.0
    assert (policy.newest_decides, policy.quorum_share) == (False, 0.1)


def test_only_records_that_have_keys_can_be_compared() -> None:
    cluster = ClusterSettings(id=1)
    assert policy_of(Plain(), CapabilitySettings(), cluster).verify_interval_s == 0.0
    assert policy_of(Keyed(), CapabilitySettings(), cluster).verify_interval_s == 60.0
    never = CapabilitySettings(verify_interval_s=0.0)
    assert policy_of(Keyed(), never, cluster).verify_interval_s == 0.0
