"""Roles as they stand in a configuration."""

from __future__ import annotations

import pytest

from tagmesh.protocol.cluster_settings import MAX_NODES
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.identity import MAX_ID
from tagmesh.protocol.roles import ROLES, NodeRole, Role, node_roles


def test_each_role_may_what_those_before_it_may() -> None:
    assert list(ROLES) == ["none", "observer", "operator", "admin"]
    assert sorted(ROLES.values()) == list(ROLES.values())


def test_nodes_with_their_roles_are_written_as_they_were_read() -> None:
    kind = node_roles()
    text = ["1=admin", f"{MAX_ID}=none"]
    read = kind.read(text)
    assert read == (NodeRole(1, Role.ADMIN), NodeRole(MAX_ID, Role.NONE))
    assert kind.write(read) == text


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("1=admin", "not a list"),
        (["1"], "not a node and its role"),
        ([1], "not a node and its role"),
        (["0=admin"], "not a node and its role"),
        ([f"{MAX_ID + 1}=admin"], "not a node and its role"),
        (["²=admin"], "not a node and its role"),
        (["9" * 5000 + "=admin"], "not a node and its role"),
        (["1=root"], "not one of the options"),
        (["1=admin", "1=none"], "node 1 stands twice"),
        ([f"{n}=admin" for n in range(1, MAX_NODES + 2)], f"more than {MAX_NODES}"),
    ],
)
def test_what_is_no_list_of_roles_is_refused_with_a_reason(value: object, wrong: str) -> None:
    with pytest.raises(Misuse, match=wrong):
        node_roles().read(value)
