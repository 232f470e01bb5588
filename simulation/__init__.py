"""Whole clusters on virtual time: the actors of production on a simulated machine.

For embedders' tests too: see ``docs/topics/simulation.md`` and the pytest fixture ``world``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .check import Violation
    from .checkers import Checkers
    from .faults import Fault, FaultPlan, run, shorten
    from .world import Runaway, World

_HOME = {
    "Checkers": "checkers",
    "Fault": "faults",
    "FaultPlan": "faults",
    "Runaway": "world",
    "Violation": "check",
    "World": "world",
    "run": "faults",
    "shorten": "faults",
}
"""Where each public name lives. Loaded at first use: pytest imports this package at its start."""

__all__ = [
    "Checkers",
    "Fault",
    "FaultPlan",
    "Runaway",
    "Violation",
    "World",
    "run",
    "shorten",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tagmesh.simulation' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
