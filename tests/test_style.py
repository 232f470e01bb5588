"""House rules that no linter knows, checked on the syntax tree. Each rule is shown to bite."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIBRARY = (
    "tagmesh",
    "protocol",
    "storage",
    "transport",
    "capabilities",
    "actors",
    "simulation",
    "control",
)
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 400
ASK_FROM_OUTSIDE = {"system.py", "embedding.py"}
"""Modules of actors/ that ask on behalf of callers outside; actors themselves only tell."""
PURE = frozenset(
    [
        "__future__",
        "abc",
        "bisect",
        "collections",
        "dataclasses",
        "difflib",
        "enum",
        "functools",
        "hashlib",
        "heapq",
        "ipaddress",
        "itertools",
        "math",
        "msgspec",
        "operator",
        "posixpath",
        "re",
        "typing",
        "zlib",
    ]
)
"""What protocol/ may import from elsewhere."""


def sources(*folders: str) -> list[Path]:
    """Every Python file of these folders; the links in tagmesh/ are not followed."""
    found: list[Path] = []
    for name in folders:
        folder = ROOT / name
        pattern = "*.py" if name == "tagmesh" else "**/*.py"
        found += [path for path in folder.glob(pattern) if "__pycache__" not in path.parts]
    return sorted(found)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """(dotted name as written, call) of each call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def at(node: ast.expr | ast.stmt, what: str) -> str:
    return f"line {node.lineno}: {what}"


# The rules: each takes a tree and yields what breaks it ------------------------------------------


def too_long_functions(tree: ast.AST) -> Iterator[str]:
    for function in functions(tree):
        first = min([function.lineno, *(d.lineno for d in function.decorator_list)])
        lines = (function.end_lineno or first) - first + 1
        if lines > MAX_FUNCTION_LINES:
            yield at(function, f"{function.name} has {lines} lines")


def bare_gevent_timeouts(tree: ast.AST) -> Iterator[str]:
    """H1: a `gevent.Timeout` that escapes is a BaseException; silent or typed ones are none."""
    for name, call in calls(tree):
        typed = len(call.args) > 1 or any(k.arg == "exception" for k in call.keywords)
        if name in ("gevent.Timeout", "Timeout", "gevent.timeout.Timeout") and not typed:
            yield at(call, "bare gevent.Timeout; give it False or an exception of ours")
        if name.endswith("Timeout.start_new") and len(call.args) < 2:
            yield at(call, "bare gevent.Timeout.start_new")


def asks(tree: ast.AST) -> Iterator[str]:
    """H4: a blocking ask inside an actor deadlocks; core actors only tell."""
    for name, call in calls(tree):
        if name.endswith((".ask", ".proxy")):
            yield at(call, f"{name}: actors only tell")


def built_sql(tree: ast.AST) -> Iterator[str]:
    """S13: bound parameters only."""
    for name, call in calls(tree):
        runs_sql = name.rpartition(".")[2] in ("text", "exec_driver_sql")
        if runs_sql and call.args and not isinstance(call.args[0], ast.Constant | ast.Name):
            yield at(call, f"{name}: the SQL is built at run time")


def dangerous_calls(tree: ast.AST) -> Iterator[str]:
    """No code and no objects from bytes."""
    for name, call in calls(tree):
        if name in ("eval", "exec", "compile", "__import__"):
            yield at(call, name)
    for node, module in imports(tree):
        if module.partition(".")[0] in ("pickle", "marshal", "shelve", "dill", "cloudpickle"):
            yield at(node, f"imports {module}")


def imports(tree: ast.AST) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node, f"{node.module or ''}.{alias.name}"


def impurities(tree: ast.AST) -> Iterator[str]:
    """What could bring IO, time, threads or randomness into the rules; import-linter has a list of
    what they must not import, this is the list of what they may."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        else:
            continue
        yield from (at(node, f"imports {n}") for n in names if n.partition(".")[0] not in PURE)
    for name, call in calls(tree):
        if name in ("open", "input"):
            yield at(call, name)


def monkey_patches(tree: ast.AST) -> Iterator[str]:
    """H18: the library never patches its host."""
    for node, module in imports(tree):
        if module.startswith("gevent.monkey"):
            yield at(node, f"imports {module}")
    for name, call in calls(tree):
        if "monkey.patch" in name or name == "patch_all":
            yield at(call, name)


def prints(tree: ast.AST) -> Iterator[str]:
    for name, call in calls(tree):
        if name in ("print", "pprint", "pprint.pprint", "breakpoint"):
            yield at(call, name)


def sleeps(tree: ast.AST) -> Iterator[str]:
    """A thread that sleeps stops the hub (P13)."""
    for name, call in calls(tree):
        if name == "time.sleep":
            yield at(call, name)
    for node, module in imports(tree):
        if module == "time.sleep":
            yield at(node, "imports time.sleep")


def without_docstring(tree: ast.Module, documented: frozenset[str] = frozenset()) -> Iterator[str]:
    """Public names; methods that an interface of the folder documents need no second text."""
    if not ast.get_docstring(tree):
        yield "line 1: the module"

    def walk(body: list[ast.stmt], owner: str) -> Iterator[str]:
        for node in body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if node.name.startswith("_") or is_overload_or_setter(node):
                continue
            if not ast.get_docstring(node) and not (owner and node.name in documented):
                yield at(node, f"{owner}{node.name}")
            if isinstance(node, ast.ClassDef):
                yield from walk(node.body, f"{node.name}.")

    yield from walk(tree.body, "")


def is_overload_or_setter(node: ast.stmt) -> bool:
    decorators = getattr(node, "decorator_list", [])
    return any(ast.unparse(d).endswith(("overload", ".setter")) for d in decorators)


# The rules against the code ----------------------------------------------------------------------


def broken(paths: list[Path], rule: object) -> list[str]:
    assert callable(rule)
    assert paths, "a rule that looks at nothing"
    return [f"{path.relative_to(ROOT)}: {what}" for path in paths for what in rule(tree_of(path))]


def test_functions_are_short() -> None:
    everywhere = sources(*LIBRARY, "tests", "benchmarks", "examples")
    assert broken(everywhere, too_long_functions) == []


def test_files_are_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources(*LIBRARY, "tests", "benchmarks", "examples")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_FILE_LINES
    }
    assert long == {}


def test_timeouts_of_gevent_cannot_escape() -> None:
    assert broken(sources(*LIBRARY), bare_gevent_timeouts) == []


def test_actors_never_ask() -> None:
    paths = [p for p in sources("actors") if p.name not in ASK_FROM_OUTSIDE]
    assert broken(paths, asks) == []


def test_sql_is_never_built_from_text() -> None:
    assert broken(sources(*LIBRARY), built_sql) == []


def test_no_code_from_bytes() -> None:
    assert broken(sources(*LIBRARY), dangerous_calls) == []


def test_the_rules_are_pure() -> None:
    assert broken(sources("protocol"), impurities) == []


def test_the_library_patches_nothing() -> None:
    """One module asks whether the application did."""
    paths = sources(*LIBRARY)
    (asking,) = [path for path in paths if path.name == "hubcalls.py"]
    paths.remove(asking)
    assert broken(paths, monkey_patches) == []
    of_monkey = {name for name, _ in calls(tree_of(asking)) if "monkey" in name}
    assert of_monkey == {"gevent.monkey.get_original", "gevent.monkey.is_module_patched"}


def test_the_library_prints_nothing() -> None:
    assert broken(sources(*LIBRARY), prints) == []


def test_nothing_sleeps_near_the_hub() -> None:
    assert broken(sources("actors", "transport", "capabilities", "protocol"), sleeps) == []


def test_embedding_sleeps_only_outside_the_hub() -> None:
    """Only a caller's own thread sleeps; the hub's thread yields."""
    (path,) = [p for p in sources("actors") if p.name == "hubcalls.py"]
    sleeping = [
        f.name
        for f in functions(tree_of(path))
        if any(name == "_thread_sleep" for name, _ in calls(f))
    ]
    assert sleeping == ["sleep_in", "give_way"]


@pytest.mark.parametrize("folder", LIBRARY)
def test_public_names_have_docstrings(folder: str) -> None:
    documented = frozenset(name for path in sources(folder) for name in interface(tree_of(path)))
    found = {
        str(path.relative_to(ROOT)): missing
        for path in sources(folder)
        if (missing := list(without_docstring(tree_of(path), documented)))
    }
    assert found == {}


def interface(tree: ast.Module) -> Iterator[str]:
    """Methods that a `Protocol` class documents."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and "Protocol" in [ast.unparse(b) for b in node.bases]:
            yield from (f.name for f in functions(node) if ast.get_docstring(f))


def test_every_rules_module_has_a_test_file_of_its_own() -> None:
    """Modules that only declare things are tested where the things are used."""
    modules = {p.stem for p in sources("protocol") if list(functions(tree_of(p)))}
    tested = {p.stem.removeprefix("test_") for p in sources("tests/protocol")}
    assert modules - tested == set()


# A check that cannot fail is a defect -------------------------------------------------------------

BITES = [
    (too_long_functions, "def f():\n" + "    x()\n" * MAX_FUNCTION_LINES),
    (bare_gevent_timeouts, "with gevent.Timeout(3): pass"),
    (bare_gevent_timeouts, "t = gevent.Timeout.start_new(3)"),
    (asks, "self.other.ask(1)"),
    (asks, "ref.proxy().hello()"),
    (built_sql, "connection.execute(text(f'SELECT {x}'))"),
    (built_sql, "connection.execute(sqlalchemy.text('SELECT ' + x))"),
    (built_sql, "connection.exec_driver_sql('PRAGMA %s' % x)"),
    (dangerous_calls, "import pickle"),
    (dangerous_calls, "from pickle import loads"),
    (dangerous_calls, "eval(x)"),
    (impurities, "import os.path"),
    (impurities, "from asyncio import sleep"),
    (impurities, "open('x')"),
    (monkey_patches, "from gevent import monkey"),
    (monkey_patches, "import gevent.monkey"),
    (monkey_patches, "monkey.patch_all()"),
    (prints, "print(1)"),
    (sleeps, "time.sleep(1)"),
    (sleeps, "from time import sleep"),
    (without_docstring, "x = 1"),
    (without_docstring, "'Doc.'\ndef f(): pass"),
    (without_docstring, "'Doc.'\nclass C:\n    'Doc.'\n    def f(self): pass"),
]


@pytest.mark.parametrize(("rule", "code"), BITES)
def test_each_rule_bites(rule: object, code: str) -> None:
    assert callable(rule)
    assert len(list(rule(ast.parse(code)))) == 1


PASSES = [
    (bare_gevent_timeouts, "gevent.Timeout(3, False)"),
    (bare_gevent_timeouts, "gevent.Timeout(3, exception=OSError())"),
    (asks, "self.context.supervisor.tell(name, message)"),
    (built_sql, "connection.execute(text('SELECT 1'))"),
    (impurities, "from .errors import Misuse"),
    (impurities, "from collections.abc import Iterator"),
    (sleeps, "gevent.sleep(1)"),
    (without_docstring, "'Doc.'\ndef _f(): pass"),
]


@pytest.mark.parametrize(("rule", "code"), PASSES)
def test_each_rule_lets_the_right_way_pass(rule: object, code: str) -> None:
    assert callable(rule)
    assert list(rule(ast.parse(code))) == []
