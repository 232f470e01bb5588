"""A capability for tests of clusters."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from tagmesh.protocol.contract import Capability, SyncReport


class Calls(Capability):
    """Remembers what it hears; records 1 … 3 are there from the beginning."""

    startup_sync = True

    def __init__(self, name: str, records: Sequence[int] = ()) -> None:
        self.name = name
        self.records = list(records)
        self.heard: list[tuple[int, Any]] = []
        self.threads: set[str] = set()
        self.reports: list[SyncReport] = []

    def on_message(self, message: Any, source: int) -> None:
        self.threads.add(threading.current_thread().name)
        if message == "bad":
            raise ValueError("a bad message")
        self.heard.append((source, message))

    def sync_items(self, tags: Sequence[str]) -> Iterator[int]:
        yield from list(self.records)

    def sync_item(self, item: int) -> None:
        self.records.append(item)

    def sync_done(self, report: SyncReport) -> None:
        self.reports.append(report)
