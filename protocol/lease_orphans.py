"""A lease that ran out, of which the owner and all electors are gone for good (B4).

Nobody is given it: the owner may go on by the word of the electors, and nobody else was asked. Only
a person can know that none of them runs, so only a person frees it, and says so of each by name.
"""

from __future__ import annotations

from collections.abc import Collection

from .errors import Misuse
from .identity import ClusterId, NodeId
from .tag_words import TagRow


def claimants(row: TagRow) -> tuple[NodeId, ...]:
    """Who may go on with the tag, or take it, by id; () = nobody, or anybody."""
    owner = (row.owner.node_id,) if row.owner is not None else ()
    return tuple(sorted({*owner, *row.electors})) if row.electors else ()


def check_free(
    cluster: ClusterId,
    tag: str,
    row: TagRow | None,
    enabled: Collection[NodeId],
    stopped: Collection[NodeId],
) -> None:
    """Raises `Misuse` with what to do unless a person may free the lease.

    ``enabled``: those of `claimants` that have an enabled row, so that they may come back;
    ``stopped``: the nodes of which the person says that they do not run.
    """
    name = f"tag {tag!a}"
    if row is None or row.released:
        raise Misuse(f"{name} is free: any candidate takes it, see `tagmesh ctl tag explain`")
    assert row.owner is not None, "somebody has what is not released"
    owner = row.owner.node_id
    if row.mode != "lease":
        raise Misuse(f"{name} has no lease: node {owner} was given it by hand")
    if row.left_s > 0:
        raise Misuse(
            f"{name}: the lease of node {owner} lasts for another {row.left_s:.1f} s, so that node"
            " was there a moment ago; if it is stopped by now, ask again when that time is over"
        )
    if not row.electors:
        raise Misuse(f"{name}: anybody may take its lease, which ran out; nothing is to be freed")
    if enabled:
        listed = _listed(enabled)
        raise Misuse(
            f"{name}: {listed} may have it still, or take it: start one of them, or, where they"
            " are gone for good, remove their rows with"
            f" `tagmesh db rm --cluster {cluster} --node N`"
        )
    missing = sorted(set(claimants(row)) - set(stopped))
    if missing:
        raise Misuse(
            f"{name}: {_listed(missing)} may have it still: without the database an owner goes on"
            " by the word of the others. Make sure that none of them runs, then name all of them:"
            f" {' '.join(map(str, claimants(row)))}"
        )


def _listed(nodes: Collection[NodeId]) -> str:
    return f"node{'s' * (len(nodes) > 1)} {', '.join(map(str, sorted(nodes)))}"
