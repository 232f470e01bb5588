"""Errors form one tree, and the reasons of a refusal are part of the wire: they never change."""

from __future__ import annotations

import pytest

from tagmesh.protocol import errors
from tagmesh.protocol.errors import Reason, Refused, StorageUnavailable, TagmeshError

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


@pytest.mark.parametrize(
    ("detail", "text"),
    [("", "unknown_node"), ("no row for node 9", "unknown_node: no row for node 9")],
)
def test_a_refusal_reads_as_code_and_sentence(detail: str, text: str) -> None:
    refused = Refused(Reason.UNKNOWN_NODE, detail)
    assert str(refused) == text
    assert (refused.reason, refused.detail) == (Reason.UNKNOWN_NODE, detail)


def test_a_storage_error_says_whether_trying_again_may_help() -> None:
    assert StorageUnavailable("locked").may_pass
    assert not StorageUnavailable("another schema", may_pass=False).may_pass
    assert str(StorageUnavailable("locked")) == "locked"
