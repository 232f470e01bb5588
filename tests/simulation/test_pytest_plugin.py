"""The fixture ``world``: what embedders' tests get."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tagmesh.simulation import World

TESTS = """
import pytest

def test_default(world):
    assert (world.seed, len(world.ids)) == (0, 3)

@pytest.mark.world(nodes=4, seeds=2, dynamic=True)
def test_each_seed(world):
    assert world.dynamic and len(world.ids) == 4
    world.boot_all()
    world.until(world.converged, within_s=30)

def test_failing(world):
    world.boot(2)
    assert world.converged() == "never"
"""


@pytest.mark.world(nodes=5, seeds=3)
def test_a_marked_test_gets_each_seed(world: World) -> None:
    world.boot_all()
    world.until(world.converged, within_s=30.0)
    assert world.seed in range(3)
    assert len(world.processes) == 5


def test_embedders_get_it_by_installing(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "--strict-markers", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-c", "/dev/null", "--rootdir", str(tmp_path), str(tmp_path)],
        check=False, capture_output=True, text=True, cwd=tmp_path, timeout=60,
    )  # fmt: skip
    assert "1 failed, 3 passed" in done.stdout, done.stdout + done.stderr
    assert "seed 0, virtual second 0.000" in done.stdout
    assert "-- boot 2" in done.stdout


def test_pytest_starts_without_the_simulator() -> None:
    code = (
        "import sys, tagmesh.simulation.pytest_plugin;"
        "print([m for m in ('gevent', 'pykka', 'msgspec', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
