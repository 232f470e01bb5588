"""The storage actor's reads and the admissions that wait for them; see test_roster_trouble too."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from tagmesh.actors.actor import ReplyFuture
from tagmesh.actors.context import Context
from tagmesh.actors.mail import AskAdmission, ReloadWanted, RosterLoaded, Verdict
from tagmesh.actors.storage import MAX_WAIT_S, StorageActor
from tagmesh.protocol.errors import Reason, StorageUnavailable
from tagmesh.protocol.identity import ClusterId, NodeId, PeerIdentity
from tagmesh.protocol.membership import Admitted, Denied
from tagmesh.protocol.tombstones import Tombstones
from tagmesh.storage.base import RosterSnapshot
from tests.integration.stranger import row
from tests.transport.links import identity

Done = Callable[[RosterSnapshot | None, BaseException | None], None]


def rows(*nodes: int) -> RosterSnapshot:
    return RosterSnapshot(records=tuple(row(n, f"bins:10.0.0.{n}:5555") for n in nodes))


class Bench:
    """A `StorageActor` of node 1 whose reads end when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.reads: list[Done] = []
        self.verdicts: dict[int, Admitted | Denied] = {}
        runtime = SimpleNamespace(
            monotonic=lambda: self.now,
            wall=lambda: self.now,
            call_in_pool=lambda _load, done: self.reads.append(done),
        )
        context = SimpleNamespace(
            me=NodeId(1),
            runtime=runtime,
            roster=SimpleNamespace(load=None),
            supervisor=SimpleNamespace(tell=self._tell),
            events=SimpleNamespace(publish=lambda *_: None),
            tombstones=Tombstones(3600.0),
            config=SimpleNamespace(provisioning=SimpleNamespace(refresh_interval_s=2.0)),
        )
        self.actor = StorageActor(cast("Context", context), rows(1))
        self.actor.on_start()

    def _tell(self, _name: Any, mail: object) -> None:
        if isinstance(mail, RosterLoaded):
            self.actor.on_receive(mail)
        elif isinstance(mail, Verdict):
            self.verdicts[mail.key] = mail.verdict

    def ask(self, node: int) -> None:
        """Node ``node`` knocks."""
        peer: PeerIdentity = identity(node)
        self.actor.on_receive(AskAdmission(peer, node, ("gate",)))

    def at(self, now: float) -> None:
        """Time passes."""
        while (deadline := self.actor.deadline) is not None and deadline <= now:
            self.now = max(self.now, deadline)
            self.actor.on_tick(self.now)
            if self.actor.deadline == deadline:
                break
        self.now = now


def test_a_stranger_is_judged_by_a_read_that_began_after_it_knocked() -> None:
    bench = Bench()
    bench.at(2.0)
    assert len(bench.reads) == 1
    bench.ask(2)  # its row was written after that read
    bench.reads[0](rows(1), None)
    assert not bench.verdicts
    bench.at(2.2)
    assert len(bench.reads) == 2, "soon, not at the next interval"
    bench.reads[1](rows(1, 2), None)
    assert bench.verdicts == {2: Admitted((ClusterId(1),))}


def test_a_database_that_hangs_lets_nobody_wait() -> None:
    bench = Bench()
    bench.at(0.5)
    bench.ask(2)
    assert len(bench.reads) == 1
    bench.ask(3)
    bench.at(0.5 + MAX_WAIT_S)
    assert {n: cast("Denied", v).reason for n, v in bench.verdicts.items()} == {
        2: Reason.STORAGE_UNAVAILABLE,
        3: Reason.STORAGE_UNAVAILABLE,
    }
    bench.reads[0](None, StorageUnavailable("gone"))
    assert len(bench.verdicts) == 2
    assert len(bench.reads) == 1


def test_who_knocks_while_the_mode_changes_to_dynamic_is_let_in() -> None:
    bench = Bench()
    bench.at(2.0)
    bench.ask(2)
    dynamic = RosterSnapshot(records=rows(1).records, dynamic=True)
    bench.reads[0](dynamic, None)
    assert bench.verdicts == {2: Admitted((ClusterId(1),))}


def test_a_reload_waits_for_a_read_that_began_after_it() -> None:
    bench = Bench()
    first: ReplyFuture = bench.actor.on_receive(ReloadWanted())
    assert len(bench.reads) == 1, "at once"
    second: ReplyFuture = bench.actor.on_receive(ReloadWanted())
    bench.reads[0](rows(1, 2), None)
    assert (first.ready, second.ready) == (True, False)
    assert first.get() == ""
    bench.reads[1](None, StorageUnavailable("the server is gone"))
    assert second.get() == "the server is gone"
    assert len(bench.reads) == 2
