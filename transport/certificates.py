"""Certificates as files and as identities: what is read, what is demanded (S3, S4, S15)."""

from __future__ import annotations

import datetime
import os
import stat
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from ..protocol.config import TlsSettings
from ..protocol.errors import Misuse, Reason
from ..protocol.identity import NodeId, parse_spiffe, spiffe_uri
from .base import Ending

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
MAX_FILE_BYTES = 1024**2
"""A PEM file beyond this is a mistake. CRLs may have `MAX_CRL_BYTES`."""
MAX_CRL_BYTES = 64 * 1024**2

_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
_SERVER = ExtendedKeyUsageOID.SERVER_AUTH
_UNENCRYPTED = "store it without a password, with mode 0600"


class Credentials(NamedTuple):
    """What one side of TLS needs, read from the files of ``[tls]``."""

    chain: list[x509.Certificate]
    """The own certificate, then those between it and the CA."""
    private_key: PrivateKey
    authorities: list[x509.Certificate]
    crls: list[x509.CertificateRevocationList]
    trust_domain: str
    min_version: str


def read_credentials(settings: TlsSettings) -> Credentials:
    """Read the files; `Misuse` names the file and what is wrong with it."""
    chain = _certificates(settings.certificate, "tls.certificate")
    return Credentials(
        chain=chain,
        private_key=_private_key(settings.private_key, chain[0], settings.certificate),
        authorities=_certificates(settings.ca, "tls.ca"),
        crls=_crls(settings.crl) if settings.crl else [],
        trust_domain=settings.trust_domain,
        min_version=settings.min_version,
    )


def check_own(credentials: Credentials, me: NodeId, path: str) -> None:
    """`Misuse` unless the own certificate is one that peers would accept as node ``me``'s."""
    own = credentials.chain[0]
    wanted = spiffe_uri(credentials.trust_domain, me)
    found = uris_of(own)
    if found != [wanted]:
        names = ", ".join(ascii(uri[:128]) for uri in found) or "none"
        raise Misuse(
            f"tls.certificate {path}: it must carry exactly one URI SAN, {wanted}; it has {names}."
            f" Issue a certificate for node {me}, or correct node.id or tls.trust_domain"
        )
    missing = [name for oid, name in _USAGES.items() if not _allows(own, oid)]
    if missing:
        raise Misuse(
            f"tls.certificate {path}: its extended key usage lacks {' and '.join(missing)};"
            " a node both dials and is dialled. Issue it anew"
        )
    ends = own.not_valid_after_utc
    if ends <= datetime.datetime.now(datetime.UTC):
        raise Misuse(f"tls.certificate {path}: it expired at {ends:%Y-%m-%d %H:%M:%SZ}. Renew it")


_USAGES = {_CLIENT: "clientAuth", _SERVER: "serverAuth"}


def judge(
    certificate: x509.Certificate, trust_domain: str, *, accepted: bool, expected: NodeId | None
) -> NodeId | Ending:
    """The node a verified peer certificate belongs to, or why it is refused. Never raises.

    ``accepted``: the peer dialled us, so clientAuth is demanded, else serverAuth (S4).
    ``expected``: the node that was dialled (S3).
    """
    try:
        uris = uris_of(certificate)
        if len(uris) != 1:
            return _refused(f"its certificate has {len(uris)} URI SANs; exactly one is required")
        domain, node = parse_spiffe(uris[0])
    except Misuse as error:
        return _refused(f"its certificate's URI SAN {error}")
    if domain != trust_domain:
        return _refused(
            f"its certificate is of trust domain {domain[:128]!a}, ours is {trust_domain}", node
        )
    if expected is not None and node != expected:
        return _refused(
            f"its certificate is that of node {node}; node {expected} was dialled", node
        )
    usage = _CLIENT if accepted else _SERVER
    if not _allows(certificate, usage):
        cause = f"its certificate's extended key usage lacks {_USAGES[usage]}"
        return Ending(cause=cause, reason=Reason.CERT_USAGE, node_id=node)
    return node


def _refused(cause: str, node: NodeId | None = None) -> Ending:
    return Ending(cause=cause, reason=Reason.CERT_IDENTITY, node_id=node)


def uris_of(certificate: x509.Certificate) -> list[str]:
    """All URI SANs, in order; `Misuse` when the extensions cannot be read."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    except Exception as error:
        raise Misuse(f"cannot be read: {ascii(str(error))[:128]}") from error
    return names.value.get_values_for_type(x509.UniformResourceIdentifier)


def _allows(certificate: x509.Certificate, usage: x509.ObjectIdentifier) -> bool:
    try:
        allowed = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except Exception:  # noqa: BLE001 - unreadable or absent: fail closed
        return False
    return usage in allowed.value


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256, lower-case hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def _read(path: str, key: str, limit_bytes: int = MAX_FILE_BYTES) -> bytes:
    try:
        with Path(path).open("rb") as file:
            if key == "tls.private_key":
                _check_private(os.fstat(file.fileno()), path)
            data = file.read(limit_bytes + 1)
    except OSError as error:
        raise Misuse(
            f"{key} {path}: cannot be read ({error.strerror}). Put the file there or correct {key}"
        ) from error
    if len(data) > limit_bytes:
        raise Misuse(f"{key} {path}: longer than {limit_bytes} bytes; is it the right file?")
    return data


def _check_private(status: os.stat_result, path: str) -> None:
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Misuse(
            f"tls.private_key {path}: others may read it (mode {stat.S_IMODE(status.st_mode):04o})."
            f" Run: chmod 600 {path}"
        )


def _certificates(path: str, key: str) -> list[x509.Certificate]:
    data = _read(path, key)
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise Misuse(f"{key} {path}: not a certificate in PEM form ({error})") from error


def _private_key(path: str, certificate: x509.Certificate, certificate_path: str) -> PrivateKey:
    data = _read(path, "tls.private_key")
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except TypeError as error:
        raise Misuse(f"tls.private_key {path}: the key is encrypted; {_UNENCRYPTED}") from error
    except Exception as error:
        raise Misuse(f"tls.private_key {path}: not a private key in PEM form ({error})") from error
    if not isinstance(key, PrivateKey):
        raise Misuse(f"tls.private_key {path}: not a key for TLS; use P-256, Ed25519 or RSA")
    if key.public_key() != certificate.public_key():
        raise Misuse(
            f"tls.private_key {path}: it does not belong to tls.certificate {certificate_path}."
            " Use the two files that were issued together"
        )
    return key


def _crls(path: str) -> list[x509.CertificateRevocationList]:
    data = _read(path, "tls.crl", MAX_CRL_BYTES)
    end = b"-----END X509 CRL-----"
    try:
        crls = [x509.load_pem_x509_crl(part + end) for part in data.split(end)[:-1]]
    except ValueError as error:
        raise Misuse(f"tls.crl {path}: not a revocation list in PEM form ({error})") from error
    if not crls:
        raise Misuse(f"tls.crl {path}: not a revocation list in PEM form")
    return crls
