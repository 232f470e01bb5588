"""The kinds of values a setting can have.

A kind reads a value as it stands in the file and writes it back in the same notation. Durations
become seconds (float), sizes bytes (int).
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import Misuse
from .identity import MAX_ID, BinsUrl, check_trust_domain
from .settings import Kind, nearest, shown

MAX_PATH_CHARS = 4096
MAX_DATABASE_URL_CHARS = 1024
DATABASES = ("sqlite", "postgresql", "postgres", "mysql", "mariadb")


def integer(low: int, high: int = MAX_ID) -> Kind:
    """A whole number; a text of digits is not one."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Misuse(f"{shown(value)} is not a whole number")
        if not low <= value <= high:
            raise Misuse(f"{shown(value)} is out of range")
        return value

    return Kind(read, f"a whole number {low} … {high}")


def share() -> Kind:
    """A part of a whole: 0.5 is half of it."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Misuse(f"{shown(value)} is not a number")
        if not 0 <= value <= 1:
            raise Misuse(f"{shown(value)} is out of range")
        return float(value)

    return Kind(read, "a number 0.0 … 1.0")


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SIZES = {"MiB": 1024**2, "KiB": 1024, "B": 1}
_SIZE = re.compile(r"([0-9]{1,19})(B|KiB|MiB)")


def write_duration(seconds: float) -> str:
    """Seconds in the file's notation: ``0.5`` is ``500ms``."""
    value, unit = (seconds * 1000, "ms") if 0 < seconds < 1 else (seconds, "s")
    return f"{value:.9f}".rstrip("0").rstrip(".") + unit


def duration(low_s: float, high_s: float = 86400.0) -> Kind:
    """A time as ``4s`` or ``500ms``; its value is seconds."""

    def read(value: Any) -> float:
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise Misuse(f"{shown(value)} is not a duration with a unit")
        seconds = float(match[1]) * _UNITS[match[2]]
        if not low_s <= seconds <= high_s:
            raise Misuse(f"{shown(value)} is out of range")
        return seconds

    allowed = f'"{write_duration(low_s)}" … "{write_duration(high_s)}", units ms, s, m, h'
    return Kind(read, allowed, write_duration)


def write_size(size: int) -> str:
    """Bytes in the file's notation, in the largest unit that fits without a fraction."""
    unit = next(name for name, factor in _SIZES.items() if size % factor == 0)
    return f"{size // _SIZES[unit]}{unit}"


def size(low: int, high: int) -> Kind:
    """A size as ``64KiB`` or ``1MiB``; its value is bytes."""

    def read(value: Any) -> int:
        match = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise Misuse(f"{shown(value)} is not a size with a unit")
        number = int(match[1]) * _SIZES[match[2]]
        if not low <= number <= high:
            raise Misuse(f"{shown(value)} is out of range")
        return number

    allowed = f'"{write_size(low)}" … "{write_size(high)}", units B, KiB, MiB'
    return Kind(read, allowed, write_size)


def text(max_chars: int = 64) -> Kind:
    """A printable text of one line."""
    return Kind(
        lambda value: _printable(value, max_chars),
        f"a printable text of at most {max_chars} characters",
    )


def _printable(value: Any, max_chars: int) -> str:
    if not isinstance(value, str):
        raise Misuse(f"{shown(value)} is not a text")
    if len(value) > max_chars:
        raise Misuse(f"{shown(value)} has {len(value)} characters")
    if not value.isprintable():
        raise Misuse(f"{shown(value)} has characters that cannot be printed")
    return value


def path(*, optional: bool = False) -> Kind:
    """The path of a file or folder, not yet looked at."""

    def read(value: Any) -> str:
        if value == "" and not optional:
            raise Misuse("is empty")
        return _printable(value, MAX_PATH_CHARS)

    start = "empty, or a path" if optional else "a path"
    allowed = f"{start}; a relative one starts at the configuration file's folder"
    return Kind(read, allowed, anchor=lambda v, folder: posixpath.join(folder, v) if v else v)


def flag() -> Kind:
    """A switch."""

    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise Misuse(f"{shown(value)} is not a switch")
        return value

    return Kind(read, "true | false")


def choice(*options: str) -> Kind:
    """One of a few words."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in options:
            raise Misuse(f"{shown(value)} is not one of the options")
        return value

    return Kind(read, " | ".join(f'"{option}"' for option in options), options=options)


def bins_url() -> Kind:
    """Where a node listens."""

    def read(value: Any) -> BinsUrl:
        if not isinstance(value, str):
            raise Misuse(f"{shown(value)} is not a url")
        return BinsUrl.parse(value)

    return Kind(read, '"bins:host" or "bins:host:port"', str)


def trust_domain() -> Kind:
    """The domain of the certificates' SPIFFE ids."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise Misuse(f"{shown(value)} is not a text")
        try:
            return check_trust_domain(value)
        except Misuse as misuse:  # its sentence repeats the text as it is
            raise Misuse(f"{shown(value)} is no trust domain: must be lower-case") from misuse

    return Kind(read, "lower-case letters, digits, '.', '_', '-'")


_PASSWORD = re.compile(r"://([^:/@]*):.*@")
_OPTION = re.compile(r"([?&](?!host=|port=)[^=&]*=)[^&]*")  # any of them may hold a secret


def mask_url(url: str) -> str:
    """A database URL without its password and without the values of its options."""
    return _OPTION.sub(r"\1***", _PASSWORD.sub(r"://\1:***@", url))


def _anchor_url(url: str, folder: str) -> str:
    scheme, _, file = url.partition(":///")
    if not scheme.startswith("sqlite") or file in ("", ":memory:"):
        return url
    return f"{scheme}:///{posixpath.join(folder, file)}"


def database_url() -> Kind:
    """A SQLAlchemy URL. Whether the driver is there and the database answers is found at start."""
    known = ", ".join(f"{name}://" for name in DATABASES)

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise Misuse("is not a text")
        scheme, separator, rest = value.partition("://")
        # nothing after the scheme is repeated: a password may stand anywhere in a broken URL
        if not separator or scheme.partition("+")[0] not in DATABASES:
            start = f"starts with {shown(scheme)}" if separator else "has no ://"
            raise Misuse(f"is not the URL of such a database: it {start}")
        if not rest.isprintable() or len(value) > MAX_DATABASE_URL_CHARS:
            raise Misuse(f"is too long or not printable ({len(value)} characters)")
        return value

    allowed = f"a URL of at most {MAX_DATABASE_URL_CHARS} characters beginning with {known}"
    return Kind(read, allowed, mask_url, _anchor_url)


_HTTP = re.compile(r"(localhost|[0-9.]{7,15}|\[[0-9a-fA-F:.]{2,45}\]):([0-9]{1,5})")


def http_address() -> Kind:
    """``host:port`` of this machine; the host is an IP address."""

    def read(value: Any) -> str:
        match = _HTTP.fullmatch(value) if isinstance(value, str) else None
        if value == "" or (match and int(match[2]) <= 65535 and _is_address(match[1])):
            return str(value)
        raise Misuse(f"{shown(value)} is not an IP address and a port")

    return Kind(read, '"127.0.0.1:port", "[::1]:port" or another address; empty: none')


def loopback_address() -> Kind:
    """``host:port`` of a face that has no token; off loopback anybody could command the node."""

    def read(value: Any) -> str:
        match = _HTTP.fullmatch(value) if isinstance(value, str) else None
        if value == "" or (match and int(match[2]) <= 65535 and _loopback(match[1])):
            return str(value)
        raise Misuse(f"{shown(value)} is not an address and port of this machine's loopback")

    return Kind(read, '"127.0.0.1:port", "[::1]:port" or "localhost:port"; empty: none')


def datagram_address() -> Kind:
    """Where datagrams are heard: UDP on loopback, or a Unix socket's path."""
    udp, unix = loopback_address(), path()

    def read(value: Any) -> str:
        scheme, _, place = value.partition(":") if isinstance(value, str) else ("", "", "")
        if scheme in ("udp", "unix") and place:
            (udp if scheme == "udp" else unix).read(place)
        elif value != "":
            raise Misuse(f"{shown(value)} is no address that begins with udp: or unix:")
        return str(value)

    def anchor(value: str, folder: str) -> str:
        scheme, _, place = value.partition(":")
        return f"unix:{unix.anchor(place, folder)}" if scheme == "unix" else value

    allowed = '"udp:127.0.0.1:port", another loopback address, or "unix:path"; empty: none'
    return Kind(read, allowed, anchor=anchor)


def _is_address(host: str) -> bool:
    try:
        return host == "localhost" or bool(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return False


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


def columns(known: Sequence[str]) -> Kind:
    """Names of columns that differ from the ``known`` ones."""

    def read(value: Any) -> Mapping[str, str]:
        if not isinstance(value, Mapping):
            raise Misuse(f"{shown(value)} is not a table of column names")
        for key, name in value.items():
            if key not in known:
                near = f", did you mean {nearest(key, known)!r}?"
                raise Misuse(f"{shown(key)} is not a column of the provisioning table{near}")
            if not isinstance(name, str) or not _COLUMN.fullmatch(name):
                raise Misuse(f"{shown(name)} cannot be a column name")
        return dict(value)

    return Kind(read, f'{{ column = "its name in your table" }} for {", ".join(known)}', dict)


def table_name() -> Kind:
    """The name of a database table."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not _COLUMN.fullmatch(value):
            raise Misuse(f"{shown(value)} cannot be a table name")
        return value

    return Kind(read, "letters, digits and '_', at most 63, not beginning with a digit")
