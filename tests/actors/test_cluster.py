"""What an application does with a cluster of its node, over real TLS."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tagmesh import LocalCluster, Misuse
from tagmesh.capabilities.requests import Requests
from tagmesh.protocol import verifying
from tagmesh.protocol.errors import (
    CapabilityDisabled,
    NotTagOwner,
    RemoteError,
    TimedOut,
    Unknown,
    Unreachable,
)
from tests.actors.cluster_bench import Calls
from tests.actors.leftovers import UP_S, nothing_stays, until
from tests.capabilities.dialog_samples import dialog
from tests.capabilities.map_bench import lose


@pytest.fixture(scope="module")
def lab() -> Iterator[LocalCluster]:
    """Three nodes that all tests of this file share: each takes names of its own."""
    with nothing_stays(), LocalCluster(3) as lab:
        yield lab


def joined(lab: LocalCluster, name: str, records: Sequence[int] = (1, 2, 3)) -> list[Calls]:
    """A capability on each node, synced from node 1."""
    made = [Calls(name, records if n == 1 else ()) for n in (1, 2, 3)]
    for node, calls in zip(lab, made, strict=True):
        assert node.cluster(1).register(calls) is calls
    for node in lab:
        node.wait_ready()
    return made


# Capabilities -------------------------------------------------------------------------------------


def test_a_capability_is_synced_and_hears_what_the_others_say(lab: LocalCluster) -> None:
    one, two, three = joined(lab, "hears")
    assert two.records == three.records == [1, 2, 3]
    assert [(r.ok, r.donor, r.items) for r in three.reports] == [(True, 1, 3)]
    assert {node: bool(result) for node, result in one.broadcast("all").items()} == {2: 1, 3: 1}
    assert one.send(2, {"id": 7}).route == (2,)
    until(lambda: two.heard == [(1, "all"), (1, {"id": 7})] and three.heard == [(1, "all")])
    assert two.threads == {"tagmesh-2-hears"}, "a worker of its own, never the hub"


@pytest.mark.parametrize("position", [lambda: 1 / 0, lambda: -1, lambda: "new", lambda: 2**63])
def test_a_position_that_is_none_counts_as_no_data(
    lab: LocalCluster, position: Any, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"position-{len(lab[1].cluster(1).names())}"
    calls = Calls(name)
    calls.position = position  # type: ignore[method-assign]  # a mistake
    lab[1].cluster(1).register(calls)
    lab[1].wait_ready()
    calls.port.changed()
    until(lambda: lab[1].cluster(1).status(name).state == "ok")
    assert lab[1].status().crashes == 0
    assert f"capability {name} has no position" in caplog.text


def test_a_message_sent_right_after_registering_is_not_lost(lab: LocalCluster) -> None:
    """Whatever the others know of the new capability yet."""
    dicts = []
    for node in lab:
        shared = node.replicated_dict("at-once")
        shared[f"by {node.node_id}"] = 1
        dicts.append(shared)
    until(lambda: all(set(d) == {"by 1", "by 2", "by 3"} for d in dicts))


def test_names_are_taken_once(lab: LocalCluster) -> None:
    cluster = lab[1].cluster(1)
    cluster.register(Calls("once"))
    with pytest.raises(Misuse, match="has a capability 'once' on this node already"):
        cluster.register(Calls("once"))
    with pytest.raises(Misuse, match="'once' of cluster 1 is a Calls, not a ReplicatedMap"):
        cluster.replicated_dict("once")
    with pytest.raises(Misuse, match="needs a name of 1 to 64"):
        cluster.replicated_dict("")
    assert "once" in cluster.names()
    assert "" not in cluster.names()
    assert cluster.replicated_dict("same").map is cluster.replicated_dict("same").map
    assert lab[1].cluster() is cluster


def test_one_object_serves_one_node(lab: LocalCluster) -> None:
    calls = lab[1].cluster(1).register(Calls("mine"))
    with pytest.raises(Misuse, match="this Calls serves node 1 in cluster 1 already: make one"):
        lab[2].cluster(1).register(calls)
    assert "mine" not in lab[2].cluster(1).names()


def test_what_is_not_registered_is_unknown(lab: LocalCluster) -> None:
    cluster = lab[1].cluster(1)
    for call in (cluster.status, cluster.sync, cluster.enable, cluster.quarantine):
        with pytest.raises(Unknown, match="no capability 'nobody' on this node"):
            call("nobody")


def test_the_status_tells_states_and_how_the_last_sync_ended(lab: LocalCluster) -> None:
    joined(lab, "told")
    status = lab[2].cluster(1).status("told")
    assert (status.state, status.enabled, status.progress) == ("ok", True, None)
    assert status.last_report is not None
    assert status.last_report.items == 3
    (cluster,) = lab[2].status().clusters
    assert "told" in [c.name for c in cluster.capabilities]
    (of_1,) = [c for c in cluster.peers[0].capabilities if c.name == "told"]
    assert (of_1.state, of_1.without_data) == ("ok", True)


def test_waiting_for_a_sync_and_what_a_mirror_would_drop(
    lab: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "SOON_S", 1e6)  # nobody repairs what is done to the copies here
    users = [node.replicated_dict("mirrored") for node in lab]
    users[0].update({f"user {n}": n for n in range(100)})
    lab.settle()
    cluster = lab[2].cluster(1)
    report = cluster.sync_now("mirrored")
    assert (report.ok, report.plan_id, report.dropped) == (True, None, 0)

    for other in (users[0], users[2]):  # two nodes never had these
        lose(other.map, {"user 7", "user 8"})
    plan = cluster.sync_now("mirrored", mirror=True, dry_run=True)
    assert (plan.plan_id, plan.dropped, len(users[1])) == (1, 0, 100)
    (kept,) = cluster.status("mirrored").plans
    assert (kept.state, kept.reason, kept.records) == ("waiting", "dry_run", 2)
    assert cluster.confirm("mirrored", 1) == 2
    assert len(users[1]) == 98
    assert cluster.undo("mirrored", 1) == 2
    assert len(users[1]) == 100
    assert cluster.status("mirrored").plans == []


def test_records_without_keys_cannot_be_mirrored(lab: LocalCluster) -> None:
    cluster = lab[1].cluster(1)
    calls = cluster.register(Calls("plain"))
    for ask in (cluster.sync, cluster.sync_now):
        with pytest.raises(Misuse, match="only a KeyedCapability can be mirrored"):
            ask("plain", mirror=True)
    with pytest.raises(Misuse, match="only a KeyedCapability can be mirrored"):
        calls.sync(mirror=True)


def test_a_sync_that_cannot_be_waited_for(lab: LocalCluster) -> None:
    cluster = lab[1].cluster(1)
    cluster.register(Calls("alone"))
    until(lambda: cluster.status("alone").state == "ok")
    with pytest.raises(TimedOut, match=r"no sync of alone has ended in 0.1 s: a sync was asked"):
        cluster.sync_now("alone", timeout=0.1)
    cluster.disable("alone")
    with pytest.raises(CapabilityDisabled, match="enable it first"):
        cluster.sync_now("alone")


def test_switched_off_and_on_again(lab: LocalCluster) -> None:
    one, two, _ = joined(lab, "switched")
    cluster = lab[2].cluster(1)
    cluster.disable("switched", "for a test")
    assert (cluster.status("switched").state, cluster.status("switched").reason) == (
        "disabled",
        "for a test",
    )
    assert two.send(1, "x").code == -1
    until(lambda: one.send(2, "x").code == -1)
    cluster.enable("switched")
    until(lambda: cluster.status("switched").state == "ok")
    assert lab[2].status().ready


def test_a_refused_message_can_be_looked_at(lab: LocalCluster) -> None:
    one, two, _ = joined(lab, "looked-at")
    one.send(2, "bad")
    one.send(2, "good")
    until(lambda: two.heard == [(1, "good")])
    (quarantined,) = lab[2].cluster(1).quarantine("looked-at")
    assert (quarantined.source, quarantined.kind) == (1, "message")
    assert quarantined.error == "ValueError: a bad message"
    assert lab[2].cluster(1).status("looked-at").quarantined == 1


def test_a_plan_that_there_is_not_disturbs_nothing(lab: LocalCluster) -> None:
    joined(lab, "no-plan")
    cluster = lab[1].cluster(1)
    for decide in (cluster.confirm, cluster.discard, cluster.undo):
        with pytest.raises(Unknown, match=r"there is no .* mirror plan 7"):
            decide("no-plan", 7)
    assert lab[1].status().crashes == 0


def test_who_could_be_a_donor_and_why_not(lab: LocalCluster) -> None:
    lab[1].cluster(1).register(Calls("lonely"))
    verdicts = lab[1].cluster(1).explain_donor("lonely")
    assert [(v.node_id, v.rejection and v.rejection.value) for v in verdicts] == [
        (2, "no_capability"),
        (3, "no_capability"),
    ]


def test_threads_that_ask_for_the_same_dict_get_one(lab: LocalCluster) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: lab[1].replicated_dict("raced").map, range(16)))
    assert len(set(map(id, found))) == 1


def test_counters_add_up(lab: LocalCluster) -> None:
    for node in lab:
        node.counters("rates").add("calls", node.node_id)
    until(lambda: [n.counters("rates").value("calls") for n in lab] == [6, 6, 6])
    assert lab[1].counters("rates").value("others") == 0
    assert lab[1].counters("rates") is lab[1].cluster(1).counters("rates")


def test_dialogs_come_with_the_counts_of_their_profiles(lab: LocalCluster) -> None:
    lab[1].cluster(1).tag("vip-of-dialogs").activate()
    stores = [node.cluster(1).dialogs() for node in lab]
    assert {"dialog-dlg-repl", "dialog-prof-repl"} <= set(lab[3].cluster(1).names())
    until(lambda: stores[2].port.tag("vip-of-dialogs").holder == 1)
    call = dialog(1, timeout=2**32 - 1, profiles=(("trunk", "berlin"),))
    assert stores[0].create(call, "vip-of-dialogs")
    until(lambda: stores[2].find(call.callid) == call.key)
    until(lambda: stores[2].profiles.names() == {"trunk": True})
    assert stores[2].profiles.size("trunk", "berlin") == 1
    with pytest.raises(NotTagOwner, match="is active on node 1"):
        stores[2].terminate(call.key)
    assert lab[1].cluster(1).dialogs() is stores[0]
    with pytest.raises(Misuse, match="has a capability 'dialog-prof-repl' on this node already"):
        lab[1].cluster(1).dialogs("others")
    assert "others" not in lab[1].cluster(1).names()


def test_work_is_divided_among_the_nodes(lab: LocalCluster) -> None:
    joined(lab, "divided")
    with pytest.raises(Unknown, match="no capability 'divided-too'"):
        lab[1].cluster(1).partition("divided-too")
    gained: list[tuple[int, ...]] = []
    parts = [lab[1].cluster(1).partition("divided", on_gained=gained.append)]
    parts += [node.cluster(1).partition("divided") for node in (lab[2], lab[3])]
    until(lambda: [p.my_index() for p in parts] == [(0, 3), (1, 3), (2, 3)])
    keys = [f"user {n}" for n in range(100)]
    until(lambda: all([p.works_on(k) for p in parts].count(True) == 1 for k in keys))
    assert parts[0].owner("user 1") == parts[2].owner("user 1")
    until(lambda: bool(gained))  # it is told in a thread of the capability
    assert lab[1].cluster(1).get_my_index("divided") == (0, 3)
    with pytest.raises(Misuse, match="is divided already"):
        lab[1].cluster(1).partition("divided", on_lost=print)


# Requests -----------------------------------------------------------------------------------------


def test_a_request_is_answered_where_it_may_block(lab: LocalCluster) -> None:
    threads: set[str] = set()

    @lab[2].on_request
    def answer(payload: Any, source: int) -> Any:
        threads.add(threading.current_thread().name)
        if payload == "bad":
            raise ValueError("no such user")
        return {"asked": payload, "by": source, "seen": lab[2].status().node_id}

    assert lab[1].request(2, "check user 42") == {"asked": "check user 42", "by": 1, "seen": 2}
    assert threads == {"tagmesh-handlers-2"}
    with pytest.raises(RemoteError, match="ValueError: no such user"):
        lab[1].request(2, "bad")


def test_requests_wait_for_each_other_across_nodes(lab: LocalCluster) -> None:
    """The one asked asks back, and a slow one holds up no other."""
    gate = threading.Event()

    def slow(payload: Any, source: int) -> Any:
        return gate.wait(UP_S) if payload == "slow" else lab[1].request(3, payload)

    lab[1].on_request(slow)
    lab[3].on_request(lambda payload, source: ["from 3", payload, source])
    held = lab[2].cluster(1).requests.request(1, "slow", UP_S)
    assert lab[2].request(1, "quick") == ["from 3", "quick", 1]
    assert not held.done()
    gate.set()
    assert held.result() is True


def test_what_becomes_of_requests_that_nobody_answers(lab: LocalCluster) -> None:
    with pytest.raises(Unreachable):
        lab[1].request(9, "x")
    lab[1].on_request(lambda payload, source: time.sleep(0.5))
    with pytest.raises(TimedOut):
        lab[3].request(1, "x", timeout=0.05)
    lab[3].cluster(1).disable(Requests.name)
    with pytest.raises(CapabilityDisabled):
        lab[3].request(1, "x")
    lab[3].cluster(1).enable(Requests.name)


def test_requests_as_opensips_scripts_send_them(lab: LocalCluster) -> None:
    one, two = lab[1].cluster(1).requests, lab[2].cluster(1).requests
    got: list[tuple[Any, int]] = []

    @two.on_req_received
    def twice(msg: Any, source: int, tag: str) -> None:
        two.cluster_send_rpl(source, msg * 2, tag)

    one.on_rpl_received(lambda msg, source, tag: got.append((msg, source)))
    assert one.cluster_send_req(2, "ab").code == 1
    until(lambda: got == [("abab", 2)])
    assert one.cluster_send_req(9, "ab").code == -2


# Without the lab ----------------------------------------------------------------------------------
