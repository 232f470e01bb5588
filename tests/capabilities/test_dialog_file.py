"""Files of dialogs: read as they were written, and a wrong line is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagmesh.capabilities.dialog_file import read_dialogs, write_dialogs
from tagmesh.protocol.errors import Misuse
from tests.capabilities.dialog_samples import dialog


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    made = [
        (dialog(1, callee_route_set='<sip:a;lr>,"<sip:b>"\n'), "vip1"),
        (dialog(2, vars={"x": "é|#\\,"}), ""),
    ]
    assert write_dialogs(file, made) == 2
    assert list(read_dialogs(file)) == made


def test_columns_may_come_in_any_order_and_defaults_be_left_out(tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    whole = dialog(1)
    names = [
        "timeout",
        "start_time",
        "state",
        "to_tag",
        "to_uri",
        "from_tag",
        "from_uri",
        "callid",
        "dlg_id",
    ]
    values = ",".join(str(getattr(whole, name)) for name in names)
    file.write_text(f"{','.join(names)}\n{values}\n")
    assert list(read_dialogs(file)) == [(whole, "")]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (",4,", ",9,", "line 3: .*field 'state'"),
        (",4,", ",4,4,", "line 3: it has not as many columns"),
        ("call-002@10.0.0.1,", "", "line 3: it has not as many columns"),
        ("sip:bob", '"sip:bob', "line 3: "),
    ],
)
def test_the_wrong_line_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = tmp_path / "calls.csv"
    write_dialogs(file, [(dialog(1), ""), (dialog(2), "")])
    first, second, third = file.read_text().splitlines()
    file.write_text("\n".join((first, second, third.replace(old, new, 1))) + "\n")
    reading = read_dialogs(file)
    assert next(reading) == (dialog(1), "")
    with pytest.raises(Misuse, match=said):
        next(reading)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Misuse, match=r"calls\.csv, line 1: "):
        list(read_dialogs(file))


def test_an_empty_file_has_no_dialogs(tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    assert write_dialogs(file, []) == 0
    assert list(read_dialogs(file)) == []
