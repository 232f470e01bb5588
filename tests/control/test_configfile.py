"""The configuration file: where it is found, what overrides it, what is said when it is wrong."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tagmesh.control.configfile import (
    MAX_FILE_BYTES,
    ConfigFileError,
    example,
    find_config,
    load_config,
    show,
    tables_of,
    unknown_variables,
)
from tagmesh.protocol.config import NAMED_TABLES, TABLES, ConfigError, read_config, settings_of


def write(folder: Path, text: str = "[node]\nid = 1\n", name: str = "tagmesh.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text)
    return file


def test_the_first_place_that_has_a_file_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, home = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    monkeypatch.chdir(here)
    environ = {"HOME": str(home)}
    in_home = write(home / ".config" / "tagmesh")
    assert find_config(None, environ) == in_home
    write(here)
    assert find_config(None, environ) == Path("tagmesh.toml")
    by_variable = write(tmp_path, name="by_variable.toml")
    environ["TAGMESH_CONFIG"] = str(by_variable)
    assert find_config(None, environ) == by_variable
    assert find_config("by_flag.toml", environ) == Path("by_flag.toml")


def test_no_file_at_all_says_where_was_looked_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigFileError) as raised:
        load_config(environ={"HOME": "/nowhere"})
    text = str(raised.value)
    assert "/nowhere/.config/tagmesh/tagmesh.toml, /etc/tagmesh/tagmesh.toml are not there" in text
    for hint in ("--config", "$TAGMESH_CONFIG", "tagmesh config example > tagmesh.toml"):
        assert hint in text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[node]\nid 1\n", "line 2, column 4: not valid TOML: Expected '=' after a key"),
        (b"[node]\nid = 1\nlisten = bins:a\n", "line 3, column 10: not valid TOML: Invalid value"),
        (b"[node\n", "not valid TOML"),
        (b"[node]\nid = 1\nid = 2\n", "line 3, column 7: not valid TOML: Cannot overwrite a value"),
        (b"[node]\nid = " + b"9" * 5000, "not valid TOML"),
        (b"[node]\nid = 1\ndescription = '\xff'\n", "line 3: not UTF-8 text"),
        (b"x = " + b"[" * 100_000, "nested too deeply"),
        (b"#" * (MAX_FILE_BYTES + 1), "longer than 1048576 bytes"),
    ],
)
def test_what_is_no_toml_is_located(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigFileError) as raised:
        load_config(file, {})
    assert str(raised.value).startswith(str(file))
    assert says in str(raised.value)
    assert len(str(raised.value)) < 500


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """C1: missing file, and a folder in its place."""
    with pytest.raises(ConfigFileError, match=r"missing.toml: cannot be read: No such file"):
        load_config(tmp_path / "missing.toml", {})
    with pytest.raises(ConfigFileError, match="cannot be read: Is a directory"):
        load_config(str(tmp_path), {})


def test_mistakes_name_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "[node]\nid = 0\n[tls]\ncaa = 1\n")
    with pytest.raises(ConfigError) as raised:
        load_config(file, {})
    assert str(raised.value).startswith(f"{file}: 2 mistakes\n")
    assert len(raised.value.problems) == 2


def test_relative_paths_start_at_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "etc"
    write(folder, '[node]\nid = 1\n[tls]\nca = "/abs/ca.crt"\nprivate_key = "my.key"\n')
    config = load_config("etc/tagmesh.toml", {})
    assert config.node.state_dir == f"{folder}/state"
    assert config.provisioning.url == f"sqlite:///{folder}/nodes.db"
    assert (config.tls.ca, config.tls.private_key) == ("/abs/ca.crt", f"{folder}/my.key")
    assert (config.tls.certificate, config.tls.crl) == (f"{folder}/tls/node.crt", "")


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, '[node]\nid = 1\ndescription = "file"\n[tls]\nca = "file.crt"\n')
    config = load_config(
        file,
        {
            "TAGMESH_NODE_ID": "7",
            "TAGMESH_NODE_DESCRIPTION": "42",
            "TAGMESH_TRANSPORT_MAX_FRAME": "2MiB",
            "TAGMESH_ADMIN_FAULT_SWITCH": "true",
            "TAGMESH_PROVISIONING_URL": "postgresql://h/d",
            "TAGMESH_PROVISIONING_COLUMNS": '{ url = "address" }',
            "PATH": "/bin",
        },
    )
    assert (config.node.id, config.node.description) == (7, "42")
    assert config.transport.max_frame_bytes == 2 * 1024**2
    assert config.admin.fault_switch is True
    assert config.provisioning.url == "postgresql://h/d"
    assert config.provisioning.columns == {"url": "address"}
    assert config.tls.ca == f"{tmp_path}/file.crt"


@pytest.mark.parametrize("value", ["one", "1\n2 = [", "", "[" * 5000])
def test_a_wrong_variable_is_named(tmp_path: Path, value: str) -> None:
    file = write(tmp_path)
    with pytest.raises(ConfigError) as raised:
        load_config(file, {"TAGMESH_NODE_ID": value})
    first, line = str(raised.value).splitlines()
    assert first == f"{file} with TAGMESH_NODE_ID from the environment: 1 mistake"
    assert line.startswith("  [node] id: ")


def test_a_variable_does_not_hide_that_the_table_is_none(tmp_path: Path) -> None:
    file = write(tmp_path, "node = 5\n")
    with pytest.raises(ConfigError, match=r"\[node\] -: 5 is not a table"):
        load_config(file, {"TAGMESH_NODE_ID": "1"})


def test_variables_that_only_look_like_settings_are_told() -> None:
    environ = {
        "TAGMESH_NODE_IDD": "1",
        "TAGMESH_CLUSTER_ID": "1",
        "TAGMESH_NODE_ID": "1",
        "TAGMESH_CONFIG": "x",
        "TAGMESH_URL": "x",
        "NODE_ID": "1",
    }
    assert unknown_variables(environ) == {
        "TAGMESH_CLUSTER_ID": "TAGMESH_NODE_ID",
        "TAGMESH_NODE_IDD": "TAGMESH_NODE_ID",
    }


def test_the_process_environment_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGMESH_CONFIG", str(write(tmp_path)))
    monkeypatch.setenv("TAGMESH_NODE_ID", "9")
    assert load_config().node.id == 9


CAPABILITY, TAG = NAMED_TABLES["capability"], NAMED_TABLES["tag"]
CLUSTER_EXAMPLES = ("id", "me", "neighbours", "sharing_tags")
"""Keys whose example is not the default."""

STATIC = """
[node]
id = 1
listen = "bins:[::1]:5556"
[provisioning]
mode = "static"
url = "postgresql://ops:hunter2@db/opensips?sslpassword=hunter2"
[[cluster]]
id = 3
me = { url = "bins:a", flags = "seed" }
neighbours = [{ node_id = 2, url = "bins:b", description = "quote \\" here" }]
[[cluster]]
id = 4
me = { url = "bins:a" }
[capability."dialog-dlg-repl"]
cluster = 4
auto_sync = false
[capability."a \\" b"]
"""


def test_what_is_shown_can_be_read_again(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, STATIC), {})
    shown = show(config)
    again = load_config(write(tmp_path, shown, "again.toml"), {})
    assert show(again) == shown
    assert (again.clusters, again.capabilities) == (config.clusters, config.capabilities)
    assert [c.name for c in again.capabilities] == ["dialog-dlg-repl", 'a " b']
    assert (again.node, again.tls, again.transport) == (config.node, config.tls, config.transport)
    assert tomllib.loads(shown) == tables_of(config)


def test_what_is_shown_has_no_secret(tmp_path: Path) -> None:
    """S15"""
    shown = show(load_config(write(tmp_path, STATIC), {}))
    assert "hunter2" not in shown
    assert 'url = "postgresql://ops:***@db/opensips?sslpassword=***"' in shown


def test_the_example_is_valid_and_changes_nothing() -> None:
    raw = tomllib.loads(example())
    config = read_config(raw)
    tables = {"cluster": [{"id": 1}], "capability": {CAPABILITY: {}}, "tag": {TAG: {}}}
    plain = read_config({"node": {"id": 1}, **tables})
    assert config == plain


def test_the_example_names_every_setting_with_its_default() -> None:
    """Without the # before each key it is the same configuration, but for what has no default."""
    text = re.sub(r"(?m)^#(?=\w+ = )", "", example())
    raw = tomllib.loads(text)
    static = {"mode": "static"}
    config = read_config({**raw, "provisioning": {**raw["provisioning"], **static}})
    plain = read_config(
        {
            "node": {"id": 1, "listen": "bins:10.0.0.5", "description": "node-a"},
            "provisioning": static,
            "cluster": [{key: raw["cluster"][0][key] for key in CLUSTER_EXAMPLES}],
            "capability": {
                CAPABILITY: {"cluster": 1, "auto_sync": True, "module": "replicated-map"}
            },
            "tag": {TAG: {"cluster": 1, "failback": "60s"}},
        }
    )
    assert config == plain
    raw.update(cluster=raw["cluster"][0], capability=raw["capability"][CAPABILITY])
    raw["tag"] = raw["tag"][TAG]
    for name, table in TABLES.items():
        given = raw[name]
        assert {key for key, _ in settings_of(table)} <= given.keys()


def test_the_example_explains_in_the_words_of_opensips_too() -> None:
    lines = example().splitlines()
    position = lines.index('#ping_interval = "4s"')
    assert lines[position - 1].startswith("# pause between pings")
    assert "OpenSIPS: ping_interval" in lines[position - 1]
