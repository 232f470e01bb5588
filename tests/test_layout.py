"""Folders, links and packages are one list; front doors are sorted; the wheel is complete."""

from __future__ import annotations

import ast
import importlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OTHER_FOLDERS = {"tagmesh", "tests", "benchmarks", "examples", "docs", "contrib", "build", "dist"}


def listed_in_setup() -> list[str]:
    """``SUBPACKAGES`` of setup.py, read without running it."""
    for node in ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SUBPACKAGES":
            return list(ast.literal_eval(node.value))
    raise AssertionError("setup.py has no SUBPACKAGES")


SUBPACKAGES = listed_in_setup()
MODULES = sorted(
    ".".join(("tagmesh", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for name in SUBPACKAGES
    for path in (ROOT / name).rglob("*.py")
)


def test_folders_links_and_setup_are_one_list() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} - OTHER_FOLDERS
    links = {path.name for path in (ROOT / "tagmesh").iterdir() if path.is_symlink()}
    assert folders == links == set(SUBPACKAGES)
    assert len(SUBPACKAGES) == len(set(SUBPACKAGES))


@pytest.mark.parametrize("name", SUBPACKAGES)
def test_each_link_is_relative_and_leads_to_its_folder(name: str) -> None:
    link = ROOT / "tagmesh" / name
    assert link.is_symlink(), "a checkout without symbolic links cannot be used by the tools"
    assert link.readlink() == Path(f"../{name}")
    assert link.resolve() == (ROOT / name).resolve()


def test_packages_hold_no_packages() -> None:
    """setup.py lists the packages one by one: a nested one would be left out of the wheel."""
    nested = [path for name in SUBPACKAGES for path in (ROOT / name).glob("*/**/__init__.py")]
    assert nested == []


def test_tests_are_no_package_and_their_names_are_unique() -> None:
    files = sorted((ROOT / "tests").rglob("*.py"))
    assert [path for path in files if path.name == "__init__.py"] == []
    names = [path.name for path in files if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("module", ["tagmesh", *(f"tagmesh.{name}" for name in SUBPACKAGES)])
def test_front_doors_are_sorted_complete_and_lead_somewhere(module: str) -> None:
    door = importlib.import_module(module)
    names = list(getattr(door, "__all__", []))
    assert names == sorted(set(names)), f"{module}.__all__ is not a sorted list"
    for name in names:
        assert getattr(door, name) is not None
    path = Path(str(door.__file__))
    imported = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    assert imported == set(names), f"{module}: what it imports and __all__ differ"


@pytest.mark.parametrize("module", MODULES)
def test_every_module_imports_and_its_all_is_true(module: str) -> None:
    loaded = importlib.import_module(module)
    names = list(getattr(loaded, "__all__", []))
    assert len(names) == len(set(names))  # their order is ruff's business (RUF022)
    for name in names:
        assert hasattr(loaded, name), f"{module}.__all__ names {name}, which is not there"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources, so that this checkout stays clean."""
    source = tmp_path_factory.mktemp("source")
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("tagmesh", *SUBPACKAGES):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignore)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    code = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-c", code, str(out)],
        cwd=source, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_every_module_and_the_type_marker(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {
        f"tagmesh/{p.relative_to(ROOT)}" for n in SUBPACKAGES for p in (ROOT / n).glob("*.py")
    }
    own = {f"tagmesh/{path.name}" for path in (ROOT / "tagmesh").glob("*.py")}
    assert held == modules | own | {"tagmesh/py.typed"}


def test_the_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Only `tagmesh` is installed at top level, and its front door opens."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    tops = {path.name for path in tmp_path.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == {"tagmesh"}
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import tagmesh;"
        "tagmesh.LocalCluster, tagmesh.Node; print(tagmesh.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tmp_path)],
        cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == str(tmp_path / "tagmesh" / "__init__.py")


def test_the_version_stands_in_one_voice() -> None:
    import tomllib

    import tagmesh

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == tagmesh.__version__
    assert f"## {tagmesh.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
