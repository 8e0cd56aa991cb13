"""Who leads, what the leader says about itself, each change, and giving the office away."""

from __future__ import annotations

import pickle
import signal
import threading

import pytest

from metaparticle_sync import Election, ElectorRefused, ElectorUnavailable, Leader, leader_of, leader_only
from metaparticle_sync._clock import now
from metaparticle_sync._waiting import Patience
from tests.client.fake_elector import eventually
from tests.client.faults import hang
from tests.client.test_election import running

__all__ = ["running"]


@pytest.fixture
def watching(elector):
    """Collect what an iterator yields, in a thread."""
    started = []

    def watch(changes):
        seen = []

        def collect():
            try:
                for leader in changes:
                    seen.append(leader and leader.token)  # noqa: PERF401 -- the test looks at it meanwhile
            except BaseException as error:  # noqa: BLE001
                seen.append(error)

        thread = threading.Thread(target=collect)
        thread.start()
        started.append((changes, thread))
        seen_by[id(changes)] = thread
        return seen

    seen_by = {}
    watch.thread_of = lambda changes: seen_by[id(changes)]
    yield watch
    for changes, thread in started:
        changes.close()
        thread.join(10)
        assert not thread.is_alive()


# Who leads ------------------------------------------------------------------------------------------------------------


def test_nobody_leads(elector):
    assert Election("e").leader() is None
    assert leader_of("e") is None


def test_the_leader_and_what_it_says_about_itself(elector, running):
    election = Election("e", metadata={"url": "http://10.0.0.7/", "zones": [1, None, "ö"]})
    running(election)
    assert eventually(lambda: election.is_leader)
    token = elector.locks["e"][2]
    expected = Leader(
        name="e",
        owner="pod-7",
        process="host:17 worker.py",
        since="2026-01-01T00:00:00Z",
        token=token,
        metadata={"url": "http://10.0.0.7/", "zones": [1, None, "ö"]},
    )
    assert Election("e").leader() == leader_of("e") == expected
    assert len(elector.asked("PUT", "/locks/e")) == 1  # No request, hence no write, is made for metadata.


def test_a_leader_is_a_value():
    leader = Leader("e", "pod-7", "host:17 worker.py", "2026-01-01T00:00:00Z", 7, {"a": 1})
    assert repr(leader).startswith("Leader(name='e', owner='pod-7', process='host:17 worker.py', since='2026-")
    assert pickle.loads(pickle.dumps(leader)) == leader
    with pytest.raises(AttributeError):
        leader.token = 8
    assert Leader.__module__ == "metaparticle_sync"


def test_a_leader_that_says_nothing_about_itself(elector):
    elector.take("e")
    assert leader_of("e").metadata == {}


def test_a_look_without_an_elector_is_an_error(impatient):
    for look in (
        Election("e", base_uri="http://127.0.0.1:9").leader,
        lambda: leader_of("e", base_uri="http://[::1]:9"),
    ):
        with pytest.raises(ElectorUnavailable, match="Start an elector"):
            look()


def test_a_look_that_is_refused_is_an_error(elector):
    elector.inject("GET", "/locks/e", lambda handler: handler.problem(421, "wrong_host"))
    with pytest.raises(ElectorRefused, match="wrong_host"):
        leader_of("e")


def test_what_is_no_elector_says_nothing(elector):
    for body in ({"kind": "Lock", "spec": {"token": "x"}}, {"kind": "Pod", "spec": {"token": "1"}}, {"kind": "Lock"}):
        elector.inject("GET", "/locks/e", lambda handler, body=body: handler.answer(200, body))
        with pytest.raises(ElectorUnavailable, match="is no elector"):
            leader_of("e")


@pytest.mark.parametrize(
    ("metadata", "error", "message"),
    [
        ("text", TypeError, "a mapping, which becomes a JSON object, not str"),
        ([], TypeError, "not list"),
        ({1: 2}, TypeError, "the key 1: a JSON object's keys are text"),
        ({"a": object()}, TypeError, "can not become JSON: Object of type object"),
        ({"a": float("nan")}, ValueError, "can not become JSON: Out of range"),
        ({"a": "\ud800"}, ValueError, "can not become JSON: .*surrogates"),
        ({"a": "x" * 4089}, ValueError, "at most 4096 characters as JSON, this has 4097"),
    ],
)
def test_metadata_that_can_not_be_stored(metadata, error, message):
    with pytest.raises(error, match=message):
        Election("e", metadata=metadata)


def test_metadata_at_their_bounds(elector, running):
    for name, metadata in (("long", {"a": "x" * 4088}), ("none", None), ("empty", {})):
        election = Election(name, metadata=metadata)
        running(election)
        assert eventually(lambda election=election: election.is_leader)
        assert leader_of(name).metadata == (metadata or {})
        assert ("metadata" in elector.asked("PUT", f"/locks/{name}")[0].body) == bool(metadata)


# Changes --------------------------------------------------------------------------------------------------------------


def test_changes_yield_what_is_now_and_each_change(elector, watching):
    seen = watching(Election("e").changes())
    assert eventually(lambda: seen == [None])
    elector.take("e")
    assert eventually(lambda: seen == [None, 101])
    elector.take("e")
    assert eventually(lambda: seen == [None, 101, 102])
    elector.free("e")
    assert eventually(lambda: seen == [None, 101, 102, None])


def test_changes_wait_at_the_elector(elector, watching, monkeypatch):
    monkeypatch.setattr("metaparticle_sync.leader._NO_TAG_SECONDS", 0.0)
    elector.take("e")
    seen = watching(Election("e").changes())
    assert eventually(lambda: len(elector.asked("GET", "/locks/e")) == 2)
    elector.free("e")
    assert eventually(lambda: seen == [101, None])
    assert len(elector.asked("GET", "/locks/e")) <= 3


def test_the_end_of_a_wait_is_no_change(elector, watching):
    elector.take("e")
    for _ in range(3):
        elector.inject("GET", "/locks/e", lambda handler: handler.answer(304, headers=[("ETag", 'W/"101"')]))
    changes = Election("e").changes()
    changes._tag = 'W/"101"'
    seen = watching(changes)
    assert eventually(lambda: len(elector.asked("GET", "/locks/e")) == 4)
    assert seen == []


def test_changes_live_through_a_restart_of_the_elector(elector, watching):
    elector.take("e")
    seen = watching(Election("e").changes())
    assert eventually(lambda: len(elector.asked("GET", "/locks/e")) == 2)
    elector.kill()
    elector.start()
    assert eventually(lambda: len(elector.asked("GET", "/locks/e")) >= 3)
    elector.kill()
    elector.take("e")
    elector.start()
    assert eventually(
        lambda: seen == [101, 102]
    )  # Nothing was yielded twice, and what happened meanwhile is not missed.


@pytest.mark.parametrize("reconnects", [False, True])
def test_changes_that_are_closed_just_before_they_wait_do_not_wait(elector, reconnects):
    elector.take("e")
    changes = Election("e").changes()
    next(changes)
    asked = len(elector.asked("GET", "/locks/e"))
    if reconnects:
        changes._keeper.sidecar.close()
    changes._closed.set()  # As far as `close` has come when the other thread has just looked whether it was called.
    with pytest.raises(ElectorUnavailable):
        changes._look(Patience(None, 30.0, now()))
    assert len(elector.asked("GET", "/locks/e")) == asked


def test_changes_may_be_asked_on_after_the_elector_was_away_for_too_long(elector, impatient):
    elector.take("e")
    changes = Election("e", unavailable_seconds=0.2).changes()
    assert next(changes).token == 101
    elector.kill()
    with pytest.raises(ElectorUnavailable, match="last heard of"):
        next(changes)
    elector.take("e")
    elector.start()
    assert next(changes).token == 102


def test_changes_that_are_refused(elector):
    elector.inject("GET", "/locks/e", lambda handler: handler.problem(421, "wrong_host"))
    with pytest.raises(ElectorRefused, match="wrong_host"):
        next(Election("e").changes())


def test_close_ends_the_iteration_at_once(elector, watching):
    changes = Election("e").changes()
    seen = watching(changes)
    assert eventually(lambda: len(elector.asked("GET", "/locks/e")) == 2)
    assert repr(changes) == "<open metaparticle_sync.LeaderChanges name='e'>"
    changes.close()
    watching.thread_of(changes).join(10)
    assert not watching.thread_of(changes).is_alive()
    assert seen == [None]
    assert repr(changes).startswith("<closed ")
    assert list(changes) == []


def test_close_ends_the_iteration_even_if_the_elector_hangs_or_is_away(elector, watching):
    elector.inject("GET", "/locks/e", hang)
    hanging = Election("e").changes()
    seen = watching(hanging)
    assert eventually(lambda: elector.asked("GET", "/locks/e"))
    hanging.close()
    watching.thread_of(hanging).join(10)
    elector.kill()
    away = Election("e").changes()
    more = watching(away)
    away.close()
    watching.thread_of(away).join(10)
    assert seen == more == []


def test_a_with_closes(elector):
    with Election("e").changes() as changes:
        assert next(changes) is None
    with pytest.raises(StopIteration):
        next(changes)


def test_shutdown_ends_the_changes_of_the_election(elector, watching):
    election = Election("e")
    changes = election.changes()
    watching(changes)
    assert eventually(lambda: len(elector.asked("GET", "/locks/e")) == 2)
    election.shutdown()
    watching.thread_of(changes).join(10)
    assert not watching.thread_of(changes).is_alive()


def test_closing_one_does_not_disturb_a_request_that_uses_its_connection_now(elector, running):
    """The connection was given back after the last look; now a campaign waits on it."""
    elector.take("busy")
    leader_only("other")(lambda: None)()  # From here on there are a session and its stream.
    changes = Election("e").changes()
    assert next(changes) is None
    election = Election("busy")
    running(election)
    assert eventually(lambda: elector.queues.get("busy"))
    changes.close()
    elector.free("busy")
    assert eventually(lambda: election.is_leader)
    assert len(elector.asked("PUT", "/locks/busy")) == 1


def test_changes_at_an_elector_without_tags(elector, watching, monkeypatch):
    monkeypatch.setattr("metaparticle_sync.leader._NO_TAG_SECONDS", 0.01)
    elector.sends_tags = False
    seen = watching(Election("e").changes())
    assert eventually(lambda: len(elector.asked("GET", "/locks/e")) > 5)
    assert seen == [None]
    elector.take("e")
    assert eventually(lambda: seen == [None, 101])


def test_an_elector_without_tags_is_not_asked_all_the_time(elector, watching, monkeypatch):
    monkeypatch.setattr("metaparticle_sync.leader._NO_TAG_SECONDS", 1000.0)
    elector.sends_tags = False
    seen = watching(Election("e").changes())
    assert eventually(lambda: seen == [None])
    for _ in range(50):
        leader_of("other")
    assert len(elector.asked("GET", "/locks/e")) == 1


# Resign ---------------------------------------------------------------------------------------------------------------


def test_resign_stops_the_callback_before_the_lock_is_released(elector, running):
    ended, trace = threading.Event(), []

    def lead(leadership):
        leadership.stopping.wait()
        trace.append((leadership.held, elector.locks["e"][2]))
        ended.wait(10)
        trace.append((leadership.held, elector.locks["e"][2]))

    election, other = Election("e", lead), Election("e")
    running(election)
    assert eventually(lambda: election.is_leader)
    running(other)
    assert eventually(lambda: elector.queues.get("e"))
    election.resign()
    assert eventually(lambda: trace)
    assert not other.is_leader
    election.resign()  # As once.
    ended.set()
    assert eventually(lambda: other.is_leader)
    assert trace == [(True, 101), (True, 101)]
    assert not election.is_leader


def test_resign_then_it_campaigns_again_behind_who_waits(elector, running):
    election, other = Election("e"), Election("e")
    thread = running(election)
    assert eventually(lambda: election.is_leader)
    running(other)
    assert eventually(lambda: elector.queues.get("e"))
    election.resign()
    assert eventually(lambda: other.is_leader and elector.queues.get("e"))
    assert thread.is_alive()
    other.resign()
    assert eventually(lambda: election.is_leader)


def test_resign_without_anybody_who_waits(elector, running):
    election = Election("e")
    running(election)
    assert eventually(lambda: election.is_leader)
    election.resign()
    assert eventually(lambda: election.is_leader and elector.locks["e"][2] == 102)


def test_resign_without_an_office_has_no_effect(elector, running):
    election = Election("e")
    election.resign()
    elector.take("e")
    running(election)
    assert eventually(lambda: elector.queues.get("e"))
    election.resign()
    assert len(elector.queues["e"]) == 1
    elector.free("e")
    assert eventually(lambda: election.is_leader)
    assert not election._leadership.stopping.is_set()


def test_the_callback_may_resign(elector, running):
    tokens = []

    def lead(leadership):
        tokens.append(leadership.token)
        if len(tokens) == 1:
            election.resign()

    election = Election("e", lead)
    running(election)
    assert eventually(lambda: tokens == [101, 102])


def test_a_signal_handler_may_resign(elector):
    tokens = []

    def lead(leadership):
        tokens.append(leadership.token)
        if len(tokens) == 2:
            election.shutdown()

    election = Election("e", lead)
    before = signal.signal(signal.SIGUSR1, lambda *_: election.resign())
    main = threading.main_thread().ident

    def end_it():
        if eventually(lambda: tokens):
            signal.pthread_kill(main, signal.SIGUSR1)

    thread = threading.Thread(target=end_it)
    thread.start()
    try:
        election.run()
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert tokens == [101, 102]
