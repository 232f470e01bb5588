"""A joiner gets 25,000 dialogs under 200 updates a second, again and again, on real processes.

    python -m tests.integration.dialog_runs --runs 20

Node 1 has the dialogs' tag and loads them from a file; node 2 joins while they change. In the end
both have the same dialogs. Then node 1, whose configuration says that the tag is active there, is
killed and comes back with nothing: node 2 still has every dialog, takes over, and gives them back.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from examples.dialog_records import dialogs
from tagmesh.capabilities.dialog_file import write_dialogs
from tagmesh.capabilities.dialog_records import changed
from tagmesh.control.workspace import Workspace
from tests.integration.told_nodes import PATIENCE_S, ToldNodes

COUNT, UPDATES_PER_S = 25_000, 200
OWNER, JOINER = 1, 2
AFTER_S = 0.5
"""Updates go on so long after the sync."""


def nodes_in(folder: Path) -> ToldNodes:
    """Two nodes; the tag is active on the first one, and backup on the second."""
    space = Workspace(folder, 2, admin=False)
    for node, start in ((OWNER, "vip1=active"), (JOINER, "vip1")):
        text = space.config(node).read_text()
        tags = f'[[cluster]]\nsharing_tags = ["{start}"]'
        space.config(node).write_text(text.replace("[[cluster]]", tags))
    return ToldNodes(space, "tests.integration.dialog_node")


def file_in(folder: Path, count: int, seed: int, life_s: int = 12 * 3600) -> Path:
    """A file of dialogs of the tag; they expire in so many seconds."""
    file, now_s = folder / "dialogs.csv", int(time.time())
    made = (
        (changed(d, {"timeout": now_s + life_s}), tag) for d, tag in dialogs(count, seed, now_s)
    )
    write_dialogs(file, made)
    return file


def run(nodes: ToldNodes, file: Path, count: int) -> dict[str, float]:
    """One run; seconds of its parts. An assertion fails when something is missing."""
    nodes.start(OWNER)
    nodes.until(OWNER, lambda s: s["state"] == "ok" and s["holder"] == OWNER)
    loaded = nodes.ask(OWNER, "load", file=str(file))
    assert loaded["count"] == count
    nodes.ask(OWNER, "update", rate=UPDATES_PER_S)
    began = time.monotonic()
    nodes.start(JOINER)
    nodes.until(JOINER, lambda s: s["state"] == "ok")
    joined_s = time.monotonic() - began
    time.sleep(AFTER_S)
    updated = nodes.ask(OWNER, "update", rate=0)["updated"]
    assert updated > UPDATES_PER_S * joined_s / 2, f"only {updated} updates in {joined_s:.1f} s"
    have_the_same(nodes, count)
    # a life without data
    nodes.kill(OWNER)
    nodes.start(OWNER)
    nodes.until(OWNER, lambda s: s["holder"] == OWNER)  # by its configuration, as the last one
    nodes.until(JOINER, lambda s: s["holder"] == OWNER)
    time.sleep(AFTER_S)
    assert nodes.ask(JOINER, "content")["count"] == count
    nodes.ask(JOINER, "activate")
    nodes.until(OWNER, lambda s: s["holder"] == JOINER)
    nodes.ask(OWNER, "sync")
    have_the_same(nodes, count)
    for node in (OWNER, JOINER):
        assert nodes.ask(node, "state")["ended"] == [], "nothing has expired"
    return {"load": loaded["seconds"], "join": joined_s}


def have_the_same(nodes: ToldNodes, count: int) -> None:
    """All dialogs on both nodes, with what they became."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        contents = [nodes.ask(node, "content") for node in (OWNER, JOINER)]
        assert contents[0]["count"] <= count
        if contents[0] == contents[1] and contents[0]["count"] == count:
            return
        assert time.monotonic() < deadline, contents
        time.sleep(0.05)


def main() -> None:
    """As many runs as are asked for, each with other dialogs."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--count", type=int, default=COUNT)
    options = parser.parse_args()
    for number in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            file = file_in(Path(folder), options.count, seed=number)
            nodes = nodes_in(Path(folder))
            try:
                took = run(nodes, file, options.count)
            finally:
                nodes.end()
            said = ", ".join(f"{what} {seconds:.2f} s" for what, seconds in took.items())
            print(f"run {number + 1}: {options.count} dialogs on both nodes; {said}", flush=True)
    print("OK")


if __name__ == "__main__":
    main()
