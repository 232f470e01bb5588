"""Dialogs on several nodes: where they may change, who finds them, and what they count for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagmesh.capabilities.dialog_file import write_dialogs
from tagmesh.capabilities.dialog_profiles import TELL_S, DialogProfiles
from tagmesh.capabilities.dialog_records import COLUMNS
from tagmesh.capabilities.dialogs import LOOK_S, Dialogs
from tagmesh.protocol.errors import Misuse, NotTagOwner, Unknown
from tagmesh.protocol.identity import NodeId
from tests.capabilities.dialog_samples import LIFE_S, booted, dialog, keys
from tests.capabilities.fake_cluster import FakeCluster

# Changing them -----------------------------------------------------------------------------------


def test_what_the_owner_does_is_so_everywhere() -> None:
    cluster = booted(3)
    one, two = dialog(1), dialog(2)
    assert cluster[1].create(one, "vip1")
    assert cluster[1].create(two, "vip1")
    after = cluster[1].update(one.key, callee_cseq="7", vars={"account": "x"})
    cluster[1].terminate(two.key)
    cluster.settle()
    for node in (1, 2, 3):
        assert cluster[node].get(one.key) == after
        assert (after.callee_cseq, after.vars) == ("7", {"account": "x"})
        assert cluster[node].tag_of(one.key) == "vip1"
        assert keys(cluster, node) == [one.key]
    assert len({cluster[node].digest() for node in (1, 2, 3)}) == 1


def test_the_digest_differs_by_one_column_and_by_the_tag() -> None:
    cluster = booted()
    cluster[1].create(dialog(1), "vip1")
    seen = {cluster[1].digest()}
    cluster[1].update(dialog(1).key, flags=1)
    seen.add(cluster[1].digest())
    cluster.activate(1, "vip2")
    cluster[1].set_tag(dialog(1).key, "vip2")
    seen.add(cluster[1].digest())
    assert len(seen) == 3


def test_creating_again_is_ignored() -> None:
    cluster = booted()
    assert cluster[1].create(dialog(1, flags=5), "vip1")
    assert not cluster[1].create(dialog(1), "vip1")
    assert cluster[1].get(dialog(1).key).flags == 5


def test_a_mapping_of_columns_will_do() -> None:
    cluster = booted()
    with pytest.raises(Misuse, match="without field 'dlg_id'"):
        cluster[1].create({"callid": "x"}, "vip1")
    cluster[1].create({name: getattr(dialog(1), name) for name in dialog(1).__struct_fields__})
    assert cluster[1].get(dialog(1).key) == dialog(1)


def test_a_dialog_that_nobody_checked_is_checked() -> None:
    wrong = msgspec.structs.replace(dialog(1), timeout="soon")
    with pytest.raises(Misuse, match="field 'timeout': expected `int`, got `str`"):
        booted()[1].create(wrong, "vip1")


@pytest.mark.parametrize("state", [1, 2, 5])
def test_only_answered_dialogs_are_shared(state: int) -> None:
    with pytest.raises(Misuse, match=f"has state {state}: only answered ones"):
        booted()[1].create(dialog(1, state=state), "vip1")


def test_a_backup_changes_nothing() -> None:
    """And it says where that can be done."""
    cluster = booted()
    key = dialog(1).key
    cluster[1].create(dialog(1), "vip1")
    cluster.settle()
    backup = cluster[2]
    said = "tag 'vip1' is active on node 1"
    with pytest.raises(NotTagOwner, match=said):
        backup.create(dialog(2), "vip1")
    with pytest.raises(NotTagOwner, match=said):
        backup.update(key, state=3)
    with pytest.raises(NotTagOwner, match=said):
        backup.terminate(key)
    with pytest.raises(NotTagOwner, match=said):
        backup.set_tag(key, "vip2")
    with pytest.raises(NotTagOwner, match="tag 'vip2' is active on node 2"):
        cluster[1].set_tag(key, "vip2")
    with pytest.raises(NotTagOwner, match="nobody has claimed it yet"):
        cluster[1].create(dialog(2), "vip9")
    cluster.settle()
    assert [keys(cluster, node) for node in (1, 2)] == [[key], [key]]
    assert [cluster[node].tag_of(key) for node in (1, 2)] == ["vip1", "vip1"]
    assert cluster[1].heard == cluster[2].heard == []


def test_a_dialog_moves_to_another_tag_that_is_active_here() -> None:
    cluster = booted()
    cluster.activate(1, "vip2")
    key = dialog(1).key
    cluster[1].create(dialog(1), "vip1")
    cluster[1].set_tag(key, "vip2")
    cluster.settle()
    assert [cluster[node].tag_of(key) for node in (1, 2)] == ["vip2", "vip2"]
    cluster[1].set_tag(key, "")
    assert cluster[1].tag_of(key) == ""


def test_a_dialog_without_a_tag_may_change_anywhere() -> None:
    cluster = booted()
    cluster[1].create(dialog(1))
    cluster.settle()
    cluster[2].update(dialog(1).key, flags=3)
    cluster.settle()
    assert cluster[1].get(dialog(1).key).flags == 3


def test_what_is_not_here_is_unknown() -> None:
    cluster = booted()
    key = ("no such", "a")
    for call in (
        lambda: cluster[1].get(key),
        lambda: cluster[1].update(key, flags=1),
        lambda: cluster[1].terminate(key),
        lambda: cluster[1].set_tag(key, "vip1"),
        lambda: cluster[1].tag_of(key),
    ):
        with pytest.raises(Unknown, match="no dialog with Call-ID 'no such' and from-tag 'a'"):
            call()


# Finding them -------------------------------------------------------------------------------------


def test_they_are_found_by_call_id_and_listed_in_order() -> None:
    cluster = booted()
    for number in (3, 1, 2):
        cluster[1].create(dialog(number), "vip1")
    cluster[1].create(dialog(9, callid=dialog(1).callid), "vip1")
    cluster.settle()
    backup = cluster[2]
    assert backup.find(dialog(2).callid) == dialog(2).key
    assert backup.find(dialog(1).callid) == dialog(1).key
    assert backup.find(dialog(1).callid, "a9") == (dialog(1).callid, "a9")
    assert backup.find(dialog(1).callid, "a8") is None
    assert backup.find("no such") is None
    assert backup.find_did(dialog(3).did) == dialog(3).key
    assert backup.find_did(dialog(4).did) is None
    assert backup.find_did(dialog(1).callid) is None
    ids = [each.dlg_id & 0xFF for each in backup.listed()]
    assert ids == [1, 9, 2, 3]
    assert [each.dlg_id & 0xFF for each in backup.listed(1, 2)] == [9, 2]
    assert list(backup.listed(4, 2)) == []


def test_a_file_is_loaded_where_its_tag_is_active(tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    rows = [(dialog(1), "vip1"), (dialog(2, state=2), "vip1"), (dialog(3), "")]
    write_dialogs(file, rows)
    cluster = booted()
    with pytest.raises(NotTagOwner):
        cluster[2].load_file(file)
    assert cluster[1].load_file(file) == 2, "one is not answered"
    assert cluster[1].load_file(file) == 0, "they are there"
    cluster.settle()
    assert keys(cluster, 2) == [dialog(1).key, dialog(3).key]
    assert cluster[2].tag_of(dialog(1).key) == "vip1"


ANYTHING = st.recursive(
    st.none()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(max_size=8)
    | st.floats()
    | st.booleans(),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=40,
)


@settings(max_examples=50)
@given(value=ANYTHING, place=st.integers(0, len(COLUMNS) - 1))
def test_whatever_another_node_writes_harms_nobody(value: object, place: int) -> None:
    """A whole value, and a dialog with one wrong column."""
    cluster = booted()
    columns = list(msgspec.structs.astuple(dialog(1)))
    columns[place] = value
    cluster[1].put("anything", value)
    cluster[1].put(dialog(1).key, columns)
    cluster[1].create(dialog(2))
    cluster.settle()
    assert [each.key for each in cluster[2].listed()][-1] == dialog(2).key
    assert len(list(cluster[2].listed())) + cluster[2].broken == 3
    assert cluster[1].digest() == cluster[2].digest()
    cluster.advance(LIFE_S + 2 * LOOK_S)


def test_a_record_that_is_no_dialog_is_seen_by_nobody(caplog: pytest.LogCaptureFixture) -> None:
    cluster = booted()
    cluster[1].put("key", "value")
    cluster[1].put(("other", "key"), dialog(1))
    cluster[1].create(dialog(2))
    cluster.settle()
    assert keys(cluster, 2) == [dialog(2).key]
    assert cluster[2].broken == 2
    assert "node 1 wrote no dialog under b'\\xa3key' (1 so far): 'Expected `array`" in caplog.text
    assert f"it is of dialog {dialog(1).key}" in caplog.text.replace('"', "")


def test_dialogs_of_a_store_are_found() -> None:
    kept: list[bytes] = []
    cluster = booted()
    cluster[1].create(dialog(1), "vip1")
    for bucket in range(256):
        kept += cluster[1].section_items("vip1", bucket)

    class Kept:
        def load(self) -> list[bytes]:
            return kept

        def write(self, records: Any) -> None:
            """Nothing is kept."""

    loaded = Dialogs(store=Kept(), run=lambda function: function())
    assert loaded.load() == 1
    assert loaded.find(dialog(1).callid) == dialog(1).key


# Profiles ---------------------------------------------------------------------------------------


def test_profiles_count_every_dialog_once() -> None:
    """At its owner; whatever moves, dies or comes back."""
    cluster = booted(3)
    make: Iterator[DialogProfiles] = iter([cluster[node].profiles for node in (1, 2, 3)])
    counts = FakeCluster(lambda: next(make), 3)

    def sizes() -> list[int]:
        cluster.advance(TELL_S)
        counts.advance(2 * TELL_S)
        return [counts[node].size("trunk", "berlin") for node in (1, 2, 3)]

    berlin = {"profiles": (("trunk", "berlin"), ("calls", ""))}
    for number in range(5):
        cluster[1].create(dialog(number, **berlin), "vip1")
    for number in range(5, 8):
        cluster[2].create(dialog(number, **berlin), "vip2")
    cluster[3].create(dialog(9, **berlin))
    assert sizes() == [9, 9, 9]
    cluster[1].update(dialog(0).key, profiles=())
    cluster[2].terminate(dialog(5).key)
    assert sizes() == [7, 7, 7]
    cluster.activate(2, "vip1")
    assert sizes() == [7, 7, 7]
    assert cluster[3].profiles.names() == {"calls": False, "trunk": True}
    assert counts[NodeId(1)].values("trunk") == {"berlin": 7}
