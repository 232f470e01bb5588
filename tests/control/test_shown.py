"""A table is a text whose representation is itself."""

from __future__ import annotations

from tagmesh.control.shown import Shown, shown
from tagmesh.control.tables import status_table
from tests.control.fake_node import make_status


def test_a_prompt_shows_it_as_it_is() -> None:
    text = shown(status_table(make_status()))
    assert isinstance(text, Shown)
    assert repr(text) == str(text)
    assert "seen from node 1" in text
    assert not text.endswith("\n")
