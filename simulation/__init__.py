"""Whole clusters on virtual time: the actors of production on a simulated machine.

For embedders' tests too: see ``docs/topics/simulation.md`` and the pytest fixture ``world``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .world import Runaway, World

_HOME = {
    "Runaway": "world",
    "World": "world",
}
"""Where each public name lives. Loaded at first use: pytest imports this package at its start."""

__all__ = [
    "Runaway",
    "World",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tagmesh.simulation' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
