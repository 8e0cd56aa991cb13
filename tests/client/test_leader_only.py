"""`leader_only`: the body runs as the leader only, in threads and in tasks, and the office is always given back."""

from __future__ import annotations

import asyncio
import threading

import pytest

from metaparticle_sync import (
    ElectorUnavailable,
    Lock,
    LockLost,
    NotHeld,
    current_leadership,
    leader_only,
    set_loss_policy,
)
from tests.client.fake_elector import eventually


def test_a_function_runs_as_the_leader(elector):
    @leader_only("e")
    def body(one, *, two):
        assert elector.locks["e"][2] == current_leadership().token
        assert current_leadership().held
        return one, two

    assert body(1, two=2) == (1, 2)
    assert elector.locks == {}


def test_the_function_keeps_its_name_and_its_text():
    @leader_only("e")
    def body():
        """What it does."""

    assert (body.__name__, body.__doc__) == ("body", "What it does.")
    assert body.__wrapped__


def test_a_method_is_bound(elector):
    class Scheduler:
        @leader_only("e")
        def run(self, number):
            return self, number

    scheduler = Scheduler()
    assert scheduler.run(3) == (scheduler, 3)


def test_an_error_of_the_body_releases_and_propagates(elector):
    @leader_only("e")
    def body():
        raise KeyError("of the body")

    with pytest.raises(KeyError, match="of the body"):
        body()
    assert elector.locks == {}


def test_waiting_until_somebody_else_leads_no_more(elector):
    elector.take("e")
    led = []
    thread = threading.Thread(target=leader_only("e")(lambda: led.append(1)))
    thread.start()
    assert eventually(lambda: elector.queues.get("e"))
    assert led == []
    elector.free("e")
    thread.join(10)
    assert led == [1]


def test_calls_of_several_threads_lead_one_after_the_other(elector):
    running, most, calls = [], [], []

    @leader_only("e")
    def body():
        running.append(1)
        most.append(len(running))
        calls.append(current_leadership().token)
        running.pop()

    threads = [threading.Thread(target=body) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == [1] * 5
    assert calls == sorted(set(calls))


def test_a_timeout(elector):
    elector.take("e")
    ran = []
    with pytest.raises(TimeoutError, match=r"somebody else has led 'e' for 0\.2 s"):
        leader_only("e", timeout=0.2)(lambda: ran.append(1))()
    assert ran == []
    assert elector.queues["e"] == []


# Skipping -------------------------------------------------------------------------------------------------------------


def test_skip_returns_what_was_agreed(elector):
    elector.take("e")
    ran = []
    assert leader_only("e", mode="skip", otherwise="elsewhere")(lambda: ran.append(1))() == "elsewhere"
    assert leader_only("e", mode="skip")(lambda: ran.append(1))() is None
    assert ran == []
    assert elector.queues["e"] == []


def test_skip_runs_if_nobody_leads(elector):
    assert leader_only("e", mode="skip", otherwise="elsewhere")(lambda: "here")() == "here"
    assert elector.locks == {}


def test_skip_if_another_thread_of_this_process_leads(elector):
    other = Lock("e")
    other.acquire()
    assert leader_only("e", mode="skip", otherwise="elsewhere")(lambda: "here")() == "elsewhere"
    other.release()


def test_skip_in_the_process_that_leads_needs_no_elector(elector):
    other = Lock("e")
    other.acquire()
    elector.kill()
    assert leader_only("e", mode="skip", otherwise="elsewhere")(lambda: "here")() == "elsewhere"


def test_skip_without_an_elector_is_an_error_and_not_somebody_else(impatient):
    with pytest.raises(ElectorUnavailable, match="Start an elector"):
        leader_only("e", mode="skip", otherwise=1, base_uri="http://127.0.0.1:9")(lambda: 2)()


def test_skip_without_a_store_is_an_error_and_not_somebody_else(elector):
    leader_only("e")(lambda: None)()
    elector.inject("PUT", "/locks/e", lambda handler: handler.problem(503, "store_unavailable"), times=1000)
    with pytest.raises(ElectorUnavailable, match="store_unavailable"):
        leader_only("e", mode="skip", otherwise=1, unavailable_seconds=0.2)(lambda: 2)()


def test_skip_waits_for_an_elector_that_starts(elector):
    elector.kill()
    results = []
    thread = threading.Thread(target=lambda: results.append(leader_only("e", mode="skip", otherwise=1)(lambda: 2)()))
    thread.start()
    elector.start()
    thread.join(20)
    assert results == [2]


def test_a_with_gives_none_where_it_can_not_skip(elector):
    elector.take("e")
    with leader_only("e", mode="skip") as leadership:
        assert leadership is None
        with pytest.raises(NotHeld):
            current_leadership()
    assert elector.holder_of("e") == "0" * 32
    assert elector.asked("DELETE", "/locks/e") == []


# Loss -----------------------------------------------------------------------------------------------------------------


def test_a_loss_stops_the_body_is_told_and_raised_at_its_end(elector):
    told = []

    @leader_only("e", on_lost=told.append)
    def body():
        elector.lose("e", "the test wants it")
        assert current_leadership().stopping.wait(10)
        assert not current_leadership().held
        return "a result that counts no more"

    with pytest.raises(LockLost, match="the test wants it"):
        body()
    assert [loss.reason for loss in told] == ["the test wants it"]
    assert leader_only("e", on_lost=told.append)(lambda: 1)() == 1


def test_an_error_of_the_body_wins_over_a_loss(elector):
    with pytest.raises(KeyError), leader_only("e", on_lost="raise") as leadership:
        elector.lose("e")
        assert leadership.stopping.wait(10)
        raise KeyError("of the body")


def test_a_loss_without_on_lost_follows_the_process_s_policy(elector):
    told = []
    set_loss_policy(told.append)
    with pytest.raises(LockLost), leader_only("e") as leadership:
        elector.lose("e")
        assert leadership.stopping.wait(10)
    assert len(told) == 1


def test_on_lost_is_through_before_the_next_one_of_this_thread(elector):
    goes_on, trace = threading.Event(), []

    def on_lost():
        goes_on.wait(10)
        trace.append("told")

    def lead():
        with pytest.raises(LockLost), leader_only("e", on_lost=on_lost) as leadership:
            elector.lose("e")
            assert leadership.stopping.wait(10)
        trace.append("left")

    thread = threading.Thread(target=lead)
    thread.start()
    assert eventually(lambda: elector.locks == {} and elector.dead)
    goes_on.set()
    thread.join(10)
    assert trace == ["told", "left"]


def test_whoever_enters_a_lost_office_is_told(elector):
    with pytest.raises(LockLost), leader_only("e") as leadership:
        elector.lose("e")
        assert leadership.stopping.wait(10)
        before = len(elector.asked("PUT", "/locks/e"))
        ran = []
        with pytest.raises(LockLost):
            leader_only("e")(lambda: ran.append(1))()
        assert ran == []
        assert len(elector.asked("PUT", "/locks/e")) == before


# Settings -------------------------------------------------------------------------------------------------------------


def test_metadata_go_with_the_acquisition(elector):
    with leader_only("e", metadata={"url": "http://[::1]:80/"}) as leadership:
        assert elector.metadata == {leadership.token: {"url": "http://[::1]:80/"}}
    assert len(elector.asked("PUT", "/locks/e")) == 1


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"mode": "later"}, ValueError, "mode is 'later': it must be 'wait' or 'skip'"),
        ({"otherwise": 1}, TypeError, "needs mode='skip'"),
        ({"mode": "skip", "timeout": 1}, TypeError, "timeout is for mode='wait'"),
        ({"timeout": -2}, ValueError, "non-negative"),
        ({"timeout": "1"}, TypeError, "integer"),
        ({"on_lost": "explode"}, ValueError, "on_lost"),
        ({"unavailable_seconds": 0}, ValueError, "unavailable_seconds"),
        ({"metadata": 1}, TypeError, "metadata"),
    ],
)
def test_settings_that_can_not_be_right(settings, error, message):
    with pytest.raises(error, match=message):
        leader_only("e", **settings)


@pytest.mark.parametrize("name", ["", "x" * 513])
def test_names_that_can_not_be_right(name):
    with pytest.raises(ValueError, match="name"):
        leader_only(name)


def test_what_can_not_be_decorated():
    def generator():
        yield

    async def asynchronous_generator():
        yield

    for function in (generator, asynchronous_generator):
        with pytest.raises(TypeError, match="is a generator function: its body runs after the call"):
            leader_only("e")(function)
    with pytest.raises(TypeError, match="decorates a function"):
        leader_only("e")(classmethod(lambda cls: None))


def test_a_callable_object(elector):
    class Both:
        async def __call__(self):
            return current_leadership().held

    assert asyncio.run(leader_only("e")(Both())()) is True


def test_nothing_happens_before_the_call(elector):
    leader_only("e")(lambda: None)
    assert elector.requests == []


def test_repr():
    assert repr(leader_only("e")) == "<metaparticle_sync.LeaderOnly name='e' mode='wait'>"
    assert repr(leader_only("e", mode="skip")) == "<metaparticle_sync.LeaderOnly name='e' mode='skip'>"
