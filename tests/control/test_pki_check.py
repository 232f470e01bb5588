"""The check of a node's files finds each thing that peers would refuse (C2, C3, C4)."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tagmesh.control.pki import init_ca, issue
from tagmesh.control.pki_check import MAX_CHAIN, WARN_DAYS, Verdict, check
from tagmesh.protocol.config import TlsSettings
from tagmesh.protocol.identity import NodeId

ONE = NodeId(1)
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def settings(folder: Path, **changed: str) -> TlsSettings:
    return TlsSettings(
        **{
            "ca": str(folder / "ca.crt"),
            "certificate": str(folder / "node.crt"),
            "private_key": str(folder / "node.key"),
            **changed,
        }
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("check") / "ca"
    init_ca(folder)
    return folder


@pytest.fixture
def node(authority: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "tls"
    issue(authority, ONE, folder)
    return folder


def failed(tls: TlsSettings, now: datetime.datetime | None = None) -> dict[str, str]:
    """What did not PASS: name to text."""
    return {c.name: c.text for c in check(tls, ONE, now) if c.verdict is not Verdict.PASS}


def verdicts(
    tls: TlsSettings, node: int = 1, now: datetime.datetime | None = None
) -> dict[str, str]:
    return {c.name: c.verdict.value for c in check(tls, NodeId(node), now)}


def test_what_was_issued_passes(node: Path) -> None:
    names = ("mode", "key", "chain", "dates", "ca dates", "usage", "identity")
    assert [c.name for c in check(settings(node), ONE)] == list(names)
    assert failed(settings(node)) == {}


def test_the_fingerprint_for_pinning_is_shown(node: Path) -> None:
    found = x509.load_pem_x509_certificate((node / "node.crt").read_bytes())
    texts = {c.name: c.text for c in check(settings(node), ONE)}
    fingerprint = found.fingerprint(hashes.SHA256()).hex()
    assert texts["identity"] == f"spiffe://tagmesh/node/1, SHA-256 {fingerprint}"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_may_use(node: Path, mode: int) -> None:
    """C2, S15"""
    (node / "node.key").chmod(mode)
    path = node / "node.key"
    assert failed(settings(node)) == {
        "mode": f"{path}: others may use it (mode {mode:04o}); chmod 600 {path}"
    }


def test_a_key_that_others_may_use_is_told_even_when_it_is_the_wrong_one(
    authority: Path, node: Path, tmp_path: Path
) -> None:
    """C3"""
    key = issue(authority, ONE, tmp_path / "other")[0]
    key.chmod(0o644)
    found = failed(settings(node, private_key=str(key)))
    assert found.keys() == {"mode", "key"}
    assert "use the two files that were issued together" in found["key"]


@pytest.mark.parametrize(("setting", "name"), [
    ("ca", "ca"), ("certificate", "certificate"), ("private_key", "key"), ("crl", "crl"),
])  # fmt: skip
def test_files_that_cannot_be_read(node: Path, setting: str, name: str) -> None:
    """C1: the rest is checked all the same."""
    missing, junk = node / "missing", node / "junk"
    junk.write_text("junk")
    assert failed(settings(node, **{setting: str(missing)})) == {
        name: f"{missing}: cannot be read: No such file or directory"
    }
    assert failed(settings(node, **{setting: str(junk)})) == {
        name: f"{junk}: not such a file in PEM form"
    }


def test_a_certificate_of_another_ca(node: Path, tmp_path: Path) -> None:
    ca = init_ca(tmp_path / "other")[1]
    found = failed(settings(node, ca=str(ca)))
    assert found.keys() == {"chain"}
    assert "'O=tagmesh,CN=CA of tagmesh'" in found["chain"] or "CN=CA of tagmesh" in found["chain"]


def test_the_certificate_of_another_node(node: Path) -> None:
    """C4"""
    assert verdicts(settings(node), node=2)["identity"] == "FAIL"
    texts = {c.name: c.text for c in check(settings(node), NodeId(2))}
    assert texts["identity"] == (
        "it must have exactly one URI SAN, spiffe://tagmesh/node/2;"
        " it has 'spiffe://tagmesh/node/1'"
    )
    assert failed(settings(node, trust_domain="prod")).keys() == {"identity"}


@pytest.mark.parametrize(
    ("days_left", "verdict", "text"),
    [
        (WARN_DAYS + 0.5, "PASS", "is valid until"),
        (WARN_DAYS - 0.5, "WARN", "the certificate expires in 29 days"),
        (0.5, "WARN", "the certificate expires in 0 days"),
        (0.0, "FAIL", "the certificate expired on"),
        (-100.0, "FAIL", "the certificate expired on"),
        (500.0, "FAIL", "the certificate is not valid before"),
    ],
)
def test_dates(node: Path, days_left: float, verdict: str, text: str) -> None:
    ends = x509.load_pem_x509_certificate((node / "node.crt").read_bytes()).not_valid_after_utc
    found = {c.name: c for c in check(settings(node), ONE, ends - days_left * DAY)}
    assert found["dates"].verdict.value == verdict
    assert text in found["dates"].text


def test_dates_of_the_ca(node: Path) -> None:
    found = failed(settings(node), NOW + 4000 * DAY)
    assert found.keys() == {"dates", "ca dates"}
    assert found["ca dates"].startswith("the CA expired on")


class Maker:
    """Makes certificates that `issue` never makes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())

    def certificate(
        self,
        name: str,
        issuer: tuple[str, ec.EllipticCurvePrivateKey],
        *extensions: x509.ExtensionType,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer[0])]))
            .public_key(self.key.public_key())
            .serial_number(7)
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + 100 * DAY)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(issuer[1], hashes.SHA256())

    def settings(
        self, chain: list[x509.Certificate], ca: x509.Certificate, crl: str = ""
    ) -> TlsSettings:
        pem = serialization.Encoding.PEM
        (self.folder / "ca.crt").write_bytes(ca.public_bytes(pem))
        (self.folder / "node.crt").write_bytes(b"".join(c.public_bytes(pem) for c in chain))
        private = self.key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.folder / "node.key").write_bytes(private)
        (self.folder / "node.key").chmod(0o600)
        return settings(self.folder, crl=crl)


IS_CA = x509.BasicConstraints(ca=True, path_length=None)
BOTH = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])


def names(*uris: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])


GOOD = (BOTH, names("spiffe://tagmesh/node/1"))


def test_intermediate_certificates_in_the_file(tmp_path: Path) -> None:
    root, middle, leaf = (Maker(tmp_path / name) for name in ("root", "middle", "leaf"))
    ca = root.certificate("root", ("root", root.key), IS_CA)
    between = middle.certificate("middle", ("root", root.key), IS_CA)
    own = leaf.certificate("own", ("middle", middle.key), *GOOD)
    tls = leaf.settings([own, between], ca)
    assert failed(tls) == {}
    texts = {c.name: c.text for c in check(tls, ONE)}
    assert texts["chain"] == "CN=own < CN=middle < CN=root"
    assert failed(leaf.settings([own], ca)).keys() == {"chain"}


def test_a_certificate_issued_by_a_leaf(tmp_path: Path) -> None:
    """T6: what is no CA can sign nothing."""
    root, middle, leaf = (Maker(tmp_path / name) for name in ("root", "middle", "leaf"))
    ca = root.certificate("root", ("root", root.key), IS_CA)
    own = leaf.certificate("own", ("middle", middle.key), *GOOD)
    for constraints in ((), (x509.BasicConstraints(ca=False, path_length=None),)):
        between = middle.certificate("middle", ("root", root.key), *constraints)
        assert failed(leaf.settings([own, between], ca)).keys() == {"chain"}


@pytest.mark.parametrize(
    ("extensions", "name", "text"),
    [
        ([GOOD[1]], "usage", "lacks serverAuth and clientAuth"),
        (
            [GOOD[1], x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])],
            "usage",
            "lacks clientAuth",
        ),
        (
            [GOOD[1], x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])],
            "usage",
            "lacks serverAuth",
        ),
        ([BOTH], "identity", "it has none"),
        ([BOTH, names("spiffe://tagmesh/node/1", "spiffe://tagmesh/node/2")], "identity",
         "it has 'spiffe://tagmesh/node/1', 'spiffe://tagmesh/node/2'"),
        ([BOTH, names("spiffe://tagmesh/node/1/")], "identity", "it has 'spiffe://tagmesh/node/1/'"),
        ([BOTH, x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x00")], "identity",
         "cannot be read"),
        ([GOOD[1], x509.UnrecognizedExtension(x509.ExtendedKeyUsage.oid, b"\x00")], "usage",
         "lacks serverAuth and clientAuth"),
    ],
)  # fmt: skip
def test_certificates_that_peers_refuse(
    tmp_path: Path, extensions: list[x509.ExtensionType], name: str, text: str
) -> None:
    root, leaf = Maker(tmp_path / "root"), Maker(tmp_path / "leaf")
    ca = root.certificate("root", ("root", root.key), IS_CA)
    own = leaf.certificate("own", ("root", root.key), *extensions)
    found = failed(leaf.settings([own], ca))
    assert name in found
    assert text in found[name]


@pytest.mark.parametrize(
    ("age_days", "life_days", "serial", "verdict", "text"),
    [
        (1, 10, 8, "PASS", "is not revoked"),
        (6, 10, 8, "WARN", "past half its life"),
        (11, 10, 8, "FAIL", "so every peer is refused"),
        (1, 10, 7, "FAIL", "the certificate is revoked"),
    ],
)
def test_revocation_lists(
    tmp_path: Path, age_days: int, life_days: int, serial: int, verdict: str, text: str
) -> None:
    """S7"""
    root, leaf = Maker(tmp_path / "root"), Maker(tmp_path / "leaf")
    ca = root.certificate("root", ("root", root.key), IS_CA)
    begin = NOW - age_days * DAY
    revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(begin).build()
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.subject)
        .last_update(begin)
        .next_update(begin + life_days * DAY)
        .add_revoked_certificate(revoked)
        .sign(root.key, hashes.SHA256())
    )
    path = tmp_path / "ca.crl"
    path.write_bytes(crl.public_bytes(serialization.Encoding.PEM))
    own = leaf.certificate("own", ("root", root.key), *GOOD)
    found = {c.name: c for c in check(leaf.settings([own], ca, str(path)), ONE, NOW)}
    assert found["crl"].verdict.value == verdict
    assert text in found["crl"].text


def test_a_chain_longer_than_any_is_not_followed(tmp_path: Path) -> None:
    """MAX_CHAIN: the CA counts too."""
    makers = [Maker(tmp_path / str(number)) for number in range(MAX_CHAIN)]
    root = makers[0]
    ca = root.certificate("0", ("0", root.key), IS_CA)
    chain = [
        maker.certificate(str(number), (str(number - 1), makers[number - 1].key), IS_CA, *GOOD)
        for number, maker in enumerate(makers[1:], 1)
    ]
    longest = makers[-1].settings(chain[::-1], ca)
    assert failed(longest) == {}
    leaf = Maker(tmp_path / "leaf")
    own = leaf.certificate("own", (str(MAX_CHAIN - 1), makers[-1].key), *GOOD)
    assert failed(leaf.settings([own, *chain[::-1]], ca)).keys() == {"chain"}
