"""The incarnation of a node: a number that grows with each start of its process (B2)."""

from __future__ import annotations

import time
from pathlib import Path

from ..protocol.errors import Misuse
from ..protocol.identity import Incarnation, NodeId, next_incarnation
from ..storage.kept_file import replace_file


def take_incarnation(state_dir: str, node_id: NodeId) -> Incarnation:
    """Read, increment and keep it; `Misuse` when the folder cannot be written."""
    folder = Path(state_dir)
    path = folder / f"node-{node_id}.incarnation"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = path.read_text(encoding="ascii").strip() if path.exists() else "0"
        incarnation = next_incarnation(int(text) if text.isdigit() else 0, time.time())
        replace_file(path, b"%d\n" % incarnation)
    except OSError as error:
        raise Misuse(
            f"cannot keep state in {folder}: {error.strerror}; set [node] state_dir to a "
            "folder this user may write to"
        ) from error
    return incarnation
