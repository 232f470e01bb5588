"""What a failed TLS handshake means: X.509 errors and TLS alerts as reasons of a refusal.

Ours are numbered by X.509 (``X509_V_ERR_*`` of OpenSSL), the peer's by the alert it sent
(RFC 8446 section 6.2). An alert says less than the error behind it: 42 covers dates and signatures,
45 also a stale revocation list; the sentence names both where it matters.
"""

from __future__ import annotations

from ..protocol.errors import Reason

_X509: dict[int, tuple[Reason, str]] = {
    3: (Reason.CRL_STALE, "there is no revocation list of its issuer"),
    8: (Reason.CRL_STALE, "the revocation list has a bad signature"),
    9: (Reason.CERT_NOT_YET_VALID, "its certificate is not valid yet"),
    10: (Reason.CERT_EXPIRED, "its certificate expired"),
    11: (Reason.CRL_STALE, "the revocation list is not valid yet"),
    12: (Reason.CRL_STALE, "the revocation list expired: renew tls.crl; until then nobody joins"),
    18: (Reason.CERT_UNTRUSTED, "its certificate is self-signed"),
    19: (Reason.CERT_UNTRUSTED, "its certificate is of another CA"),
    20: (Reason.CERT_UNTRUSTED, "its certificate is not signed by our CA"),
    21: (Reason.CERT_UNTRUSTED, "its certificate is not signed by our CA"),
    23: (Reason.CERT_REVOKED, "its certificate is revoked"),
    26: (
        Reason.CERT_USAGE,
        "its certificate is not meant for this side of TLS (extended key usage)",
    ),
    33: (Reason.CRL_STALE, "there is no certificate of the revocation list's issuer"),
    79: (Reason.CERT_UNTRUSTED, "its certificate is signed by one that is no CA"),
}

_ALERTS: dict[int, tuple[Reason, str]] = {
    42: (Reason.CERT_NOT_YET_VALID, "is not valid yet by the peer's clock, or has a bad signature"),
    43: (Reason.CERT_USAGE, "is not meant for this side of TLS (extended key usage)"),
    44: (Reason.CERT_REVOKED, "is revoked"),
    45: (Reason.CERT_EXPIRED, "expired by the peer's clock, or the peer's revocation list did"),
    46: (Reason.CERT_UNTRUSTED, "cannot be verified"),
    48: (Reason.CERT_UNTRUSTED, "is not signed by the peer's CA"),
    # what OpenSSL sends when the identity check of `tls` refuses within verification
    80: (Reason.CERT_IDENTITY, "does not prove the identity wanted (URI SAN, extended key usage)"),
    116: (Reason.CERT_MISSING, "was not sent"),
}

X509_EXPIRED = 10
ALERT_CERTIFICATE_EXPIRED = 45
ALERT_CERTIFICATE_REQUIRED = 116
ALERT_PROTOCOL_VERSION = 70
HARMLESS_ALERTS = frozenset({0, 90})
"""close_notify and user_canceled: not failures."""


def of_x509_error(number: int) -> tuple[Reason, str]:
    """Why we refuse a peer whose certificate failed with this X.509 error number."""
    other = (Reason.CERT_UNTRUSTED, f"its certificate cannot be verified (X.509 error {number})")
    return _X509.get(number, other)


def of_alert(number: int) -> tuple[Reason, str]:
    """What the peer holds against us, by the number of the alert it sent."""
    if number == ALERT_PROTOCOL_VERSION:
        return Reason.TLS_VERSION, "the peer refused our TLS version (alert 70)"
    if number in _ALERTS:
        reason, text = _ALERTS[number]
        return reason, f"the peer refused us: our certificate {text} (alert {number})"
    return Reason.TLS_ERROR, f"the peer ended TLS with alert {number}"


def of_openssl(text: str, alert_sent: int | None) -> tuple[Reason, str]:
    """Why we ended TLS, when neither a certificate nor the peer's alert explains it."""
    if "http request" in text or "wrong version number" in text or "packet length" in text:
        return Reason.TLS_ERROR, f"what it sent is not TLS ({text})"
    if alert_sent == ALERT_CERTIFICATE_REQUIRED or "did not return a certificate" in text:
        return Reason.CERT_MISSING, "it sent no certificate"
    if alert_sent == ALERT_PROTOCOL_VERSION:
        return Reason.TLS_VERSION, f"its TLS version is not accepted ({text})"
    return Reason.TLS_ERROR, f"TLS failed ({text})"
