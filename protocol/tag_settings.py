"""``[tag."name"]``: how a sharing tag goes from node to node."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from .errors import Misuse
from .kinds import choice, duration, flag, integer
from .lease_words import LeaseSettings
from .named_tables import NamedTable, read_named
from .settings import Kind, Reader, setting, shown
from .tag_claims import MAX_KNOWN_TAGS
from .tag_messages import Mode
from .tag_words import check_tag

EXAMPLE_NAME = "vip1"


class TagStart(NamedTuple):
    """A tag that a cluster declares."""

    name: str
    active: bool
    """It is to be active on this node from the start (H-23)."""


def tag_starts() -> Kind:
    """Names of tags, each with the state it starts in."""

    def read(value: Any) -> tuple[TagStart, ...]:
        if not isinstance(value, list):
            raise Misuse(f"{shown(value)} is not a list")
        if len(value) > MAX_KNOWN_TAGS:
            raise Misuse(f"{len(value)} tags, more than {MAX_KNOWN_TAGS}")
        starts = tuple(map(_start, value))
        names = [start.name for start in starts]
        for name in names:
            if names.count(name) > 1:
                raise Misuse(f"{shown(name)} stands twice")
        return starts

    def write(starts: Sequence[TagStart]) -> list[str]:
        return [f"{s.name}={'active' if s.active else 'backup'}" for s in starts]

    return Kind(read, '[ "name=active", "name=backup", "name" ]', write)


def _start(value: object) -> TagStart:
    if not isinstance(value, str):
        raise Misuse(f"{shown(value)} is not a text")
    name, sign, state = value.rpartition("=")
    if not sign:
        return TagStart(check_tag(value), active=False)
    if state not in ("active", "backup"):
        raise Misuse(f"{shown(value)}: after the = stands active or backup")
    return TagStart(check_tag(name), state == "active")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TagSettings(NamedTable):
    """``[tag."name"]``: one sharing tag; the same on all nodes that may have it."""

    cluster: int | None = setting(
        integer(1),
        None,
        "the cluster that is meant; left out: each that has a tag of this name",
        example=1,
    )
    mode: Mode = setting(  # noqa: RUF009 - a declaration, as all here
        choice("manual", "lease"),
        "manual",
        "manual: somebody activates it; lease: a node that is fit takes it by a lease in the"
        " database, and another one when that ends",
    )
    steal: bool = setting(
        flag(), False, "manual: a start as active takes the tag from a node that has it"
    )
    ttl_s: float = setting(duration(0.1), "10s", "lease: how long one lasts", key="ttl")
    renew_s: float = setting(duration(0.02), "3s", "lease: pause between renewals", key="renew")
    retry_s: float = setting(
        duration(0.01), "2s", "lease: pause after a request that failed", key="retry"
    )
    safety_s: float = setting(
        duration(0.01), "1s", "lease: the owner stops so long before its end", key="safety"
    )
    rank_delay_s: float = setting(
        duration(0.0), "200ms", "lease: pause for each candidate that is before", key="rank_delay"
    )
    failback_s: float | None = setting(
        duration(0.0),
        None,
        "lease: a preferred node gets it back when it has been fit for so long; left out: never",
        key="failback",
        example="60s",
    )
    failsafe: bool = setting(
        flag(), True, "lease: without the database go on while every other node consents"
    )

    @property
    def lease(self) -> LeaseSettings:
        """Of mode lease; `Misuse` when the times do not fit together."""
        names = (field.name for field in dataclasses.fields(self))
        known = LeaseSettings.__struct_fields__
        return LeaseSettings(**{name: getattr(self, name) for name in names if name in known})


def read_tags(
    reader: Reader, raw: object, clusters: Sequence[int] | None, *, database: bool
) -> tuple[TagSettings, ...]:
    """The tables that are right; see `read_named`. ``database``: there is one to hold leases."""
    found = read_named(reader, "tag", TagSettings, raw, clusters, _check_name)
    return tuple(tag for tag in found if _fits(reader, tag, database=database))


def _check_name(name: object) -> str:
    try:
        check_tag(str(name))
    except Misuse as misuse:
        return str(misuse)
    return ""


def _fits(reader: Reader, tag: TagSettings, *, database: bool) -> bool:
    if tag.mode != "lease":
        return True
    title = f"tag.{shown(tag.name)}"
    if not database:
        reader.complain(title, "mode", "only database mode has leases", '"manual"')
        return False
    try:
        _ = tag.lease
    except Misuse as misuse:
        reader.complain(title, "ttl", str(misuse), "times that fit together")
        return False
    return True
