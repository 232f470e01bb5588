"""The pytest fixture ``world``, for the tests of whoever embeds tagmesh.

>>> @pytest.mark.world(nodes=5, seeds=20)
... def test_my_capability(world):
...     world.boot_all()
...     world.until(world.converged, within_s=30)

Without the mark a test gets the world of seed 0 with 3 nodes. ``seeds``: how many, from 0; each is
a test of its own, ``-k seed=7`` repeats one. All other arguments are those of `World`. What
happened stands in the report of a test that fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .world import World

MARK = "world(seeds=1, nodes=3, settings=None, dynamic=False): the simulated cluster of this test"
SHOWN_ENTRIES = 200
"""The end of the history, in the report of a failed test."""

_KEY = pytest.StashKey["World"]()


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line("markers", MARK)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per seed."""
    mark = metafunc.definition.get_closest_marker("world")
    if mark is not None and "world" in metafunc.fixturenames:
        seeds = range(mark.kwargs.get("seeds", 1))
        metafunc.parametrize("world", seeds, ids=[f"seed={seed}" for seed in seeds], indirect=True)


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    """A simulated cluster that is not booted yet; see `tagmesh.simulation.World`."""
    from .world import World

    mark = request.node.get_closest_marker("world")
    arguments: dict[str, Any] = dict(mark.kwargs) if mark is not None else {}
    arguments.pop("seeds", None)
    made = World(getattr(request, "param", 0), **arguments)
    request.node.stash[_KEY] = made
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Add the history to what a failed test says."""
    report = yield
    made = item.stash.get(_KEY, None)
    if made is not None and report.when == "call" and report.failed:
        title = f"seed {made.seed}, virtual second {made.now:.3f}"
        report.sections.append((title, made.table(SHOWN_ENTRIES)))
    return report
