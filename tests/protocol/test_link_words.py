"""How link states are shown, and the times that follow from the configured ones."""

from __future__ import annotations

import pytest

from tagmesh.protocol.link import State, Timing


@pytest.mark.parametrize("state", State)
def test_every_state_but_up_and_down_is_shown_as_probe(state: State) -> None:
    assert state.shown == {"up": "Up", "down": "Down"}.get(state.value, "Probe")


def test_the_states_with_a_connection() -> None:
    connected = {state.value for state in State if state.connected}
    assert connected == {"restarted", "retrying", "proving", "up"}


def test_the_detection_time_of_the_defaults() -> None:
    timing = Timing(
        ping_interval_s=4, ping_timeout_s=1, node_timeout_s=60, flap_window_s=60, retries=3
    )
    assert timing.detection_s == 8.0
