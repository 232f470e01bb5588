"""Limits on how often: per second, flaps, back-off."""

from __future__ import annotations

from tagmesh.protocol.damping import FIRST_BACKOFF_S, MAX_FLAPS, Backoff, Flaps, PerSecond


def test_per_second_counts_in_whole_seconds_from_the_first() -> None:
    limit = PerSecond(2)
    assert [limit.allows(now) for now in (5.9, 6.0, 6.1, 6.8, 6.9, 7.0, 7.1)] == [
        True, True, False, False, True, True, False,
    ]  # fmt: skip


def test_flaps_double_the_hold_up_to_the_cap_and_leave_the_window() -> None:
    flaps = Flaps(window_s=60, first_s=1, cap_s=30)
    holds = []
    for number in range(MAX_FLAPS + 4):
        holds.append(flaps.hold_s(float(number)))
        flaps.note(float(number))
    assert holds[:9] == [0, 0, 0, 1, 2, 4, 8, 16, 30]
    assert set(holds[9:]) == {30}
    assert flaps.count(19.0) == MAX_FLAPS
    assert flaps.count(4 + 60) == MAX_FLAPS
    assert flaps.count(5.5 + 60) == MAX_FLAPS - 2
    flaps.forget()
    assert flaps.hold_s(19.0) == 0


def test_back_off_is_none_at_first_then_doubles_to_the_cap_however_long_it_lasts() -> None:
    backoff = Backoff(cap_s=5.0, draw=lambda: 0.0)
    pauses = [backoff.pause_s() for _ in range(5000)]
    assert pauses[:3] == [0.0, FIRST_BACKOFF_S / 2, FIRST_BACKOFF_S]
    assert pauses[-1] == 2.5
    backoff.fresh()
    assert backoff.pause_s() == 0.0


def test_the_second_connection_in_a_row_that_ends_early_is_paused_for() -> None:
    backoff = Backoff(cap_s=5.0, draw=lambda: 0.0)
    after = []
    for lasted in (1.0, 1.0, 1.0, 5.0, 4.9, 5.0):
        backoff.ended(lasted)
        after.append(backoff.pause_s())
    assert after == [0.0, 0.025, 0.05, 0.0, 0.025, 0.0]
