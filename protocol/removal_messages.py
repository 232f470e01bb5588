"""The message of removed nodes (X-1, X-3). As in `messages`: numbers are never used again, fields
are only appended, bounds stand in the types.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from .messages import U63, Id, Message, Text

MAX_WALL_MS = 253_402_300_799_000
"""The end of the year 9999: no database and no language has times beyond it."""
MAX_REMOVALS = 64
"""Removals in one message, so that it fits every node's frames."""


class Removal(msgspec.Struct, frozen=True, array_like=True):
    """A node was removed from a cluster, or that was taken back."""

    node_id: Id
    removed_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_WALL_MS)]
    """Unix time by the clock of whoever removed it; of two removals of a node the later counts."""
    incarnation: U63 = 0
    """The life of it that was known there; 0 = none."""
    by: Text = ""
    """Who did it; for people."""
    lifted: bool = False
    """It was taken back: the node may join again."""


class Removals(Message, frozen=True, tag=70):
    """Nodes of the cluster were removed: those that are new, or all I know when a link comes up."""

    cluster_id: Id
    removals: Annotated[list[Removal], msgspec.Meta(min_length=1, max_length=MAX_REMOVALS)]
