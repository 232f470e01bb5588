"""Who may join and who owns the sharing tags: in a database, or in files."""

from __future__ import annotations

from .base import (
    LeaseStore,
    RemovalShelf,
    Roster,
    RosterSnapshot,
    TagAnswer,
    TagStore,
    WasRemoved,
)
from .provisioning import Provisioning
from .removal_file import RemovalFile, RemovalMemory
from .roster import FixedRoster, SqlRoster
from .tag_file import FileTagStore
from .tag_table import SqlTagStore

__all__ = [
    "FileTagStore",
    "FixedRoster",
    "LeaseStore",
    "Provisioning",
    "RemovalFile",
    "RemovalMemory",
    "RemovalShelf",
    "Roster",
    "RosterSnapshot",
    "SqlRoster",
    "SqlTagStore",
    "TagAnswer",
    "TagStore",
    "WasRemoved",
]
