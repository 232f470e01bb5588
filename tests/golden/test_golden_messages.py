"""The bytes of every message stay the same for ever, and whatever was once said is understood."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tagmesh.protocol import messages as m
from tagmesh.protocol.wire import decode, encode
from tests.golden import append, table
from tests.golden.table import Line, check_of, fields_of, is_part, missing, parse

FIRST_LINES = 25
FIRST_CHECK = "e2e95981"
"""Check of line 25, the last of version 0.1.0: it covers all before it."""

LINES = table.load()
by_line = pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.check} {line.name}")


@by_line
def test_what_was_once_written_is_still_read(line: Line) -> None:
    """A field that was appended since has its default, everything else its old value."""
    messages, unknown = decode(line.body)
    assert not unknown
    assert [type(message).__name__ for message in messages] == [line.name]
    assert is_part(line.fields, fields_of(messages[0]))


@by_line
def test_the_encoder_still_writes_the_same_bytes(line: Line) -> None:
    """Older forms, which lack a field of today, are read but no longer written."""
    messages = decode(line.body).messages
    if fields_of(messages[0]) == line.fields:
        assert encode(messages).hex() == line.body.hex()
    else:
        assert len(encode(messages)) > len(line.body)


def test_every_message_has_a_line_with_all_its_fields() -> None:
    assert missing(LINES) == [], f"append one: {append.__doc__}"


def test_a_new_message_and_a_new_field_ask_for_a_line() -> None:
    class Shout(m.Message, frozen=True, tag=99):
        cluster_id: int

    class Ping(m.Ping, frozen=True, tag=10):
        why: str = ""

    assert missing(LINES, (m.Ping, m.Pong, Shout, Ping)) == ["Shout", "Ping"]


def test_a_new_field_of_a_structure_inside_asks_for_a_line_too() -> None:
    """A line whose inner structure lacks a field that decoding adds shows an older form."""
    line = next(line for line in LINES if line.name == "Hello")
    older = json.loads(json.dumps(line.fields))
    del older["clusters"][0]["description"]
    assert missing([line._replace(fields=older)], (m.Hello,)) == ["Hello"]
    assert missing([line], (m.Hello,)) == []


def test_the_lines_of_released_versions_are_all_there() -> None:
    assert LINES[FIRST_LINES - 1].check == FIRST_CHECK


@pytest.mark.parametrize("change", ["hex", "fields", "removed", "swapped"])
def test_a_line_that_was_tampered_with_is_named(change: str) -> None:
    rows = table.PATH.read_text(encoding="ascii").splitlines()
    if change == "hex":
        rows[3] = rows[3].replace("31", "32", 1)
    elif change == "fields":
        rows[3] = rows[3].replace("protocol", "version")
    elif change == "removed":
        del rows[3]
    else:
        rows[3], rows[4] = rows[4], rows[3]
    with pytest.raises(ValueError, match=r"line 4 or one before it was changed or removed"):
        parse("\n".join(rows))


def test_an_older_form_stays_readable_and_is_told_from_a_wrong_one() -> None:
    """What `is_part` lets pass: further fields, also inside; no other value, no other type."""
    old = {"a": 1, "inner": [{"b": 2}]}
    assert is_part(old, {"a": 1, "inner": [{"b": 2, "new": None}], "more": 0})
    for new in ({"a": 1}, {"a": True, "inner": [{"b": 2}]}, {"a": 1, "inner": []}):
        assert not is_part(old, new)


def test_appending_keeps_every_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = table.PATH.read_text(encoding="ascii")
    copy = tmp_path / "messages.txt"
    copy.write_text(before, encoding="ascii")
    monkeypatch.setattr(append, "PATH", copy)
    monkeypatch.setattr(table, "PATH", copy)
    assert append.append(["Ping(3, 4)"]) == len(LINES) + 1
    after = copy.read_text(encoding="ascii")
    assert after.startswith(before)
    last = parse(after)[-1]
    assert (last.name, last.fields) == ("Ping", {"cluster_id": 3, "number": 4})
    assert last.check == check_of(LINES[-1].check, after[len(before) + 10 :].rstrip("\n"))
    with pytest.raises(AssertionError, match="is no message"):
        append.append(["ClusterOffer(1, 'd')"])
