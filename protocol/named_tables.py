"""Tables of the configuration that carry a name: ``[capability."name"]``, ``[tag."name"]``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from .settings import Reader, shown

MAX_TABLES = 1024
"""Of one kind."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NamedTable:
    """What such a table becomes."""

    cluster: int | None = None
    """The cluster that is meant; None = each."""
    name: str = ""


T = TypeVar("T", bound=NamedTable)


def read_named(
    reader: Reader,
    word: str,
    kind: type[T],
    raw: object,
    clusters: Sequence[int] | None,
    check: Callable[[object], str],
) -> tuple[T, ...]:
    """The tables that are right, in the file's order; every problem is told to the reader.

    ``clusters``: those there are; None = whatever the database says. ``check`` tells what the names
    may be when one cannot be; empty = it can.
    """
    if not isinstance(raw, Mapping):
        reader.complain(word, "-", f"{shown(raw)} is not a table", f'[{word}."name"]')
        return ()
    if len(raw) > MAX_TABLES:
        reader.complain(word, "-", f"{len(raw)} tables", f"at most {MAX_TABLES}")
        return ()
    found = []
    for name, table in raw.items():
        title = f"{word}.{shown(name)}"
        allowed = check(name)
        if allowed:
            reader.complain(title, "-", f"cannot be the name of a {word}", allowed)
            continue
        settings = reader.table(kind, title, table)
        if settings is None:
            continue
        if clusters is not None and settings.cluster not in (None, *clusters):
            ids = f"the id of a [[cluster]]: {', '.join(map(str, clusters))}"
            reader.complain(title, "cluster", f"there is no cluster {settings.cluster}", ids)
            continue
        found.append(dataclasses.replace(settings, name=name))
    return tuple(found)
