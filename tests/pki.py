"""A certificate authority for tests: node certificates, good ones and every kind of bad one."""

from __future__ import annotations

import datetime
import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tagmesh.protocol.config import TlsSettings

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
DAY = datetime.timedelta(days=1)

Key = ec.EllipticCurvePrivateKey


def now() -> datetime.datetime:
    """The wall time, as certificates want it."""
    return datetime.datetime.now(datetime.UTC)


class Paths(NamedTuple):
    """Where the files of one node are."""

    ca: Path
    certificate: Path
    private_key: Path

    def settings(self, trust_domain: str = "tagmesh", crl: Path | None = None) -> TlsSettings:
        """The ``[tls]`` table that uses these files."""
        return TlsSettings(
            ca=str(self.ca),
            certificate=str(self.certificate),
            private_key=str(self.private_key),
            crl=str(crl) if crl else "",
            trust_domain=trust_domain,
        )


class Issuer(NamedTuple):
    """A certificate with its key: signs others, whether it may or not."""

    certificate: x509.Certificate
    key: Key


class TestCa:
    """A P-256 CA in ``directory`` (``ca.crt``); each node's files go to ``directory/<folder>``."""

    __test__ = False  # pytest: not a class of tests

    def __init__(
        self, directory: Path, trust_domain: str = "tagmesh", name: str = "tagmesh test CA"
    ) -> None:
        self.directory = directory
        self.trust_domain = trust_domain
        self._folders = itertools.count(1)
        directory.mkdir(parents=True, exist_ok=True)
        self.root = _self_signed(name)
        self.ca_path = directory / "ca.crt"
        self.ca_path.write_bytes(_pem(self.root.certificate))

    def issue(
        self,
        node_id: int,
        *,
        uris: Sequence[str] | None = None,
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
        eku: Sequence[x509.ObjectIdentifier] | None = (CLIENT, SERVER),
        dns: Sequence[str] = (),
        issuer: Issuer | None = None,
        ca: bool = False,
        folder: str | None = None,
    ) -> Paths:
        """Make ``node.crt``, ``node.key`` (0600) and ``ca.crt`` for a node.

        ``uris`` None is the one right URI SAN, an empty list none; ``eku`` None omits the
        extension; ``issuer`` signs instead of the CA (see `as_issuer`).
        """
        if uris is None:
            uris = [f"spiffe://{self.trust_domain}/node/{node_id}"]
        key = _new_key()
        signer = issuer or self.root
        certificate = _sign(
            signer,
            key,
            f"node {node_id}",
            _extensions(uris, dns, eku, ca),
            not_before or now() - DAY,
            not_after or now() + 30 * DAY,
        )
        chain = _pem(certificate) + (_pem(issuer.certificate) if issuer else b"")
        return self._write(folder or f"node{node_id}-{next(self._folders)}", chain, key)

    def self_signed(self, node_id: int) -> Paths:
        """A node certificate signed by nobody but itself."""
        key = _new_key()
        name = _name(f"node {node_id}")
        uri = x509.UniformResourceIdentifier(f"spiffe://{self.trust_domain}/node/{node_id}")
        certificate = (
            _builder(name, name, key, now() - DAY, now() + DAY)
            .add_extension(x509.SubjectAlternativeName([uri]), False)
            .sign(key, hashes.SHA256())
        )
        return self._write(f"self{node_id}-{next(self._folders)}", _pem(certificate), key)

    def as_issuer(self, paths: Paths) -> Issuer:
        """A node's certificate used as if it could sign."""
        key = serialization.load_pem_private_key(paths.private_key.read_bytes(), None)
        assert isinstance(key, Key)
        return Issuer(x509.load_pem_x509_certificate(paths.certificate.read_bytes()), key)

    def revoke(self, *revoked: Paths, next_update: datetime.datetime | None = None) -> Path:
        """Write a CRL that names these certificates (``next_update`` in the past: a stale one)."""
        until = next_update or now() + DAY
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.root.certificate.subject)
            .last_update(min(now(), until) - DAY)
            .next_update(until)
        )
        for paths in revoked:
            serial = x509.load_pem_x509_certificate(paths.certificate.read_bytes()).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial)
            builder = builder.add_revoked_certificate(entry.revocation_date(now() - DAY).build())
        path = self.directory / f"ca-{next(self._folders)}.crl"
        crl = builder.sign(self.root.key, hashes.SHA256())
        path.write_bytes(crl.public_bytes(serialization.Encoding.PEM))
        return path

    def _write(self, folder: str, chain: bytes, key: Key) -> Paths:
        directory = self.directory / folder
        directory.mkdir()
        paths = Paths(directory / "ca.crt", directory / "node.crt", directory / "node.key")
        paths.ca.write_bytes(_pem(self.root.certificate))
        paths.certificate.write_bytes(chain)
        paths.private_key.touch(mode=0o600)
        paths.private_key.write_bytes(key_pem(key))
        return paths


def key_pem(key: Key, password: bytes | None = None) -> bytes:
    """The key as PEM, encrypted when there is a password."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    )


def _new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _self_signed(name: str) -> Issuer:
    key = _new_key()
    builder = _builder(_name(name), _name(name), key, now() - 400 * DAY, now() + 3650 * DAY)
    for extension, critical in _ca_extensions(key):
        builder = builder.add_extension(extension, critical)
    return Issuer(builder.sign(key, hashes.SHA256()), key)


def _ca_extensions(key: Key) -> list[tuple[x509.ExtensionType, bool]]:
    usage = functools.partial(
        x509.KeyUsage,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    return [
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (usage(key_cert_sign=True, crl_sign=True), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ]


def _extensions(
    uris: Sequence[str],
    dns: Sequence[str],
    eku: Sequence[x509.ObjectIdentifier] | None,
    ca: bool,
) -> list[tuple[x509.ExtensionType, bool]]:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    names += [x509.DNSName(name) for name in dns]
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=ca, path_length=None), True)
    ]
    if names:
        extensions.append((x509.SubjectAlternativeName(names), False))
    if eku is not None:
        extensions.append((x509.ExtendedKeyUsage(eku), False))
    return extensions


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: Key,
    not_before: datetime.datetime,
    not_after: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )


def _sign(
    signer: Issuer,
    key: Key,
    name: str,
    extensions: list[tuple[x509.ExtensionType, bool]],
    not_before: datetime.datetime,
    not_after: datetime.datetime,
) -> x509.Certificate:
    builder = _builder(_name(name), signer.certificate.subject, key, not_before, not_after)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())
    return builder.add_extension(authority, False).sign(signer.key, hashes.SHA256())
