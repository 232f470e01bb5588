"""Who may join: the provisioned nodes, in a database or in the configuration."""

from __future__ import annotations

from .base import Roster, RosterSnapshot
from .provisioning import Provisioning
from .roster import FixedRoster, SqlRoster

__all__ = ["FixedRoster", "Provisioning", "Roster", "RosterSnapshot", "SqlRoster"]
