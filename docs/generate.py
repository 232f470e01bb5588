"""Writes the pages of ``docs/topics`` that are derived from declarations: ``make docs``.

A test compares what stands in the pages with what this makes of the code.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect

from tagmesh.protocol import config, messages
from tagmesh.protocol.cluster_settings import STATIC_EXAMPLES
from tagmesh.protocol.settings import REQUIRED, settings_of

TOPICS = Path(__file__).parent / "topics"
NOTE = "<!-- Made by docs/generate.py from the declarations in {}. Run `make docs`. -->"


def configuration() -> str:
    """Every table of the configuration file with its keys."""
    lines = [
        "# Configuration",
        "",
        NOTE.format("protocol/config.py and protocol/cluster_settings.py"),
        "",
        "One TOML file describes one node. It is looked for at `--config`, `$TAGMESH_CONFIG`,",
        "`./tagmesh.toml`, `~/.config/tagmesh/tagmesh.toml` and `/etc/tagmesh/tagmesh.toml`.",
        "The environment variable `TAGMESH_<TABLE>_<KEY>` overrides a value of the file, except in",
        "`[[cluster]]`. Unknown keys and wrong values are errors, and all of them are printed",
        "together. No value changes while a node runs.",
        "",
        "`tagmesh config example` prints a commented file, `tagmesh config check` validates one,",
        "`tagmesh config show` prints every value in use.",
    ]
    for name, table in config.TABLES.items():
        lines += ["", f"## `{'[[cluster]]' if name == 'cluster' else f'[{name}]'}`", ""]
        about = inspect.cleandoc(table.__doc__ or "").partition(": ")[2]
        lines += [about[:1].upper() + about[1:], ""]
        lines += ["| key | default | allowed | OpenSIPS | meaning |", "|---|---|---|---|---|"]
        for key, field in settings_of(table):
            meta = field.metadata
            default = "required" if meta["default"] is REQUIRED else code(meta["default"])
            opensips = f"`{meta['opensips']}`" if meta["opensips"] else ""
            lines.append(row(f"`{key}`", default, meta["kind"].allowed, opensips, meta["doc"]))
        if name == "cluster":
            for key, (_example, doc) in STATIC_EXAMPLES.items():
                lines.append(row(f"`{key}`", "none", "see the example file", "", doc))
    return "\n".join(lines) + "\n"


def code(value: object) -> str:
    """A default as it would be written in the file."""
    if value is None:
        return "none"
    if isinstance(value, Mapping) and not value:
        return "`{}`"
    return f"`{json.dumps(value)}`"


def row(*cells: str) -> str:
    """One line of a table."""
    return "| " + " | ".join(clean(cell) for cell in cells) + " |"


def clean(cell: str) -> str:
    """A text that Markdown takes neither for the end of a cell nor for HTML."""
    return cell.replace("|", "\\|").replace("<", "\\<").replace("\n", " ")


def wire() -> str:
    """Every message with its number, fields and bounds."""
    lines = [
        "# Messages",
        "",
        NOTE.format("protocol/messages.py"),
        "",
        "A frame is a length of 4 bytes, big-endian, and one msgpack array of messages. A message",
        "is an array `[number, field, …]`. Numbers are never used again; fields are only appended,",
        "with a default. The decoder checks the bounds below before any rule sees a value.",
        "",
        f"Protocol version {messages.PROTOCOL_VERSION}.",
    ]
    structs: list[type[msgspec.Struct]] = [*messages.MESSAGES, messages.ClusterOffer]
    texts = dict(field_texts(Path(inspect.getfile(messages))))
    for struct in structs:
        tag = struct.__struct_config__.tag
        title = f"{tag} · {struct.__name__}" if isinstance(tag, int) else struct.__name__
        lines += ["", f"## {title}", "", inspect.cleandoc(struct.__doc__ or ""), ""]
        lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
        for field in msgspec.structs.fields(struct):
            default = "" if field.default is msgspec.NODEFAULT else code(field.default)
            meaning = texts.get((struct.__name__, field.name), "")
            lines.append(row(f"`{field.name}`", type_of(field.type), default, meaning))
    return "\n".join(lines) + "\n"


def field_texts(path: Path) -> Iterator[tuple[tuple[str, str], str]]:
    """((class, field), docstring under the field) of each field that has one."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for before, after in zip(node.body, node.body[1:], strict=False):
            text = ast.unparse(after) if isinstance(after, ast.Expr) else ""
            if isinstance(before, ast.AnnAssign) and text:
                yield (
                    (node.name, ast.unparse(before.target)),
                    inspect.cleandoc(ast.literal_eval(text)),
                )


def type_of(annotation: Any) -> str:
    """A type with its bounds, in words."""
    return describe(msgspec.inspect.type_info(annotation))


def describe(info: msgspec.inspect.Type) -> str:
    """What `type_of` says of each kind of type; the bounds of fields are all there are."""
    match info:
        case msgspec.inspect.IntType(ge=low, le=high):
            return f"integer {low} … {power(high)}"
        case msgspec.inspect.StrType(max_length=most):
            return f"text, at most {most} characters"
        case msgspec.inspect.BytesType(min_length=least, max_length=most):
            return f"{most} bytes" if least == most else f"at most {most} bytes"
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.NoneType():
            return "nil"
        case msgspec.inspect.ListType(item_type=item, max_length=most):
            return f"list of at most {most}: {describe(item)}"
        case msgspec.inspect.TupleType(item_types=items):
            return f"[{'; '.join(map(describe, items))}]"
        case msgspec.inspect.UnionType(types=types):
            return " or ".join(map(describe, types))
        case msgspec.inspect.StructType(cls=struct):
            return struct.__name__
    raise TypeError(f"no words for {info!r}; add them to docs/generate.py")


def power(bound: int | None) -> str:
    """2³¹−1 and 2⁶³−1 by name."""
    return {2**31 - 1: "2³¹−1", 2**63 - 1: "2⁶³−1"}.get(bound or 0, str(bound))


PAGES: Mapping[str, Callable[[], str]] = {"configuration.md": configuration, "messages.md": wire}
"""File in docs/topics to the function that makes its text."""


def main() -> None:
    """Write every page."""
    for name, make in PAGES.items():
        (TOPICS / name).write_text(make(), encoding="utf-8")
        print(f"docs/topics/{name}")


if __name__ == "__main__":
    main()
