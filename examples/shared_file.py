"""Three processes share the records of a file: python examples/shared_file.py [file.csv]

Process 1 loads the file; process 2 gets each record as it is loaded. Process 3 comes late and is
synchronised. Then process 1 is killed, the others correct some records, and it comes back. In the
end every process must have the same records, and those of the file where nobody corrected them.
"""

from __future__ import annotations

import csv
import hashlib
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tagmesh import Event, EventRecord, Node, ReplicatedDict
from tagmesh.control.workspace import Workspace

FILE = Path(__file__).with_name("call_records.csv")
TIMEOUT_S = 30.0
CORRECTED = 100


# The application: all that it knows of the other processes is a dict that they share


def application(config: Path, orders: Connection) -> None:
    node = Node.from_config(config)
    records = node.replicated_dict("call-records")

    @node.on(Event.SYNC_STARTED, Event.SYNC_PROGRESS, Event.SYNC_DONE)
    def show(event: EventRecord) -> None:
        print(f"    process {node.node_id}: {event}", flush=True)

    with node:
        node.wait_ready(TIMEOUT_S)  # the records that others have are here now
        orders.send("ready")
        while order := orders.recv():
            orders.send(ORDERS[order](records))


def load(records: ReplicatedDict) -> int:
    for number, (call_id, record) in enumerate(rows().items(), 1):
        records[call_id] = record
        if number % 1000 == 0:
            print(f"    process 1: {number} records loaded", flush=True)
    return len(records)


def correct(records: ReplicatedDict) -> int:
    """Round some durations up to minutes."""
    for call_id in sorted(records)[:CORRECTED]:
        minutes = -(-int(records[call_id]["seconds"]) // 60)
        records.patch(call_id, {"seconds": str(60 * minutes)})
    return CORRECTED


def digest(records: Mapping[Any, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(records), sort_keys=True).encode()).hexdigest()[:16]


def rows() -> dict[str, dict[str, str]]:
    """The records of the file by their first column."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        return {next(iter(row.values())): row for row in reader}


ORDERS = {"load": load, "correct": correct, "digest": digest}


# The one who starts, kills and asks them


class Processes:
    def __init__(self, space: Workspace) -> None:
        self.space = space
        self.spawn = multiprocessing.get_context("spawn")
        self.running: dict[int, tuple[Any, Connection]] = {}

    def start(self, node: int) -> None:
        orders, theirs = self.spawn.Pipe()
        process = self.spawn.Process(
            target=application, args=(self.space.config(node), theirs), daemon=True
        )
        process.start()
        theirs.close()
        self.running[node] = process, orders
        assert orders.recv() == "ready"

    def ask(self, node: int, order: str) -> Any:
        orders = self.running[node][1]
        orders.send(order)
        return orders.recv()

    def kill(self, node: int) -> None:
        process, orders = self.running.pop(node)
        process.kill()
        process.join()
        orders.close()

    def wait_alike(self) -> str:
        """Wait until all that run have the same records; their digest."""
        deadline = time.monotonic() + TIMEOUT_S
        while len(digests := {self.ask(node, "digest") for node in self.running}) > 1:
            assert time.monotonic() < deadline, "the processes do not agree"
            time.sleep(0.05)
        return str(digests.pop())

    def stop(self) -> None:
        for _, orders in self.running.values():
            orders.send("")
        for process, _ in self.running.values():
            process.join(TIMEOUT_S)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        processes = Processes(Workspace(Path(folder), 3, admin=False))
        print("processes 1 and 2 start; 1 loads the file")
        processes.start(1)
        processes.start(2)
        count = processes.ask(1, "load")
        assert processes.wait_alike() == digest(rows()), "not the records of the file"
        print(f"both have the {count} records of the file; process 3 comes late")
        processes.start(3)
        assert processes.wait_alike() == digest(rows())
        print(f"process 1 is killed; process 2 corrects {CORRECTED} records")
        processes.kill(1)
        processes.ask(2, "correct")
        processes.wait_alike()
        print("process 1 comes back")
        processes.start(1)
        agreed = processes.wait_alike()
        assert agreed != digest(rows())
        print(f"all three have the same {count} records, digest {agreed}")
        processes.stop()
    print("OK")


if __name__ == "__main__":
    main()
