"""The CA and node certificates: what is in them, and what is refused."""

from __future__ import annotations

import datetime
import ipaddress
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from tagmesh.control.pki import CA_DAYS, MAX_DAYS, NODE_DAYS, init_ca, issue
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.identity import MAX_ID, NodeId

ONE = NodeId(1)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki") / "ca"
    init_ca(folder, "prod.example")
    return folder


def test_the_ca(ca: Path) -> None:
    assert (mode(ca / "ca.key"), mode(ca / "ca.crt")) == (0o600, 0o644)
    found = certificate(ca / "ca.crt")
    key = found.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    found.verify_directly_issued_by(found)
    basic = found.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, False)
    days = (found.not_valid_after_utc - found.not_valid_before_utc).days
    assert days == CA_DAYS


def test_a_node_certificate(ca: Path, tmp_path: Path) -> None:
    key_path, path, copy = issue(
        ca, NodeId(MAX_ID), tmp_path / "deep" / "tls", hosts=["node-a", "a.example.net"],
        ips=["10.0.0.5", "::1"],
    )  # fmt: skip
    assert (mode(key_path), mode(path), mode(copy)) == (0o600, 0o644, 0o644)
    assert copy.read_bytes() == (ca / "ca.crt").read_bytes()
    found, issuer = certificate(path), certificate(ca / "ca.crt")
    found.verify_directly_issued_by(issuer)
    key = serialization.load_pem_private_key(key_path.read_bytes(), None)
    assert key.public_key() == found.public_key()
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        "spiffe://prod.example/node/2147483647"
    ]
    assert names.get_values_for_type(x509.DNSName) == ["node-a", "a.example.net"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("10.0.0.5"), ipaddress.ip_address("::1"),
    ]  # fmt: skip
    extended = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(extended) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign) == (True, False)
    assert found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    authority = found.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    subject = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert authority.key_identifier == subject.digest
    now = datetime.datetime.now(datetime.UTC)
    age = now - found.not_valid_before_utc
    assert datetime.timedelta(minutes=4) < age < datetime.timedelta(minutes=10)
    assert (found.not_valid_after_utc - found.not_valid_before_utc).days == NODE_DAYS


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl program")
def test_openssl_agrees(ca: Path, tmp_path: Path) -> None:
    """Another implementation, at its strictest, accepts the certificate for both ends of a link."""
    _, path, _ = issue(ca, ONE, tmp_path)
    for purpose in ("sslserver", "sslclient"):
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile"]
        done = subprocess.run(
            [*command, str(ca / "ca.crt"), str(path)], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_every_certificate_has_its_own_key_and_serial(ca: Path, tmp_path: Path) -> None:
    found = [certificate(issue(ca, ONE, tmp_path / name)[1]) for name in "ab"]
    assert found[0].serial_number != found[1].serial_number
    assert found[0].public_key() != found[1].public_key()


def test_the_trust_domain_is_that_of_the_ca_unless_given(ca: Path, tmp_path: Path) -> None:
    path = issue(ca, ONE, tmp_path, trust_domain="other")[1]
    names = certificate(path).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert "spiffe://other/node/1" in str(names.value)


def test_the_default_trust_domain_is_that_of_the_configuration(tmp_path: Path) -> None:
    init_ca(tmp_path)
    issue(tmp_path, ONE, tmp_path)  # into the CA's own folder: ca.crt is there already
    names = certificate(tmp_path / "node.crt").extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert "spiffe://tagmesh/node/1" in str(names.value)


@pytest.mark.parametrize("name", ["ca.key", "ca.crt"])
def test_a_ca_is_never_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(Misuse, match=rf"{name} exists and is not overwritten"):
        init_ca(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


@pytest.mark.parametrize("name", ["node.key", "node.crt", "ca.crt"])
def test_a_node_certificate_is_never_overwritten(ca: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(Misuse, match=rf"{name} exists and is not overwritten"):
        issue(ca, ONE, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_key_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "ca.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Misuse, match="exists and is not overwritten"):
        init_ca(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("host", ["", "*.a", "a b", "-a", "a-", "a..b", "10.0.0.5", "a" * 64, "ä",
                                  "a." * 126 + "aa"])  # fmt: skip
def test_hosts_that_cannot_be(ca: Path, tmp_path: Path, host: str) -> None:
    with pytest.raises(Misuse, match="is not a host name; for an address use --ip"):
        issue(ca, ONE, tmp_path, hosts=[host])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["a", "node-1", "a_b.c", "10.0.0.5a", "a" * 63])
def test_hosts_that_can_be(ca: Path, tmp_path: Path, host: str) -> None:
    issue(ca, ONE, tmp_path, hosts=[host])


@pytest.mark.parametrize("ip", ["", "node-a", "10.0.0.256", "10.0.0.0/8"])
def test_addresses_that_cannot_be(ca: Path, tmp_path: Path, ip: str) -> None:
    with pytest.raises(Misuse, match="is not an IP address; for a name use --host"):
        issue(ca, ONE, tmp_path, ips=[ip])


@pytest.mark.parametrize("days", [0, -1, MAX_DAYS + 1])
def test_days_that_cannot_be(ca: Path, tmp_path: Path, days: int) -> None:
    with pytest.raises(Misuse, match=f"{days} days of validity: it must be 1 … 36500"):
        issue(ca, ONE, tmp_path, days=days)
    with pytest.raises(Misuse, match=f"{days} days of validity"):
        init_ca(tmp_path, days=days)


def test_a_certificate_cannot_outlive_its_ca(ca: Path, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"the CA ends in 36\d\d days, before the certificate would"):
        issue(ca, ONE, tmp_path, days=CA_DAYS + 1)


@pytest.mark.parametrize("domain", ["Prod", "", "a b"])
def test_trust_domains_that_cannot_be(ca: Path, tmp_path: Path, domain: str) -> None:
    with pytest.raises(Misuse, match="must be lower-case"):
        init_ca(tmp_path, domain)
    with pytest.raises(Misuse, match="must be lower-case"):
        issue(ca, ONE, tmp_path, trust_domain=domain)


def test_a_long_trust_domain_fits(tmp_path: Path) -> None:
    init_ca(tmp_path, "a" * 255)
    issue(tmp_path, ONE, tmp_path)


def test_a_ca_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"ca.key is not there; make a CA with tagmesh pki init-ca"):
        issue(tmp_path, ONE, tmp_path)


def _ed25519() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def test_a_ca_that_cannot_be_used(ca: Path, tmp_path: Path) -> None:
    broken, other = tmp_path / "broken", tmp_path / "other"
    shutil.copytree(ca, broken)
    init_ca(other)
    issue(ca, ONE, tmp_path / "node")
    for key, text in {
        b"nonsense": "is no PEM file",
        _ed25519(): "is not an elliptic curve key",
        (other / "ca.key").read_bytes(): "do not belong together",
    }.items():
        (broken / "ca.key").write_bytes(key)
        with pytest.raises(Misuse, match=text):
            issue(broken, ONE, tmp_path / "never")
    (broken / "ca.key").write_bytes((tmp_path / "node" / "node.key").read_bytes())
    (broken / "ca.crt").write_bytes((tmp_path / "node" / "node.crt").read_bytes())
    with pytest.raises(Misuse, match="do not belong together"):  # it has signed nothing, nor may it
        issue(broken, ONE, tmp_path / "never")


def test_a_ca_made_elsewhere_gets_the_default_trust_domain(tmp_path: Path) -> None:
    """It has no SPIFFE name of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "elsewhere")])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    )
    pem = serialization.Encoding.PEM
    (tmp_path / "ca.crt").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(pem))
    (tmp_path / "ca.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    path = issue(tmp_path, ONE, tmp_path / "tls", days=5)[1]
    names = certificate(path).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert "spiffe://tagmesh/node/1" in str(names.value)
