"""The configuration file: found, read, overridden by the environment, shown, and an example.

Precedence: environment ``TAGMESH_<TABLE>_<KEY>`` > file > default. Relative paths, and the file
of an SQLite URL, start at the folder of the configuration file.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..protocol.cluster_settings import ME_KEYS, STATIC_EXAMPLES, row_of
from ..protocol.config import (
    NAMED_TABLES,
    REPEATED_TABLES,
    TABLES,
    Config,
    ConfigError,
    read_config,
    settings_of,
)
from ..protocol.errors import Misuse
from ..protocol.settings import REQUIRED, Kind, nearest

FILE_NAME = "tagmesh.toml"
PATH_VARIABLE = "TAGMESH_CONFIG"
MAX_FILE_BYTES = 1024**2

_SINGLE_TABLES = {name: table for name, table in TABLES.items() if name not in REPEATED_TABLES}


class ConfigFileError(ConfigError):
    """The file cannot be found, read or parsed, so nothing in it was looked at."""

    def __init__(self, text: str) -> None:
        super().__init__([])
        self.args = (text,)


def load_config(path: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Find, read and validate the configuration; relative paths in it become absolute.

    ``environ`` is the environment, by default that of the process. Raises `ConfigFileError` when
    there is no such file or it is no TOML, `ConfigError` with every mistake in it.
    """
    environ = os.environ if environ is None else environ
    file = find_config(path, environ)
    tables = _parse(file)
    used = _override(tables, environ)
    source = f"{file} with {', '.join(used)} from the environment" if used else str(file)
    return _anchored(read_config(tables, source), str(file.absolute().parent))


def find_config(path: str | Path | None, environ: Mapping[str, str]) -> Path:
    """The file to read: ``path``, ``$TAGMESH_CONFIG`` or the first of the usual places."""
    named = path or environ.get(PATH_VARIABLE)
    if named:
        return Path(named)
    places = list(_places(environ))
    for place in places:
        if place.is_file():
            return place
    raise ConfigFileError(
        f"no configuration file: {', '.join(map(str, places))} are not there.\n"
        f"Name one with --config or ${PATH_VARIABLE}, or start from the commented example:"
        f" tagmesh config example > {FILE_NAME}"
    )


def _places(environ: Mapping[str, str]) -> Iterator[Path]:
    yield Path(FILE_NAME)
    if environ.get("HOME"):
        yield Path(environ["HOME"], ".config", "tagmesh", FILE_NAME)
    yield Path("/etc/tagmesh", FILE_NAME)


_POSITION = re.compile(r"(.*) \(at line (\d+), column (\d+)\)", re.DOTALL)


def _parse(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigFileError(f"{file}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigFileError(f"{file}: longer than {MAX_FILE_BYTES} bytes; is it the right file?")
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigFileError(f"{file}, line {line}: not UTF-8 text") from error
    except RecursionError as error:
        raise ConfigFileError(f"{file}: tables or lists in it are nested too deeply") from error
    except ValueError as error:
        match = _POSITION.fullmatch(str(error))
        where = f", line {match[2]}, column {match[3]}" if match else ""
        what = match[1] if match else str(error)
        raise ConfigFileError(
            f"{file}{where}: not valid TOML: {what}.\n"
            f'A line is key = value; texts, also durations like "4s", stand in quotes'
        ) from error


def _variables() -> Iterator[tuple[str, str, str, Kind]]:
    """(variable, table, key, kind) of each setting that the environment may give."""
    for name, table in _SINGLE_TABLES.items():
        for key, field in settings_of(table):
            yield f"TAGMESH_{name}_{key}".upper(), name, key, field.metadata["kind"]


def _override(tables: dict[str, Any], environ: Mapping[str, str]) -> list[str]:
    """Put values of the environment into ``tables``; the variables used."""
    used = []
    for variable, name, key, kind in _variables():
        table = tables.get(name, {})
        if variable in environ and isinstance(table, dict):
            tables[name] = {**table, key: _file_value(kind, environ[variable])}
            used.append(variable)
    return used


def _file_value(kind: Kind, text: str) -> Any:
    """What ``text`` would be in the file: as it is if that is valid, else a number, switch, …"""
    try:
        kind.read(text)
    except Misuse:
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except (ValueError, RecursionError):
            return text
    return text


def unknown_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that look like settings but are none, with the nearest that is one.

    They are no mistake by themselves: Kubernetes makes such names from the names of services.
    """
    known = [variable for variable, *_ in _variables()]
    prefixes = tuple(f"TAGMESH_{name}_".upper() for name in TABLES)
    return {
        variable: nearest(variable, known)
        for variable in sorted(environ)
        if variable.startswith(prefixes) and variable not in known
    }


def _anchored(config: Config, folder: str) -> Config:
    """``config`` with every relative path starting at ``folder``."""
    parts: dict[str, Any] = {}
    for name, table in _SINGLE_TABLES.items():
        values = getattr(config, name)
        changed = {
            field.name: field.metadata["kind"].anchor(getattr(values, field.name), folder)
            for _, field in settings_of(table)
        }
        parts[name] = dataclasses.replace(values, **changed)
    return dataclasses.replace(config, **parts)


def tables_of(config: Config) -> dict[str, Any]:
    """Every value in the notation of the file, secrets masked; what is not set is left out."""
    tables: dict[str, Any] = {
        name: _table_of(table, getattr(config, name)) for name, table in _SINGLE_TABLES.items()
    }
    tables["cluster"] = []
    for cluster in config.clusters:
        shown = _table_of(type(cluster), cluster)
        if cluster.me is not None:
            shown["me"] = row_of(cluster.me, ME_KEYS)
            shown["neighbours"] = [row_of(record) for record in cluster.neighbours]
        tables["cluster"].append(shown)
    if config.capabilities:
        tables["capability"] = {c.name: _table_of(type(c), c) for c in config.capabilities}
    if config.tags:
        tables["tag"] = {t.name: _table_of(type(t), t) for t in config.tags}
    return tables


def _table_of(table: type, values: object) -> dict[str, Any]:
    return {
        key: field.metadata["kind"].write(value)
        for key, field in settings_of(table)
        if (value := getattr(values, field.name)) is not None
    }


def show(config: Config) -> str:
    """The resolved configuration as TOML, secrets masked."""
    blocks = []
    for name, tables in tables_of(config).items():
        for header, table in _blocks(name, tables):
            lines = [header, *(f"{key} = {_literal(value)}" for key, value in table.items())]
            blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _blocks(name: str, tables: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(header, keys and values) of each table of that kind."""
    if name in NAMED_TABLES:
        yield from ((_header(name, called), table) for called, table in tables.items())
    else:
        for table in tables if isinstance(tables, list) else [tables]:
            yield _header(name), table


def example() -> str:
    """A file with the meaning, the bounds and the default of every setting; itself valid."""
    lines = [
        "# Configuration of one tagmesh node.",
        "# A key behind a # stands with its default, or with an example where there is none.",
        "# The environment variable TAGMESH_<TABLE>_<KEY> overrides a value of the file.",
    ]
    for name, table in TABLES.items():
        lines += ["", f"# {table.__doc__}".replace("``", ""), _header(name)]
        for key, field in settings_of(table):
            meta, kind = field.metadata, field.metadata["kind"]
            value = meta["default"] if meta["example"] is None else meta["example"]
            opensips = f"; OpenSIPS: {meta['opensips']}" if meta["opensips"] else ""
            mark = "" if meta["default"] is REQUIRED else "#"
            lines.append(f"# {meta['doc']} ({kind.allowed}{opensips})")
            lines.append(f"{mark}{key} = {_literal(value)}")
        if name == "cluster":
            for key, (value, doc) in STATIC_EXAMPLES.items():
                lines += [f"# {doc}", f"#{key} = {_literal(value)}"]
    return "\n".join(lines) + "\n"


def _header(name: str, called: str = "") -> str:
    if name in NAMED_TABLES:
        return f"[{name}.{_literal(called or NAMED_TABLES[name])}]"
    return "[[cluster]]" if name == "cluster" else f"[{name}]"


def _literal(value: Any) -> str:
    """``value`` as TOML on one line."""
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{key} = {_literal(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return json.dumps(value, ensure_ascii=False)  # texts, numbers and switches look alike in both
