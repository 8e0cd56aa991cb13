"""An `Event` and everything that can happen while somebody waits for it."""

from __future__ import annotations

import copy
import os
import pickle
import re
import threading
import time

import pytest

from metaparticle_sync import ElectorRefused, ElectorUnavailable, Event
from tests.client.fake_elector import eventually
from tests.client.fake_waiting import FakeEvents
from tests.client.faults import drop, hang, refuses, says
from tests.client.in_threads import InThread, interrupted_when
from tests.client.test_acquiring import in_thread


@pytest.fixture
def events(elector):
    return FakeEvents(elector)


def waits(elector):
    return [request.body for request in elector.asked("POST", "/events")]


def test_set_and_clear(elector, events):
    event = Event("go")
    assert event.is_set() is False
    assert event.set() is None
    assert event.is_set() is True
    assert event.wait() is True
    event.clear()
    assert event.is_set() is False
    assert event.name == "go"
    assert events.flags == {"go": False}


def test_two_objects_of_one_name_are_one_event(elector, events):
    one, other = Event("x"), Event("x")
    one.set()
    assert repr(other).endswith(": set>")
    assert other.is_set()
    assert not Event("y").is_set()


def test_unnamed_events_are_different_and_say_whose_they_are(elector, events):
    one, other = Event(), Event()
    assert one.name != other.name
    assert re.fullmatch(rf"unnamed-{one._keeper.client}-[0-9a-f]{{32}}", one.name)
    one.set()
    assert not other.is_set()


def test_a_wait_whose_elector_has_gone_does_not_know_whether_it_is_set(elector, events):
    thread, results = in_thread(lambda: Event("x").wait(1.5))
    assert eventually(lambda: len(waits(elector)) == 2)  # The first one was answered: it was not set.
    elector.kill()
    thread.join(10)
    assert isinstance(results[0], ElectorUnavailable)


def test_construction_and_repr_do_no_io(elector, events):
    event = Event("x")
    assert re.fullmatch(r"<metaparticle_sync\.Event at 0x[0-9a-f]+: unset>", repr(event))
    assert elector.requests == []
    event.set()
    before = len(elector.asked("GET", "/events")) + len(waits(elector))
    assert re.fullmatch(r"<metaparticle_sync\.Event at 0x[0-9a-f]+: set>", repr(event))
    assert before == len(elector.asked("GET", "/events")) + len(waits(elector))
    event.clear()
    assert repr(event).endswith(": unset>")
    events.set("x")
    event.wait()
    assert repr(event).endswith(": set>")


def test_old_spelling(elector, events):
    with pytest.warns(DeprecationWarning, match="use is_set"):
        assert Event("x").isSet() is False


def test_waits_until_it_is_set_elsewhere(elector, events):
    event = Event("x")
    waiting = [InThread(event.wait) for _ in range(5)]
    assert eventually(lambda: len(waits(elector)) == 10)
    assert not any(waiter.is_over() for waiter in waiting)
    events.set("x")
    assert [waiter.result() for waiter in waiting] == [True] * 5


def test_whoever_waits_goes_on_even_if_it_is_cleared_at_once(elector, events):
    event = Event("x")
    waiting = InThread(event.wait)
    assert eventually(lambda: len(waits(elector)) == 2)
    event.set()
    event.clear()
    assert waiting.result() is True
    assert event.wait(0) is False


def test_a_long_wait_misses_nothing_between_its_polls(elector, events):
    event = Event("x", unavailable_seconds=0.2)
    waiting = InThread(event.wait)
    assert eventually(lambda: len(waits(elector)) >= 4)
    events.set_and_clear("x")
    assert waiting.result() is True
    assert [body["generation"] for body in waits(elector)[:3]] == [None, 0, 0]


def test_nothing_is_missed_while_the_elector_is_away(elector, events):
    event = Event("x")
    waiting = InThread(event.wait)
    assert eventually(lambda: len(waits(elector)) == 2)
    elector.kill()
    events.set_and_clear("x")
    elector.start()
    assert waiting.result() is True


def test_a_wait_ends_with_its_time_and_not_before(elector, events):
    event = Event("x")
    for seconds in (0.1, 0.2):
        before = time.monotonic()
        assert event.wait(seconds) is False
        assert seconds <= time.monotonic() - before < 10 * seconds + 1


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -0.5, float("nan")])
def test_no_time_is_one_look(elector, events, timeout):
    event = Event("x")
    assert event.wait(timeout) is False
    assert [body["wait_seconds"] for body in waits(elector)] == [0]
    event.set()
    assert event.wait(timeout) is True


@pytest.mark.parametrize(("timeout", "error"), [("1", TypeError), (threading.TIMEOUT_MAX * 2, OverflowError)])
def test_impossible_timeouts(elector, events, timeout, error):
    with pytest.raises(error):
        Event("x").wait(timeout)


@pytest.mark.parametrize("act", [drop, refuses(503, "elector_busy"), refuses(409, "unknown_client")])
def test_passing_trouble_is_not_seen(elector, events, act):
    event = Event("x")
    elector.inject("PUT", "/events", act, times=3)
    event.set()
    elector.inject("POST", "/events", act, times=3)
    assert event.wait(20)
    event.clear()
    assert events.flags == {"x": False}


def test_a_change_whose_answer_is_lost_is_done_once(elector, events):
    def does_and_drops(handler):
        events.put(_Silent(handler), "x", elector.requests[-1].body)
        drop(handler)

    event = Event("x")
    elector.inject("PUT", "/events", does_and_drops)
    event.set()
    assert events.generations == {"x": 1}
    assert len({request.body["operation"] for request in elector.asked("PUT", "/events")}) == 1
    event.set()
    assert events.generations == {"x": 2}


class _Silent:
    def __init__(self, handler):
        self.server = handler.server

    def answer(self, *_):
        pass


def test_an_elector_that_is_away_is_no_false(elector, events, impatient):
    event = Event("x", unavailable_seconds=0.3)
    event.set()
    elector.kill()
    for act in (event.is_set, event.set, event.clear, event.wait, lambda: event.wait(0), lambda: event.wait(0.1)):
        with pytest.raises(ElectorUnavailable, match="last heard of"):
            act()
    elector.start()
    assert event.wait(0)


def test_an_elector_that_was_never_there_is_explained(elector, events, impatient):
    elector.kill()
    for act in (Event("x").is_set, Event("x").set, Event("x").wait):
        with pytest.raises(ElectorUnavailable, match="Start an elector there"):
            act()
    elector.start()


def test_an_elector_that_hangs_delays_by_a_second_at_most(elector, events):
    event = Event("x")
    event.set()
    for method in ("GET", "POST"):
        elector.inject(method, "/events", hang, times=100)
    for act, seconds in ((event.is_set, 0), (lambda: event.wait(0), 0), (lambda: event.wait(0.2), 0.2)):
        before = time.monotonic()
        with pytest.raises(ElectorUnavailable):
            act()
        assert time.monotonic() - before < seconds + 10


def test_a_refusal_for_good_is_raised_with_its_code(elector, events):
    event = Event("x")
    for method, act in (("GET", event.is_set), ("PUT", event.set), ("POST", event.wait)):
        elector.inject(method, "/events", refuses(400, "bad_body"))
        with pytest.raises(ElectorRefused, match="bad_body") as caught:
            act()
        assert caught.value.code == "bad_body"


@pytest.mark.parametrize(
    "body", [{"is_set": 1, "generation": 1}, {"is_set": True, "generation": True}, {}, [], b"hello"]
)
def test_what_is_no_elector_is_not_believed(elector, events, impatient, body):
    event = Event("x", unavailable_seconds=0.1)
    for method, act in (("GET", event.is_set), ("PUT", event.set), ("POST", event.wait)):
        elector.inject(method, "/events", says(200, body), times=1000)
        with pytest.raises(ElectorUnavailable, match="is no elector"):
            act()
        elector.heal()


def test_an_interrupted_wait_leaves_nothing_behind(elector, events):
    event = Event("x")
    with pytest.raises(KeyboardInterrupt), interrupted_when(lambda: len(waits(elector)) == 2):
        event.wait()
    event.set()
    assert event.wait()


def test_pickle_and_copies_are_the_same_event(elector, events):
    event = Event("x", elector.url, unavailable_seconds=7)
    unnamed = Event()
    event.set()
    unnamed.set()
    for original in (event, unnamed):
        for same in (pickle.loads(pickle.dumps(original)), copy.copy(original), copy.deepcopy(original)):
            assert same.__getstate__() == original.__getstate__()
            assert same.is_set()


def test_a_forked_child_sets_the_same_event(elector, events):
    event = Event()
    event.clear()
    child = os.fork()
    if child == 0:
        try:
            event.set()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert event.wait(20)


def test_what_the_standard_library_looks_at(elector, events):
    event = Event("x")
    for _ in range(2):
        with event._cond:
            assert not event._cond.acquire(False)
        event._at_fork_reinit()


@pytest.mark.parametrize(("arguments", "error"), [({"name": ""}, ValueError), ({"name": 3}, TypeError)])
def test_impossible_names(arguments, error):
    with pytest.raises(error, match="name"):
        Event(**arguments)


def test_impossible_settings():
    with pytest.raises(ValueError, match="unavailable_seconds"):
        Event("x", unavailable_seconds=0)
    with pytest.raises(ValueError, match="base_uri"):
        Event("x", "ftp://x")
