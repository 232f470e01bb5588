"""Capabilities that other packages offer, made because the configuration says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tagmesh import Dialogs, Misuse, Node, ReplicatedMap
from tagmesh.control.cli import root
from tagmesh.control.modules import find_module, make_capability
from tagmesh.control.workspace import Workspace
from tagmesh.protocol.capability_settings import CapabilitySettings

CODE = """
from tagmesh import Capability

class Calls(Capability):
    def __init__(self, name):
        self.name = name

def broken(name):
    raise RuntimeError("no licence")

def nothing(name):
    pass

def stubborn(name):
    return Calls("my own name")
"""
ENTRIES = """
[tagmesh.capabilities]
calls = fake_calls:Calls
broken = fake_calls:broken
stubborn = fake_calls:stubborn
nothing = fake_calls:nothing
missing = fake_calls:gone
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package beside us, as if pip had installed it."""
    site = tmp_path / "site"
    install(site, "fake-calls", ENTRIES)
    (site / "fake_calls.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(site))
    return site


def install(site: Path, package: str, entries: str) -> None:
    info = site / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entries)


def table(module: str) -> CapabilitySettings:
    return CapabilitySettings(cluster=1, module=module, name="my-calls")


def test_it_is_made_with_the_name_of_its_table() -> None:
    made = make_capability(table("calls"))
    assert (type(made).__name__, made.name) == ("Calls", "my-calls")


def test_our_own_are_offered_the_same_way() -> None:
    assert type(make_capability(table("replicated-map"))) is ReplicatedMap
    assert make_capability(table("counters")).name == "my-calls"
    assert type(make_capability(table("dialogs"))) is Dialogs


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("cals", r"no installed package offers it; offered: .*calls, counters, .*replicated-map"),
        ("broken", "fake_calls:broken raised RuntimeError: no licence"),
        ("missing", "fake_calls:gone raised AttributeError"),
        ("stubborn", "made a capability 'my own name': it must return"),
        ("nothing", "made None: it must return a tagmesh.Capability"),
    ],
)
def test_what_cannot_be_made_says_where_and_why(module: str, said: str) -> None:
    with pytest.raises(Misuse, match=said) as caught:
        make_capability(table(module))
    assert str(caught.value).startswith(f'[capability."my-calls"] module = "{module}": ')


def test_the_same_name_in_two_packages_is_nobodys(installed: Path) -> None:
    install(installed, "other-calls", "[tagmesh.capabilities]\ncalls = other_calls:Calls\n")
    with pytest.raises(Misuse, match="offered by several packages: fake-calls, other-calls"):
        find_module(table("calls"))


def configured(space: Workspace, *, module: str, cluster: str = "cluster = 1") -> Path:
    file = space.config(1)
    block = f'\n[capability."my-calls"]\nmodule = "{module}"\n{cluster}\n'
    file.write_text(file.read_text() + block)
    return file


@pytest.mark.parametrize("cluster", ["cluster = 1", ""], ids=["named", "the first"])
def test_a_node_registers_what_its_configuration_names(tmp_path: Path, cluster: str) -> None:
    space = Workspace(tmp_path / "space", 1, admin=False)
    node = Node.from_config(configured(space, module="calls", cluster=cluster))
    with node:
        node.wait_ready()
        assert node.cluster(1).status("my-calls").state == "ok"
        assert type(node.cluster(1).capability("my-calls")).__name__ == "Calls"


def test_the_check_of_a_configuration_finds_a_module_that_there_is_not(tmp_path: Path) -> None:
    space = Workspace(tmp_path / "space", 1, admin=False)
    file = configured(space, module="cals")
    result = CliRunner().invoke(root, ["config", "check", "-c", str(file)])
    assert result.exit_code == 2
    assert "no installed package offers it" in result.stderr
    with pytest.raises(Misuse, match="no installed package offers it"):
        Node.from_config(file)
    file.write_text(file.read_text().replace('"cals"', '"calls"'))
    assert CliRunner().invoke(root, ["config", "check", "-c", str(file)]).exit_code == 0
