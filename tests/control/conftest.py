"""A hand-made node and its HTTP face, for the tests of all faces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.control.fake_node import FakeNode, served


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
def url(node: FakeNode) -> Iterator[str]:
    with served(node) as running:
        yield running
