"""Every example runs as it stands, says OK at the end, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tagmesh import Node
from tagmesh.capabilities.dialog_file import read_dialogs
from tagmesh.control.workspace import Workspace

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(path.name for path in FOLDER.glob("*.py"))
APPLICATION = "shared_file.py"
READ = (
    APPLICATION, "active_backup_job.py", "call_limit.py", "remote_command.py",
    "restricted_join.py", "three_nodes.py",
)  # fmt: skip
"""Run below, where their lines are read."""
LONG = (APPLICATION, "dialogs.py", "dialog_records.py")
"""The others show one thing."""


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


@pytest.mark.parametrize("example", [name for name in EXAMPLES if name not in READ])
def test_it_runs(example: str, tmp_path: Path) -> None:
    assert run(example, tmp_path / "work")[-1] == "OK"


@pytest.mark.parametrize("example", EXAMPLES)
def test_it_is_short(example: str) -> None:
    most = 150 if example in LONG else 55
    assert len((FOLDER / example).read_text().splitlines()) < most


def test_three_nodes_shows_the_way_round(tmp_path: Path) -> None:
    lines = run("three_nodes.py", tmp_path / "work")
    assert "the path between 1 and 3 is cut; 1 reaches 3 by [2, 3] " in lines
    assert "healed; 1 reaches 3 by [3]" in lines
    assert "node 3 has {'alice': {'ip': '10.0.0.7'}}" in lines
    assert "node 1 has ['alice', 'bob']" in lines


def test_the_job_goes_on_where_the_tag_goes(tmp_path: Path) -> None:
    lines = run("active_backup_job.py", tmp_path / "work")
    assert lines == ["the job ran on one node", "its node died, the job runs on another", "OK"]


def test_only_a_node_with_a_row_joins(tmp_path: Path) -> None:
    lines = run("restricted_join.py", tmp_path / "work")
    assert lines[1].startswith("node 3: node 3 has no row in ")
    assert lines[2:] == ["node 3 has a row now, and is linked with 2", "OK"]


def test_a_command_on_all_nodes(tmp_path: Path) -> None:
    lines = run("remote_command.py", tmp_path / "work")
    assert lines[-3:] == [
        "node 3 absent",
        "node 2 Not allowed: [admin] remote is observer there",
        "OK",
    ]


def test_a_limit_holds_for_all_nodes_together(tmp_path: Path) -> None:
    lines = run("call_limit.py", tmp_path / "work")
    assert lines == [
        "20 of 30 calls accepted",
        "five ended, there is room again: True",
        "calls now, as each node knows it: [16, 16, 16]",
        "OK",
    ]


def test_three_processes_share_a_file(tmp_path: Path) -> None:
    """One that comes late has every record, and so has one that was killed."""
    lines = run(APPLICATION, tmp_path / "work")
    assert "both have the 3000 records of the file; process 3 comes late" in lines
    synced = [line.split() for line in lines if "sync_done" in line]
    got = [(words[1], words[-5]) for words in synced]
    assert got == [("2:", "0"), ("3:", "3000"), ("1:", "3000")]
    assert lines[-2].startswith("all three have the same 3000 records, digest ")
    assert lines[-1] == "OK"


def test_calls_survive_their_proxy(tmp_path: Path) -> None:
    lines = run("dialogs.py", tmp_path / "work", "300")
    assert "300 dialogs loaded by process 1" in lines
    (refused,) = [line for line in lines if "process 2 has them" in line]
    assert "to end a call there is refused: tag 'vip1' is" in refused
    assert lines[-2:] == ["both have 290 dialogs", "OK"]


def test_the_same_seed_makes_the_same_dialogs(tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.csv" for n in range(3)]
    for number, (file, seed) in enumerate(zip(files, ("7", "7", "8"), strict=True)):
        words = (str(file), "--count=200", f"--seed={seed}", "--now=1760000000", "--tag=a")
        lines = run("dialog_records.py", tmp_path / f"work{number}", *words)
        assert lines[0].startswith("200 dialogs, 0.1 MB")
    assert files[0].read_bytes() == files[1].read_bytes() != files[2].read_bytes()
    read = list(read_dialogs(files[0]))
    assert len({dialog.key for dialog, _ in read}) == len({d.dlg_id for d, _ in read}) == 200
    assert {tag for _, tag in read} == {"a"}


def test_a_file_of_somebody_else(tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("user,seconds\n" + "".join(f"user{n},{n}\n" for n in range(200)))
    lines = run(APPLICATION, tmp_path / "work", str(file))
    assert lines[-2].startswith("all three have the same 200 records")


def test_embed_with_a_configuration_of_its_own(tmp_path: Path) -> None:
    space = Workspace(tmp_path / "space", 2, admin=False)
    with Node.from_config(space.config(2)):
        lines = run("embed.py", tmp_path / "work", str(space.config(1)))
    assert any(line.startswith("event: node_up cluster 1 node 2") for line in lines)
    assert lines[-1] == "OK"
