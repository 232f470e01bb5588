"""``sharing_tags`` of a cluster and ``[tag."name"]`` tables."""

from __future__ import annotations

from typing import Any

import pytest

from tagmesh.protocol.config import read_config
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.identity import ClusterId
from tagmesh.protocol.settings import ConfigError
from tagmesh.protocol.tag_claims import MAX_KNOWN_TAGS
from tagmesh.protocol.tag_settings import TagSettings, TagStart, tag_starts


def test_tags_are_named_with_the_state_they_start_in() -> None:
    kind = tag_starts()
    starts = (TagStart("a", True), TagStart("b", False), TagStart("c=d", False))
    assert kind.read(["a=active", "b", "c=d=backup"]) == starts
    assert kind.read(kind.write(starts)) == starts


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("vip", "is not a list"),
        ([5], "5 is not a text"),
        (["vip=on"], "after the = stands active or backup"),
        (["vip", "vip=active"], "'vip' stands twice"),
        (["=active"], "cannot be the name of a sharing tag"),
        ([" vip"], "cannot be the name of a sharing tag"),
        ([f"t{n}" for n in range(MAX_KNOWN_TAGS + 1)], "257 tags, more than 256"),
    ],
)
def test_what_names_no_tags(value: Any, why: str) -> None:
    with pytest.raises(Misuse, match=why):
        tag_starts().read(value)


def problems(raw: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as raised:
        read_config({"node": {"id": 1}, **raw})
    return str(raised.value)


def test_a_tag_has_the_table_of_its_name_and_cluster() -> None:
    lead = {"mode": "lease", "ttl": "20s", "safety": "2s"}
    tables = {"vip": {"cluster": 1, "steal": True}, "lead": lead}
    config = read_config({"node": {"id": 1}, "tag": tables})
    assert config.tag(ClusterId(1), "vip").steal
    assert config.tag(ClusterId(2), "vip") == TagSettings(name="vip")
    lease = config.tag(ClusterId(2), "lead").lease
    assert (lease.ttl_s, lease.renew_s, lease.safety_s) == (20.0, 3.0, 2.0)


def test_times_that_do_not_fit_together_are_found_at_the_start() -> None:
    """B4: interval + 2 · retry ≤ ttl."""
    text = problems({"tag": {"vip": {"mode": "lease", "renew": "9s"}}})
    assert "[tag.'vip'] ttl: a lease of 10 s less 1 s for safety leaves no time to renew" in text
    read_config({"node": {"id": 1}, "tag": {"vip": {"renew": "9s"}}})  # not used


def test_leases_need_a_database() -> None:
    cluster = {"id": 1, "me": {"url": "bins:a"}, "neighbours": []}
    static = {"provisioning": {"mode": "static"}, "cluster": [cluster]}
    text = problems({**static, "tag": {"vip": {"mode": "lease"}}})
    assert "[tag.'vip'] mode: only database mode has leases" in text


def test_names_that_no_tag_can_have() -> None:
    assert "[tag.' vip'] -: cannot be the name of a tag" in problems({"tag": {" vip": {}}})
