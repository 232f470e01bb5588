"""How long something waits for a node that has not registered a capability."""

from __future__ import annotations

from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.lacking import PATIENCE_S, Lacking

TWO, THREE = NodeId(2), NodeId(3)


def test_after_a_while_nothing_waits_for_a_node_that_lacks_it() -> None:
    rules = Lacking()
    assert rules.deadline is None
    rules.see({TWO: 7}, 10.0)
    rules.see({TWO: 7, THREE: 1}, 20.0)
    assert rules.deadline == 10.0 + PATIENCE_S
    assert not rules.tick(10.0 + PATIENCE_S - 0.001)
    assert rules.tick(10.0 + PATIENCE_S)
    assert rules.for_good == {TWO}
    assert rules.deadline == 20.0 + PATIENCE_S
    assert not rules.tick(10.0 + PATIENCE_S), "that is no news"


def test_one_that_registers_it_or_goes_or_begins_anew_is_waited_for_again() -> None:
    rules = Lacking()
    rules.see({TWO: 7, THREE: 1}, 10.0)
    rules.tick(1e6)
    assert rules.for_good == {TWO, THREE}
    rules.see({THREE: 2}, 1e6)
    assert rules.for_good == set()
    rules.see({TWO: 7, THREE: 2}, 1e6 + 1)
    assert rules.deadline == 1e6 + PATIENCE_S
