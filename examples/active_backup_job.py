"""A job that runs on one node at a time: on the one that has the tag ``jobs``, whoever dies."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tagmesh import Node
from tagmesh.control.workspace import Workspace

QUICK = {"ttl": "2s", "renew": "400ms", "retry": "300ms", "safety": "300ms", "rank_delay": "100ms"}
"""So that nobody waits for this example; the usual lease lasts 10 s."""


def run_the_job(nodes: dict[int, Node], done: list[int]) -> None:
    """Every node tries; only the one that has the tag works, and only while it has it."""
    for node in nodes.values():
        tag = node.tag("jobs")
        if tag.active:
            with tag.guard():  # raises when the tag is gone before the work was done
                done.append(node.node_id)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        space = Workspace(Path(folder), 3, leases={"jobs": QUICK})
        nodes = {number: Node.from_config(space.config(number)) for number in space.ids}
        done: list[int] = []
        try:
            for node in nodes.values():
                node.start()
            while not done:
                run_the_job(nodes, done)
                time.sleep(0.05)
            first = done[0]
            print("the job ran on one node")
            nodes.pop(first).kill()  # without a word, as a crash
            while done[-1] == first:
                run_the_job(nodes, done)
                time.sleep(0.05)
            print("its node died, the job runs on another")
        finally:
            for node in nodes.values():
                node.stop()
    print("OK")


if __name__ == "__main__":
    main()
