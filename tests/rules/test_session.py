"""The session's table of transitions, each legal row and each illegal one; and the arithmetic of observation."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elector_server.durations import validity_seconds
from elector_server.rules import session as rules
from elector_server.rules.session import ForeignWriter, IllegalTransition, Observation, Session, State

BORN = rules.begin("pod-1", "pod one", 20.0, "n1", "boot-1", "T0")
LIVE = rules.renew(BORN, "n1", 1, "T1")
GONE = rules.missing(20.0, "T2")
ENDED = rules.end(LIVE)


def test_a_new_session_is_live_and_not_yet_usable():
    assert (BORN.state, BORN.epoch, BORN.seq) == (State.LIVE, 1, 0)
    assert not rules.is_adoptable(BORN, "boot-1")


@pytest.mark.parametrize("session", [BORN, LIVE, GONE, ENDED])
def test_the_stored_form_reads_back(session: Session):
    assert Session.from_spec(session.to_spec()) == session


@pytest.mark.parametrize(
    ("name", "event", "expected"),
    [
        ("renew live", lambda: rules.renew(LIVE, "n1", 1, "T"), {"seq": 2, "epoch": 1, "state": State.LIVE}),
        ("adopt live", lambda: rules.adopt(LIVE, "n2", "boot-1", "T"), {"seq": 2, "epoch": 2, "nonce": "n2"}),
        ("end live", lambda: rules.end(LIVE), {"seq": 1, "state": State.ENDED}),
        ("end gone", lambda: rules.end(GONE), {"state": State.ENDED}),
    ],
)
def test_legal_transitions(name, event, expected):
    after = event()
    assert {key: getattr(after, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("name", "before", "event", "error"),
    [
        ("renew with a foreign nonce", LIVE, lambda s: rules.renew(s, "n2", 1, "T"), ForeignWriter),
        ("renew an older epoch", LIVE, lambda s: rules.renew(s, "n1", 2, "T"), ForeignWriter),
        ("renew ended", ENDED, lambda s: rules.renew(s, "n1", 1, "T"), IllegalTransition),
        ("renew gone", GONE, lambda s: rules.renew(s, "", 0, "T"), IllegalTransition),
        ("adopt before the first renewal", BORN, lambda s: rules.adopt(s, "n2", "boot-1", "T"), IllegalTransition),
        ("adopt ended", ENDED, lambda s: rules.adopt(s, "n2", "boot-1", "T"), IllegalTransition),
        ("adopt gone", GONE, lambda s: rules.adopt(s, "n2", "", "T"), IllegalTransition),
        ("adopt after a reboot", LIVE, lambda s: rules.adopt(s, "n2", "boot-2", "T"), IllegalTransition),
        ("end ended", ENDED, rules.end, IllegalTransition),
    ],
)
def test_illegal_transitions_raise_and_change_nothing(name, before, event, error):
    copy = dataclasses.replace(before)
    with pytest.raises(error):
        event(before)
    assert before == copy


def test_the_lease_never_changes_within_a_session():
    adopted = rules.adopt(LIVE, "n2", "boot-1", "T")
    assert {rules.renew(LIVE, "n1", 1, "T").lease_seconds, adopted.lease_seconds, ENDED.lease_seconds} == {20.0}


def test_ids_of_one_identity_share_its_index_and_nothing_else():
    first, second = rules.new_session_id("pod-1", 1), rules.new_session_id("pod-1", 2)
    assert first != second
    assert first.startswith("pod-1-")
    assert len(first.removeprefix("pod-1-")) == 32


def test_observation_keeps_the_first_sighting_only_of_an_unchanged_record():
    first = rules.observe(None, LIVE, 7, 100.0)
    assert rules.observe(first, LIVE, 7, 110.0) is first
    assert rules.observe(first, LIVE, 8, 110.0).observed_at == 110.0
    assert rules.observe(first, rules.renew(LIVE, "n1", 1, "T"), 7, 110.0).observed_at == 110.0
    assert rules.observe(first, rules.adopt(LIVE, "n2", "boot-1", "T"), 7, 110.0).observed_at == 110.0


@pytest.mark.parametrize(
    ("lease_seconds", "seconds_seen", "silent"),
    [(20.0, 20.69, False), (20.0, 20.71, True), (4.0, 4.5, False), (4.0, 4.55, True), (40.0, 20.7, False)],
)
def test_silence_takes_the_whole_observation_of_the_records_own_lease(lease_seconds, seconds_seen, silent):
    session = dataclasses.replace(LIVE, lease_seconds=lease_seconds)
    assert rules.is_silent(Observation((1, 1, 1), 50.0), session, 50.0 + seconds_seen) is silent


@given(st.floats(min_value=4.0, max_value=3600.0), st.floats(min_value=0.92, max_value=1.08))
def test_an_owner_has_stopped_before_any_observer_may_take(lease_seconds: float, rate: float):
    """P1: clocks that differ by less than 1.2x. The owner's clock runs at `rate`, the observer's at 1 / rate."""
    owner_stops_after = validity_seconds(lease_seconds) / rate
    observer_takes_after = rules.observation_seconds(lease_seconds) * rate
    assert owner_stops_after < observer_takes_after
