"""Sharing tags in mode lease, over real TLS and a real database (B4)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagmesh import Config, LocalCluster, Misuse, SharingTag
from tagmesh.control.configfile import load_config
from tagmesh.protocol.tag_settings import TagSettings
from tests.actors.leftovers import nothing_stays, until

TTL_S = 2.0
LEASE = TagSettings(
    name="vip",
    mode="lease",
    ttl_s=TTL_S,
    renew_s=0.4,
    retry_s=0.3,
    safety_s=0.3,
    rank_delay_s=0.1,
    failback_s=0.5,
)


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCluster]:
    def leased(file: Path) -> Config:
        return dataclasses.replace(load_config(file), tags=(LEASE,))

    monkeypatch.setattr("tagmesh.control.lab.load_config", leased)
    with nothing_stays(), LocalCluster(3) as lab:
        yield lab


def tags(lab: LocalCluster) -> dict[int, SharingTag]:
    return {node.node_id: node.cluster(1).tag("vip") for node in lab}


def owner_of(tags: dict[int, SharingTag], within_s: float = TTL_S + 1) -> int:
    until(lambda: any(tag.active for tag in tags.values()), within_s)
    (owner,) = [node for node, tag in tags.items() if tag.active]
    return owner


def test_when_the_owner_is_killed_another_node_takes_the_tag(lab: LocalCluster) -> None:
    all_tags = tags(lab)
    owner = owner_of(all_tags)
    begin = time.monotonic()
    lab.kill(owner)
    assert not all_tags.pop(owner).active
    other = owner_of(all_tags)
    assert time.monotonic() - begin > TTL_S / 2, "not before the lease is over"
    lab[other].stop()
    del all_tags[other]
    begin = time.monotonic()
    owner_of(all_tags)
    assert time.monotonic() - begin < TTL_S / 2, "who stops gives the lease up"


def test_a_paused_tag_stays_and_a_preferred_node_gets_it_back(lab: LocalCluster) -> None:
    all_tags = tags(lab)
    owner = owner_of(all_tags)
    first, second = [node for node in all_tags if node != owner]
    with pytest.raises(Misuse, match="goes to whoever has the lease"):
        all_tags[first].activate()
    all_tags[first].prefer([second, owner])
    until(lambda: all_tags[second].active, 10)
    assert not all_tags[owner].active
    with pytest.raises(Misuse, match="tag 'vip'"):
        all_tags[first].free([second])
    told = all_tags[second].status()
    assert told.preferred == [second, owner]
    assert told.barriers[first], "it is not among them"
    all_tags[first].pause()
    all_tags[second].release()
    time.sleep(TTL_S + 1)
    assert not any(tag.active for tag in all_tags.values())
    all_tags[first].pause(paused=False)
    assert owner_of(all_tags, 10) in (second, owner)
