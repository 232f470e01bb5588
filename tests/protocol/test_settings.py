"""The machinery of settings, on a table made for the test."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from tagmesh.protocol.errors import Misuse, TagmeshError
from tagmesh.protocol.settings import (
    MAX_SHOWN_CHARS,
    REQUIRED,
    ConfigError,
    Kind,
    Problem,
    Reader,
    nearest,
    peek,
    setting,
    settings_of,
    shown,
)


def _read_even(value: Any) -> int:
    if not isinstance(value, int) or value % 2:
        raise Misuse(f"{shown(value)} is odd")
    return value


EVEN = Kind(_read_even, "an even number")
COLOUR = Kind(lambda value: _member(value), "red | green", options=("red", "green"))
TABLE = Kind(dict, "a table")


def _member(value: Any) -> str:
    if value not in ("red", "green"):
        raise Misuse(f"{shown(value)} is no colour")
    return str(value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lamp:
    id: int = setting(EVEN, REQUIRED, "which")
    delay_s: int = setting(EVEN, 4, "how late", key="delay")
    colour: str | None = setting(COLOUR, None, "what")
    extra: Mapping[str, int] = setting(TABLE, {}, "more")
    derived: int = 0


def read(raw: object, extra: tuple[str, ...] = ()) -> tuple[Lamp | None, list[str]]:
    reader = Reader()
    return reader.table(Lamp, "lamp", raw, extra), [str(problem) for problem in reader.problems]


def test_settings_are_listed_under_their_key_in_order() -> None:
    assert [(key, field.name) for key, field in settings_of(Lamp)] == [
        ("id", "id"),
        ("delay", "delay_s"),
        ("colour", "colour"),
        ("extra", "extra"),
    ]


def test_a_table_takes_given_values_and_defaults() -> None:
    assert read({"id": 2, "colour": "red"}) == (Lamp(id=2, colour="red", delay_s=4, extra={}), [])


def test_a_default_that_is_a_table_is_not_shared() -> None:
    assert Lamp(id=2).extra is not Lamp(id=2).extra


def test_a_wrong_default_is_a_bug_found_at_declaration() -> None:
    with pytest.raises(Misuse, match="5 is odd"):
        setting(EVEN, 5, "never")


def test_every_mistake_is_reported_in_one_go() -> None:
    assert read({"delay": 3, "colour": "grin", "dealy": 2}) == (
        None,
        [
            "[lamp] dealy: unknown key; allowed: id, delay, colour, extra; did you mean 'delay'?",
            "[lamp] id: is missing; allowed: an even number",
            "[lamp] delay: 3 is odd; allowed: an even number",
            "[lamp] colour: 'grin' is no colour; allowed: red | green; did you mean 'green'?",
        ],
    )


def test_the_name_of_the_field_is_no_key() -> None:
    lamp, problems = read({"id": 2, "delay_s": 4})
    assert lamp is not None  # the caller stops at any problem
    assert problems == [
        "[lamp] delay_s: unknown key; allowed: id, delay, colour, extra; did you mean 'delay'?"
    ]


def test_keys_that_somebody_else_reads_are_known() -> None:
    assert read({"id": 2, "bulbs": []}, ("bulbs",))[1] == []


@pytest.mark.parametrize("raw", [3, [], "text", None])
def test_what_is_no_table(raw: object) -> None:
    assert read(raw) == (None, [f"[lamp] -: {raw!r} is not a table; allowed: a table"])


@pytest.mark.parametrize(
    ("raw", "value"), [({"id": 2, "x": 1}, 2), ({"id": 3}, None), ({}, None), ([], None)]
)
def test_one_setting_can_be_had_from_a_table_with_mistakes(raw: object, value: object) -> None:
    assert peek(Lamp, raw, "id") == value
    assert peek(Lamp, {"id": 3}, "delay") == 4


def test_hostile_keys_and_values_stay_on_one_bounded_line() -> None:
    problems = read({"id": 2, "a\nb\x1b[31m": 1, "k" * 9999: 1, "delay": "v" * 9999})[1]
    assert len(problems) == 3
    for problem in problems:
        assert problem.isprintable()
        assert len(problem) < 300


def test_shown_values_are_bounded() -> None:
    assert shown("a" * (MAX_SHOWN_CHARS - 2)) == repr("a" * (MAX_SHOWN_CHARS - 2))
    assert len(shown("a" * (MAX_SHOWN_CHARS - 1))) == MAX_SHOWN_CHARS


def test_a_number_of_any_length_can_be_complained_about() -> None:
    """Python refuses to print it; hexadecimal TOML may hold it."""
    assert shown(10**5000) == "a number too long to show"
    reader = Reader()
    assert reader.table(Lamp, "lamp", {"id": 10**5000 + 1, "colour": [10**5000]}) is None
    assert [problem.key for problem in reader.problems] == ["id", "colour"]


def test_the_nearest_of_nothing_is_empty() -> None:
    assert nearest("x", []) == ""
    assert nearest("pingtimeout", ["ping_timeout", "ping_interval"]) == "ping_timeout"


@pytest.mark.parametrize(("count", "text"), [(1, "f.toml: 1 mistake"), (2, "f.toml: 2 mistakes")])
def test_a_config_error_lists_all_problems(count: int, text: str) -> None:
    problem = Problem("node", "id", "is missing", "a number")
    error = ConfigError([problem] * count, "f.toml")
    lines = str(error).splitlines()
    assert lines == [text] + ["  [node] id: is missing; allowed: a number"] * count
    assert error.problems == [problem] * count
    assert isinstance(error, TagmeshError)


def test_a_kind_writes_what_it_read_and_leaves_paths_alone_unless_told() -> None:
    assert EVEN.write(4) == 4
    assert EVEN.anchor(4, "/folder") == 4


@pytest.mark.parametrize(
    "value",
    ["postgresql://u:secret@h/d", "x" * 100 + "bins:u:secret@h", {"url": "bins:u:se:cret@h"}],
)
def test_a_password_under_a_wrong_key_is_not_repeated(value: object) -> None:
    """Found by fuzzing: `[tls] ca = 5` is repeated, and so was a database url put there (S15)."""
    assert "cret" not in shown(value)
    assert "may stand a password" in shown(value)
