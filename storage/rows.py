"""The checks of provisioned rows (D-2, D-5): a row becomes a record, or a sentence why not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..protocol.errors import Misuse
from ..protocol.identity import (
    MAX_ID,
    BinsUrl,
    ClusterId,
    InvalidRow,
    NodeId,
    NodeRecord,
)
from .failures import printable
from .schema import MAX_TEXT_CHARS

MAX_PING_RETRIES = 1000
"""As in the configuration: more pings than that before DOWN are a slip."""

Row = Mapping[Any, Any]
"""A row as the driver gives it, by OpenSIPS column names."""


class Sorted(NamedTuple):
    """Rows after their checks, both in the order of (cluster id, node id, id)."""

    records: tuple[NodeRecord, ...]
    invalid: tuple[InvalidRow, ...]


def sort_rows(rows: Iterable[Row]) -> Sorted:
    """Set the rows that cannot be used apart, each with its reason.

    Of several rows of one node the first usable one (lowest id) counts. Two nodes may have one
    url: the certificate tells which of them listens there.
    """
    records: dict[tuple[int, int], NodeRecord] = {}
    invalid: list[InvalidRow] = []
    for row in sorted(rows, key=_position):
        try:
            record = read_row(row)
        except Misuse as misuse:
            invalid.append(_invalid(row, str(misuse)))
            continue
        first = records.setdefault((record.cluster_id, record.node_id), record)
        if first is not record:
            invalid.append(_invalid(row, f"repeats row {first.db_id}, and that one counts"))
    return Sorted(tuple(records.values()), tuple(invalid))


def read_row(row: Row) -> NodeRecord:
    """The record of one row. Raises `Misuse` with the first thing that is wrong."""
    return NodeRecord(
        db_id=integer(row, "id", -1, 2**63 - 1),
        cluster_id=ClusterId(integer(row, "cluster_id", 1)),
        node_id=NodeId(integer(row, "node_id", 1)),
        url=BinsUrl.parse(_needed_text(row, "url")),
        enabled=bool(integer(row, "state", 0, 1)),
        ping_retries=integer(row, "no_ping_retries", 0, MAX_PING_RETRIES),
        priority=integer(row, "priority", 0),
        sip_addr=_exact(row, "sip_addr"),
        flags=_exact(row, "flags"),
        description=_free(row, "description"),
    )


def _position(row: Row) -> tuple[int, int, int]:
    cluster, node, db_id = (_id_or_none(row[key]) for key in ("cluster_id", "node_id", "id"))
    return (cluster or 0, node or 0, MAX_ID if db_id is None else db_id)


def _id_or_none(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _invalid(row: Row, reason: str) -> InvalidRow:
    db_id = _id_or_none(row["id"])
    return InvalidRow(
        db_id=-1 if db_id is None else db_id,
        cluster_id=_id_or_none(row["cluster_id"]),
        node_id=_id_or_none(row["node_id"]),
        reason=reason,
    )


def integer(row: Row, column: str, low: int, high: int = MAX_ID) -> int:
    """The number in ``column``; `Misuse` for NULL, another type or one out of range."""
    value = row[column]
    if value is None:
        raise Misuse(f"{column} is NULL; allowed: {low} … {high}")
    if isinstance(value, bool) or not isinstance(value, int):
        shown = printable(str(value), 20)
        raise Misuse(f"{column} is {shown!r}, not a whole number; allowed: {low} … {high}")
    if not low <= value <= high:
        raise Misuse(f"{column} {value} is out of range; allowed: {low} … {high}")
    return value


def _text(row: Row, column: str) -> str | None:
    """Without the blanks that CHAR columns are padded with; None for NULL and for nothing."""
    value = row[column]
    if value is not None and not isinstance(value, str):
        raise Misuse(f"{column} is {type(value).__name__}, not text")
    return value.rstrip(" ") or None if value is not None else None


def _needed_text(row: Row, column: str) -> str:
    text = _text(row, column)
    if text is None:
        raise Misuse(f"{column} is {'NULL' if row[column] is None else 'empty'}")
    return text


def _exact(row: Row, column: str) -> str | None:
    """A text with a meaning to programs: used as it is, or not at all."""
    text = _text(row, column)
    if text is not None and (len(text) > MAX_TEXT_CHARS or not text.isprintable()):
        raise Misuse(
            f"{column} {text[:20]!a}… must be at most {MAX_TEXT_CHARS} printable characters"
        )
    return text


def _free(row: Row, column: str) -> str | None:
    """A text for people: made harmless, since a strange one must not keep the node out."""
    text = _text(row, column)
    return None if text is None else printable(text, MAX_TEXT_CHARS)
