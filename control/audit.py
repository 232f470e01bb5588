"""Who had this node do what: a line in the log, and a row in the database where there is one."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from ..capabilities.background import Background, Run
from ..protocol.config import ProvisioningSettings
from ..protocol.errors import StorageUnavailable

if TYPE_CHECKING:
    from ..storage.audit_table import AuditEntry, SqlAudit

MAX_WAITING = 1000
"""Entries that wait for the database; those beyond are in the log only."""
MAX_ROWS = 100
"""Written at once."""

_log = logging.getLogger("tagmesh.audit")


class Audit:
    """One per node. Any thread may `note`; nobody waits for the database."""

    def __init__(self, node_id: int, settings: ProvisioningSettings, run: Run) -> None:
        """Opens nothing. ``run`` has a function called in a thread that may block."""
        self._node_id = node_id
        self._settings = settings if settings.mode == "database" else None
        self._table: SqlAudit | None = None
        self._waiting: deque[AuditEntry] = deque()
        self._background = Background(self._write, run)

    def note(self, who: str, command: str, arguments: str, outcome: str) -> None:
        """A command that changes something was asked for, and this came of it."""
        _log.info(
            "%s: %s %s: %s", who, command, arguments, outcome,
            extra={"event": "audit", "node_id": self._node_id},
        )  # fmt: skip
        if self._settings is None:
            return
        if len(self._waiting) >= MAX_WAITING:
            _log.warning("%d entries wait for the database: this one is here only", MAX_WAITING)
            return
        from ..storage.audit_table import AuditEntry

        self._waiting.append(
            AuditEntry(
                at_s=time.time(),
                node_id=self._node_id,
                who=who,
                command=command,
                arguments=arguments,
                outcome=outcome,
            )
        )
        self._background.wake()

    def close(self) -> None:
        """Give the connection back; the next entry opens another."""
        if self._table is not None:
            self._table.close()

    def _write(self) -> bool:
        count = min(len(self._waiting), MAX_ROWS)
        if not count:
            return False
        rows = [self._waiting.popleft() for _ in range(count)]
        try:
            self._opened().append(rows)
        except StorageUnavailable as error:
            _log.warning("%d entries are in the log only: %s", count, error)
        return True

    def _opened(self) -> SqlAudit:
        if self._table is None:
            from ..storage.audit_table import SqlAudit

            assert self._settings is not None, "nothing is queued without a database"
            self._table = SqlAudit(self._settings)
        return self._table
