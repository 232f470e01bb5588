"""Joiner and donors together: every chunk boundary, and arbitrary faults (B6, I5, I6)."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import CapState, Routed, SyncChunk
from tagmesh.protocol.sync_pieces import checksum, decode_chunk, encode_chunk, encode_piece
from tagmesh.protocol.sync_words import SyncSettings, Wish
from tests.protocol.sync_bench import FIRST, LATENCY_S, SECOND, DonorNode, World
from tests.protocol.sync_store import Record, Store, pack

RECORDS: dict[tuple[str, str], Record] = {
    ("", f"call-{n}"): (1, f"state {n} " * 8) for n in range(2000)
}
SMALL = SyncSettings(packet_bytes=8192)
"""So that 2,000 records are a few dozen chunks."""


def cluster(*, settings: SyncSettings = SMALL, local: Store | None = None) -> World:
    """An empty joiner and two donors with the same 2,000 records."""
    donors = [DonorNode(node, Store(RECORDS)) for node in (FIRST, SECOND)]
    return World(local or Store(), donors, settings=settings)


@functools.cache
def boundaries() -> int:
    """Chunks of the sync when nothing happens."""
    world = cluster()
    world.run()
    return world.chunks


def assert_synced(world: World) -> None:
    assert world.report is not None
    assert world.report.ok, world.report
    assert world.local.records == RECORDS
    assert all(not node.sessions for node in world.donors.values()), "each donor's session ended"


def test_undisturbed() -> None:
    world = cluster()
    world.run()
    assert_synced(world)
    assert world.report is not None
    assert (world.report.items, world.report.donor) == (2000, FIRST)
    assert 20 < world.chunks < 40
    assert world.counted == Counter()
    assert [(ended.ok, ended.reason) for ended in world.ended] == [(True, "done")]


# A fault at every chunk boundary ------------------------------------------------------------------

BOUNDARIES = range(boundaries())


def fault_at(world: World, boundary: int, fault: str) -> None:
    """Let it happen just before that chunk arrives."""

    def happen(number: int) -> None:
        if number == boundary:
            {
                "donor killed": lambda: world.reachable(FIRST, reachable=False),
                "donor restarted": lambda: world.restart(FIRST),
                "link cut": lambda: world.cut(FIRST, 2.0),
                "link cut for long": lambda: world.cut(FIRST, 8.0),
                "joiner restarted": world.restart_joiner,
            }[fault]()

    world.before_chunk = happen


@pytest.mark.parametrize("fault", ["donor killed", "donor restarted", "link cut for long"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_another_donor_takes_over_with_the_missing_sections(boundary: int, fault: str) -> None:
    world = cluster()
    fault_at(world, boundary, fault)
    world.run()
    assert_synced(world)
    assert [request.destination for request in world.requests] == [FIRST, SECOND]
    first, second = (
        (sum(map(Counter.total, by.values())) for by in world.applied.values())
        if (boundary)
        else (0, sum(map(Counter.total, world.applied[2].values())))
    )
    largest = max(len(items) for items in Store(RECORDS).by_section().values())
    assert first + second <= 2000 + largest, "at most the section that was open comes again"
    assert world.report is not None
    assert world.report.donor == SECOND


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_short_cut_is_survived_by_the_same_session(boundary: int) -> None:
    world = cluster()
    fault_at(world, boundary, "link cut")
    world.run()
    assert_synced(world)
    assert [request.destination for request in world.requests] == [FIRST]
    assert world.applies == [(1, number) for number in range(world.applies[-1][1] + 1)]
    assert Counter(world.applies).most_common(1)[0][1] == 1, "no chunk is applied twice"
    assert world.report is not None
    assert 2.0 < world.report.seconds < 3.0, "it goes on as soon as the link is back"


@pytest.mark.parametrize("keeps_data", [True, False])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_restarted_joiner_syncs_anew_and_takes_nothing_of_its_earlier_life(
    boundary: int, keeps_data: bool
) -> None:
    world = cluster()
    missing: list[bytes] = []

    def restart(number: int) -> None:
        if number == boundary:
            if not keeps_data:
                world.local.records.clear()
            here = world.local.by_section()
            for section, items in Store(RECORDS).by_section().items():
                missing.extend(items if sorted(here.get(section, [])) != sorted(items) else [])
            world.restart_joiner()

    world.before_chunk = restart
    world.run()
    assert_synced(world)
    assert world.counted["S-20"] >= 1, "the old session's chunk"
    assert [(ended.reason, ended.ok) for ended in world.ended] == [
        ("restarted", False),
        ("done", True),
    ]
    assert sum(map(Counter.total, world.applied[2].values())) == len(missing)
    assert keeps_data or len(missing) == 2000


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_without_another_donor_a_killed_one_is_a_failure_and_nothing_is_lost(boundary: int) -> None:
    had = {("", "mine"): (7, "only here")}
    world = World(Store(had), [DonorNode(FIRST, Store(RECORDS))], settings=SMALL)
    fault_at(world, boundary, "donor killed")
    world.run()
    assert world.report is not None
    assert (world.report.ok, world.report.reason) == (False, "unreachable")
    assert set(had.items()) <= set(world.local.records.items())
    assert set(world.local.records.items()) <= set((RECORDS | had).items())
    assert world.report.seconds < 5.5, "the resume timeout"
    # it comes back with its data: what arrived need not come again
    before, arrived = world.chunks, len(world.local.records) - 1
    world.restart(FIRST, CapState.OK)
    world.before_chunk = lambda number: None
    world.report, world.joiner = None, world.new_joiner()
    world.joiner_does(world.joiner.start(world.now))
    world.run()
    assert world.local.records == RECORDS | had
    assert world.chunks - before <= boundaries() - boundary + 1
    assert arrived <= 2000


@pytest.mark.parametrize("fate", [[], [LATENCY_S, LATENCY_S], [LATENCY_S, 1.0], [0.5]])
@pytest.mark.parametrize("number", range(12))
def test_any_single_message_may_be_lost_repeated_or_late(
    number: int, fate: Sequence[float]
) -> None:
    """The first ones, and (below) the last ones: request, answer, acks, chunks, end, stop."""
    world = cluster()
    world.fates = iter([[LATENCY_S]] * number + [fate])
    world.run()
    assert_synced(world)
    assert len(world.requests) == (2 if number == 0 and fate == [] else 1)
    assert world.report is not None
    assert world.report.seconds < 3.0


@pytest.mark.parametrize("from_the_end", range(1, 12))
def test_any_of_the_last_messages_may_be_lost(from_the_end: int) -> None:
    sent = 0

    def count() -> World:
        world = cluster()
        deliver = world.send

        def counting(message: object) -> None:
            nonlocal sent
            sent += 1
            deliver(message)  # type: ignore[arg-type] # passed through

        world.send = counting  # type: ignore[method-assign] # spied on
        world.run()
        return world

    count()
    world = cluster()
    world.fates = iter([[LATENCY_S]] * (sent - from_the_end) + [[]])
    world.run()
    assert_synced(world)
    assert world.report is not None
    assert world.report.seconds < 3.0
    assert all(ended.ok for ended in world.ended)


# Data that is not what the donor says -------------------------------------------------------------


def spoil(times: int) -> Callable[[Routed], Routed]:
    """In so many chunks a record is not what the donor read; their checksums are right."""
    left = itertools.count(times, -1)

    def change(message: Routed) -> Routed:
        if not isinstance(message, SyncChunk) or next(left) <= 0:
            return message
        pieces: list[bytes] = []
        for piece in decode_chunk(message.pieces):
            records = [bytes(record) for record in piece.records]
            if not pieces:
                records[0] = pack("spoilt", (0, "?"))
            pieces.append(encode_piece(piece.tag, piece.bucket, records, piece.closed))
        data = encode_chunk(pieces)
        return msgspec.structs.replace(message, pieces=data, checksum=checksum(data))

    return change


def test_sections_that_fail_verification_come_again() -> None:
    world = cluster()
    world.donors[FIRST].tamper = spoil(3)
    world.run()
    del world.local.records["", "spoilt"]
    assert_synced(world)
    assert [len(request.only) for request in world.requests] == [0, 3]
    assert world.report is not None
    assert world.report.items == 2000
    assert sum(map(Counter.total, world.applied[2].values())) < 100, "those three alone"


def test_data_that_cannot_be_verified_is_a_failure() -> None:
    world = cluster()
    world.donors[FIRST].tamper = spoil(1_000_000)
    world.run()
    assert world.report is not None
    assert (world.report.ok, world.report.reason) == (False, "verify")
    assert [ended.reason for ended in world.ended] == ["verify", "verify"]


def test_records_that_the_application_refuses_are_counted_and_the_sync_goes_on() -> None:
    world = cluster()
    world.local.refuses = lambda key: key in ("call-7", "call-1999")
    world.run()
    assert world.report is not None
    assert (world.report.ok, world.report.quarantined, world.report.items) == (True, 2, 2000)
    assert len(world.local.records) == 1998


# Arbitrary faults ---------------------------------------------------------------------------------

FATES = st.lists(
    st.one_of(
        st.just([LATENCY_S]),
        st.just([]),
        st.lists(st.sampled_from([0.0, LATENCY_S, 0.05, 0.6, 2.5]), min_size=1, max_size=3),
    ),
    max_size=120,
)
EVENTS = st.lists(
    st.tuples(
        st.floats(0.0, 20.0),
        st.sampled_from(
            ["cut", "long cut", "restart", "restart joiner", "slow app", "quick app", "write"]
        ),
        st.sampled_from([FIRST, SECOND]),
    ),
    max_size=6,
)


def bound_s(world: World) -> float:
    """See `sync_joiner`: (d + 2) · (Q + 2·P) after the last fault; the data takes a few seconds."""
    times = world.settings
    tries = len(world.donors) + 2
    return tries * (times.request_timeout_s + 2 * times.sync_timeout_s) + 5.0


def do(world: World, kind: str, node_id: NodeId) -> None:
    world.last_fault_at = world.now
    match kind:
        case "cut":
            world.cut(node_id, 1.0)
        case "long cut":
            world.cut(node_id, 7.0)
        case "restart":
            world.restart(node_id, CapState.OK)
        case "restart joiner":
            if world.report is None:
                world.restart_joiner()
        case "write":
            written = ("", f"k{int(world.now * 1000) % 200}"), (3, "written while it synced")
            for node in world.donors.values():
                node.store.write(*written[0], written[1])
            world.at(world.now + 0.05, lambda: world.local.write(*written[0], written[1]))
        case "slow app":
            world.app_delay_s = 4.0
        case "quick app":
            world.app_delay_s = 0.001


@settings(max_examples=300)
@given(FATES, EVENTS, st.sampled_from([1, 40, 256]), st.booleans(), st.booleans())
def test_every_session_ends_and_done_is_true(
    fates: list[list[float]],
    events: list[tuple[float, str, NodeId]],
    buckets: int,
    plain: bool,
    mirror: bool,
) -> None:
    records = {("", f"k{n}"): (2, "new" * 9) for n in range(150)}
    records |= {("vip", f"v{n}"): (2, "vip") for n in range(20)}
    stale = {("", f"k{n}"): (1, "old") for n in range(0, 150, 3)} | {("", "extra"): (1, "x")}
    donors = [DonorNode(node, Store(records)) for node in (FIRST, SECOND)]
    for node in donors:
        node.store.buckets = buckets
        if plain:
            held = [item for items in node.store.by_section().values() for item in items]
            node.plain = [item for item in held if b"v" not in item[:3]]
    local = Store(stale)
    local.buckets = buckets
    wish = Wish(keyed=not plain, version_min=1, version_max=1, mirror=mirror and not plain)
    small = SyncSettings(packet_bytes=1024, window_chunks=3)
    world = World(local, donors, settings=small, wish=wish, fates=fates)
    for at, kind, node_id in events:
        world.at(world.now + at, functools.partial(do, world, kind, node_id))
    world.at(
        world.now + 30.0, functools.partial(do, world, "quick app", FIRST)
    )  # faults are finite
    world.run()
    assert world.report is not None, "every session ends"
    assert all(not node.sessions for node in donors), "also the donors'"
    assert world.now <= world.last_fault_at + bound_s(world)
    assert len(world.applies) == len(set(world.applies)), "no chunk is applied twice"
    if world.report.ok:
        last = world.requests[-1].session.counter
        sent = [given for (session, _life), given in world.given.items() if session == last]
        assert world.applied.get(last, {}) in (sent or [{}]), "section by section"
        if not plain:
            expected = donors[0].store.records | ({} if wish.mirror else {("", "extra"): (1, "x")})
            assert world.local.records == expected
