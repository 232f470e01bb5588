"""Errors form one tree, and the reasons of a refusal are part of the wire: they never change."""

from __future__ import annotations

from tagmesh.protocol import errors
from tagmesh.protocol.errors import Reason, StorageUnavailable, TagmeshError

REASONS = [
    "unknown_node", "disabled", "invalid_row", "duplicate_id", "version",
    "config_mismatch", "cluster_full", "no_common_cluster", "storage_unavailable", "cert_missing",
    "cert_untrusted", "cert_expired", "cert_not_yet_valid", "cert_revoked", "cert_usage",
    "cert_identity", "cert_fingerprint", "crl_stale", "tls_version", "tls_error",
    "violation",
]  # fmt: skip


def test_every_error_of_ours_is_caught_by_one_name() -> None:
    ours = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert {k.__name__ for k in ours if not issubclass(k, TagmeshError)} == {"Reason", "StrEnum"}


def test_reasons_are_append_only() -> None:
    """A code may be added at the end; an old one is never renamed: peers of N-1 send it."""
    assert [reason.value for reason in Reason][: len(REASONS)] == REASONS


def test_a_storage_error_says_whether_trying_again_may_help() -> None:
    assert StorageUnavailable("locked").may_pass
    assert not StorageUnavailable("another schema", may_pass=False).may_pass
    assert str(StorageUnavailable("locked")) == "locked"
