"""tagmesh: an actor-model cluster runtime for Python.

Nodes that are provisioned in a database join over mutually authenticated TLS links (``bins:``),
learn the topology and route around broken links. Modelled on the clustering engine of OpenSIPS.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())  # programs decide, not the library

if TYPE_CHECKING:
    from .control.lab import LocalCluster
    from .control.node import Node
    from .protocol.config import Config, ConfigError
    from .protocol.errors import (
        Busy,
        CapabilityDisabled,
        ForkedRuntime,
        Misuse,
        NodeDown,
        NotProvisioned,
        NotTagOwner,
        RemoteError,
        StorageUnavailable,
        TagmeshError,
        TimedOut,
        Unreachable,
    )
    from .protocol.events import Event, EventRecord
    from .protocol.status import Status

_HOME = {
    "Busy": "protocol.errors",
    "CapabilityDisabled": "protocol.errors",
    "Config": "protocol.config",
    "ConfigError": "protocol.config",
    "Event": "protocol.events",
    "EventRecord": "protocol.events",
    "ForkedRuntime": "protocol.errors",
    "LocalCluster": "control.lab",
    "Misuse": "protocol.errors",
    "Node": "control.node",
    "NodeDown": "protocol.errors",
    "NotProvisioned": "protocol.errors",
    "NotTagOwner": "protocol.errors",
    "RemoteError": "protocol.errors",
    "Status": "protocol.status",
    "StorageUnavailable": "protocol.errors",
    "TagmeshError": "protocol.errors",
    "TimedOut": "protocol.errors",
    "Unreachable": "protocol.errors",
}
"""Where each public name lives. Loaded at first use, so that importing tagmesh is quick."""

__all__ = [
    "Busy",
    "CapabilityDisabled",
    "Config",
    "ConfigError",
    "Event",
    "EventRecord",
    "ForkedRuntime",
    "LocalCluster",
    "Misuse",
    "Node",
    "NodeDown",
    "NotProvisioned",
    "NotTagOwner",
    "RemoteError",
    "Status",
    "StorageUnavailable",
    "TagmeshError",
    "TimedOut",
    "Unreachable",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tagmesh' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
