"""What the store of leases answered, as a cause of what follows (B14)."""

from __future__ import annotations

from .because import Because, Cause, because
from .errors import NotProvisioned
from .tag_words import TagRow


def of_the_store(row: TagRow | None, error: Exception | None) -> Because:
    """The row that came, or why none did."""
    if isinstance(error, NotProvisioned):
        return because(str(error), Cause.NOT_PROVISIONED)
    if error is not None:
        return because(f"the store of leases: {error}", Cause.STORAGE_FAILED)
    if row is None:
        return because("nobody has claimed it yet", Cause.LEASE_FREE)
    if row.paused:
        return because("an operator paused the take-over", Cause.LEASE_PAUSED)
    if row.owner is None or row.released:
        return because("nobody has the lease", Cause.LEASE_FREE)
    return because(f"node {row.owner.node_id} has the lease", Cause.LEASE_HELD)
