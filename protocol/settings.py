"""How settings are declared and read: what a kind of value is, mistakes, the reader of tables.

The kinds there are stand in `kinds`, the settings in `config` and `cluster_settings`.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from .errors import Misuse, TagmeshError

MAX_SHOWN_CHARS = 80
"""A wrong value is repeated in the error up to this length."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """One mistake in a configuration."""

    table: str
    key: str
    what: str
    """What is wrong with the value, secrets never included."""
    allowed: str
    nearest: str = ""
    """The known key or option nearest to an unknown one."""

    def __str__(self) -> str:
        near = f"; did you mean {self.nearest!r}?" if self.nearest else ""
        return f"[{self.table}] {self.key}: {self.what}; allowed: {self.allowed}{near}"


class ConfigError(TagmeshError):
    """A configuration with mistakes; ``problems`` holds all of them, not the first."""

    def __init__(self, problems: Sequence[Problem], source: str = "configuration") -> None:
        count = f"{len(problems)} mistake{'s' if len(problems) != 1 else ''}"
        super().__init__("\n".join([f"{source}: {count}", *(f"  {p}" for p in problems)]))
        self.problems = list(problems)


@dataclasses.dataclass(frozen=True)
class Kind:
    """How a value is read and written."""

    read: Callable[[Any], Any]
    """File value to value; raises `Misuse` with what is wrong."""
    allowed: str
    write: Callable[[Any], Any] = lambda value: value
    """Value to file value, secrets masked."""
    anchor: Callable[[Any, str], Any] = lambda value, _folder: value
    """(value, absolute folder) to a value that no longer depends on the working folder."""
    options: tuple[str, ...] = ()
    """The values there are, when they are few."""


_CREDENTIALS = re.compile(r":[^:@]*@")


def shown(value: object) -> str:
    """``value`` for an error message: ASCII, one line, bounded, without passwords (S15)."""
    try:
        text = ascii(value)
    except ValueError:  # int beyond sys.get_int_max_str_digits()
        text = "a number too long to show"
    if _CREDENTIALS.search(text):  # a database url under the wrong key
        text = "a value (hidden: between its ':' and '@' may stand a password)"
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[: MAX_SHOWN_CHARS - 1]}…"


REQUIRED: Any = object()
"""In place of a default: the setting must be given."""


def setting(
    kind: Kind, default: Any, doc: str, *, opensips: str = "", key: str = "", example: Any = None
) -> Any:
    """Declare one setting. ``default`` is as written in the file, ``opensips`` its name there.

    ``key`` is the name in the file where it differs from the field's, which carries the unit;
    ``example`` a value for the example file where there is no default.
    """
    metadata = {
        "kind": kind,
        "default": default,
        "doc": doc,
        "opensips": opensips,
        "key": key,
        "example": example,
    }
    if default is REQUIRED:
        return dataclasses.field(metadata=metadata)
    value = default if default is None else kind.read(default)
    if isinstance(value, dict):
        return dataclasses.field(default_factory=lambda: dict(value), metadata=metadata)
    return dataclasses.field(default=value, metadata=metadata)


def settings_of(table: type) -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """(key in the file, field) of each declared setting of a table, in order."""
    for field in dataclasses.fields(table):
        if "kind" in field.metadata:
            yield field.metadata["key"] or field.name, field


def peek(table: type, raw: object, key: str) -> Any:
    """One setting, whatever else is wrong in its table; None when it is wrong or missing itself."""
    meta = dict(settings_of(table))[key].metadata
    try:
        return meta["kind"].read(raw.get(key, meta["default"]) if isinstance(raw, Mapping) else raw)
    except Misuse:
        return None


def nearest(word: object, known: Iterable[str]) -> str:
    """The known word most like ``word``; empty when nothing is known."""
    found = difflib.get_close_matches(shown(word).strip("'"), known, n=1, cutoff=0.0)
    return found[0] if found else ""


_Table = TypeVar("_Table")


class Reader:
    """Reads tables and gathers every problem instead of stopping at the first."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def complain(self, table: str, key: str, what: str, allowed: str, near: str = "") -> None:
        """Note one problem."""
        self.problems.append(Problem(table, key, what, allowed, near))

    def table(
        self, kind: type[_Table], name: str, raw: object, extra: Sequence[str] = ()
    ) -> _Table | None:
        """One table; None when something required is missing or anything is wrong.

        ``extra`` are keys that somebody else reads.
        """
        if not isinstance(raw, Mapping):
            self.complain(name, "-", f"{shown(raw)} is not a table", "a table")
            return None
        fields = dict(settings_of(kind))
        self.unknown(name, raw, [*fields, *extra])
        kinds = {key: field.metadata["kind"] for key, field in fields.items()}
        required = [k for k, field in fields.items() if field.metadata["default"] is REQUIRED]
        values = self.values(name, raw, kinds, required)
        if values is None:
            return None
        return kind(**{fields[key].name: value for key, value in values.items()})

    def values(
        self, table: str, raw: Mapping[str, Any], kinds: Mapping[str, Kind], required: Sequence[str]
    ) -> dict[str, Any] | None:
        """The values of the keys that stand in ``raw``; None when one is wrong or missing."""
        before = len(self.problems)
        values: dict[str, Any] = {}
        for key, kind in kinds.items():
            if key not in raw:
                if key in required:
                    self.complain(table, key, "is missing", kind.allowed)
                continue
            try:
                values[key] = kind.read(raw[key])
            except Misuse as misuse:
                near = nearest(raw[key], kind.options)
                self.complain(table, key, str(misuse), kind.allowed, near)
        return values if len(self.problems) == before else None

    def unknown(self, table: str, raw: Mapping[str, Any], known: Sequence[str]) -> None:
        """Report each key of ``raw`` that is not known, with the nearest one that is."""
        for key in raw:
            if key not in known:
                name = shown(key).strip("'")
                self.complain(table, name, "unknown key", ", ".join(known), nearest(key, known))
