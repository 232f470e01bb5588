"""Writes the pages of ``docs/topics`` that are derived from declarations: ``make docs``.

A test compares what stands in the pages with what this makes of the code.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect

from tagmesh.protocol import config, message_list, messages, removal_messages, tag_messages
from tagmesh.protocol.cluster_settings import STATIC_EXAMPLES
from tagmesh.protocol.settings import REQUIRED, settings_of
from tagmesh.simulation import script

TOPICS = Path(__file__).parent / "topics"
NOTE = "<!-- Made by docs/generate.py from the declarations in {}. Run `make docs`. -->"


HEADERS = {"cluster": "[[cluster]]", "capability": '[capability."name"]', "tag": '[tag."name"]'}


def configuration() -> str:
    """Every table of the configuration file with its keys."""
    lines = [
        "# Configuration",
        "",
        NOTE.format("protocol/config.py and its …_settings.py"),
        "",
        "One TOML file describes one node. It is looked for at `--config`, `$TAGMESH_CONFIG`,",
        "`./tagmesh.toml`, `~/.config/tagmesh/tagmesh.toml` and `/etc/tagmesh/tagmesh.toml`.",
        "The environment variable `TAGMESH_<TABLE>_<KEY>` overrides a value of the file, except in",
        "`[[cluster]]`, `[capability]` and `[tag]`. Unknown keys and wrong values are errors, and",
        "all of them are printed together. No value changes while a node runs.",
        "",
        "`tagmesh config example` prints a commented file, `tagmesh config check` validates one,",
        "`tagmesh config show` prints every value in use.",
    ]
    for name, table in config.TABLES.items():
        lines += ["", f"## `{HEADERS.get(name, f'[{name}]')}`", ""]
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
    if value == b"":
        return "empty"
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
        NOTE.format("protocol/messages.py, tag_messages.py and removal_messages.py"),
        "",
        "A frame is a length of 4 bytes, big-endian, and one msgpack array of messages. A message",
        "is an array `[number, field, …]`. Numbers are never used again; fields are only appended,",
        "with a default. The decoder checks the bounds below before any rule sees a value.",
        "",
        f"Protocol version {messages.PROTOCOL_VERSION}.",
    ]
    structs: list[type[msgspec.Struct]] = [*message_list.MESSAGES, *message_list.INSIDE]
    files = [Path(inspect.getfile(module)) for module in (messages, tag_messages, removal_messages)]
    texts = dict(pair for file in files for pair in field_texts(file))
    for struct in structs:
        tag = struct.__struct_config__.tag
        title = f"{tag} · {struct.__name__}" if isinstance(tag, int) else struct.__name__
        lines += ["", f"## {title}", "", inspect.cleandoc(struct.__doc__ or ""), ""]
        lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
        for field in msgspec.structs.fields(struct):
            default = "" if field.required else code(default_of(field))
            owners = [kind.__name__ for kind in struct.__mro__]
            meaning = next((texts[o, field.name] for o in owners if (o, field.name) in texts), "")
            lines.append(row(f"`{field.name}`", type_of(field.type), default, meaning))
    return "\n".join(lines) + "\n"


def default_of(field: msgspec.structs.FieldInfo) -> Any:
    """The default of a field that has one."""
    if field.default is msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


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
        case msgspec.inspect.IntType(ge=low, lt=int(beyond)):
            return f"integer {low} … {beyond - 1}"
        case msgspec.inspect.IntType(ge=low, le=None):
            return f"integer from {low}"
        case msgspec.inspect.IntType(ge=low, le=high):
            return f"integer {low} … {power(high)}"
        case msgspec.inspect.StrType(min_length=None, max_length=most):
            return f"text, at most {most} characters"
        case msgspec.inspect.StrType(min_length=least, max_length=most):
            return f"text, {least} to {most} characters"
        case msgspec.inspect.BytesType(min_length=least, max_length=most):
            return f"{most} bytes" if least == most else f"at most {most} bytes"
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.NoneType():
            return "nil"
        case msgspec.inspect.ListType(item_type=item, min_length=None | 0, max_length=most):
            return f"list of at most {most}: {describe(item)}"
        case msgspec.inspect.ListType(item_type=item, min_length=least, max_length=most):
            return f"list of {least} to {most}: {describe(item)}"
        case msgspec.inspect.LiteralType(values=values):
            return " or ".join(map(repr, values))
        case msgspec.inspect.TupleType(item_types=items):
            return f"[{'; '.join(map(describe, items))}]"
        case msgspec.inspect.UnionType(types=types):
            return " or ".join(map(describe, types))
        case msgspec.inspect.EnumType(cls=enum):
            return ", ".join(f"{member.value} {member.name.lower()}" for member in enum)
        case msgspec.inspect.StructType(cls=struct):
            return struct.__name__
    raise TypeError(f"no words for {info!r}; add them to docs/generate.py")


def power(bound: int | None) -> str:
    """2³¹−1 and 2⁶³−1 by name."""
    return {2**31 - 1: "2³¹−1", 2**63 - 1: "2⁶³−1"}.get(bound or 0, str(bound))


EXAMPLE = "L-2-cut-below-the-detection-time.txt"
SCENARIOS = Path(__file__).parent.parent / "tests" / "scenarios"

SCENARIO_INTRODUCTION = """
A scenario is a text file with commands for a simulated cluster and with what they put out. It is
documentation that cannot be wrong: `make test` plays every file in `tests/scenarios` and compares.

{example}
Each block is commands, a line `----`, the output, and an empty line. Time is virtual, so ten
minutes take milliseconds, and everything random comes from `seed`: the output is always the same.

What is put out is what happened while the commands ran, and what they were asked to show:

    +7.0  1,2  link 3 Probe>Down: 4 pings unanswered, and no other node said it reaches it

is 7.0 seconds after the block began, at nodes 1 and 2. What several nodes heard alike in the same
tenth of a second is one line; lines of the same tenth are sorted by link, route, node, refusal and
row. `node 3 UP via 2, life 2` is its second process, reached through node 2.

`python -m tagmesh.simulation.script FILE …` plays files and shows a diff, `--rewrite` writes the
output into them: read the change before you commit it. What `until` and the `expect-…` commands
demand cannot be written away: when it is not so, the file is not rewritten.

Nodes are written `1`, `1,2`, `1 2` or `all`, durations `500ms`, `20s`, `2m`, `1h`. Lines that begin
with `#` are for people; the first one names the rules of the scenario.
"""


def scenarios() -> str:
    """The scenario language and which scenario shows which rule."""
    lines = ["# Scenarios", "", NOTE.format("simulation/script_*.py and tests/scenarios")]
    lines += ["", "## Rules and their scenarios", "", "| rule | scenarios |", "|---|---|"]
    shown: dict[str, list[str]] = {}
    for path in sorted(SCENARIOS.glob("*.txt")):
        heading = path.read_text(encoding="utf-8").partition("\n")[0]
        link = f"[{path.stem}](../../tests/scenarios/{path.name})"
        for rule in script.rules_of(heading):
            shown.setdefault(rule, []).append(link)
    lines += [row(rule, ", ".join(links)) for rule, links in sorted(shown.items(), key=by_number)]
    example = textwrap.indent((SCENARIOS / EXAMPLE).read_text(encoding="utf-8"), "    ")
    lines += ["", "## The language", SCENARIO_INTRODUCTION.format(example=example)]
    lines += ["## Commands", "", "| command | |", "|---|---|"]
    commands = sorted(script.COMMANDS.values(), key=lambda c: c.name.startswith("expect"))
    lines += [row(f"`{c.usage}`", c.doc) for c in commands]
    return "\n".join(lines) + "\n"


def by_number(item: tuple[str, list[str]]) -> tuple[str, int]:
    """L-2 before L-11."""
    letter, number = item[0][0], item[0][1:].lstrip("-")
    return letter, int(number)


PAGES: Mapping[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "messages.md": wire,
    "scenarios.md": scenarios,
}
"""File in docs/topics to the function that makes its text."""


def main() -> None:
    """Write every page."""
    for name, make in PAGES.items():
        (TOPICS / name).write_text(make(), encoding="utf-8")
        print(f"docs/topics/{name}")


if __name__ == "__main__":
    main()
