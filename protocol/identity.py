"""Who is who: node and cluster ids, ``bins:`` URLs, provisioned rows, certificate identities."""

from __future__ import annotations

import ipaddress
import re
from typing import NewType

import msgspec

from .errors import Misuse

ClusterId = NewType("ClusterId", int)
NodeId = NewType("NodeId", int)
Incarnation = NewType("Incarnation", int)
"""A number that grows each time a node process starts; orders everything the node says (T-9)."""

MAX_ID = 2**31 - 1  # the INT columns of the provisioning table
DEFAULT_PORT = 5556  # bins_port of proto_bins
MAX_URL_CHARS = 64  # url CHAR(64)
MAX_SHOWN_CHARS = 80
"""Of a url or a part of it in a message."""

_SCOPE = re.compile(r"[A-Za-z0-9._-]*")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_TRUST_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,253}[a-z0-9])?")
_SPIFFE = re.compile(rf"spiffe://({_TRUST_DOMAIN.pattern})/node/([1-9][0-9]{{0,9}})")


def node_id(value: int) -> NodeId:
    """``value`` as a node id; `Misuse` unless it is in 1 … 2³¹−1."""
    if not 1 <= value <= MAX_ID:
        raise Misuse(f"node id {value} is out of range: it must be 1 … {MAX_ID}")
    return NodeId(value)


def cluster_id(value: int) -> ClusterId:
    """``value`` as a cluster id; `Misuse` unless it is in 1 … 2³¹−1."""
    if not 1 <= value <= MAX_ID:
        raise Misuse(f"cluster id {value} is out of range: it must be 1 … {MAX_ID}")
    return ClusterId(value)


class BinsUrl(msgspec.Struct, frozen=True, order=True):
    """``bins:host[:port]``: where a node listens. IPv6 addresses stand in brackets."""

    host: str
    port: int = DEFAULT_PORT

    @classmethod
    def parse(cls, text: str) -> BinsUrl:
        """Read ``bins:host[:port]``; `Misuse` says what is wrong with anything else.

        ``bin:`` (and no scheme, which OpenSIPS reads as ``bin:``) is refused: tagmesh has no
        plaintext links.
        """
        if "@" in text:  # not repeated: what stands before it may be a password
            raise Misuse("the url must have the form bins:host[:port], without a user or password")
        shown = _brief(text)
        if len(text) > MAX_URL_CHARS:
            raise Misuse(f"url {shown}… is longer than {MAX_URL_CHARS} characters")
        scheme, colon, rest = text.partition(":")
        if not colon or scheme != "bins":
            hint = (
                "tagmesh links are always TLS" if scheme == "bin" or not colon else "unknown scheme"
            )
            raise Misuse(f"url {shown} must have the form bins:host[:port] ({hint})")
        return cls(*_host_and_port(rest, shown))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"bins:{host}:{self.port}"


def _brief(text: str) -> str:
    """For messages: ASCII, one line, bounded however its characters are escaped (S12)."""
    return ascii(text[: MAX_URL_CHARS + 1])[:MAX_SHOWN_CHARS]


def _host_and_port(rest: str, shown: str) -> tuple[str, int]:
    if rest.startswith("//"):
        raise Misuse(f"url {shown} must have the form bins:host[:port], without //")
    if rest.count(":") > 1 and not rest.startswith("["):
        raise Misuse(f"url {shown}: an IPv6 address stands in brackets, bins:[address]:port")
    if rest.startswith("["):
        host, bracket, port_text = rest[1:].partition("]")
        try:
            ipaddress.IPv6Address(host)
        except ValueError as error:
            raise Misuse(f"url {shown}: {_brief(host)} is not an IPv6 address") from error
        if not _SCOPE.fullmatch(host.partition("%")[2]):
            raise Misuse(f"url {shown}: {_brief(host)} has no interface name after the %")
        if not bracket or (port_text and not port_text.startswith(":")):
            raise Misuse(f"url {shown} must have the form bins:[address]:port")
        return host, _port(port_text[1:], shown) if port_text else DEFAULT_PORT
    host, colon, port_text = rest.partition(":")
    if not _HOST.fullmatch(host):
        raise Misuse(f"url {shown}: {_brief(host)} is not a host name or address")
    return host, _port(port_text, shown) if colon else DEFAULT_PORT


def _port(text: str, shown: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise Misuse(f"url {shown}: port {_brief(text)} is not a number in 1 … 65535")
    return int(text)


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One provisioned row of the ``clusterer`` table (behaviour 1.3), checked."""

    cluster_id: ClusterId
    node_id: NodeId
    url: BinsUrl
    db_id: int = -1
    """The row's primary key; −1 = not from a database."""
    enabled: bool = True
    ping_retries: int = 3
    """Pings sent after the first unanswered one before DOWN (``no_ping_retries``)."""
    priority: int = 50
    """Routing preference, lower is preferred."""
    sip_addr: str | None = None
    flags: str | None = None
    description: str | None = None

    @property
    def seed(self) -> bool:
        """May declare itself synced without data (flags column begins with ``seed``)."""
        return (self.flags or "").startswith("seed")


class InvalidRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of another node that cannot be used (D-5): skipped, and shown with the reason."""

    db_id: int
    cluster_id: int | None
    node_id: int | None
    reason: str


class IdentityPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What ``cluster_identity`` says of a node's certificates, beyond the CA's word."""

    fingerprints: frozenset[str] = frozenset()
    """SHA-256 of the certificates allowed, lower-case hex; empty = whatever the CA signed."""
    revoked: bool = False


class PeerIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What TLS proved of the other end before any byte of it was parsed (G-11)."""

    node_id: NodeId
    fingerprint: str
    """SHA-256 of the leaf certificate, lower-case hex."""
    not_after_wall_s: float
    """Seconds since the epoch at which the certificate ends."""
    tls_version: str = "TLSv1.3"


def check_trust_domain(text: str) -> str:
    """``text`` if it can be a SPIFFE trust domain, else `Misuse`."""
    if not _TRUST_DOMAIN.fullmatch(text):
        shown = ascii(text[:80])
        raise Misuse(f"trust domain {shown} must be lower-case letters, digits, '.', '_', '-'")
    return text


def spiffe_uri(trust_domain: str, node: NodeId) -> str:
    """The one URI SAN that a node's certificate carries."""
    return f"spiffe://{trust_domain}/node/{node}"


def parse_spiffe(uri: str) -> tuple[str, NodeId]:
    """Trust domain and node id of an exact identity URI; `Misuse` for anything that differs."""
    match = _SPIFFE.fullmatch(uri)
    if match is None or int(match[2]) > MAX_ID:
        raise Misuse(f"{uri[:128]!a} is not of the form spiffe://<trust-domain>/node/<id>")
    return match[1], NodeId(int(match[2]))


def next_incarnation(previous: int, wall_s: float) -> Incarnation:
    """The incarnation of a starting process (B2): microseconds of wall time, never going back."""
    return Incarnation(max(previous + 1, int(wall_s * 1_000_000)))
