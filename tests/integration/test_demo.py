"""``tagmesh demo``, as a new user types it."""

import os
import re
import subprocess
import sys
from pathlib import Path

NODES = 3


def test_the_demo_shows_every_node_up_with_its_route_and_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tagmesh", "demo", "--nodes", str(NODES), "--exit-after", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^(\d) node-\d +bins:\S+ +Up +(\d) +enabled", done.stdout, re.MULTILINE)
    assert rows == [("2", "2"), ("3", "3")]
    assert not list(tmp_path.iterdir())
    assert not _listening(re.findall(r"127\.0\.0\.1:(\d+)", done.stdout))


def _listening(ports: list[str]) -> list[str]:
    listening = "0A"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    used = {int(row[1].partition(":")[2], 16) for row in rows if row[3] == listening}
    return [port for port in ports if int(port) in used]
