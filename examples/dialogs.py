"""Calls survive their proxy: python examples/dialogs.py [count]

Two processes have the dialogs of a SIP proxy, and a sharing tag says which of them works on them.
The active one loads a file of dialogs, and is killed. The other takes the tag, and from then on
ends the calls whose time is over. The first one comes back with nothing and gets them all again.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tagmesh import Dialog, Node, NotTagOwner, Token
from tagmesh.control.workspace import Workspace

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
TAG = "vip1"
TIMEOUT_S = 30.0


class Proxy:
    """The application: one process with one node."""

    def __init__(self, config: Path) -> None:
        self.node = Node.from_config(config)
        self.dialogs = self.node.cluster(1).dialogs()
        self.tag = self.node.cluster(1).tag(TAG)
        self.ended = 0
        self.dialogs.on_expired(self.send_bye)

    def send_bye(self, dialog: Dialog, token: Token | None) -> None:
        """Called on one node only: the one that has the tag of the dialog."""
        self.ended += 1
        if self.ended == 1:
            assert token is not None, "every dialog here has a tag"
            print(f"    process {self.node.node_id}: BYE to {dialog.callee_contact}")
            print(f"    under epoch {token.epoch}, and nobody else sends it")

    def activate(self) -> None:
        self.tag.activate()

    def load(self, file: str) -> int:
        return self.dialogs.load_file(file)

    def hang_up(self) -> str:
        """End some call, as an operator would."""
        try:
            self.dialogs.terminate(next(self.dialogs.listed()).key)
        except NotTagOwner as error:
            return f"refused: {error}"
        return "done"

    def expire(self, count: int) -> None:
        """Some calls have no time left."""
        for dialog in list(self.dialogs.listed(0, count)):
            self.dialogs.update(dialog.key, timeout=int(time.time()) + 1)

    def content(self) -> tuple[int, str]:
        return len(self.dialogs), self.dialogs.digest()

    def byes(self) -> int:
        return self.ended


def serve(config: Path, orders: Connection) -> None:
    proxy = Proxy(config)
    with proxy.node:
        proxy.node.wait_ready(TIMEOUT_S)
        orders.send(None)
        while order := orders.recv():
            orders.send(getattr(proxy, order[0])(*order[1:]))


# The one who starts, kills and asks them


class Processes:
    def __init__(self, space: Workspace) -> None:
        self.space = space
        self.spawn = multiprocessing.get_context("spawn")
        self.running: dict[int, tuple[Any, Connection]] = {}

    def start(self, node: int) -> None:
        orders, theirs = self.spawn.Pipe()
        config = self.space.config(node)
        process = self.spawn.Process(target=serve, args=(config, theirs), daemon=True)
        process.start()
        theirs.close()
        self.running[node] = process, orders
        orders.recv()

    def ask(self, node: int, *order: Any) -> Any:
        orders = self.running[node][1]
        orders.send(order)
        return orders.recv()

    def kill(self, node: int) -> None:
        process, orders = self.running.pop(node)
        process.kill()
        process.join()
        orders.close()

    def wait(self, count: int) -> None:
        """Until all that run have so many dialogs, and the same."""
        deadline = time.monotonic() + TIMEOUT_S
        while len(seen := {self.ask(n, "content") for n in self.running}) > 1 or (
            next(iter(seen))[0] != count
        ):
            assert time.monotonic() < deadline, seen
            time.sleep(0.05)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/calls.csv"
        maker = Path(__file__).with_name("dialog_records.py")
        subprocess.run([sys.executable, maker, file, f"--count={COUNT}"], check=True)
        processes = Processes(Workspace(Path(folder), 2, admin=False))
        processes.start(1)
        processes.start(2)
        processes.ask(1, "activate")
        print(processes.ask(1, "load", file), "dialogs loaded by process 1")
        processes.wait(COUNT)
        print("process 2 has them; to end a call there is", processes.ask(2, "hang_up"))
        processes.kill(1)
        processes.ask(2, "activate")
        print("process 1 is killed, process 2 has the tag; ten calls have no time left")
        processes.ask(2, "expire", 10)
        processes.wait(COUNT - 10)
        assert processes.ask(2, "byes") == 10, "each was ended once"
        print("process 1 comes back with nothing")
        processes.start(1)
        processes.wait(COUNT - 10)
        assert processes.ask(1, "byes") == 0, "it is a backup now"
        print(f"both have {COUNT - 10} dialogs")
        for node in (1, 2):
            processes.running[node][1].send(None)
            processes.running[node][0].join(TIMEOUT_S)
    print("OK")


if __name__ == "__main__":
    main()
