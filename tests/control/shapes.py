"""The recorded shape of every management command: who exports it under which names, its parameters,
and for some calls the reply as types, or the error with its text.

    python -m tests.control.shapes [--rewrite] [NAME …]

compares (and rewrites) ``tests/control/shapes/NAME.txt``, of all commands unless some are named. A
new command begins with a file that holds its calls: lines ``> parameters``, as one would type them
behind ``tagmesh ctl mi NAME``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from tagmesh.control import mi
from tagmesh.control.command import Command
from tagmesh.control.command_names import new_name
from tagmesh.control.commands import COMMANDS
from tests.control.fake_dialogs import booted
from tests.control.fake_node import FakeNode, event
from tests.control.fake_remote import with_remote

FOLDER = Path(__file__).parent / "shapes"
WITHOUT_SETTINGS = "tagmesh_config"
"""Of this one only the tables are recorded: a page of the documentation has every setting, and a
test compares it."""
AGAIN = "python -m tests.control.shapes --rewrite"


def sample_node() -> FakeNode:
    """A node that has something of everything."""
    node, _cluster = booted()
    node.records = [event(1), event(2, node_id=None)]
    node.subscriptions.subscribe("E_CLUSTERER_NODE_STATE_CHANGED", "unix:/run/panel.sock")
    return with_remote(node)


def record(command: Command, written: str) -> str:
    """What the file of a command should say, with the calls that ``written`` has."""
    node = sample_node()
    made = [line for line in written.splitlines() if line.startswith(">")]
    replies = [f"{line}\n{_reply(command.name, _params(line[1:]), node)}" for line in made]
    return "\n\n".join([_head(command), *replies]) + "\n"


def calls(written: str) -> list[list[Any] | dict[str, Any]]:
    """The parameters of each call in a file."""
    return [_params(line[1:]) for line in written.splitlines() if line.startswith(">")]


def _head(command: Command) -> str:
    names = [command.name, new_name(command)]
    about = [" = ".join(name for name in names if name), f"exported by {command.module}"]
    about += ["changes something"] if command.changing else []
    about += ["parameters are named"] if command.named_only else []
    recipes = [
        f"({', '.join(f'{name}: {command.types[name].__name__}' for name in recipe)})"
        for recipe in command.recipes
    ]
    return "\n".join([", ".join(about), *recipes])


def _params(typed: str) -> list[Any] | dict[str, Any]:
    words = shlex.split(typed)
    if words and all("=" in word for word in words):
        return {name: _value(value) for name, _, value in (word.partition("=") for word in words)}
    return [_value(word) for word in words]


def _value(word: str) -> Any:
    return json.loads(word) if word.startswith("[") else word


def _reply(name: str, params: list[Any] | dict[str, Any], node: FakeNode) -> str:
    request = {"jsonrpc": "2.0", "id": 1, "method": name, "params": params}
    reply = mi.handle(json.dumps(request).encode(), COMMANDS, node)
    assert reply is not None, "it has an id"
    answer = json.loads(reply)
    if "error" in answer:
        error = answer["error"]
        data = f" ({error.get('data')})" if error["code"] < 0 else ""  # other sentences are ours
        return f"{error['code']} {error['message']}{data}"
    result = answer["result"]
    if name == WITHOUT_SETTINGS:
        result = {table: {} for table in result}
    if isinstance(result, str):
        return json.dumps(result)
    return json.dumps(shape(result), indent=1, ensure_ascii=False)


def shape(value: Any) -> Any:
    """The types in ``value``; of the items of an array one shape, ``name?`` where some lack it."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        merged: list[Any] = []
        for item in value:
            merged = [_either(merged[0], shape(item))] if merged else [shape(item)]
        return merged
    return "null" if value is None else type(value).__name__


def _either(one: Any, two: Any) -> Any:
    if isinstance(one, dict) and isinstance(two, dict):
        return {name: _both(name, one, two) for name in _names(one, two)}
    if isinstance(one, list) and isinstance(two, list):
        return [_either(one[0], two[0])] if one and two else one or two
    if isinstance(one, str) and isinstance(two, str):
        return " or ".join(sorted(set(one.split(" or ")) | set(two.split(" or "))))
    return next(kind for kind in (one, two) if not isinstance(kind, str))  # the other is null


def _names(one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    """Of both, in their order, with a mark on those that not both have."""
    plain = dict.fromkeys(name.removesuffix("?") for name in [*one, *two])
    return [name if name in one and name in two else f"{name}?" for name in plain]


def _both(name: str, one: dict[str, Any], two: dict[str, Any]) -> Any:
    plain = name.removesuffix("?")
    found = [side[key] for side in (one, two) for key in (plain, f"{plain}?") if key in side]
    return found[0] if len(found) == 1 else _either(*found)


def main(arguments: list[str] | None = None) -> int:
    """The program; 1 when something differs and is not rewritten."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.control.shapes")
    parser.add_argument("--rewrite", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args(arguments)
    differ = 0
    for name in options.names or list(COMMANDS):
        path = FOLDER / f"{name}.txt"
        written = path.read_text(encoding="utf-8") if path.exists() else ">\n"
        right = record(COMMANDS[name], written)
        if options.rewrite:
            path.write_text(right, encoding="utf-8")
        elif right != written:
            print(f"{path.name} differs")
            differ = 1
    return differ


if __name__ == "__main__":
    sys.exit(main())
