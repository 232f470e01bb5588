"""A node with a tagged map and a writer that works while it has the tag, as `told_nodes` has it.

python -m tests.integration.tag_node CONFIG

Each attempt to write is a line in the file ``writes`` beside the configuration, there before the
next one begins: when it began and ended on the clock that all processes of a host share, in s, and
the number of the epoch; 0 = it was refused, -1 = the tag came or went while it was made.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tagmesh import Busy, Node, NotTagOwner
from tagmesh.capabilities.replicated_map import ReplicatedMap
from tests.integration.told_nodes import ToldNode, obey

NAME, TAG = "records", "vip"
KEYS = 2_000
UPDATES_PER_S = 500
TICK_S = 0.004


class Program(ToldNode):
    """One node and its writer."""

    def __init__(self, config: str) -> None:
        self.node = Node.from_config(config)
        cluster = self.node.cluster(1)
        self.map = cluster.register(ReplicatedMap(NAME))
        self.tag = cluster.tag(TAG)
        self.writing = True
        self._log = os.open(
            Path(config).with_name("writes"), os.O_CREAT | os.O_WRONLY | os.O_APPEND
        )
        self.node.start()
        threading.Thread(target=self._write, daemon=True).start()

    def state(self) -> dict[str, Any]:
        status = self.node.cluster(1).status(NAME)
        return {
            "state": status.state,
            "active": self.tag.active,
            "holder": self.tag.holder,
            "peers": sum(p.link == "Up" for p in self.node.status().clusters[0].peers),
        }

    def rest(self) -> dict[str, Any]:
        """No more writes."""
        self.writing = False
        return {}

    def _write(self) -> None:
        begun, due = time.monotonic(), 0.0
        while True:
            time.sleep(TICK_S)
            now = time.monotonic()
            due = min(due + UPDATES_PER_S * (now - begun), UPDATES_PER_S * TICK_S * 10)
            begun = now
            while due >= 1 and self.writing:
                due -= 1
                self._attempt()

    def _attempt(self) -> None:
        began, token = time.monotonic(), self.tag.token
        try:
            self.map.put(time.monotonic_ns() % KEYS, f"{began} of {self.node.node_id}", tag=TAG)
        except (NotTagOwner, Busy):
            number = 0
        else:
            number = token.epoch.number if token and token == self.tag.token else -1
        os.write(self._log, f"{began} {time.monotonic()} {number}\n".encode())


def main() -> None:
    program = Program(sys.argv[1])
    obey(program)
    program.node.stop()


if __name__ == "__main__":
    main()
