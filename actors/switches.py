"""Which capabilities an operator switched on or off: kept beyond the life of a process (C-4)."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..protocol.errors import Misuse
from ..protocol.identity import ClusterId, NodeId
from ..storage.kept_file import replace_file

if TYPE_CHECKING:
    from .registration import Registration

logger = logging.getLogger("tagmesh.node")

_Kept = dict[str, dict[str, bool]]
"""Cluster to capability to whether it is on."""


class Switches:
    """One per node. Any thread may use it; writing blocks."""

    def __init__(self, state_dir: str, node_id: NodeId) -> None:
        """Nothing is read or written yet."""
        self._path = Path(state_dir) / f"node-{node_id}.capabilities"
        self._lock = threading.Lock()
        self._kept: _Kept = {}

    def load(self) -> None:
        """Read what was kept. A file that cannot be read counts as empty, and is logged."""
        try:
            kept = msgspec.json.decode(self._read(), type=_Kept)
        except FileNotFoundError:
            kept = {}
        except (OSError, ValueError) as error:
            logger.warning("%s: %s; capabilities start as configured", self._path, error)
            kept = {}
        with self._lock:
            self._kept = kept

    def enabled(self, cluster: ClusterId, name: str) -> bool | None:
        """How the capability was left; None = nobody ever switched it."""
        with self._lock:
            return self._kept.get(str(cluster), {}).get(name)

    def restore(self, registration: Registration) -> None:
        """Switch a capability as it was left, before its actor looks."""
        left = self.enabled(registration.cluster, registration.name)
        if left is not None:
            registration.enabled = left

    def keep(self, cluster: ClusterId, name: str, *, enabled: bool) -> None:
        """Note a switch; `Misuse` when it cannot be written, and so will be forgotten."""
        with self._lock:
            self._kept.setdefault(str(cluster), {})[name] = enabled
            try:
                self._write(msgspec.json.encode(self._kept))
            except OSError as error:
                raise Misuse(
                    f"{name} is switched {'on' if enabled else 'off'} until the next start only:"
                    f" cannot write {self._path}: {error.strerror}"
                ) from error

    def _read(self) -> bytes:
        return self._path.read_bytes()

    def _write(self, content: bytes) -> None:
        replace_file(self._path, content)
