"""Patience and latches."""

from __future__ import annotations

import threading
import time

import pytest

from metaparticle_sync import ElectorUnavailable
from metaparticle_sync._waiting import Backoff, Latch, Patience
from tests.client.fake_elector import eventually

AWAY = ElectorUnavailable("it is away", address="http://a")


class Clock:
    def __init__(self, monkeypatch):
        self.time = 1000.0
        self.pauses = []
        monkeypatch.setattr("metaparticle_sync._waiting.now", lambda: self.time)

    def pause(self, seconds):
        self.pauses.append(seconds)
        self.time += seconds


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def seconds_of(clock, patience):
    """How long it puts up with failures."""
    before = clock.time
    with pytest.raises(ElectorUnavailable) as caught:
        while patience.failed(AWAY, clock.pause):
            pass
    return clock.time - before, str(caught.value)


@pytest.mark.parametrize(
    ("timeout", "heard_seconds_ago", "expected"),
    [
        (None, None, 5.0),  # First contact.
        (60.0, None, 5.0),
        (2.0, None, 2.0),
        (0, None, 0.0),  # A single try.
        (0, 1.0, 0.0),
        (None, 0.0, 30.0),  # It was there.
        (None, 10.0, 20.0),
        (None, 28.0, 5.0),  # Not less than at first contact.
        (None, 100.0, 5.0),
        (7.0, 0.0, 7.0),
    ],
)
def test_patience(clock, timeout, heard_seconds_ago, expected):
    heard_at = None if heard_seconds_ago is None else clock.time - heard_seconds_ago
    seconds, text = seconds_of(clock, Patience(timeout, 30.0, heard_at))
    assert seconds == pytest.approx(expected)
    assert ("Start an elector" in text) is (heard_at is None)


def test_a_short_patience_is_short(clock):
    assert seconds_of(clock, Patience(None, 3.0, clock.time - 100.0))[0] == pytest.approx(3.0)
    assert seconds_of(clock, Patience(None, 3.0, clock.time - 2.0))[0] == pytest.approx(3.0)


def test_an_answer_renews_the_patience(clock):
    patience = Patience(None, 30.0, clock.time)
    clock.time += 25
    patience.answered()
    assert seconds_of(clock, patience)[0] == pytest.approx(30.0)


def test_who_was_answered_just_now_is_not_unavailable_at_the_end(clock):
    patience = Patience(3.0, 30.0, clock.time)
    clock.time += 2.5
    patience.answered()
    while patience.failed(AWAY, clock.pause):
        pass
    assert patience.is_over()


def test_who_was_answered_long_before_the_end_does_not_know_how_it_is(clock):
    patience = Patience(3.0, 30.0, clock.time)
    clock.time += 1.5
    patience.answered()
    with pytest.raises(ElectorUnavailable):
        while patience.failed(AWAY, clock.pause):
            pass
    assert patience.is_over()


def test_pauses_double_up_to_half_a_second(clock):
    seconds_of(clock, Patience(None, 30.0, clock.time))
    assert clock.pauses[:6] == [0.02, 0.04, 0.08, 0.16, 0.32, 0.5]
    assert max(clock.pauses) == 0.5
    backoff = Backoff()
    backoff.pause_seconds()
    backoff.reset()
    assert backoff.pause_seconds() == 0.02


def test_a_few_stumbles_cost_nothing(clock):
    patience = Patience(None, 30.0, clock.time)
    assert all(patience.stumbled(AWAY, clock.pause) for _ in range(3))
    assert clock.pauses == []
    assert patience.stumbled(AWAY, clock.pause)
    assert clock.pauses == [0.02]


@pytest.mark.parametrize("timeout", [0, 0.3, 3.0, 26.0])
def test_every_call_is_over_a_second_after_its_timeout(clock, timeout):
    patience = Patience(timeout, 30.0, None)
    until = patience.request_until(patience.next_wait())
    assert until <= clock.time + max(timeout, 0.5) + 0.5
    clock.time = clock.time + timeout + 0.5
    assert clock.time + patience.give_up_seconds(interrupted=False) <= patience.deadline + 1.0


@pytest.mark.parametrize(("unavailable_seconds", "wait"), [(1000.0, 25.0), (30.0, 24.0), (10.0, 8.0)])
def test_a_hanging_request_ends_within_the_patience(clock, unavailable_seconds, wait):
    patience = Patience(None, unavailable_seconds, clock.time)
    assert patience.next_wait() == wait
    assert patience.request_until(wait) <= clock.time + max(unavailable_seconds, wait) + 0.5


def test_latch():
    latch, passed = Latch(), []
    assert not latch.wait(0)
    assert repr(latch) == "<Latch: unset>"
    threads = [threading.Thread(target=lambda: passed.append(latch.wait())) for _ in range(5)]
    for thread in threads:
        thread.start()
    latch.set()
    latch.set()
    for thread in threads:
        thread.join(5)
    assert passed == [True] * 5
    assert latch.wait(0)
    assert latch.is_set()
    assert eventually(lambda: not any(thread.is_alive() for thread in threads))


def test_a_latch_looks_again_by_itself():
    """A signal that comes just before its waiter blocks wakes nobody: its handler runs when the waiter wakes."""
    latch = Latch()
    thread = threading.Thread(target=latch.wait)
    thread.start()
    latch._is_set = True  # As it is once the handler has run, though nobody was woken.
    thread.join(20)
    assert not thread.is_alive()


def test_a_latch_waits_for_no_longer_than_it_is_told():
    latch = Latch()
    began = time.monotonic()
    assert not latch.wait(0.05)
    assert time.monotonic() - began >= 0.05
    assert not latch.wait(0)
    assert not latch.wait(-1)
