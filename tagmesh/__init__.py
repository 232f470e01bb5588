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
    from .actors.cluster import Cluster
    from .actors.partitioning import WorkPartition
    from .actors.sharing import SharingTag
    from .capabilities.counters import Counters
    from .capabilities.dialog_records import Dialog
    from .capabilities.dialogs import Dialogs
    from .capabilities.pending import Reply
    from .capabilities.replicated_dict import ReplicatedDict
    from .capabilities.replicated_map import ReplicatedMap
    from .capabilities.write_behind import Store
    from .control.lab import LocalCluster
    from .control.node import Node
    from .protocol.capability_words import Answer
    from .protocol.config import Config, ConfigError
    from .protocol.contract import (
        Capability,
        KeyedCapability,
        Outcome,
        Progress,
        Quarantined,
        Result,
        SyncReport,
    )
    from .protocol.errors import (
        Busy,
        CapabilityDisabled,
        ForkedRuntime,
        Misuse,
        NodeDown,
        NotProvisioned,
        NotTagOwner,
        PeerViolation,
        RemoteError,
        StaleTag,
        StorageUnavailable,
        TagmeshError,
        TagRefused,
        TimedOut,
        Unknown,
        Unreachable,
    )
    from .protocol.events import Event, EventRecord
    from .protocol.identity import NodeRecord
    from .protocol.messages import CapState, Section
    from .protocol.status import Status
    from .protocol.tag_words import Token
    from .storage.record_store import SqlRecordStore

_HOME = {
    "Answer": "protocol.capability_words",
    "Busy": "protocol.errors",
    "CapState": "protocol.messages",
    "Capability": "protocol.contract",
    "CapabilityDisabled": "protocol.errors",
    "Cluster": "actors.cluster",
    "Config": "protocol.config",
    "ConfigError": "protocol.config",
    "Counters": "capabilities.counters",
    "Dialog": "capabilities.dialog_records",
    "Dialogs": "capabilities.dialogs",
    "Event": "protocol.events",
    "EventRecord": "protocol.events",
    "ForkedRuntime": "protocol.errors",
    "KeyedCapability": "protocol.contract",
    "LocalCluster": "control.lab",
    "Misuse": "protocol.errors",
    "Node": "control.node",
    "NodeDown": "protocol.errors",
    "NodeRecord": "protocol.identity",
    "NotProvisioned": "protocol.errors",
    "NotTagOwner": "protocol.errors",
    "Outcome": "protocol.contract",
    "PeerViolation": "protocol.errors",
    "Progress": "protocol.contract",
    "Quarantined": "protocol.contract",
    "RemoteError": "protocol.errors",
    "ReplicatedDict": "capabilities.replicated_dict",
    "ReplicatedMap": "capabilities.replicated_map",
    "Reply": "capabilities.pending",
    "Result": "protocol.contract",
    "Section": "protocol.messages",
    "SharingTag": "actors.sharing",
    "SqlRecordStore": "storage.record_store",
    "StaleTag": "protocol.errors",
    "Status": "protocol.status",
    "StorageUnavailable": "protocol.errors",
    "Store": "capabilities.write_behind",
    "SyncReport": "protocol.contract",
    "TagRefused": "protocol.errors",
    "TagmeshError": "protocol.errors",
    "TimedOut": "protocol.errors",
    "Token": "protocol.tag_words",
    "Unknown": "protocol.errors",
    "Unreachable": "protocol.errors",
    "WorkPartition": "actors.partitioning",
}
"""Where each public name lives. Loaded at first use, so that importing tagmesh is quick."""

__all__ = [
    "Answer",
    "Busy",
    "CapState",
    "Capability",
    "CapabilityDisabled",
    "Cluster",
    "Config",
    "ConfigError",
    "Counters",
    "Dialog",
    "Dialogs",
    "Event",
    "EventRecord",
    "ForkedRuntime",
    "KeyedCapability",
    "LocalCluster",
    "Misuse",
    "Node",
    "NodeDown",
    "NodeRecord",
    "NotProvisioned",
    "NotTagOwner",
    "Outcome",
    "PeerViolation",
    "Progress",
    "Quarantined",
    "RemoteError",
    "ReplicatedDict",
    "ReplicatedMap",
    "Reply",
    "Result",
    "Section",
    "SharingTag",
    "SqlRecordStore",
    "StaleTag",
    "Status",
    "StorageUnavailable",
    "Store",
    "SyncReport",
    "TagRefused",
    "TagmeshError",
    "TimedOut",
    "Token",
    "Unknown",
    "Unreachable",
    "WorkPartition",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tagmesh' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
