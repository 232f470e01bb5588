"""The judgement on a cluster, one trouble at a time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tagmesh.control.health import Verdict, judge, worst
from tagmesh.protocol.status import ClusterStatus, Status
from tests.control.fake_node import STARTED_WALL_S, capability, make_status, peer, refusal, tag

DAY_S = 86_400.0


def cluster(node: int, **changes: Any) -> ClusterStatus:
    """Node 1 or 2 of two, all well."""
    other = 3 - node
    fine = ClusterStatus(
        cluster_id=1,
        enabled=True,
        peers=[peer(other)],
        topology=[(node, [other]), (other, [node])],
        capabilities=[capability("dialogs")],
        tags=[tag("vip1", state="active" if node == 1 else "backup", holder=1)],
    )
    return msgspec.structs.replace(fine, **changes)


def status(node: int = 1, **changes: Any) -> Status:
    of_cluster = {k: changes.pop(k) for k in list(changes) if k in ClusterStatus.__struct_fields__}
    changes = {
        "invalid_rows": [],
        "certificate_ends_wall_s": STARTED_WALL_S + 300 * DAY_S,
    } | changes
    return make_status(node_id=node, clusters=[cluster(node, **of_cluster)], **changes)


def bad(*statuses: Status | str) -> list[tuple[str, str]]:
    found = judge({f"http://{number}": one for number, one in enumerate(statuses)})
    return [(f.verdict.value, f.text) for f in found if f.verdict is not Verdict.PASS]


def test_a_cluster_that_is_well_passes_everything() -> None:
    found = judge({"a": status(1), "b": status(2)})
    assert {f.verdict for f in found} == {Verdict.PASS}
    assert ("2 nodes asked, all answer") in [f.text for f in found]
    assert worst(found) is Verdict.PASS


@pytest.mark.parametrize(
    ("changes", "verdict", "text"),
    [
        ({"healthy": False}, "FAIL", "actors crash"),
        ({"ready": False, "waits_for": ["no row"]}, "WARN", "node 1 is not ready: no row"),
        ({"roster_error": "locked"}, "WARN", "cannot read the provisioning: locked"),
        ({"invalid_rows": ["row 14: bad"]}, "WARN", "invalid row 14: bad"),
        ({"peers": [peer(2, route=[], link="Down", next_hop=None, why="refused")]}, "FAIL",
         "node 1 cannot reach node 2 in cluster 1: refused"),
        ({"peers": [peer(2, route=[3, 2], link="Down", next_hop=3, why="cut")]}, "WARN",
         "link 1-2 in cluster 1 is Down, reached through 3: cut"),
        ({"capabilities": [capability("x", state="pending", reason="no donor")]}, "WARN",
         "x on node 1 is pending: no donor"),
        ({"tags": [tag("vip1")]}, "WARN", "tag vip1/1 has no holder"),
        ({"refusals": [refusal()]}, "WARN", "join with node 9 refused by us, unknown_node"),
        ({"certificate_ends_wall_s": STARTED_WALL_S + 9 * DAY_S}, "WARN", "ends in 9 days"),
        ({"certificate_ends_wall_s": STARTED_WALL_S + DAY_S / 2}, "FAIL", "ends in 0 days"),
        ({"certificate_ends_wall_s": STARTED_WALL_S}, "FAIL", "ends already"),
    ],
)  # fmt: skip
def test_each_trouble_is_told_once(changes: dict[str, Any], verdict: str, text: str) -> None:
    ((found, said),) = bad(status(1, **changes))
    assert found == verdict
    assert text in said


@pytest.mark.parametrize(
    "changes",
    [
        {"peers": [peer(2, state="disabled", route=[], link="Down")]},
        {"enabled": False, "peers": [peer(2, route=[], link="Down")]},
        {"capabilities": [capability("x", state="disabled", enabled=False)]},
        {"refusals": [refusal(last_wall_s=STARTED_WALL_S - 3600)]},
        {"certificate_ends_wall_s": None},
        {"tags": [tag("vip2", declared=False)]},
    ],
)
def test_what_an_operator_wanted_or_is_long_past_is_no_trouble(changes: dict[str, Any]) -> None:
    assert bad(status(1, **changes)) == []


def test_what_only_a_comparison_shows() -> None:
    both = status(2, tags=[tag("vip1", state="active", holder=2)])
    ((verdict, text),) = bad(status(1), both)
    assert (verdict, text.partition(";")[0]) == ("FAIL", "tag vip1/1 is active on nodes 1, 2")
    ((verdict, text),) = bad(status(1), status(2, topology=[(2, [])]))
    assert (verdict, text) == ("FAIL", "cluster 1: nodes 1 and 2 see different topologies")


def test_an_instance_without_an_answer_fails_and_the_worst_comes_first() -> None:
    found = bad(status(1, roster_error="locked"), "refused")
    assert [verdict for verdict, _ in found] == ["FAIL", "WARN"]
    assert found[0][1] == "http://1: refused"
