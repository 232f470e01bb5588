"""Ids, ``bins:`` URLs, provisioned rows and the identity in a certificate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.identity import (
    DEFAULT_PORT,
    MAX_ID,
    MAX_URL_CHARS,
    BinsUrl,
    ClusterId,
    IdentityPolicy,
    InvalidRow,
    NodeId,
    NodeRecord,
    PeerIdentity,
    check_trust_domain,
    cluster_id,
    next_incarnation,
    node_id,
    parse_spiffe,
    spiffe_uri,
)


@pytest.mark.parametrize("value", [1, 128, MAX_ID])
def test_ids_in_range(value: int) -> None:
    assert (node_id(value), cluster_id(value)) == (value, value)


@pytest.mark.parametrize("value", [0, -1, MAX_ID + 1])
def test_ids_out_of_range_name_the_range(value: int) -> None:
    with pytest.raises(
        Misuse, match=rf"node id {value} is out of range: it must be 1 … 2147483647"
    ):
        node_id(value)
    with pytest.raises(Misuse, match=rf"cluster id {value} is out of range"):
        cluster_id(value)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("bins:10.0.0.5:5557", "10.0.0.5", 5557),
        ("bins:10.0.0.5", "10.0.0.5", DEFAULT_PORT),
        ("bins:node-a.example.net:1", "node-a.example.net", 1),
        ("bins:a:65535", "a", 65535),
        ("bins:[::1]:5556", "::1", 5556),
        ("bins:[2001:db8::7]", "2001:db8::7", DEFAULT_PORT),
        ("bins:[fe80::1%eth0.5]:9", "fe80::1%eth0.5", 9),
    ],
)
def test_urls(text: str, host: str, port: int) -> None:
    url = BinsUrl.parse(text)
    assert (url.host, url.port) == (host, port)
    assert BinsUrl.parse(str(url)) == url


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must have the form bins:host"),
        ("10.0.0.5", "always TLS"),
        ("bin:10.0.0.5:5555", "always TLS"),
        ("sip:10.0.0.5", "unknown scheme"),
        ("BINS:a", "unknown scheme"),
        ("bins:", "'' is not a host name"),
        ("bins://", "without //"),
        ("bins://host:1", "without //"),
        ("bins:host/path", "is not a host name"),
        ("bins:-host", "is not a host name"),
        ("bins:h\nost", r"'h\\nost' is not a host name"),
        ("bins:host:", "port '' is not a number in 1 … 65535"),
        ("bins:host:0", "port '0' is not"),
        ("bins:host:65536", "port '65536' is not"),
        ("bins:host:-1", "port '-1' is not"),
        ("bins:host:\u0663", r"port '\\u0663' is not"),
        ("bins:::1:5556", "stands in brackets"),
        ("bins:[::g]:1", "'::g' is not an IPv6 address"),
        ("bins:[::1", r"must have the form bins:\[address\]:port"),
        ("bins:[::1]5556", r"must have the form bins:\[address\]:port"),
        ("bins:[::1]:0", "port '0' is not"),
        ("bins:[::1%\x1b[31m]:1", r"has no interface name after the %"),
        ("bins:" + "a" * MAX_URL_CHARS, "is longer than 64 characters"),
    ],
)
def test_urls_that_cannot_be_say_why(text: str, says: str) -> None:
    with pytest.raises(Misuse, match=says) as raised:
        BinsUrl.parse(text)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("text", ["bins:ops:hunter2@host:5556", "sip:hunter2@h" + "x" * 99])
def test_a_password_in_a_url_is_not_repeated(text: str) -> None:
    with pytest.raises(Misuse, match="without a user or password") as raised:
        BinsUrl.parse(text)
    assert "hunter2" not in str(raised.value)


@given(st.text(max_size=80))
def test_any_text_is_a_url_or_a_misuse(text: str) -> None:
    for candidate in (text, f"bins:{text}", f"bins:[{text}]"):
        try:
            said = str(BinsUrl.parse(candidate))
            assert len(said) > MAX_URL_CHARS or str(BinsUrl.parse(said)) == said
        except Misuse as misuse:
            said = str(misuse)
        assert said.isprintable()


@pytest.mark.parametrize("text", ["bins:o{}a", "bins:[{}]", "bins:a:{}", "{}", "bins:[::1%{}]"])
def test_the_error_about_a_url_is_bounded(text: str) -> None:
    """Found by fuzzing: each character may be escaped with ten; peers write urls too (S12)."""
    with pytest.raises(Misuse) as raised:
        BinsUrl.parse(text.format("\U0001f600" * 50))
    assert len(str(raised.value)) < 300


def test_the_longest_url_that_fits_the_column() -> None:
    text = "bins:" + "a" * (MAX_URL_CHARS - len("bins:"))
    assert BinsUrl.parse(text).port == DEFAULT_PORT


def record(flags: str | None) -> NodeRecord:
    return NodeRecord(
        cluster_id=ClusterId(1), node_id=NodeId(2), url=BinsUrl.parse("bins:a"), flags=flags
    )


def test_a_row_has_the_defaults_of_the_table() -> None:
    row = record(None)
    assert (row.enabled, row.ping_retries, row.priority, row.db_id) == (True, 3, 50, -1)


@pytest.mark.parametrize(
    ("flags", "seed"), [(None, False), ("", False), ("seed", True), ("seed,x", True), ("x", False)]
)
def test_seed(flags: str | None, seed: bool) -> None:
    assert record(flags).seed is seed


def test_what_is_known_of_rows_and_peers_cannot_be_changed() -> None:
    peer = PeerIdentity(node_id=NodeId(1), fingerprint="ab", not_after_wall_s=1.0)
    bad = InvalidRow(db_id=1, cluster_id=None, node_id=None, reason="url is NULL")
    for frozen in (peer, bad, IdentityPolicy(), record(None)):
        with pytest.raises(AttributeError):
            setattr(frozen, frozen.__struct_fields__[0], 5)


@pytest.mark.parametrize("domain", ["tagmesh", "prod.example-1_a", "a", "a" * 255])
def test_trust_domains_and_their_uris(domain: str) -> None:
    uri = spiffe_uri(check_trust_domain(domain), NodeId(42))
    assert uri == f"spiffe://{domain}/node/42"
    assert parse_spiffe(uri) == (domain, 42)


@pytest.mark.parametrize("domain", ["", "Prod", "-a", "a-", ".a", "a b", "a/b", "a\n", "a" * 256])
def test_trust_domains_that_cannot_be(domain: str) -> None:
    with pytest.raises(Misuse, match="must be lower-case letters") as raised:
        check_trust_domain(domain)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "spiffe://tagmesh/node/",
        "spiffe://tagmesh/node/0",
        "spiffe://tagmesh/node/01",
        "spiffe://tagmesh/node/-1",
        "spiffe://tagmesh/node/2147483648",
        "spiffe://tagmesh/node/99999999999",
        "spiffe://tagmesh/node/1/",
        "spiffe://tagmesh/node/1%00",
        "spiffe://tagmesh/node/1\x00",
        "spiffe://tagmesh/node/1\n",
        "spiffe://tagmesh/node/\u0661",
        "spiffe://tagmesh/Node/1",
        "SPIFFE://tagmesh/node/1",
        "spiffe://TAGMESH/node/1",
        "spiffe:///node/1",
        "spiffe://-/node/1",
        "spiffe://a./node/1",
        f"spiffe://{'a' * 256}/node/1",
        "spiffe://tagmesh/node/1?x",
        "bins://cluster/1/node/1",
        " spiffe://tagmesh/node/1",
    ],
)
def test_an_identity_is_exact_or_nothing(uri: str) -> None:
    """S3, T13: no prefix, wildcard, case folding or percent decoding."""
    with pytest.raises(Misuse, match="is not of the form spiffe://"):
        parse_spiffe(uri)


def test_the_error_about_a_foreign_uri_is_bounded() -> None:
    with pytest.raises(Misuse) as raised:
        parse_spiffe("spiffe://" + "a" * 100_000)
    assert len(str(raised.value)) < 250


def test_incarnations_grow_even_when_the_clock_goes_back() -> None:
    first = next_incarnation(0, wall_s=1_700_000_000.5)
    assert first == 1_700_000_000_500_000
    assert next_incarnation(first, wall_s=1_000.0) == first + 1
    assert next_incarnation(first, wall_s=1_700_000_001.0) > first
