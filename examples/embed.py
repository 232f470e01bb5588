"""A node inside an ordinary program: python examples/embed.py [tagmesh.toml]"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

from tagmesh import Event, EventRecord, Node
from tagmesh.control.workspace import Workspace


def serve(config: Path) -> None:
    node = Node.from_config(config)  # no thread, no socket, no file yet
    seen = threading.Event()

    @node.on(Event.NODE_UP, Event.NODE_DOWN)  # runs in a worker thread, it may block
    def changed(event: EventRecord) -> None:
        print("event:", event)
        seen.set()

    with node:  # starts a thread with a hub of its own, and stops it
        node.wait_ready(timeout=10)
        print(f"node {node.node_id} listens at {node.url}")
        seen.wait(10)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            space = Workspace(Path(folder), 2)  # a CA, certificates, a database, two files
            with Node.from_config(space.config(2)):
                serve(space.config(1))
    print("OK")
