"""A node with a replicated map, told what to do by lines of JSON on standard input.

python -m tests.integration.sync_node CONFIG
"""

from __future__ import annotations

import resource
import sys
import threading
import time
from typing import Any

import msgspec

from tagmesh import Node
from tagmesh.capabilities.replicated_map import ReplicatedMap
from tests.integration.told_nodes import ToldNode, obey

NAME = "records"
VALUE = "v" * 180
TICK_S = 0.01
SAMPLE_S = 0.02


class Program(ToldNode):
    """One node and the threads that write into its map and watch its links."""

    def __init__(self, config: str) -> None:
        self.node = Node.from_config(config)
        self.map = self.node.cluster(1).register(ReplicatedMap(NAME))
        self.rate = 0
        self.keys = 0
        self.written = 0
        self.slowest_ping_s = 0.0
        self.node.start()
        for work in (self._write, self._watch):
            threading.Thread(target=work, daemon=True).start()

    def load(self, count: int) -> dict[str, Any]:
        for n in range(count):
            self.map.put(n, f"{n} {VALUE}")
        self.keys = count
        return {"count": len(self.map)}

    def update(self, rate: int, keys: int) -> dict[str, Any]:
        """Write so many records a second, of the first ``keys``, over and over."""
        self.keys, self.rate = keys, rate
        return {"written": self.written}

    def state(self) -> dict[str, Any]:
        status = self.node.cluster(1).status(NAME)
        progress = status.progress
        return {
            "state": status.state.upper(),
            "donor": progress.donor if progress else None,
            "count": len(self.map),
            "report": msgspec.to_builtins(status.last_report),
        }

    def costs(self) -> dict[str, Any]:
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        slowest, self.slowest_ping_s = self.slowest_ping_s, 0.0
        return {"peak_bytes": peak_kib * 1024, "slowest_ping_s": slowest, "written": self.written}

    def _write(self) -> None:
        begun, done = time.monotonic(), 0.0
        while True:
            time.sleep(TICK_S)
            now = time.monotonic()
            done += self.rate * (now - begun)
            begun = now
            while done >= 1:
                done -= 1
                self.map.put(self.written % self.keys, f"written {self.written} {VALUE}")
                self.written += 1

    def _watch(self) -> None:
        while True:
            time.sleep(SAMPLE_S)
            rtts = [p.rtt_s or 0.0 for c in self.node.status().clusters for p in c.peers]
            self.slowest_ping_s = max([self.slowest_ping_s, *rtts])


def main() -> None:
    program = Program(sys.argv[1])
    obey(program)
    program.node.stop()


if __name__ == "__main__":
    main()
