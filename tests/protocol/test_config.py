"""A whole configuration: every mistake at once (C1 … C12, as far as no file is looked at)."""

from __future__ import annotations

import dataclasses
import tomllib
from typing import Any

import pytest

from tagmesh.protocol import config as config_module
from tagmesh.protocol.config import (
    COLUMNS,
    REPEATED_TABLES,
    TABLES,
    AdminSettings,
    CapabilitySettings,
    ClusterSettings,
    Config,
    ConfigError,
    ProvisioningSettings,
    TlsSettings,
    TransportSettings,
    own_id,
    read_config,
    settings_of,
)
from tagmesh.protocol.identity import BinsUrl, ClusterId


def problems(raw: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read_config(raw, "f.toml")
    assert str(raised.value).startswith("f.toml: ")
    return [str(problem) for problem in raised.value.problems]


def test_the_smallest_configuration() -> None:
    config = read_config({"node": {"id": 3}})
    assert own_id(config) == config.node.id == 3
    assert config.provisioning == ProvisioningSettings()
    assert (config.tls, config.transport) == (TlsSettings(), TransportSettings())
    assert (config.admin, config.clusters) == (AdminSettings(), ())


def test_a_capability_has_the_table_of_its_name_and_cluster() -> None:
    tables = {"a": {"auto_sync": True}, "b": {"cluster": 2, "enabled": False}}
    config = read_config({"node": {"id": 3}, "capability": tables})
    one, two = ClusterId(1), ClusterId(2)
    assert config.capability(one, "a") == config.capability(two, "a") == config.capabilities[0]
    assert config.capability(two, "b") == CapabilitySettings(name="b", cluster=2, enabled=False)
    assert config.capability(one, "b") == CapabilitySettings(name="b")
    assert config.capability(one, "c") == CapabilitySettings(name="c")


def test_in_static_mode_the_cluster_of_a_capability_must_be_there() -> None:
    static = {"node": {"id": 1}, "provisioning": {"mode": "static"}}
    me = {"url": "bins:a"}
    capability = {"x": {"cluster": 5}}
    assert problems({**static, "cluster": [{"id": 4, "me": me}], "capability": capability}) == [
        "[capability.'x'] cluster: there is no cluster 5; allowed: the id of a [[cluster]]: 4"
    ]
    wrong = {**static, "cluster": [{"id": 4, "me": me}, {"id": 0}], "capability": capability}
    assert not any("capability" in line for line in problems(wrong)), "perhaps it is that one"
    read_config({"node": {"id": 1}, "capability": capability})  # the database decides


def test_a_cluster_without_a_table_takes_the_defaults() -> None:
    config = read_config({"node": {"id": 3}, "cluster": [{"id": 2, "ping_interval": "9s"}]})
    assert config.cluster(ClusterId(2)).ping_interval_s == 9.0
    assert config.cluster(ClusterId(1)) == ClusterSettings(id=1)


FULL = """
[node]
id = 1
listen = "bins:10.0.0.5:5556"
description = "node-a"
state_dir = "/var/lib/tagmesh"
[provisioning]
mode = "static"
url = "postgresql://ops@db/opensips"
table = "nodes"
columns = { url = "address" }
refresh_interval = "5s"
removal_memory = "2h"
query_timeout = "1s"
boot_patience = "0s"
[tls]
ca = "ca"
certificate = "crt"
private_key = "key"
crl = "crl"
trust_domain = "prod"
min_version = "1.2"
[transport]
connect_timeout = "2s"
handshake_timeout = "3s"
close_timeout = "4s"
max_frame = "2MiB"
send_queue = "1MiB"
half_open = 5
handshakes_per_s = 6
handshake_burst = 7
[[cluster]]
id = 2
ping_interval = "5s"
ping_timeout = "250ms"
ping_retries = 4
node_timeout = "30s"
reconnect_cap = "6s"
digest_interval = "7s"
flap_window = "8s"
rerouting = false
seed_fallback_interval = "9s"
newest_decides = false
quorum_share = 1
sync_timeout = "20s"
sync_request_timeout = "3s"
resume_timeout = "4s"
sync_packet_size = 65535
sync_window = 9
max_donor_sessions = 5
sync_queue_messages = 6
sync_queue = "64KiB"
mirror_guard_records = 7
mirror_guard_share = 0.25
credit_window = "256KiB"
outbox = "256KiB"
sharing_tags = ["vip1=active", "vip2"]
me = { url = "bins:a" }
neighbours = [{ node_id = 2, url = "bins:b" }]
[capability."dialogs"]
cluster = 2
auto_sync = false
enabled = false
orphan_sync = "newest"
verify_interval = "5s"
module = "replicated-map"
[tag."vip1"]
cluster = 2
mode = "manual"
steal = true
ttl = "20s"
renew = "4s"
retry = "1s"
safety = "3s"
rank_delay = "1s"
failback = "30s"
failsafe = false
[admin]
http = "127.0.0.1:8888"
fifo = "/run/tagmesh/mi.fifo"
fifo_reply_dir = "/run/tagmesh/replies"
datagram = "udp:127.0.0.1:8080"
token_file = "token"
read_only = true
remote = "none"
remote_nodes = [ "2=operator" ]
fault_switch = true
"""


def test_every_setting_can_be_given_and_arrives() -> None:
    config = read_config(tomllib.loads(FULL))
    assert config.node.listen == BinsUrl("10.0.0.5", 5556)
    assert config.transport.max_frame_bytes == 2 * 1024**2
    assert config.clusters[0].ping_timeout_s == 0.25
    default = Config(node=dataclasses.replace(config.node, description=None, listen=None))
    given = tomllib.loads(FULL)
    repeated = {
        "cluster": (config.clusters[0], default.cluster(ClusterId(1)), given["cluster"][0]),
        "capability": (
            config.capabilities[0],
            default.capability(ClusterId(1), "dialogs"),
            given["capability"]["dialogs"],
        ),
        "tag": (config.tags[0], default.tag(ClusterId(1), "vip1"), given["tag"]["vip1"]),
    }
    assert repeated.keys() == set(REPEATED_TABLES)
    for name, table in TABLES.items():
        if name in repeated:
            values, rest, raw = repeated[name]
        else:
            values, rest, raw = getattr(config, name), getattr(default, name), given[name]
        for key, field in settings_of(table):
            assert key in raw, f"{name}.{key} is missing in FULL"
            if name != "node" and key != "mode":  # static mode has no leases
                assert getattr(values, field.name) != getattr(rest, field.name), field.name


@pytest.mark.parametrize("table", TABLES)
def test_units_stand_in_the_names(table: str) -> None:
    for key, field in settings_of(TABLES[table]):
        default = field.metadata["default"]
        if isinstance(default, str) and default[-1:] == "s" and default[:-1].isdigit():
            assert field.name == f"{key}_s"
        elif isinstance(default, str) and default.endswith("iB"):
            assert field.name == f"{key}_bytes"


def test_nothing_can_be_changed_at_run_time() -> None:
    """I13"""
    config = read_config({"node": {"id": 3}})
    for values in (config, config.node, config.provisioning, config.tls, config.cluster(
        ClusterId(1)
    )):  # fmt: skip
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(values, dataclasses.fields(values)[0].name, 5)


def test_five_mistakes_are_five_lines() -> None:
    found = problems(
        tomllib.loads("""
            [node]
            id = "1"
            [provisioning]
            mode = "databse"
            [transport]
            max_frame = "1GB"
            [tls]
            privat_key = "x"
            [[cluster]]
            id = 1
            ping_timeout = nan
        """)
    )
    assert found == [
        "[node] id: '1' is not a whole number; allowed: a whole number 1 … 2147483647",
        "[provisioning] mode: 'databse' is not one of the options;"
        ' allowed: "database" | "static"; did you mean \'database\'?',
        "[tls] privat_key: unknown key; allowed: ca, certificate, private_key, crl, trust_domain,"
        " min_version; did you mean 'private_key'?",
        "[transport] max_frame: '1GB' is not a size with a unit;"
        ' allowed: "128KiB" … "64MiB", units B, KiB, MiB',
        "[cluster #1] ping_timeout: nan is not a duration with a unit;"
        ' allowed: "10ms" … "86400s", units ms, s, m, h',
    ]


@pytest.mark.parametrize("value", [0, -1, 2**31, "1", True, 1.0])
def test_node_ids_that_cannot_be(value: object) -> None:
    """C6"""
    assert [line.split(":")[0] for line in problems({"node": {"id": value}})] == ["[node] id"]


@pytest.mark.parametrize(
    "url", ["bins://", "bins:h:0", "bins:h:65536", "bins:u:secret@h", "bin:h", "bins:::1"]
)
def test_urls_that_cannot_be(url: str) -> None:
    """C5"""
    (line,) = problems({"node": {"id": 1, "listen": url}})
    assert line.startswith("[node] listen: ")
    assert "secret" not in line


@pytest.mark.parametrize("raw", [{}, {"node": {}}])
def test_the_own_id_must_be_given(raw: dict[str, Any]) -> None:
    assert problems(raw) == ["[node] id: is missing; allowed: a whole number 1 … 2147483647"]


def test_unknown_tables_and_tables_that_are_none() -> None:
    assert problems({"node": {"id": 1}, "transprot": {}, "tls": 5, "cluster": {}}) == [
        "[(top level)] transprot: unknown key; allowed: node, provisioning, tls, transport,"
        " cluster, capability, tag, admin; did you mean 'transport'?",
        "[tls] -: 5 is not a table; allowed: a table",
        "[cluster] -: {} is not a list of tables; allowed: [[cluster]]",
    ]


def test_unknown_keys_are_found_at_every_level() -> None:
    raw = {name: {"zzz": 1} for name in TABLES if name not in REPEATED_TABLES}
    row = {"url": "bins:a", "zzz": 1}
    cluster = {"id": 1, "zzz": 1, "me": row, "neighbours": [{**row, "node_id": 2}]}
    found = problems(
        {
            **raw,
            "node": {"id": 1, "zzz": 1},
            "provisioning": {"mode": "static", "zzz": 1, "columns": {"zzz": "x"}},
            "cluster": [cluster],
            "capability": {"x": {"zzz": 1}},
            "tag": {"x": {"zzz": 1}},
        }
    )
    assert [line.split(" zzz")[0] for line in found if " zzz: unknown key" in line] == [
        *(f"[{name}]" for name in ("node", "provisioning", "tls", "transport", "admin")),
        "[cluster #1]",
        "[cluster #1.me]",
        "[cluster #1.neighbours #1]",
        "[capability.'x']",
        "[tag.'x']",
    ]
    assert any("'zzz' is not a column" in line for line in found)
    assert len(found) == 11


def test_a_wrong_database_url_shows_no_secret() -> None:
    """C11"""
    (line,) = problems({"node": {"id": 1}, "provisioning": {"url": "postgres//u:hunter2@h/d"}})
    assert line.startswith("[provisioning] url: is not the URL of such a database")
    assert "hunter2" not in line


def test_columns_are_those_of_the_table_of_opensips() -> None:
    assert COLUMNS == (
        "id", "cluster_id", "node_id", "url", "state", "no_ping_retries", "priority", "sip_addr",
        "flags", "description",
    )  # fmt: skip


def test_every_setting_is_explained() -> None:
    for table in TABLES.values():
        assert table.__doc__
        for key, field in settings_of(table):
            assert field.metadata["doc"], key
            assert field.metadata["kind"].allowed, key


def test_the_front_door_is_sorted_and_there() -> None:
    for name in config_module.__all__:
        assert hasattr(config_module, name)
