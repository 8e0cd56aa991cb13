"""What a `Barrier` is, and everything that can happen while parties wait."""

from __future__ import annotations

import copy
import os
import pickle
import re
import threading
import time

import pytest

from metaparticle_sync import Barrier, BrokenBarrierError, ElectorRefused, ElectorUnavailable, wire
from tests.client.fake_barriers import FakeBarriers
from tests.client.fake_elector import eventually
from tests.client.faults import drop, hang, refuses
from tests.client.test_acquiring import in_thread, interrupt_soon

__all__ = ["interrupt_soon"]


@pytest.fixture
def barriers(elector):
    return FakeBarriers(elector)


def arrived(barriers, number, name="x"):
    return eventually(lambda: name in barriers.records and barriers[name].waiting == number)


def waiting_parties(barriers, barrier, number):
    parties = [in_thread(barrier.wait) for _ in range(number)]
    assert arrived(barriers, number, barrier.name)
    return parties


def results_of(parties):
    for thread, _ in parties:
        thread.join(20)
    return [results[0] for _, results in parties]


def test_all_pass_together_and_each_has_an_index(barriers):
    barrier = Barrier(3, name="x")
    parties = waiting_parties(barriers, barrier, 2)
    assert [results for _, results in parties] == [[], []]
    assert sorted([barrier.wait(), *results_of(parties)]) == [0, 1, 2]


def test_a_barrier_of_one(barriers, elector):
    barrier = Barrier(1, name="x")
    assert [barrier.wait(), barrier.wait(0)] == [0, 0]
    assert len(elector.asked("PUT", "/barriers")) == 2
    assert elector.asked("POST", "/barriers") == []


def test_the_last_one_acts_once_before_all_pass(barriers):
    acted = []

    def act():
        acted.append(threading.get_ident())
        assert not any(results for _, results in parties)

    barrier = Barrier(3, act, name="x")
    parties = waiting_parties(barriers, barrier, 2)
    assert barrier.wait() == 2
    assert sorted(results_of(parties)) == [0, 1]
    assert acted == [threading.get_ident()]
    barrier = Barrier(3, name="x")
    parties = waiting_parties(barriers, barrier, 2)
    assert barrier.wait() == 2
    assert len(acted) == 1


@pytest.mark.parametrize("error", [KeyError("of the action"), KeyboardInterrupt(), SystemExit(3)])
def test_an_action_that_raises_breaks_it(barriers, error):
    def act():
        raise error

    barrier = Barrier(2, act, name="x")
    parties = waiting_parties(barriers, barrier, 1)
    with pytest.raises(type(error)) as caught:
        barrier.wait()
    assert caught.value is error
    assert isinstance(results_of(parties)[0], BrokenBarrierError)
    assert barrier.broken


def test_it_breaks_while_one_acts(barriers):
    barrier = Barrier(1, lambda: barriers.abort("x"), name="x")
    with pytest.raises(BrokenBarrierError):
        barrier.wait()
    assert repr(barrier).endswith(": broken>")


def test_timeout_is_exact_from_below_and_breaks_it_for_all(barriers):
    barrier = Barrier(3, name="x")
    parties = waiting_parties(barriers, barrier, 1)
    before = time.monotonic()
    with pytest.raises(BrokenBarrierError, match="the time was over"):
        barrier.wait(0.2)
    assert 0.2 <= time.monotonic() - before < 3
    assert isinstance(results_of(parties)[0], BrokenBarrierError)
    with pytest.raises(BrokenBarrierError):
        barrier.wait()


@pytest.mark.parametrize("timeout", [0, -1])
def test_a_timeout_of_nothing(barriers, timeout):
    with pytest.raises(BrokenBarrierError):
        Barrier(2, name="x").wait(timeout)
    assert barriers["x"].state == "broken"


def test_the_barrier_s_own_timeout(barriers):
    barrier = Barrier(2, None, 0.1, name="x")
    before = time.monotonic()
    with pytest.raises(BrokenBarrierError):
        barrier.wait()
    assert 0.1 <= time.monotonic() - before < 3


def test_the_others_came_at_the_last_moment(barriers, elector):
    def come_first(handler):
        barriers.arrive("x", 2)
        handler.server.fake.kinds["barriers"].serve(handler, "x", elector.requests[-1].body)

    elector.inject("DELETE", "/barriers", come_first)
    barrier = Barrier(2, name="x")
    assert barrier.wait(0.05) == 0
    assert repr(barrier).endswith("waiters=0/2>")
    # An elector that restarted meanwhile knows by the place whether this party has passed.
    assert elector.asked("DELETE", "/barriers")[0].body["arrived"] == {"generation": 0, "index": 0}


def test_abort_and_reset(barriers):
    barrier = Barrier(3, name="x")
    parties = waiting_parties(barriers, barrier, 2)
    barrier.abort()
    assert all(isinstance(result, BrokenBarrierError) for result in results_of(parties))
    assert barrier.broken
    with pytest.raises(BrokenBarrierError):
        barrier.wait()
    barrier.reset()
    assert not barrier.broken
    parties = waiting_parties(barriers, barrier, 2)
    barrier.reset()
    assert all(isinstance(result, BrokenBarrierError) for result in results_of(parties))
    assert not barrier.broken
    assert repr(barrier).endswith("waiters=0/3>")


def test_it_is_threading_s_error():
    assert BrokenBarrierError is threading.BrokenBarrierError


def test_others_count_other_parties(barriers, elector):
    barriers.arrive("x", 4)
    barrier = Barrier(3, name="x")
    for use in (barrier.wait, barrier.abort, barrier.reset):
        with pytest.raises(ValueError, match=r"^it has 4 parties and not 3: so says process host:17 worker\.py$"):
            use()
    assert barriers["x"].waiting == 1
    assert elector.asked("DELETE", "/barriers") == []
    with pytest.raises(ValueError, match="'x' can not be a barrier of 5: in this process it is one of 3"):
        Barrier(5, name="x")


def test_arguments_of_the_constructor():
    for parties in (0, -1):
        with pytest.raises(ValueError, match=r"^parties must be > 0$"):
            Barrier(parties=parties)
    with pytest.raises(OverflowError, match="parties must be at most"):
        Barrier(wire.PARTIES_MAX + 1)
    with pytest.raises(TypeError):
        Barrier(1.5)
    with pytest.raises(TypeError, match=r"^parties is a number, not 'phase'; the name of a barrier is given by name=$"):
        Barrier("phase")
    with pytest.raises(
        TypeError, match=r"^action is a callable, not 'phase'; the name of a barrier is given by name=$"
    ):
        Barrier(4, "phase")
    with pytest.raises(ValueError, match="unavailable_seconds"):
        Barrier(1, unavailable_seconds=0)
    with pytest.raises(ValueError, match="name"):
        Barrier(1, name="")
    assert Barrier(7).parties == 7


def test_repr_is_that_of_threading_and_does_no_io(barriers, elector):
    barrier = Barrier(3, name="x")
    assert re.fullmatch(r"<metaparticle_sync\.Barrier at 0x[0-9a-f]+: waiters=0/3>", repr(barrier))
    assert elector.requests == []
    parties = waiting_parties(barriers, barrier, 2)
    assert barrier.n_waiting == 2
    asked = len(elector.requests)
    assert repr(barrier).endswith(": waiters=2/3>")
    assert asked == len(elector.requests)
    barrier.wait()
    results_of(parties)
    assert repr(barrier).endswith(": waiters=0/3>")
    barrier.abort()
    assert re.fullmatch(r"<metaparticle_sync\.Barrier at 0x[0-9a-f]+: broken>", repr(barrier))


def test_an_unused_one_is_asked_for(barriers):
    barrier = Barrier(3, name="x")
    assert barrier.n_waiting == 0
    assert barrier.broken is False


def test_pickle_and_copy_are_the_same_barrier(barriers, elector):
    barrier = Barrier(2, print, 7, base_uri=elector.url, unavailable_seconds=9)
    assert re.fullmatch(rf"unnamed-{barrier._keeper.client}-[0-9a-f]{{32}}", barrier.name)
    for again in (pickle.loads(pickle.dumps(barrier)), copy.copy(barrier), copy.deepcopy(barrier)):
        assert again.__getstate__() == barrier.__getstate__()


def test_a_child_is_a_party_of_its_own(barriers):
    barrier = Barrier(2, name="x")
    child = os.fork()
    if child == 0:
        os._exit(10 + barrier.wait(20))
    assert arrived(barriers, 1)
    assert barrier.wait(20) == 1
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 10


def test_a_long_wait_is_a_row_of_polls_that_say_where_it_stands(barriers, elector):
    barrier = Barrier(2, name="x", unavailable_seconds=0.1)
    parties = waiting_parties(barriers, barrier, 1)
    assert eventually(lambda: len(elector.asked("PUT", "/barriers")) >= 4)
    asked = elector.asked("PUT", "/barriers")
    assert len({request.body["holder"] for request in asked}) == 1
    assert [request.body["arrived"] for request in asked[:2]] == [None, {"generation": 0, "index": 0}]
    assert [request.body["acts"] for request in asked[:2]] == [False, False]
    assert [request.body["wait_seconds"] for request in asked[:2]] == [0, 0.08]
    barriers.arrive("x", 2)
    assert results_of(parties) == [0]


def test_interrupt_breaks_it(barriers, interrupt_soon):
    barrier = Barrier(3, name="x")
    parties = waiting_parties(barriers, barrier, 1)
    interrupt_soon(lambda: barriers["x"].waiting == 2)
    with pytest.raises(KeyboardInterrupt):
        barrier.wait()
    assert isinstance(results_of(parties)[0], BrokenBarrierError)


def test_interrupt_is_prompt_even_if_the_elector_hangs(barriers, elector, interrupt_soon):
    barrier = Barrier(3, name="x")
    elector.inject("DELETE", "/barriers", hang)
    interrupt_soon(lambda: "x" in barriers.records and barriers["x"].waiting == 1)
    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        barrier.wait()
    assert time.monotonic() - before < 3
    assert eventually(lambda: barriers["x"].state == "broken")


def test_lost_answers_are_asked_for_again(barriers, elector):
    def pass_and_drop(handler):
        body = elector.requests[-1].body
        with elector.changed:
            record = barriers["x"]
            barriers._place(record, body["holder"], acts=False)
        drop(handler)

    barrier = Barrier(2, name="x")
    parties = waiting_parties(barriers, barrier, 1)
    # First it is told its place, then it waits: only now is the next request that of the other party.
    assert elector.waits_for(lambda: len(elector.asked("PUT", "/barriers")) == 2)
    elector.inject("PUT", "/barriers", pass_and_drop)
    assert barrier.wait() == 1
    assert results_of(parties) == [0]
    elector.inject("POST", "/barriers", drop)
    barrier.abort()
    assert barrier.broken


def test_elector_that_restarts_while_parties_wait(barriers, elector):
    barrier = Barrier(3, name="x")
    parties = waiting_parties(barriers, barrier, 2)
    elector.kill()
    elector.start()
    assert barrier.wait() == 2
    assert sorted(results_of(parties)) == [0, 1]


def test_elector_that_restarts_while_one_acts(barriers, elector):
    def restart():
        elector.kill()
        elector.start()

    barrier = Barrier(2, restart, name="x")
    parties = waiting_parties(barriers, barrier, 1)
    assert barrier.wait() == 1
    assert results_of(parties) == [0]


def test_elector_that_goes_away_for_too_long(barriers, elector):
    barrier = Barrier(2, name="x", unavailable_seconds=0.5)
    parties = waiting_parties(barriers, barrier, 1)
    elector.kill()
    assert isinstance(results_of(parties)[0], ElectorUnavailable)
    elector.start()
    assert eventually(lambda: barriers["x"].state == "broken")  # It gave up, and the keeper says so when it can.


def test_elector_that_is_away_at_the_timeout(barriers, elector):
    barrier = Barrier(2, name="x")
    barrier.reset()
    elector.inject("DELETE", "/barriers", refuses(503, "elector_busy"), times=1_000_000)
    before = time.monotonic()
    with pytest.raises(ElectorUnavailable):
        barrier.wait(0.2)
    assert 0.2 <= time.monotonic() - before < 4
    elector.heal()
    assert eventually(lambda: barriers["x"].state == "broken")


def test_elector_that_never_came(barriers, elector, impatient):
    elector.kill()
    barrier = Barrier(2, name="x", unavailable_seconds=0.5)
    for use in (barrier.wait, barrier.abort, barrier.reset, lambda: barrier.n_waiting, lambda: barrier.broken):
        with pytest.raises(ElectorUnavailable, match="Start an elector"):
            use()


def test_refusal_for_good_is_raised_with_its_code(barriers, elector):
    barrier = Barrier(2, name="x")
    for method, use in (("PUT", barrier.wait), ("POST", barrier.abort), ("GET", lambda: barrier.broken)):
        elector.inject(method, "/barriers", refuses(421, "wrong_host"))
        with pytest.raises(ElectorRefused, match="wrong_host") as caught:
            use()
        assert caught.value.code == "wrong_host"


def test_a_party_that_the_elector_has_given_up_is_broken(barriers, elector):
    elector.inject("PUT", "/barriers", refuses(409, "holder_dead"))
    with pytest.raises(BrokenBarrierError):
        Barrier(2, name="x").wait()
