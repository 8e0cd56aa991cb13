"""The session, its stream and its one thread, against an elector that fails in every way."""

from __future__ import annotations

import threading

import pytest

from metaparticle_sync import Lock, LockLost, _listener
from metaparticle_sync._clock import now
from tests.client.fake_elector import FakeElector, eventually
from tests.client.faults import drop, hang, refuses


def losses_of(name, **options):
    """A held lock and the list of what its holder is told."""
    told = []
    lock = Lock(name, on_lost=told.append, **options)
    assert lock.acquire()
    return lock, told


def deadline(lock):
    return lock._keeper.holds.term.deadline


@pytest.fixture
def brief(elector):
    """An elector whose word counts for two seconds."""
    elector.valid_seconds = 2.0
    elector.tick_seconds = 0.2
    return elector


def test_nothing_is_sent_before_the_first_acquire(elector):
    Lock("x")
    assert elector.requests == []
    assert Lock("x")._keeper.listener is None


def test_one_thread_and_one_session_for_all_locks(elector):
    before = set(threading.enumerate())
    locks = [Lock(str(number)) for number in range(20)]
    for lock in locks:
        lock.acquire()
    started = [thread.name for thread in set(threading.enumerate()) - before if "metaparticle_sync" in thread.name]
    assert started == ["metaparticle_sync keeper"]
    assert len(elector.asked("PUT", "/sessions")) == 1
    assert len(elector.clients) == 1


def test_our_death_can_be_proven_from_the_first_acquire_on(elector):
    lock = Lock("x")
    lock.acquire()
    [stream] = elector.asked("GET", "/stream")
    assert list(elector.clients.values()) == [stream.peer]
    assert lock._keeper.listener.address == stream.peer


def test_the_process_is_named(elector):
    with Lock("x"):
        pass
    assert ":" in elector.asked("PUT", "/sessions")[0].body["process"]


def test_ticks_drive_heartbeats_and_heartbeats_the_deadline(elector):
    lock, _ = losses_of("x")
    client, before = lock._keeper.client, len(elector.asked("POST", "/sessions"))
    first = deadline(lock)
    elector.push(client, {"event": "tick"})
    assert eventually(lambda: len(elector.asked("POST", "/sessions")) > before)
    assert eventually(lambda: deadline(lock) > first)


def test_heartbeats_need_no_ticks(brief):
    brief.tick_seconds = 0.1
    lock, told = losses_of("x")
    first = deadline(lock)
    assert eventually(lambda: deadline(lock) > first + 2.2)
    assert told == []


def test_a_pushed_loss_is_told_at_once_and_acknowledged(elector):
    lock, told = losses_of("x")
    elector.lose("x", "the test wants it")
    assert eventually(lambda: told)
    assert (told[0].name, told[0].reason) == ("x", "the test wants it")
    assert not lock.held
    assert eventually(lambda: not any(elector.lost.values()))
    with pytest.raises(LockLost, match="the test wants it"):
        _ = lock.token
    with pytest.raises(LockLost, match="the test wants it"):
        lock.release()
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        lock.release()


def test_a_loss_that_was_not_pushed_comes_with_the_heartbeat(elector):
    lock, told = losses_of("x")
    elector.streams.clear()
    elector.lose("x")
    lock._keeper.heartbeat(lock._keeper.listener.address, now() + 1)
    assert eventually(lambda: told)


def test_two_events_in_one_piece_are_both_seen(elector):
    _, told = losses_of("x")
    _, told_too = losses_of("y")
    with elector.changed:
        elector.lose("x")
        elector.lose("y")
    assert eventually(lambda: told and told_too)


def test_holds_survive_a_restart_of_the_elector(elector):
    lock, told = losses_of("x")
    elector.kill()
    elector.incarnation = "two"
    elector.start()
    assert eventually(lambda: lock._keeper.holds.term.incarnation == "two")
    assert eventually(lambda: not lock._keeper.holds.has_unconfirmed())
    assert lock.held
    assert told == []
    presented = elector.asked("PUT", "/sessions")[-1].body["holds"]
    assert [(hold["kind"], hold["name"], hold["token"]) for hold in presented] == [("lock", "x", str(lock.token))]
    lock.release()
    assert elector.locks == {}


def test_waiters_survive_a_restart_of_the_elector(elector):
    elector.take("x")
    lock = Lock("x")
    acquired = []
    thread = threading.Thread(target=lambda: acquired.append(lock.acquire()))
    thread.start()
    assert eventually(lambda: elector.queues.get("x"))
    elector.kill()
    elector.incarnation = "two"
    elector.start()
    assert eventually(lambda: elector.queues.get("x"))
    elector.free("x")
    thread.join(10)
    assert acquired == [True]
    assert lock.held


def test_a_hold_that_the_next_elector_does_not_know_is_lost(elector):
    lock, told = losses_of("x")
    elector.kill()
    elector.locks.clear()
    elector.start()
    assert eventually(lambda: told)
    assert not lock.held


def test_an_undecided_hold_keeps_its_deadline_and_is_asked_for_again(elector):
    lock, told = losses_of("x")
    elector.undecided = True
    elector.kill()
    elector.incarnation = "two"
    elector.start()
    assert eventually(lambda: len(elector.asked("PUT", "/sessions")) >= 4)
    assert lock.held
    assert told == []
    elector.undecided = False
    assert eventually(lambda: not lock._keeper.holds.has_unconfirmed())
    assert lock.held


def test_an_undecided_hold_is_lost_at_its_old_deadline(brief):
    lock, told = losses_of("x")
    brief.undecided = True
    brief.kill()
    brief.incarnation = "two"
    brief.start()
    assert eventually(lambda: told)
    assert not lock.held
    assert eventually(lambda: brief.locks == {})  # And given up.


@pytest.mark.parametrize("death", ["killed", "hangs", "refuses"])
def test_an_elector_that_is_gone_is_told_at_the_deadline(brief, death):
    lock, told = losses_of("x")
    _, told_too = losses_of("y")
    moments = []
    if death == "killed":
        brief.kill()
    else:
        act = hang if death == "hangs" else refuses(503, "elector_starting")
        for method in ("PUT", "POST", "GET"):
            brief.inject(method, "/sessions", act, times=1_000_000)
    assert eventually(lambda: (moments.append((now(), lock.held)), told and told_too)[1])
    last_believed = max(moment for moment, held in moments if held)
    assert last_believed < deadline(lock)
    assert moments[-1][0] < deadline(lock) + 1
    assert "without word from the elector" in str(told[0])


def test_after_a_loss_everything_goes_on(brief):
    lock, told = losses_of("x")
    brief.kill()
    assert eventually(lambda: told)
    brief.start()
    with pytest.raises(LockLost):
        lock.release()
    assert eventually(lambda: brief.locks == {})
    assert lock.acquire(timeout=10)
    assert lock.held


def test_a_belief_does_not_come_back(brief):
    lock, told = losses_of("x")
    brief.kill()
    assert eventually(lambda: not lock.held)
    brief.start()
    assert eventually(lambda: told)
    assert not lock.held


def test_a_process_that_was_stopped_sees_its_loss_before_it_is_told(brief, monkeypatch):
    """`held` asks the clock, not the thread, which may be as paused as everything else was."""
    lock, _ = losses_of("x")
    assert lock.held
    monkeypatch.setattr("metaparticle_sync._holds.now", lambda: now() + 60)
    assert not lock.held
    assert repr(lock).startswith("<unlocked ")
    monkeypatch.undo()


def test_a_broken_stream_is_opened_again(elector):
    lock, told = losses_of("x")
    elector.push(lock._keeper.client, {"event": "stopping"})
    elector.push(lock._keeper.client, None)
    assert eventually(lambda: len(elector.asked("GET", "/stream")) == 2)
    assert eventually(lambda: list(elector.clients.values()) == [elector.asked("GET", "/stream")[-1].peer])
    assert lock.held
    assert told == []


def test_a_silent_stream_is_replaced_but_never_closed(brief):
    """Its end would be taken for our death."""
    lock, told = losses_of("x")
    [stream] = brief.asked("GET", "/stream")
    brief.muted.add(stream.peer)
    assert eventually(lambda: len(brief.asked("GET", "/stream")) >= 2)
    assert eventually(lambda: stream.peer not in brief.clients.values())
    assert lock.held
    assert told == []
    [retired] = lock._keeper.listener._retired
    assert not retired.close_if_ended()


@pytest.mark.parametrize("act", [drop, refuses(404, "bad_path"), refuses(503, "elector_busy"), hang])
def test_without_a_stream_there_are_still_heartbeats(brief, act):
    brief.inject("GET", "/stream", act, times=1_000_000)
    lock, told = losses_of("x")
    first = deadline(lock)
    assert eventually(lambda: deadline(lock) > first + 2.2)
    assert told == []
    assert lock._keeper.listener.address is None


def test_a_stream_that_ends_at_once_is_not_opened_too_often(elector):
    def end(handler):
        handler.answer(200, b"")

    elector.inject("GET", "/stream", end, times=1_000_000)
    losses_of("x")
    assert eventually(lambda: len(elector.asked("GET", "/stream")) > 3)
    assert len(elector.asked("GET", "/stream")) < 100


def test_the_thread_survives_an_error_of_its_own(elector, monkeypatch):
    reported = []
    lock, _ = losses_of("x")
    monkeypatch.setattr(_listener.sys, "excepthook", lambda *error: reported.append(error))
    monkeypatch.setattr(lock._keeper, "heartbeat", lambda *_: 1 / 0)
    elector.push(lock._keeper.client, {"event": "tick"})
    assert eventually(lambda: reported)
    monkeypatch.undo()
    first = deadline(lock)
    assert eventually(lambda: deadline(lock) > first)


def test_a_far_elector_s_word_counts_for_less(monkeypatch):
    fake = FakeElector(valid_seconds=12.0).start()
    lock = Lock("x", fake.url)
    monkeypatch.setattr(type(lock._keeper.address), "is_loopback", property(lambda self: False))
    try:
        before = now()
        lock.acquire()
        assert before + 10.0 <= deadline(lock) <= now() + 10.0
    finally:
        lock._keeper.close()
        fake.kill()


def test_thousands_of_holds_are_presented_in_bounded_pieces(elector):
    lock, _ = losses_of("x")
    holds = lock._keeper.holds
    hold = next(iter(holds._holds.values()))
    for number in range(12_000):
        holds._holds[f"{number:032x}"] = hold
    presented = lock._keeper._presented()
    assert 1_000 < len(presented) <= 10_000


def test_a_release_that_finds_the_lock_gone_is_a_loss(elector):
    lock, told = losses_of("x")
    elector.take("x")
    with pytest.raises(LockLost, match="held by process host:17"):
        lock.release()
    assert eventually(lambda: told)
    assert elector.holder_of("x") is not None


def test_the_end_of_a_with_tells_a_loss(elector):
    lock = Lock("x")
    with pytest.raises(LockLost), lock:
        elector.lose("x")
        assert eventually(lambda: not lock.held)


def test_the_end_of_a_with_lets_another_error_pass(elector):
    lock = Lock("x")
    with pytest.raises(KeyError), lock:
        elector.lose("x")
        assert eventually(lambda: not lock.held)
        raise KeyError


def test_the_end_of_a_lost_with_leaves_a_newer_hold_alone(elector):
    lock, release = Lock("x"), threading.Event()
    acquired = threading.Event()

    def hold():
        with lock:
            acquired.set()
            release.wait(10)

    with pytest.raises(LockLost), lock:
        elector.lose("x")
        assert eventually(lambda: not lock.held)
        thread = threading.Thread(target=hold)
        thread.start()
        acquired.wait(10)
    assert lock.held
    release.set()
    thread.join()
    assert elector.locks == {}
