"""A small file of this node that must survive a power cut, as a whole or as it was before."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Write ``content`` beside the file and move it there; raises `OSError`. Blocks."""
    fresh = path.with_name(f"{path.name}-new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    # Else a power cut may bring the file before back.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
