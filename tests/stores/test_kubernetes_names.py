"""Names that users type, and what becomes of them in a cluster."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from elector_server.rules.lock import Lock
from elector_server.store.kubernetes_names import label_value, object_name
from elector_server.store.kubernetes_objects import name_of, to_object, to_record
from tests.stores.test_contract import ODD_NAMES

LEGAL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")


def test_legal_names_stay_as_they_are() -> None:
    for name in ("a", "nightly-report", "a.b-c.d", "0", "x" * 253, "web-0"):
        assert object_name(name) == name


def test_others_stay_readable() -> None:
    assert object_name("Nightly Report") == "nightly-report-nx53gz4bhlrf3jwvdevqbjbnfi"
    assert object_name("Café/1").startswith("cafe-1-")
    assert object_name("").startswith("sweeper-")


def test_a_name_that_looks_like_a_made_one_is_not_taken_for_it() -> None:
    made = object_name("Nightly Report")
    assert object_name(made) != made


@given(st.lists(st.text(max_size=512) | st.sampled_from(ODD_NAMES) | st.from_regex(LEGAL, fullmatch=True), max_size=20))
def test_every_name_is_legal_and_its_own(names: list[str]) -> None:
    made = {name: object_name(name) for name in names}
    assert len(set(made.values())) == len(set(names))
    for name in made.values():
        assert LEGAL.fullmatch(name)
        assert len(name) <= 253


@given(st.text(max_size=100))
def test_every_session_is_a_legal_label(session: str) -> None:
    assert LABEL.fullmatch(label_value(session))
    assert len(label_value(session)) <= 63
    stored = to_object("lock", "a", session, {"owner": "o"}) | {}
    stored["metadata"]["resourceVersion"] = "1"
    record = to_record("lock", stored)
    assert record is not None
    assert record.session == session


def test_a_record_of_the_original_project_is_read_as_a_session_that_nobody_renews() -> None:
    stored = {
        "metadata": {"name": "master", "resourceVersion": "7"},
        "spec": {"owner": "web-0", "expiry": "2017-07-14 02:40:00"},
    }
    record = to_record("lock", stored)
    assert record is not None
    assert (record.name, record.version, record.spec["session"]) == ("master", 7, "original-7")
    assert record.spec["lease_seconds"] == 30.0


def test_a_renewal_by_the_original_project_counts_in_a_record_that_we_queued_in() -> None:
    ours = {"owner": "web-0", "session": "original-7", "holder": "original-7", "epoch": 0, "leaseSeconds": 30}
    stored = {"metadata": {"name": "master", "resourceVersion": "8"}, "spec": ours}
    before = to_record("lock", stored)
    after = to_record(
        "lock", {"metadata": stored["metadata"] | {"resourceVersion": "9"}, "spec": ours | {"expiry": "x"}}
    )
    assert before is not None
    assert after is not None
    assert (before.spec["session"], after.spec["session"]) == ("original-7", "original-9")


def test_a_lock_made_by_hand_is_held_by_somebody_who_does_not_renew() -> None:
    record = to_record("lock", {"metadata": {"name": "a", "resourceVersion": "7"}, "spec": {"owner": "me"}})
    assert record is not None
    lock = Lock.from_spec(record.spec)
    assert (lock.claimant.owner, lock.claimant.hold.session, lock.claimant.lease_seconds) == ("me", "original-7", 30.0)


def test_an_object_under_a_name_that_stands_for_nothing_is_no_record() -> None:
    made = object_name("Nightly Report")
    assert name_of({"metadata": {"name": made}, "spec": {"name": "Nightly Report"}}) == "Nightly Report"
    assert name_of({"metadata": {"name": made}, "spec": {"name": "other"}}) is None
    assert name_of({"metadata": {"name": "a"}, "spec": {"name": "other"}}) == "a"
