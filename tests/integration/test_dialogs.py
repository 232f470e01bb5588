"""Dialogs on real processes: a joiner gets all of them while they change, and nobody loses any."""

from __future__ import annotations

from pathlib import Path

from tests.integration.dialog_runs import COUNT, JOINER, OWNER, file_in, nodes_in, run


def test_25000_dialogs_arrive_complete_and_an_empty_owner_empties_nobody(tmp_path: Path) -> None:
    """One run; `make soak` has 20."""
    nodes = nodes_in(tmp_path)
    try:
        run(nodes, file_in(tmp_path, COUNT, seed=1), COUNT)
    finally:
        nodes.end()


def test_the_next_owner_ends_what_expires_after_a_take_over(tmp_path: Path) -> None:
    """Every dialog once, by the node that has the tag then."""
    nodes = nodes_in(tmp_path)
    try:
        for node in (OWNER, JOINER):
            nodes.start(node)
            nodes.until(node, lambda s: s["state"] == "ok" and s["holder"] == OWNER)
        file = file_in(tmp_path, 50, seed=2, life_s=6)
        assert nodes.ask(OWNER, "load", file=str(file))["count"] == 50
        nodes.until(JOINER, lambda s: s["count"] == 50)
        nodes.kill(OWNER)
        nodes.until(JOINER, lambda s: s["holder"] is None)
        nodes.ask(JOINER, "activate")
        ended = nodes.until(JOINER, lambda s: s["count"] == 0)["ended"]
        assert len(ended) == len(set(ended)) == 50
    finally:
        nodes.end()
