"""Every example runs as it stands, says OK at the end, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tagmesh import Node
from tagmesh.control.workspace import Workspace

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(path.name for path in FOLDER.glob("*.py"))
MAX_LINES = 40


def run(example: str, folder: Path, *arguments: str) -> list[str]:
    """Its output, line by line; temporary files go to ``folder``, and none stays there."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / example), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={"TMPDIR": str(folder), "PATH": "/usr/bin:/bin", "HOME": str(folder)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(folder.iterdir()) == []
    return done.stdout.splitlines()


@pytest.mark.parametrize("example", EXAMPLES)
def test_it_runs(example: str, tmp_path: Path) -> None:
    assert run(example, tmp_path / "work")[-1] == "OK"
    assert len((FOLDER / example).read_text().splitlines()) < MAX_LINES


def test_three_nodes_shows_the_way_round(tmp_path: Path) -> None:
    lines = run("three_nodes.py", tmp_path / "work")
    assert "the path between 1 and 3 is cut; 1 reaches 3 by [2, 3] " in lines
    assert "healed; 1 reaches 3 by [3]" in lines


def test_embed_with_a_configuration_of_its_own(tmp_path: Path) -> None:
    space = Workspace(tmp_path / "space", 2, admin=False)
    with Node.from_config(space.config(2)):
        lines = run("embed.py", tmp_path / "work", str(space.config(1)))
    assert any(line.startswith("event: node_up cluster 1 node 2") for line in lines)
    assert lines[-1] == "OK"
