"""Settings of a lease that do not fit together are refused (B4)."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.lease_words import LeaseSettings


def test_the_defaults_fit_together() -> None:
    settings = LeaseSettings()
    assert (settings.ttl_s, settings.renew_s, settings.safety_s) == (10.0, 3.0, 1.0)
    assert settings.failsafe
    assert settings.failback_s is None


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"safety_s": 0.9}, "two nodes could be active at once; at least 0.952 s"),
        ({"ttl_s": 20.0}, "lease safety 1 s is too short: with a ttl of 20 s"),
        ({"retry_s": 3.1}, "leaves no time to renew it after 3 s and to try again twice, 3.1 s"),
        ({"renew_s": 5.1}, "a lease of 10 s less 1 s for safety leaves no time"),
        ({"renew_s": 0.0}, "shorten these or lengthen the ttl"),
        ({"retry_s": 0.0}, "shorten these or lengthen the ttl"),
    ],
)
def test_what_could_have_two_owners_or_no_time_is_refused(
    changed: dict[str, float], why: str
) -> None:
    with pytest.raises(Misuse, match=why):
        msgspec.structs.replace(LeaseSettings(), **changed).__post_init__()


def test_the_limits_themselves_are_allowed() -> None:
    LeaseSettings(safety_s=0.953)
    LeaseSettings(renew_s=5.0)
    LeaseSettings(retry_s=3.0)
