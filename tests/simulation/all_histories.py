"""Every kind of history that a mutant may die in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tagmesh.simulation.world import World
from tests.simulation import histories as h
from tests.simulation import histories_capabilities as c
from tests.simulation import histories_members as m
from tests.simulation import histories_tags as t

HISTORIES: Mapping[str, Callable[[int], World]] = {
    history.__name__.replace("_", " "): history
    for history in (
        h.quiet, h.swarm, h.sparse, h.no_rerouting, h.clocks, h.stalls, h.crashes, h.slow_path,
        h.flaps, h.restarts, h.silent_restart, h.half_noticed, h.dials, h.lost_update, h.deaf,
        h.clock_back, h.ways_round, h.bridge, h.circle, m.rows, m.storage, m.no_own_row,
        m.removed_by_command,
        m.stranger, m.impostor, m.upgrade, m.flood, m.hostile_bytes, m.hostile_messages,
        c.busy, c.unanswered, c.both_ask, c.stale_donor, c.unasked, c.damaged, c.long_sync,
        c.leaver, c.relayed, c.slow_reader, c.far_reader, c.bulk,
        t.tags, t.tagged_records, t.both_activate, t.read_late, t.owner_returns, t.late_joiner,
        t.owner_cut_off, t.newcomer, t.store_away, t.alone_again, t.owner_moved, t.late_mirror,
    )
}  # fmt: skip
"""Kind → history of a seed."""
