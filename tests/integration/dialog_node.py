"""A node with dialogs, as `told_nodes` has it.

python -m tests.integration.dialog_node CONFIG
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from tagmesh import Dialog, Node
from tagmesh.capabilities.dialog_records import DialogKey

TICK_S = 0.01


class Program:
    """One node, and a thread that changes its dialogs."""

    def __init__(self, config: str) -> None:
        self.node = Node.from_config(config)
        self.dialogs = self.node.cluster(1).dialogs()
        self.rate = 0
        self.updated = 0
        self.ended: list[str] = []
        self.dialogs.on_expired(self._expired)
        self.node.start()
        threading.Thread(target=self._update, daemon=True).start()

    def load(self, file: str) -> dict[str, Any]:
        began = time.monotonic()
        count = self.dialogs.load_file(file)
        return {"count": count, "seconds": time.monotonic() - began}

    def update(self, rate: int) -> dict[str, Any]:
        """Change so many dialogs a second, one after the other."""
        self.rate = rate
        return {"updated": self.updated}

    def state(self) -> dict[str, Any]:
        status = self.node.cluster(1).status(self.dialogs.name)
        report = status.last_report
        return {
            "state": status.state,
            "reason": status.reason,
            "count": len(self.dialogs),
            "items": report.items if report is not None else 0,
            "holder": self.dialogs.port.tag("vip1").holder,
            "updated": self.updated,
            "ended": self.ended,
        }

    def content(self) -> dict[str, Any]:
        return {"count": len(self.dialogs), "digest": self.dialogs.digest()}

    def size(self, profile: str, value: str) -> dict[str, Any]:
        return {"size": self.dialogs.profiles.size(profile, value)}

    def activate(self) -> dict[str, Any]:
        self.node.cluster(1).tag("vip1").activate()
        return {}

    def sync(self) -> dict[str, Any]:
        return {"answer": self.node.cluster(1).sync(self.dialogs.name, tags=["vip1"])}

    def _expired(self, dialog: Dialog, _token: object) -> None:
        self.ended.append(dialog.callid)

    def _update(self) -> None:
        began, owed = time.monotonic(), 0.0
        keys: list[DialogKey] = []
        while True:
            time.sleep(TICK_S)
            now = time.monotonic()
            owed += self.rate * (now - began)
            began = now
            while owed >= 1:
                owed -= 1
                keys = keys or [dialog.key for dialog in self.dialogs.listed()]
                key = keys[self.updated * 7919 % len(keys)]
                self.updated += 1
                self.dialogs.update(key, callee_cseq=str(self.updated), callee_ping_cseq=9)


if __name__ == "__main__":
    program = Program(sys.argv[1])
    from tests.integration.told_nodes import obey

    obey(program)
    program.node.stop()
