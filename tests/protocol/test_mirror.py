"""Plans of a mirror step: the guard, dry runs, confirmation, undo, limits (S-26, B8)."""

from __future__ import annotations

import pytest

from tagmesh.protocol import mirror
from tagmesh.protocol.effects import Effect
from tagmesh.protocol.errors import Unknown
from tagmesh.protocol.mirror import (
    MAX_PLANS,
    Drop,
    Mirror,
    MirrorDone,
    MirrorSettings,
    PlanState,
    Restore,
    Undone,
)
from tagmesh.protocol.sync_words import TagExtras

T0, KEEP = 500.0, 600.0


def extras(count: int, local: int, tag: str = "") -> TagExtras:
    return TagExtras(tag, tuple(b"%d" % n for n in range(count)), local)


def a_mirror() -> Mirror:
    return Mirror(MirrorSettings())


def offer(rules: Mirror, *found: TagExtras, dry_run: bool = False) -> list[Effect]:
    return rules.offer(found, dry_run=dry_run, now=T0)


def done(rules: Mirror, records: list[bytes] | None = None) -> int:
    """A plan that dropped these records."""
    (drop,) = offer(rules, extras(1, 10))
    assert isinstance(drop, Drop)
    rules.dropped(drop.plan_id, "", [b"record"] if records is None else records, T0)
    return drop.plan_id


def states(rules: Mirror) -> list[tuple[int, PlanState]]:
    return [(plan.plan_id, plan.state) for plan in rules.plans()]


def test_nothing_to_drop() -> None:
    rules = a_mirror()
    assert offer(rules) == offer(rules, extras(0, 50)) == [MirrorDone(None, 0)]
    assert rules.plans() == []
    assert rules.deadline is None


def test_a_few_are_dropped_tag_by_tag() -> None:
    rules = a_mirror()
    first, second = extras(3, 100), extras(2, 100, "vip")
    assert offer(rules, first, second) == [Drop(1, "", first.keys), Drop(1, "vip", second.keys)]
    assert rules.dropped(1, "", [b"a", b"b"], T0) == []
    assert rules.dropped(1, "", [b"again"], T0) == []
    assert rules.dropped(1, "vip", [b"c"], T0) == [MirrorDone(1, 3)], "one was written since"
    (plan,) = rules.plans()
    assert (plan.dropped, plan.journal_bytes) == (3, 3)


@pytest.mark.parametrize(
    ("count", "local", "guarded"),
    [
        (20, 20, False),  # not more than 20
        (21, 42, False),  # not more than half
        (21, 41, True),
        (10_000, 10_000, True),
        (4_999, 10_000, False),
        (21, 0, True),  # all of them came with live messages
    ],
)
def test_the_guard(count: int, local: int, guarded: bool) -> None:
    rules = a_mirror()
    effects = offer(rules, extras(count, local))
    assert effects == ([MirrorDone(1, 0)] if guarded else [Drop(1, "", extras(count, local).keys)])
    (plan,) = rules.plans()
    assert plan.reason == ("guard" if guarded else "")


def test_the_guard_looks_at_each_tag_and_at_all_together() -> None:
    rules = a_mirror()
    assert offer(rules, extras(30, 30), extras(1, 10_000, "vip")) == [MirrorDone(1, 0)]
    small = [extras(15, 20, f"t{n}") for n in range(3)]
    assert offer(rules, *small) == [MirrorDone(2, 0)]
    assert isinstance(offer(rules, small[0])[0], Drop)


def test_the_guard_can_be_set() -> None:
    rules = Mirror(MirrorSettings(guard_records=2, guard_share=0.1))
    assert offer(rules, extras(3, 29)) == [MirrorDone(1, 0)]
    assert isinstance(offer(rules, extras(3, 30))[0], Drop)


def test_the_empty_donor_of_2574_takes_nothing_away() -> None:
    """OpenSIPS #2574: a freshly restarted, empty donor made the others drop their dialogs."""
    rules = a_mirror()
    assert offer(rules, extras(3_000, 3_000)) == [MirrorDone(1, 0)]
    rules.tick(T0 + KEEP)
    assert rules.plans() == []


def test_a_plan_is_kept_from_when_something_happened_to_it_last() -> None:
    rules = a_mirror()
    offer(rules, extras(50, 50))
    assert rules.deadline == T0 + KEEP
    rules.confirm(1, T0 + 100)
    assert rules.deadline == T0 + 100 + KEEP
    rules.dropped(1, "", [b"r"], T0 + 150)
    assert rules.deadline == T0 + 150 + KEEP


def test_a_dry_run_always_waits_and_can_be_looked_at() -> None:
    rules = a_mirror()
    assert offer(rules, extras(1, 100), dry_run=True) == [MirrorDone(1, 0)]
    (plan,) = rules.plans()
    assert (plan.reason, plan.state) == ("dry_run", PlanState.WAITING)
    assert plan.extras == (extras(1, 100),)


def test_a_plan_that_waits_is_confirmed_once() -> None:
    rules = a_mirror()
    offer(rules, extras(50, 50))
    assert rules.confirm(1, T0 + 100) == [Drop(1, "", extras(50, 50).keys)]
    assert rules.deadline == T0 + 100 + KEEP
    with pytest.raises(Unknown, match=r"no waiting mirror plan 1; .* 1 \(dropping\)"):
        rules.confirm(1, T0 + 100)
    assert rules.dropped(1, "", [b"r"] * 50, T0 + 101) == [MirrorDone(1, 50)]
    assert states(rules) == [(1, PlanState.DROPPED)]


def test_a_plan_that_waits_is_discarded() -> None:
    rules = a_mirror()
    offer(rules, extras(50, 50))
    rules.discard(1)
    assert rules.plans() == []
    with pytest.raises(Unknown, match="these are: none"):
        rules.discard(1)


def test_undo_restores_what_was_dropped_once() -> None:
    rules = a_mirror()
    offer(rules, extras(2, 100), extras(1, 100, "vip"))
    rules.dropped(1, "", [b"a", b"b"], T0)
    with pytest.raises(Unknown):
        rules.undo(1)
    rules.dropped(1, "vip", [], T0)
    assert rules.undo(1) == [Restore(1, "", (b"a", b"b")), Restore(1, "vip", ())]
    with pytest.raises(Unknown):
        rules.undo(1)
    assert rules.restored(1, "", 1) == []
    assert rules.restored(1, "vip", 0) == [Undone(1, 1)]
    assert rules.restored(1, "vip", 0) == []
    assert rules.plans() == []


def test_plans_are_forgotten_after_a_while() -> None:
    rules = a_mirror()
    done(rules)
    offer(rules, extras(50, 50))
    rules.confirm(2, T0 + 10)
    assert rules.deadline == T0 + KEEP
    assert rules.tick(T0 + KEEP - 1) == []
    assert len(rules.plans()) == 2
    rules.tick(T0 + KEEP)
    assert states(rules) == [(2, PlanState.DROPPING)]
    rules.tick(T0 + 10 + KEEP)
    assert rules.plans() == []
    assert rules.dropped(2, "", [b"late"], T0 + 700) == []
    with pytest.raises(Unknown, match="plans are kept 600 s"):
        rules.undo(1)


def test_only_the_newest_plans_are_kept_but_none_that_is_at_work_is_lost() -> None:
    rules = a_mirror()
    offer(rules, extras(50, 50))
    rules.confirm(1, T0)
    for _ in range(MAX_PLANS + 2):
        offer(rules, extras(50, 50))
    kept = [plan_id for plan_id, _ in states(rules)]
    assert kept == [1, *range(5, MAX_PLANS + 4)]
    assert len(kept) == MAX_PLANS


def test_the_journal_is_bounded_by_forgetting_older_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "MAX_JOURNAL_BYTES", 100)
    rules = a_mirror()
    done(rules, [bytes(50)])
    done(rules, [bytes(50)])
    assert len(rules.plans()) == 2
    done(rules, [bytes(50)])
    assert [plan_id for plan_id, _ in states(rules)] == [2, 3]
    offer(rules, extras(50, 50))
    done(rules, [bytes(1000)])
    assert [plan_id for plan_id, _ in states(rules)] == [4, 5], "the newest, and one that waits"
    assert len(rules.undo(5)) == 1
