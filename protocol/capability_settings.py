"""``[capability."name"]``: what an operator wants of a capability, beside what its module says."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from .capability_words import OrphanSync, Policy
from .cluster_settings import ClusterSettings
from .contract import Capability, KeyedCapability, is_name
from .donors import Wants
from .kinds import choice, duration, flag, integer, text
from .messages import MAX_NAME_CHARS
from .named_tables import NamedTable, read_named
from .settings import Reader, setting

EXAMPLE_NAME = "dialog-dlg-repl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CapabilitySettings(NamedTable):
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
    orphan_sync: OrphanSync = setting(  # noqa: RUF009 - a declaration, as all here
        choice("wait", "newest"),
        "wait",
        "records of a sharing tag that no reachable node has: wait for its owner; newest: fetch"
        " them from the node with the newest data, unconfirmed",
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


def read_capabilities(
    reader: Reader, raw: object, clusters: Sequence[int] | None
) -> tuple[CapabilitySettings, ...]:
    """The tables that are right; see `read_named`."""
    return read_named(reader, "capability", CapabilitySettings, raw, clusters, _check_name)


def _check_name(name: object) -> str:
    fits = isinstance(name, str) and is_name(name)
    return "" if fits else f"1 to {MAX_NAME_CHARS} printable ASCII characters"


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
        orphan_sync=settings.orphan_sync,
    )
