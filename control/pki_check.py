"""Would peers accept this node's certificate? Each thing that can be wrong is one check."""

from __future__ import annotations

import datetime
import stat
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from ..protocol.config import TlsSettings
from ..protocol.errors import Misuse
from ..protocol.identity import NodeId, spiffe_uri
from ..transport.certificates import fingerprint, uris_of

WARN_DAYS = 30
"""A certificate that ends within this is worth a warning."""
MAX_CHAIN = 8
"""Certificates between a node's and the CA's, both counted."""

_USAGES = {
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
}
_Loaded = TypeVar("_Loaded")


class Verdict(StrEnum):
    """The result of one check."""

    PASS = "PASS"  # noqa: S105 - no password
    WARN = "WARN"
    FAIL = "FAIL"


class Check(NamedTuple):
    """One check: what was looked at, how it came out, and for people what was found."""

    name: str
    verdict: Verdict
    text: str


def check(tls: TlsSettings, node: NodeId, now: datetime.datetime | None = None) -> list[Check]:
    """Everything peers will look at, and the modes of the files; never raises for a bad file.

    Relative paths start at the working folder: `load_config` has made them absolute.
    """
    moment = now or datetime.datetime.now(datetime.UTC)
    found: list[Check] = []
    chain = _load(found, "certificate", tls.certificate, x509.load_pem_x509_certificates)
    authorities = _load(found, "ca", tls.ca, x509.load_pem_x509_certificates)
    key = _load(found, "key", tls.private_key, _public_key_of)
    if key is not None:
        found.append(_modes(Path(tls.private_key)))
    if chain and key is not None:
        found.append(_key_match(chain[0], key, tls))
    if chain and authorities:
        found.append(_chain(chain, authorities))
        found += _dates(chain, authorities, moment)
    if chain:
        found += [_usage(chain[0]), _identity(chain[0], tls.trust_domain, node)]
    if tls.crl:
        crl = _load(found, "crl", tls.crl, x509.load_pem_x509_crl)
        if crl is not None and chain:
            found.append(_revocation(crl, chain[0], moment))
    return found


def _load(
    found: list[Check], name: str, path: str, load: Callable[[bytes], _Loaded]
) -> _Loaded | None:
    try:
        return load(Path(path).read_bytes())
    except OSError as error:
        found.append(Check(name, Verdict.FAIL, f"{path}: cannot be read: {error.strerror}"))
    except Exception:  # noqa: BLE001 - a file may hold anything; S6
        found.append(Check(name, Verdict.FAIL, f"{path}: not such a file in PEM form"))
    return None


def _public_key_of(data: bytes) -> bytes:
    return _key_bytes(serialization.load_pem_private_key(data, None).public_key())


def _key_bytes(key: object) -> bytes:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(encoding, form))  # type: ignore[attr-defined]


def _modes(path: Path) -> Check:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        text = f"{path}: others may use it (mode {mode:04o}); chmod 600 {path}"
        return Check("mode", Verdict.FAIL, text)
    return Check("mode", Verdict.PASS, f"private key {mode:04o}")


def _key_match(certificate: x509.Certificate, key: bytes, tls: TlsSettings) -> Check:
    if _key_bytes(certificate.public_key()) != key:
        text = f"{tls.private_key} does not belong to {tls.certificate}"
        return Check("key", Verdict.FAIL, f"{text}; use the two files that were issued together")
    return Check("key", Verdict.PASS, "private key and certificate belong together")


def _chain(chain: list[x509.Certificate], authorities: list[x509.Certificate]) -> Check:
    """Follow the signatures from the own certificate to one of the CAs."""
    current, steps = chain[0], [chain[0]]
    while len(steps) < MAX_CHAIN:
        top = next((ca for ca in authorities if _signed(current, ca)), None)
        if top is not None:
            names = " < ".join(_name(step) for step in [*steps, top])
            return Check("chain", Verdict.PASS, names)
        between = next((c for c in chain[1:] if c not in steps and _signed(current, c)), None)
        if between is None:
            break
        current = between
        steps.append(between)
    issuer = current.issuer.rfc4514_string()[:128]
    text = f"signed by {issuer!a}, which is not among the CAs of the file, or not with its key"
    return Check("chain", Verdict.FAIL, text)


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
        return issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False


def _name(certificate: x509.Certificate) -> str:
    return ascii(certificate.subject.rfc4514_string()[:128]).strip("'")


def _dates(
    chain: list[x509.Certificate], authorities: list[x509.Certificate], now: datetime.datetime
) -> Iterator[Check]:
    issuers = [c for c in [*chain[1:], *authorities] if _signed(chain[0], c)]
    yield _date("dates", "the certificate", "tagmesh pki issue makes a new one", chain[0], now)
    for issuer in issuers[:1]:
        yield _date("ca dates", "the CA", "make a new CA and certificates", issuer, now)


def _date(
    name: str, whose: str, remedy: str, certificate: x509.Certificate, now: datetime.datetime
) -> Check:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        text = f"{whose} is not valid before {begin:%Y-%m-%d %H:%M}Z; is the clock right?"
        return Check(name, Verdict.FAIL, text)
    if now >= end:
        text = f"{whose} expired on {end:%Y-%m-%d %H:%M}Z; {remedy}"
        return Check(name, Verdict.FAIL, text)
    left = end - now
    if left < datetime.timedelta(days=WARN_DAYS):
        text = f"{whose} expires in {left.days} days, on {end:%Y-%m-%d %H:%M}Z; {remedy}"
        return Check(name, Verdict.WARN, text)
    return Check(name, Verdict.PASS, f"{whose} is valid until {end:%Y-%m-%d}, {left.days} days")


def _usage(certificate: x509.Certificate) -> Check:
    try:
        allowed = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        missing = [name for oid, name in _USAGES.items() if oid not in allowed]
    except (ValueError, x509.ExtensionNotFound):
        missing = list(_USAGES.values())
    if missing:
        text = f"extended key usage lacks {' and '.join(missing)}; a node dials and is dialled"
        return Check("usage", Verdict.FAIL, text)
    return Check("usage", Verdict.PASS, " and ".join(_USAGES.values()))


def _identity(certificate: x509.Certificate, trust_domain: str, node: NodeId) -> Check:
    wanted = spiffe_uri(trust_domain, node)
    try:
        uris = uris_of(certificate)
    except Misuse as misuse:
        return Check("identity", Verdict.FAIL, f"the names in the certificate {misuse}")
    if uris == [wanted]:
        text = f"{wanted}, SHA-256 {fingerprint(certificate)}"
        return Check("identity", Verdict.PASS, text)
    shown = ", ".join(ascii(uri[:128]) for uri in uris[:4]) or "none"
    text = f"it must have exactly one URI SAN, {wanted}; it has {shown}"
    return Check("identity", Verdict.FAIL, text)


def _revocation(
    crl: x509.CertificateRevocationList, certificate: x509.Certificate, now: datetime.datetime
) -> Check:
    if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
        return Check("crl", Verdict.FAIL, "the certificate is revoked; tagmesh pki issue")
    begin, end = crl.last_update_utc, crl.next_update_utc
    if end is not None and now >= end:
        text = f"the revocation list ended on {end:%Y-%m-%d %H:%M}Z, so every peer is refused"
        return Check("crl", Verdict.FAIL, text)
    if end is not None and now - begin > (end - begin) / 2:
        text = f"the revocation list is past half its life; it ends on {end:%Y-%m-%d %H:%M}Z"
        return Check("crl", Verdict.WARN, text)
    return Check("crl", Verdict.PASS, "the certificate is not revoked")
