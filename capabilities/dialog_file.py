"""A file of dialogs: CSV with the columns of OpenSIPS's table ``dialog``, one row for each.

So it can be written by a database, ``SELECT * FROM dialog``, and read back by it; see
`dialog_records` for what stands in the columns.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..protocol.errors import Misuse
from .dialog_records import COLUMNS, Dialog, dialog_of_row, row_of


def read_dialogs(path: str | Path) -> Iterator[tuple[Dialog, str]]:
    """Every dialog of a file with its sharing tag or "", in order.

    `Misuse` says in which line which field is wrong, and why.
    """
    with Path(path).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            yield from map(_read, reader)
        except (Misuse, csv.Error, UnicodeDecodeError) as error:
            line = max(reader.reader.line_num, 1)
            raise Misuse(f"{path}, line {line}: {error}") from error


def _read(row: dict[str, str]) -> tuple[Dialog, str]:
    if None in row or None in row.values():
        raise Misuse("it has not as many columns as the first line has names")
    return dialog_of_row(row)


def write_dialogs(path: str | Path, dialogs: Iterable[tuple[Dialog, str]]) -> int:
    """Write dialogs with their sharing tags to a new file; how many."""
    count = 0
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for count, (dialog, tag) in enumerate(dialogs, 1):  # noqa: B007 - counted for the caller
            writer.writerow(row_of(dialog, tag))
    return count
