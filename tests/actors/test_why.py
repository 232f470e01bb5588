"""`node.why` of real nodes; what it says of faults is tested in simulation/test_why_faults."""

from __future__ import annotations

import pytest

from tagmesh import LocalCluster
from tagmesh.protocol.errors import Unknown


def test_an_application_asks_why_of_a_node_that_was_cut_off() -> None:
    with LocalCluster(2) as lab:
        assert lab[1].why("node", 2).text == "by the direct link"
        lab.cut(1, 2)
        lab.wait_link(1, 2, "Down")
        found = lab[1].why("link", 2)
        assert (found.state, found.code, found.rule) == ("Down", "nobody_listens", "L-5")
        with pytest.raises(Unknown, match="nobody has spoken of a tag 'vip'"):
            lab[1].why("tag", "vip")
