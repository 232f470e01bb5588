"""Two kinds of errors, ours (`Misuse`) and the peer's (`PeerViolation`); reasons of a refusal.

Every error a user can meet descends from `TagmeshError`. Bugs are assertions that stay on.
"""

from __future__ import annotations

from enum import StrEnum


class TagmeshError(Exception):
    """The root of everything tagmesh raises on purpose."""


class Misuse(TagmeshError):  # noqa: N818 - a term of the design
    """The caller asked for something that cannot be: a bad argument, a call in the wrong state."""


class Unknown(Misuse):
    """There is no cluster, node, capability or tag of that name."""


class PeerViolation(TagmeshError):  # noqa: N818 - a term of the design
    """Bytes or messages of a peer break the protocol. Closes that peer's connection only."""


class NotProvisioned(TagmeshError):  # noqa: N818 - a term of the design
    """This node has no enabled row in the roster, so there is no cluster it may join."""


class NodeDown(TagmeshError):  # noqa: N818 - a term of the design
    """The node addressed is not reachable now."""


class CapabilityDisabled(TagmeshError):  # noqa: N818 - a term of the design
    """The capability is switched off, on this node or on the one addressed."""


class Unreachable(TagmeshError):  # noqa: N818 - a term of the design
    """No path leads to the node addressed, or it is no enabled node of the cluster."""


class Busy(TagmeshError):  # noqa: N818 - a term of the design
    """As much as may wait is waiting, here or at the node addressed. Try again later."""


class TimedOut(TagmeshError):  # noqa: N818 - a term of the design
    """No answer came in the time given. The request may have been carried out or not."""


class RemoteError(TagmeshError):
    """The other node took the request, and its handler raised. The text is what it said."""


class NotTagOwner(TagmeshError):  # noqa: N818 - a term of the design
    """Records of this sharing tag are written on the node where the tag is active (M-2)."""

    def __init__(self, message: str, *, tag: str = "", holder: int | None = None) -> None:
        super().__init__(message)
        self.tag = tag
        self.holder = holder
        """The node that has the tag, as far as known; None = nobody."""


class StaleTag(TagmeshError):  # noqa: N818 - a term of the design
    """The sharing tag is not active here, or no longer under the epoch that is meant (H-24)."""


class TagRefused(TagmeshError):  # noqa: N818 - a term of the design
    """The sharing tag could not be activated or handed over; the text says why."""


class StorageUnavailable(TagmeshError):  # noqa: N818 - a term of the design
    """The database cannot be asked: missing, locked, unreachable, or of another schema."""

    def __init__(self, message: str, *, may_pass: bool = True) -> None:
        super().__init__(message)
        self.may_pass = may_pass
        """Trying again may help: it was locked or did not answer."""


class ForkedRuntime(TagmeshError):  # noqa: N818 - a term of the design
    """A started node was carried over a fork; sockets and timers do not survive that.

    Start the node in the child instead (gunicorn: in ``post_fork``, not at import).
    """


class Reason(StrEnum):
    """Why a connection or a join is refused. The value travels on the wire and stands in logs.

    The first group is J-2; the ``cert_*`` reasons come from the TLS layer and the identity check.
    """

    UNKNOWN_NODE = "unknown_node"
    DISABLED = "disabled"
    INVALID_ROW = "invalid_row"
    DUPLICATE_ID = "duplicate_id"
    VERSION = "version"
    CONFIG_MISMATCH = "config_mismatch"
    CLUSTER_FULL = "cluster_full"
    NO_COMMON_CLUSTER = "no_common_cluster"
    STORAGE_UNAVAILABLE = "storage_unavailable"

    CERT_MISSING = "cert_missing"
    CERT_UNTRUSTED = "cert_untrusted"
    CERT_EXPIRED = "cert_expired"
    CERT_NOT_YET_VALID = "cert_not_yet_valid"
    CERT_REVOKED = "cert_revoked"
    CERT_USAGE = "cert_usage"
    CERT_IDENTITY = "cert_identity"
    CERT_FINGERPRINT = "cert_fingerprint"
    CRL_STALE = "crl_stale"
    TLS_VERSION = "tls_version"
    TLS_ERROR = "tls_error"

    VIOLATION = "violation"
    TOMBSTONED = "tombstoned"
    """J-2 too; the last because codes are only appended."""
