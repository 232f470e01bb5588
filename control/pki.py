"""A certificate authority for a cluster and node certificates.

Keys are P-256. A node's identity is exactly one URI SAN ``spiffe://<trust-domain>/node/<id>``
(S3); the trust domain stands in the CA's certificate, as its URI SAN without a path. The CA's key
never leaves its folder, and no file is ever overwritten.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..protocol.errors import Misuse
from ..protocol.identity import NodeId, check_trust_domain, spiffe_uri

CA_DAYS = 3652  # ten years
NODE_DAYS = 397
MAX_DAYS = 36_500
CLOCK_SKEW = datetime.timedelta(minutes=5)
"""Certificates begin this long ago, so that a peer whose clock is slow accepts them at once."""
KEY_MODE = 0o600
CERTIFICATE_MODE = 0o644

DEFAULT_TRUST_DOMAIN = "tagmesh"
_SPIFFE_DOMAIN = re.compile(r"spiffe://([^/]+)")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DNS_NAME = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]+$){_LABEL}")  # not digits last: an address
MAX_DNS_CHARS = 253


def init_ca(
    out_dir: Path | str,
    trust_domain: str = DEFAULT_TRUST_DOMAIN,
    *,
    days: int = CA_DAYS,
) -> tuple[Path, Path]:
    """Make ``ca.key`` (mode 0600) and ``ca.crt`` in ``out_dir``; their paths.

    Raises `Misuse` when one of them exists or an argument cannot be.
    """
    check_trust_domain(trust_domain)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "tagmesh"),
            # The length bound of a common name is 64 characters (RFC 5280).
            x509.NameAttribute(NameOID.COMMON_NAME, f"CA of {trust_domain}"[:64]),
        ]
    )
    uri = x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")
    builder = _builder(name, name, key.public_key(), key.public_key(), days)
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = {Path(out_dir, "ca.key"): _pem(key), Path(out_dir, "ca.crt"): _pem(certificate)}
    _write(files)
    key_path, certificate_path = files
    return key_path, certificate_path


def issue(
    ca_dir: Path | str,
    node: NodeId,
    out_dir: Path | str,
    *,
    hosts: Sequence[str] = (),
    ips: Sequence[str] = (),
    days: int = NODE_DAYS,
    trust_domain: str | None = None,
) -> tuple[Path, Path, Path]:
    """Make ``node.key`` (mode 0600) and ``node.crt`` in ``out_dir``, copy ``ca.crt``; their paths.

    ``out_dir`` then has all that ``[tls]`` asks for.

    ``trust_domain`` None: the CA's. Raises `Misuse` when a file exists, the CA cannot be used or
    an argument cannot be.
    """
    ca_key, ca = _read_ca(Path(ca_dir))
    domain = check_trust_domain(_trust_domain_of(ca) if trust_domain is None else trust_domain)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"node {node}")])
    names: list[x509.GeneralName] = [
        x509.UniformResourceIdentifier(spiffe_uri(domain, node)),
        *(x509.DNSName(_dns_name(host)) for host in hosts),
        *(x509.IPAddress(_ip_address(ip)) for ip in ips),
    ]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = _builder(subject, ca.subject, key.public_key(), ca_key.public_key(), days)
    if _end(days) > ca.not_valid_after_utc:
        left = (ca.not_valid_after_utc - datetime.datetime.now(datetime.UTC)).days
        raise Misuse(
            f"the CA ends in {left} days, before the certificate would ({days} days); "
            f"use fewer days or make a new CA"
        )
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    files = {Path(out_dir, "node.key"): _pem(key), Path(out_dir, "node.crt"): _pem(certificate)}
    copy = Path(out_dir, "ca.crt")
    if not copy.is_file() or copy.read_bytes() != _pem(ca):
        files[copy] = _pem(ca)
    _write(files)
    key_path, certificate_path, *_ = files
    return key_path, certificate_path, copy


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    days: int,
) -> x509.CertificateBuilder:
    """What the CA's and a node's certificate have in common."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.now(datetime.UTC) - CLOCK_SKEW)
        .not_valid_after(_end(days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False
        )
    )


def _end(days: int) -> datetime.datetime:
    if not 1 <= days <= MAX_DAYS:
        raise Misuse(f"{days} days of validity: it must be 1 … {MAX_DAYS}")
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _dns_name(host: str) -> str:
    if len(host) > MAX_DNS_CHARS or not _DNS_NAME.fullmatch(host):
        raise Misuse(f"{host[:80]!a} is not a host name; for an address use --ip")
    return host


def _ip_address(ip: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(ip)
    except ValueError:
        raise Misuse(f"{ip[:80]!a} is not an IP address; for a name use --host") from None


def _pem(what: ec.EllipticCurvePrivateKey | x509.Certificate) -> bytes:
    if isinstance(what, x509.Certificate):
        return what.public_bytes(serialization.Encoding.PEM)
    return what.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(files: Mapping[Path, bytes]) -> None:
    """Write all, or none when one exists. Keys get mode 0600 from the first byte on."""
    for path in files:
        if path.exists() or path.is_symlink():
            raise Misuse(f"{path} exists and is not overwritten; move it away or use another --out")
        path.parent.mkdir(parents=True, exist_ok=True)
    for path, data in files.items():
        mode = KEY_MODE if path.suffix == ".key" else CERTIFICATE_MODE
        # O_EXCL: never through a link that somebody put there since
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)


def _read_ca(folder: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    try:
        key_pem, pem = (folder / "ca.key").read_bytes(), (folder / "ca.crt").read_bytes()
    except FileNotFoundError as error:
        raise Misuse(
            f"{error.filename} is not there; make a CA with tagmesh pki init-ca --out {folder},"
            f" or name its folder with --ca"
        ) from error
    try:
        key = serialization.load_pem_private_key(key_pem, None)
        certificate = x509.load_pem_x509_certificate(pem)
    except (ValueError, TypeError) as error:
        raise Misuse(f"ca.key or ca.crt in {folder} is no PEM file that can be used") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Misuse(f"{folder / 'ca.key'} is not an elliptic curve key, as init-ca makes it")
    try:
        certificate.verify_directly_issued_by(certificate)
        own = certificate.public_key() == key.public_key()
    except (ValueError, TypeError, InvalidSignature):
        own = False
    if not own:
        raise Misuse(f"ca.key and ca.crt in {folder} do not belong together")
    return key, certificate


def _trust_domain_of(ca: x509.Certificate) -> str:
    try:
        names = ca.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return DEFAULT_TRUST_DOMAIN
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    found = [match[1] for match in map(_SPIFFE_DOMAIN.fullmatch, uris) if match]
    return found[0] if found else DEFAULT_TRUST_DOMAIN
