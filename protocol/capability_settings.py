"""``[capability."name"]``: what an operator wants of a capability, beside what its module says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from .capability_words import Policy
from .cluster_settings import ClusterSettings
from .contract import Capability, KeyedCapability, is_name
from .donors import Wants
from .kinds import duration, flag, integer, text
from .messages import MAX_NAME_CHARS
from .settings import Reader, setting, shown

MAX_TABLES = 1024
EXAMPLE_NAME = "dialog-dlg-repl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CapabilitySettings:
    """``[capability."name"]``: one capability."""

    cluster: int | None = setting(
        integer(1),
        None,
        "the cluster that is meant; left out: each in which it is registered",
        opensips="dialog_replication_cluster",
        example=1,
    )
    auto_sync: bool | None = setting(
        flag(),
        None,
        "ask for a sync at the start; left out: as the module says",
        opensips="cluster_auto_sync",
        example=True,
    )
    enabled: bool = setting(flag(), True, "switched on at the start")
    verify_interval_s: float = setting(
        duration(0.0),
        "60s",
        "pause between two comparisons with another node's records, of capabilities whose records"
        " have keys; 0s = never",
        key="verify_interval",
    )
    module: str | None = setting(
        text(),
        None,
        "what makes it: an entry point of the group tagmesh.capabilities, such as"
        " replicated-map; left out: the application registers it",
        example="replicated-map",
    )
    name: str = ""


def read_capabilities(
    reader: Reader, raw: object, clusters: Sequence[int] | None
) -> tuple[CapabilitySettings, ...]:
    """The tables that are right, in the file's order; every problem is told to the reader.

    ``clusters``: those there are; None = whatever the database says.
    """
    if not isinstance(raw, Mapping):
        reader.complain("capability", "-", f"{shown(raw)} is not a table", '[capability."name"]')
        return ()
    if len(raw) > MAX_TABLES:
        reader.complain("capability", "-", f"{len(raw)} tables", f"at most {MAX_TABLES}")
        return ()
    found = []
    for name, table in raw.items():
        settings = _read(reader, name, table, clusters)
        if settings is not None:
            found.append(settings)
    return tuple(found)


def _read(
    reader: Reader, name: object, raw: Any, clusters: Sequence[int] | None
) -> CapabilitySettings | None:
    title = f"capability.{shown(name)}"
    if not isinstance(name, str) or not is_name(name):
        allowed = f"1 to {MAX_NAME_CHARS} printable ASCII characters"
        reader.complain(title, "-", "cannot be the name of a capability", allowed)
        return None
    settings = reader.table(CapabilitySettings, title, raw)
    if settings is None:
        return None
    if clusters is not None and settings.cluster not in (None, *clusters):
        allowed = f"the id of a [[cluster]]: {', '.join(map(str, clusters))}"
        reader.complain(title, "cluster", f"there is no cluster {settings.cluster}", allowed)
        return None
    return dataclasses.replace(settings, name=name)


def policy_of(
    capability: Capability, settings: CapabilitySettings, cluster: ClusterSettings
) -> Policy:
    """What follows for the capability's machine."""
    given = settings.auto_sync
    keyed = isinstance(capability, KeyedCapability)
    return Policy(
        startup_sync=capability.startup_sync,
        auto_sync=capability.startup_sync if given is None else given,
        wants=Wants(capability.sync_condition, capability.version_min, capability.version_max),
        seed_fallback_interval_s=cluster.seed_fallback_interval_s,
        newest_decides=cluster.newest_decides,
        quorum_share=cluster.quorum_share,
        verify_interval_s=settings.verify_interval_s if keyed else 0.0,
    )
