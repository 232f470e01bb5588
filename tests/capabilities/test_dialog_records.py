"""Dialogs have the columns of OpenSIPS's table, and what is wrong in one is named."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.capabilities.dialog_records import (
    COLUMNS,
    MAX_TEXT_CHARS,
    changed,
    dialog_of,
    dialog_of_row,
    explained,
    read_dialog,
    row_of,
)
from tagmesh.protocol.errors import Misuse
from tests.capabilities.dialog_samples import dialog

TABLE_11 = (
    "dlg_id callid from_uri from_tag to_uri to_tag mangled_from_uri mangled_to_uri caller_cseq"
    " callee_cseq caller_ping_cseq callee_ping_cseq caller_route_set callee_route_set"
    " caller_contact callee_contact caller_sock callee_sock state start_time timeout vars profiles"
    " script_flags module_flags flags rt_on_answer rt_on_timeout rt_on_hangup"
)


def test_the_columns_are_those_of_the_table_in_its_order() -> None:
    """As in db/schema of OpenSIPS 3.2, table ``dialog`` version 11."""
    assert " ".join(COLUMNS) == TABLE_11


def test_the_id_is_shown_as_opensips_shows_it() -> None:
    """Each number in hex, the lowest digit first."""
    assert dialog(dlg_id=(0x5AF << 32) + 0x1A2B).did == "fa5.b2a1"
    assert dialog(dlg_id=0).did == "0.0"


def test_a_record_of_a_map_brings_it_back() -> None:
    whole = dialog(vars={"a": "1"}, profiles=(("calls", ""),), caller_contact="sip:x")
    assert read_dialog(msgspec.msgpack.decode(msgspec.msgpack.encode(whole))) == whole


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"callid": "with blank"}, "field 'callid': expected `str` matching regex"),
        ({"callid": "c" * 256}, "field 'callid': expected `str` of length <= 255"),
        ({"from_uri": ""}, "field 'from_uri': expected `str` of length >= 1"),
        ({"from_tag": "t" * 65}, "field 'from_tag': expected `str` of length <= 64"),
        ({"caller_cseq": "1a"}, "field 'caller_cseq': expected `str` matching regex"),
        ({"caller_cseq": "1" * 12}, "field 'caller_cseq': expected `str` of length <= 11"),
        ({"dlg_id": -1}, "field 'dlg_id': expected `int` >= 0"),
        ({"state": 6}, "field 'state': expected `int` <= 5"),
        ({"state": "4"}, "field 'state': expected `int`, got `str`"),
        ({"timeout": 2**32}, r"field 'timeout': expected `int` < 4294967296|<= 4294967295"),
        ({"caller_sock": "s" * 65}, "field 'caller_sock'"),
        ({"callee_route_set": "r" * (MAX_TEXT_CHARS + 1)}, "field 'callee_route_set'"),
        ({"vars": {"": "x"}}, "field 'vars'"),
        ({"vars": {"x": 1}}, "field 'vars': expected `str`, got `int`"),
        ({"vars": {"x": "y" * MAX_TEXT_CHARS}}, "field 'vars': more than 4096 characters"),
        ({"profiles": (("calls",),)}, "field 'profiles'"),
        ({"profiles": (("p" * 65, ""),)}, "field 'profiles': expected `str` of length <= 64"),
        ({"profiles": (("calls/b", ""),)}, "field 'profiles': expected `str` matching regex"),
        ({"profiles": (("p", "y" * 256),)}, "field 'profiles': expected `str` of length <= 255"),
        ({"profiles": (("p", "y" * 255),) * 20}, "field 'profiles': more than 4096 characters"),
        ({"rt_on_hangup": "r" * 65}, "field 'rt_on_hangup'"),
        ({"colour": "red"}, "has no field 'colour'; its fields: dlg_id, callid"),
    ],
)
def test_what_is_wrong_is_named(columns: dict[str, Any], said: str) -> None:
    with pytest.raises(Misuse, match=said):
        dialog(**columns)


@pytest.mark.parametrize("name", ["dlg_id", "callid", "state", "timeout"])
def test_what_is_missing_is_named(name: str) -> None:
    columns = msgspec.structs.asdict(dialog())
    del columns[name]
    with pytest.raises(Misuse, match=f"without field '{name}'"):
        dialog_of(columns)


def test_columns_change_but_not_those_that_make_it_this_dialog() -> None:
    before = dialog()
    after = changed(before, {"state": 3, "vars": {"x": "1"}})
    assert (after.state, after.vars, after.key) == (3, {"x": "1"}, before.key)
    assert changed(before, {"callid": before.callid}) == before
    with pytest.raises(Misuse, match="field 'from_tag' of a dialog never changes"):
        changed(before, {"from_tag": "other"})
    with pytest.raises(Misuse, match="field 'state'"):
        changed(before, {"state": 0})


def test_what_is_no_dialog_at_all_is_said_so() -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        read_dialog("a text")
    assert explained(caught.value) == "Expected `array`, got `str`"


# Rows -------------------------------------------------------------------------------------------


def test_a_row_is_what_opensips_writes() -> None:
    """Escapes as in its ``write_pair``; a replicated profile ends in /b, the tag is a variable."""
    row = row_of(dialog(vars={"a#b": "c|d\\e"}, profiles=(("calls", ""), ("trunk", "x#y"))), "vip1")
    assert row["vars"] == "a\\#b#c\\|d\\\\e|dlgX_shtag#vip1|"
    assert row["profiles"] == "calls/b#|trunk/b#x\\#y|"
    assert (row["dlg_id"], row["state"], row["caller_contact"]) == (str((7 << 32) + 1), "4", "")


def test_profiles_of_any_kind_are_read() -> None:
    """/s: in a shared cache; without: of one node."""
    row = {**row_of(dialog()), "profiles": "calls#|trunk /s#berlin|account/b#7|"}
    read, tag = dialog_of_row(row)
    assert read.profiles == (("calls", ""), ("trunk", "berlin"), ("account", "7"))
    assert tag == ""


_texts = st.text(max_size=20)
_names = st.text(min_size=1, max_size=20).filter(lambda name: name != "dlgX_shtag")
_plain_names = st.text("abc#|\\xyz", min_size=1, max_size=8)


@given(
    variables=st.dictionaries(_names, _texts, max_size=5),
    profiles=st.lists(st.tuples(_plain_names, _texts), max_size=5).map(tuple),
    tag=st.sampled_from(["", "vip1", "a|b"]),
)
def test_a_row_brings_the_dialog_back(
    variables: dict[str, str], profiles: tuple[tuple[str, str], ...], tag: str
) -> None:
    whole = dialog(vars=variables, profiles=profiles, mangled_to_uri="sip:hidden", flags=9)
    assert dialog_of_row(row_of(whole, tag)) == (whole, tag)


@pytest.mark.parametrize(
    ("column", "text", "said"),
    [
        ("state", "four", "field 'state': 'four' is no number"),
        ("timeout", "", "field 'timeout': '' is no number"),
        ("dlg_id", "1" * 21, "field 'dlg_id'"),
        ("dlg_id", str(2**63), "field 'dlg_id'"),
        ("vars", "name", "field 'vars': 'name' is not name#value|"),
        ("vars", "a#b|c", "field 'vars': 'c' is not name#value|"),
        ("profiles", "#x|", "field 'profiles'"),
        ("callid", "", "field 'callid'"),
    ],
)
def test_what_is_wrong_in_a_row_is_named(column: str, text: str, said: str) -> None:
    with pytest.raises(Misuse, match=said.replace("|", r"\|")):
        dialog_of_row({**row_of(dialog()), column: text})
