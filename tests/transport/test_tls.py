"""TLS as pure bytes: who is admitted, who is refused, and what each side then knows (T1–T17)."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from OpenSSL import SSL

from tagmesh.protocol.errors import Reason
from tagmesh.protocol.identity import NodeId
from tagmesh.transport.certificates import read_credentials
from tagmesh.transport.tls import MAX_WRITE_BYTES, TlsContext, TlsSession, load_tls
from tests.pki import CLIENT, DAY, SERVER, Paths, TestCa, now


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCa:
    return TestCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def good(ca: TestCa) -> TlsContext:
    return load_tls(ca.issue(1).settings(), NodeId(1))


def unchecked(paths: Paths, crl: Path | None = None) -> TlsContext:
    """A context that a node which does not check its own certificate would use."""
    return TlsContext(read_credentials(paths.settings(crl=crl)))


def talk(dialler: TlsSession, acceptor: TlsSession) -> None:
    """Carry bytes both ways until neither has any."""
    quiet = False
    while not quiet:
        quiet = True
        for source, target in ((dialler, acceptor), (acceptor, dialler)):
            if data := source.output():
                quiet = False
                assert target.receive(data) == []


def connect(
    dialling: TlsContext, accepting: TlsContext, expected: int = 2
) -> tuple[TlsSession, TlsSession]:
    dialler = TlsSession(dialling, accepted=False, expected=NodeId(expected))
    acceptor = TlsSession(accepting, accepted=True)
    talk(dialler, acceptor)
    return dialler, acceptor


class Case(NamedTuple):
    """A bad certificate; the reason on the side that refuses and on the side refused."""

    make: Callable[[TestCa, Path], tuple[Paths, Path | None]]
    """Gives the bad node's files and a CRL for the good node."""
    ours: Reason
    theirs: Reason
    sides: tuple[str, ...] = ("dialler", "acceptor")


def _other_ca(ca: TestCa, folder: Path) -> Paths:
    return TestCa(folder / "other", name="another CA").issue(2)._replace(ca=ca.ca_path)


def _same_name_ca(ca: TestCa, folder: Path) -> Paths:
    return TestCa(folder / "same").issue(2)._replace(ca=ca.ca_path)


def _revoked(ca: TestCa, _: Path) -> tuple[Paths, Path]:
    paths = ca.issue(2)
    return paths, ca.revoke(paths)


def _uris(*uris: str) -> Callable[[TestCa, Path], tuple[Paths, None]]:
    return lambda ca, _: (ca.issue(2, uris=uris), None)


IDENTITY = (Reason.CERT_IDENTITY, Reason.CERT_IDENTITY)
UNTRUSTED = (Reason.CERT_UNTRUSTED, Reason.CERT_UNTRUSTED)
CASES = {
    "expired": Case(
        lambda ca, _: (ca.issue(2, not_before=now() - 9 * DAY, not_after=now() - DAY), None),
        Reason.CERT_EXPIRED,
        Reason.CERT_EXPIRED,
    ),
    "not yet valid": Case(
        lambda ca, _: (ca.issue(2, not_before=now() + DAY), None),
        Reason.CERT_NOT_YET_VALID,
        Reason.CERT_NOT_YET_VALID,
    ),
    "self-signed": Case(lambda ca, _: (ca.self_signed(2), None), *UNTRUSTED),
    "other CA": Case(lambda ca, folder: (_other_ca(ca, folder), None), *UNTRUSTED),
    "other CA, same name": Case(lambda ca, folder: (_same_name_ca(ca, folder), None), *UNTRUSTED),
    "issued by a leaf": Case(
        lambda ca, _: (ca.issue(2, issuer=ca.as_issuer(ca.issue(7))), None), *UNTRUSTED
    ),
    "revoked": Case(_revoked, Reason.CERT_REVOKED, Reason.CERT_REVOKED),
    # OpenSSL tells a stale list and an expired certificate with the same alert
    "stale revocation list": Case(
        lambda ca, _: (ca.issue(2), ca.revoke(next_update=now() - DAY)),
        Reason.CRL_STALE,
        Reason.CERT_EXPIRED,
    ),
    "only serverAuth": Case(
        lambda ca, _: (ca.issue(2, eku=[SERVER]), None),
        Reason.CERT_USAGE,
        Reason.CERT_USAGE,
        ("dialler",),
    ),
    "only clientAuth": Case(
        lambda ca, _: (ca.issue(2, eku=[CLIENT]), None),
        Reason.CERT_USAGE,
        Reason.CERT_USAGE,
        ("acceptor",),
    ),
    # what only our own check refuses arrives as alert 80, whatever it objected to
    "no extended key usage": Case(
        lambda ca, _: (ca.issue(2, eku=None), None), Reason.CERT_USAGE, Reason.CERT_IDENTITY
    ),
    "no URI SAN": Case(lambda ca, _: (ca.issue(2, uris=[], dns=["node-2"]), None), *IDENTITY),
    "another node's": Case(lambda ca, _: (ca.issue(3), None), *IDENTITY, ("acceptor",)),
    "another trust domain": Case(_uris("spiffe://elsewhere/node/2"), *IDENTITY),
    "two URI SANs": Case(_uris("spiffe://tagmesh/node/2", "spiffe://tagmesh/node/3"), *IDENTITY),
    "the same URI twice": Case(_uris(*["spiffe://tagmesh/node/2"] * 2), *IDENTITY),
    "encoded NUL": Case(_uris("spiffe://tagmesh/node/2%00"), *IDENTITY),
    "upper case": Case(_uris("SPIFFE://tagmesh/node/2"), *IDENTITY),
    "trailing slash": Case(_uris("spiffe://tagmesh/node/2/"), *IDENTITY),
    "leading zero": Case(_uris("spiffe://tagmesh/node/02"), *IDENTITY),
    "prefix": Case(_uris("xspiffe://tagmesh/node/2"), *IDENTITY),
}


@pytest.mark.parametrize(
    ("name", "side"), [(name, side) for name, case in CASES.items() for side in case.sides]
)
def test_refusal_matrix(ca: TestCa, good: TlsContext, tmp_path: Path, name: str, side: str) -> None:
    case = CASES[name]
    paths, crl = case.make(ca, tmp_path)
    mine = unchecked(ca.issue(1), crl) if crl else good
    bad = unchecked(paths)
    if side == "dialler":
        refused, refusing = connect(bad, mine, expected=1)
    else:
        refusing, refused = connect(mine, bad)
    assert refusing.identity is None
    assert refusing.ending is not None
    assert (refusing.ending.reason, refusing.ending.by_peer) == (case.ours, False)
    assert refused.ending is not None
    assert (refused.ending.reason, refused.ending.by_peer) == (case.theirs, True)
    # TLS 1.3: the dialler believes itself connected before the acceptor has judged it
    assert (refused.identity is not None) == (side == "dialler")


def test_the_one_admitted_cell(ca: TestCa, good: TlsContext) -> None:
    paths = ca.issue(2)
    dialler, acceptor = connect(good, load_tls(paths.settings(), NodeId(2)))
    assert dialler.ending is None
    assert acceptor.ending is None
    assert dialler.identity is not None
    assert acceptor.identity is not None
    assert (dialler.identity.node_id, acceptor.identity.node_id) == (2, 1)
    assert dialler.identity.tls_version == "TLSv1.3"
    assert len(dialler.identity.fingerprint) == 64
    left_s = dialler.identity.not_after_wall_s - now().timestamp()
    assert datetime.timedelta(days=29) < datetime.timedelta(seconds=left_s)


def test_a_crl_in_the_second_half_of_its_life_is_warned_of(
    ca: TestCa, caplog: pytest.LogCaptureFixture
) -> None:
    paths = ca.issue(1)
    load_tls(paths.settings(crl=ca.revoke(next_update=now() + 30 * DAY)), NodeId(1))
    assert not caplog.records
    load_tls(paths.settings(crl=ca.revoke(next_update=now() + DAY / 2)), NodeId(1))
    (record,) = caplog.records
    assert "then nobody may join: renew it" in record.getMessage()


def test_a_peer_whose_crl_names_others_is_admitted(ca: TestCa) -> None:
    crl = ca.revoke(ca.issue(9))
    mine = load_tls(ca.issue(1).settings(crl=crl), NodeId(1))
    dialler, acceptor = connect(mine, unchecked(ca.issue(2)))
    assert dialler.ending is None
    assert acceptor.ending is None
    assert mine.crl_next_update_wall_s is not None
    assert abs(mine.crl_next_update_wall_s - (now() + DAY).timestamp()) < 60


def test_the_refusal_names_the_node_the_certificate_proves(ca: TestCa, good: TlsContext) -> None:
    dialler, _ = connect(good, unchecked(ca.issue(3)))
    assert dialler.ending is not None
    assert dialler.ending.node_id == 3
    assert "that of node 3; node 2 was dialled" in dialler.ending.cause


def foreign_context(newest: int) -> SSL.Context:
    """Of a TLS program that is not ours and speaks at most ``newest``."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(newest)
    return context


def stranger(context: SSL.Context, ca: TestCa, paths: Paths | None = None) -> SSL.Connection:
    """A TLS client that is not ours, with a certificate or without."""
    client = SSL.Connection(context, None)
    if paths is not None:
        issuer = ca.as_issuer(paths)
        client.use_certificate(issuer.certificate)
        client.use_privatekey(issuer.key)
    client.set_connect_state()
    return client


def drive(client: SSL.Connection, acceptor: TlsSession) -> str:
    """Let the stranger shake hands; what OpenSSL told it, or nothing."""
    for _ in range(6):
        try:
            client.do_handshake()
            client.recv(1)
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            return str(error)
        with contextlib.suppress(SSL.WantReadError):
            acceptor.receive(client.bio_read(65536))
        if data := acceptor.output():
            client.bio_write(data)
    return ""


def test_no_certificate(ca: TestCa, good: TlsContext) -> None:
    acceptor = TlsSession(good, accepted=True)
    told = drive(stranger(foreign_context(SSL.TLS1_3_VERSION), ca), acceptor)
    assert acceptor.identity is None
    assert acceptor.ending is not None
    assert acceptor.ending.reason is Reason.CERT_MISSING
    assert "certificate required" in told


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_1_VERSION])
def test_old_tls_is_refused(ca: TestCa, good: TlsContext, version: int) -> None:
    acceptor = TlsSession(good, accepted=True)
    drive(stranger(foreign_context(version), ca, ca.issue(2)), acceptor)
    assert acceptor.identity is None
    assert acceptor.ending is None or acceptor.ending.reason is Reason.TLS_VERSION
    if version == SSL.TLS1_2_VERSION:
        assert acceptor.ending is not None


def test_an_old_acceptor_is_refused_by_a_new_dialler(ca: TestCa, good: TlsContext) -> None:
    context = foreign_context(SSL.TLS1_2_VERSION)
    paths = ca.issue(2)
    context.use_certificate_file(str(paths.certificate))
    context.use_privatekey_file(str(paths.private_key))
    server = SSL.Connection(context, None)
    server.set_accept_state()
    dialler = TlsSession(good, accepted=False, expected=NodeId(2))
    server.bio_write(dialler.output())
    with pytest.raises(SSL.Error, match="unsupported protocol"):
        server.do_handshake()
    dialler.receive(server.bio_read(65536))
    assert dialler.ending is not None
    assert (dialler.ending.reason, dialler.ending.by_peer) == (Reason.TLS_VERSION, True)


def test_tls_1_2_only_when_the_setting_allows_it(ca: TestCa) -> None:
    credentials = read_credentials(ca.issue(1).settings())
    acceptor = TlsSession(TlsContext(credentials._replace(min_version="1.2")), accepted=True)
    client = stranger(foreign_context(SSL.TLS1_2_VERSION), ca, ca.issue(2))
    drive(client, acceptor)
    assert acceptor.identity is not None
    assert acceptor.identity.tls_version == "TLSv1.2"
    name = client.get_cipher_name() or ""
    assert name.startswith("ECDHE-")
    assert "GCM" in name or "CHACHA20" in name


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_a_session_cannot_be_resumed(ca: TestCa, version: str) -> None:
    """Resumption skips the certificate: a session taken home must be worth nothing (T16)."""
    context = TlsContext(read_credentials(ca.issue(1).settings())._replace(min_version=version))
    foreign = foreign_context(SSL.TLS1_3_VERSION if version == "1.3" else SSL.TLS1_2_VERSION)
    first = stranger(foreign, ca, ca.issue(2))
    acceptor = TlsSession(context, accepted=True)
    drive(first, acceptor)
    assert acceptor.identity is not None
    session = first.get_session()
    assert session is not None
    again = stranger(foreign, ca)
    again.set_session(session)
    acceptor = TlsSession(context, accepted=True)
    drive(again, acceptor)
    assert acceptor.identity is None
    assert acceptor.ending is not None
    assert acceptor.ending.reason is Reason.CERT_MISSING


@pytest.mark.parametrize(
    "junk",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0" * 100,
        b"\x16\x03\x01\xff\xff" + b"a" * 100,
        b"\x16\x03\x01\x00\x05" + b"\x01\xff\xff\xff\xff",
    ],
)
def test_what_is_not_tls_is_refused(good: TlsContext, junk: bytes) -> None:
    acceptor = TlsSession(good, accepted=True)
    assert acceptor.receive(junk) == []
    acceptor.receive_eof()
    assert acceptor.ending is not None
    assert acceptor.ending.reason in (Reason.TLS_ERROR, None)
    assert acceptor.receive(junk) == [], "after an error OpenSSL is not asked again"


@pytest.fixture
def pair(ca: TestCa, good: TlsContext) -> tuple[TlsSession, TlsSession]:
    return connect(good, unchecked(ca.issue(2)))


def test_bytes_arrive_and_the_end_is_clean(pair: tuple[TlsSession, TlsSession]) -> None:
    dialler, acceptor = pair
    data = bytes(range(256)) * (MAX_WRITE_BYTES // 256)
    dialler.send(data)
    assert b"".join(acceptor.receive(dialler.output())) == data
    acceptor.send(b"answer")
    assert dialler.receive(acceptor.output()) == [b"answer"]
    dialler.shutdown()
    assert acceptor.receive(dialler.output()) == []
    assert acceptor.ending is not None
    assert acceptor.ending.clean
    acceptor.shutdown()
    dialler.receive(acceptor.output())
    assert dialler.ending is not None
    assert dialler.ending.clean


def test_what_is_sealed_at_once_follows_what_was_sent(pair: tuple[TlsSession, TlsSession]) -> None:
    dialler, acceptor = pair
    for data in (b"x", bytes(16 * 1024), bytes(MAX_WRITE_BYTES)):
        dialler.send(b"before")
        dialler.owes = True  # as whoever reads makes it, too
        assert b"".join(acceptor.receive(dialler.sealed(data))) == b"before" + data
        assert b"".join(acceptor.receive(dialler.sealed(data))) == data
    dialler.receive_eof()
    assert dialler.sealed(b"data") == b""


def test_an_end_without_close_notify_is_not_clean(pair: tuple[TlsSession, TlsSession]) -> None:
    dialler, _ = pair
    dialler.receive_eof()
    assert dialler.ending is not None
    assert not dialler.ending.clean
    assert dialler.ending.reason is None


def test_a_full_write_is_made_of_full_records(pair: tuple[TlsSession, TlsSession]) -> None:
    dialler, _ = pair
    dialler.send(b"x" * MAX_WRITE_BYTES)
    overhead = len(dialler.output()) - MAX_WRITE_BYTES
    assert overhead <= 4 * 22, "four records of 16 KiB"


def test_more_than_a_full_write_is_our_bug(pair: tuple[TlsSession, TlsSession]) -> None:
    with pytest.raises(AssertionError):
        pair[0].send(b"x" * (MAX_WRITE_BYTES + 1))


def test_a_flipped_bit_ends_the_session_once(pair: tuple[TlsSession, TlsSession]) -> None:
    dialler, acceptor = pair
    dialler.send(b"hello")
    data = bytearray(dialler.output())
    data[-1] ^= 1
    assert acceptor.receive(bytes(data)) == []
    assert acceptor.ending is not None
    assert acceptor.ending.reason is Reason.TLS_ERROR
    assert acceptor.receive(b"more") == []
    dialler.receive(acceptor.output())
    assert dialler.ending is not None
    assert dialler.ending.by_peer


def test_the_peer_may_vanish_at_any_step_of_the_handshake(ca: TestCa, good: TlsContext) -> None:
    other = unchecked(ca.issue(2))
    for steps in range(3):
        dialler = TlsSession(good, accepted=False, expected=NodeId(2))
        acceptor = TlsSession(other, accepted=True)
        sides = [(dialler, acceptor), (acceptor, dialler)]
        for step in range(steps):
            source, target = sides[step % 2]
            target.receive(source.output())
        acceptor.receive_eof()
        assert acceptor.ending is not None
        assert not acceptor.ending.clean
