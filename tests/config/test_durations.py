from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from elector_server.durations import (
    CLIENT_TTL_SECONDS_MAX,
    CLIENT_TTL_SECONDS_MIN,
    LEASE_SECONDS_MAX,
    LEASE_SECONDS_MIN,
    Durations,
    ImpossibleDuration,
    validity_seconds,
)
from elector_server.rules.session import observation_seconds

LEASES = st.floats(LEASE_SECONDS_MIN, LEASE_SECONDS_MAX)
TTLS = st.floats(CLIENT_TTL_SECONDS_MIN, CLIENT_TTL_SECONDS_MAX)


def test_the_default_is_what_the_documents_say() -> None:
    durations = Durations()
    assert durations.lease_seconds == 20
    assert durations.client_ttl_seconds == 30
    assert durations.validity_seconds == pytest.approx(16 + 2 / 3)
    assert durations.renew_seconds == 4
    assert durations.attempt_seconds == pytest.approx(3.6)
    assert durations.poll_seconds == 4
    assert durations.tick_seconds == pytest.approx(5.5555, abs=0.001)
    assert durations.client_belief_seconds == 27
    assert durations.adoption_grace_seconds == 30
    assert durations.legacy_allowed
    assert observation_seconds(20) + durations.poll_seconds == pytest.approx(24.7)


@given(LEASES, TTLS)
def test_relations_that_the_protocol_rests_on(lease_seconds: float, client_ttl_seconds: float) -> None:
    durations = Durations(lease_seconds, client_ttl_seconds)
    # An owner stops believing before any observer may end its session, though its clock be 1.2 times slower.
    assert durations.validity_seconds * 1.2 < observation_seconds(lease_seconds)
    # One renewal may fail altogether, and the next one still comes in time.
    assert durations.renew_seconds + durations.attempt_seconds < durations.validity_seconds
    assert durations.attempt_seconds < durations.renew_seconds
    # Two ticks in a row may be lost, and the client is heard before its belief ends.
    assert 3 * durations.tick_seconds < durations.client_belief_seconds
    assert 3 * durations.tick_seconds <= durations.validity_seconds * 1.000001
    assert durations.client_belief_seconds < durations.client_ttl_seconds
    assert durations.adoption_grace_seconds >= durations.validity_seconds


@given(LEASES, LEASES)
def test_a_longer_lease_is_longer_in_everything(one: float, other: float) -> None:
    assume(one < other)
    assert validity_seconds(one) < validity_seconds(other)
    assert observation_seconds(one) < observation_seconds(other)


def test_the_original_protocol_needs_twenty_seconds() -> None:
    assert Durations(20.0).legacy_allowed
    assert not Durations(19.9).legacy_allowed


@pytest.mark.parametrize(
    ("lease_seconds", "client_ttl_seconds", "broken"),
    [
        (3.9, 30, ["lease_seconds"]),
        (3600.1, 30, ["lease_seconds"]),
        (0, 30, ["lease_seconds"]),
        (-1, 30, ["lease_seconds"]),
        (math.nan, 30, ["lease_seconds"]),
        (math.inf, 30, ["lease_seconds"]),
        (20, 1.9, ["client_ttl_seconds"]),
        (20, 3601, ["client_ttl_seconds"]),
        (20, -math.inf, ["client_ttl_seconds"]),
        (1, 1, ["lease_seconds", "client_ttl_seconds"]),
    ],
)
def test_impossible_ones_say_every_rule_they_break(
    lease_seconds: float, client_ttl_seconds: float, broken: list[str]
) -> None:
    with pytest.raises(ImpossibleDuration) as caught:
        Durations(lease_seconds, client_ttl_seconds)
    assert [rule.setting for rule in caught.value.broken] == broken
    assert all(rule.setting in str(caught.value) for rule in caught.value.broken)
