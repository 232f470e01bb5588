"""Tables of the configuration that carry a name."""

from __future__ import annotations

from tagmesh.protocol.named_tables import MAX_TABLES, NamedTable, read_named
from tagmesh.protocol.settings import Reader


def read(raw: object, clusters: list[int] | None = None) -> tuple[tuple[NamedTable, ...], str]:
    reader = Reader()
    check = lambda name: "" if name != "bad" else "any other"  # noqa: E731 - short
    found = read_named(reader, "thing", NamedTable, raw, clusters, check)
    return found, "; ".join(map(str, reader.problems))


def test_each_gets_its_name() -> None:
    assert read({"a": {}, "b": {}}) == ((NamedTable(name="a"), NamedTable(name="b")), "")


def test_what_is_wrong_is_told_and_the_rest_is_read() -> None:
    assert read(5)[1] == '[thing] -: 5 is not a table; allowed: [thing."name"]'
    assert read({"bad": {}, "a": {}}) == (
        (NamedTable(name="a"),),
        "[thing.'bad'] -: cannot be the name of a thing; allowed: any other",
    )


def test_there_is_an_end_of_tables() -> None:
    assert len(read({f"t{n}": {} for n in range(MAX_TABLES)})[0]) == MAX_TABLES
    found, problem = read({f"t{n}": {} for n in range(MAX_TABLES + 1)})
    assert (found, "at most 1024" in problem) == ((), True)
