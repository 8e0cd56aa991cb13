"""How permits are given back, and lost."""

from __future__ import annotations

import threading

import pytest

from metaparticle_sync import BoundedSemaphore, ElectorUnavailable, LockLost, Semaphore
from metaparticle_sync._clock import now
from metaparticle_sync._permits import SharedSemaphore
from tests.client.fake_elector import eventually
from tests.client.fake_semaphores import FakeSemaphores
from tests.client.faults import drop, hang, refuses
from tests.client.test_acquiring import in_thread, interrupt_soon

__all__ = ["interrupt_soon"]


@pytest.fixture
def semaphores(elector):
    return FakeSemaphores(elector)


def in_other_thread(act):
    thread, results = in_thread(act)
    thread.join(10)
    return results[0]


def listed(elector):
    return [(request.body["permits"], request.body["holders"]) for request in elector.asked("POST", "/semaphores")]


def test_a_release_of_several_is_one_request(semaphores, elector):
    semaphore = Semaphore(3, name="x")
    holders = []
    for _ in range(3):
        semaphore.acquire()
        holders.append(elector.asked("PUT", "/semaphores")[-1].body["holder"])
    semaphore.release(2)
    semaphore.release()
    assert listed(elector) == [(2, holders[:2]), (1, holders[2:])]
    assert len({request.body["operation"] for request in elector.asked("POST", "/semaphores")}) == 2


def test_own_permits_first_then_those_of_the_process(semaphores, elector):
    semaphore = Semaphore(5, name="x")
    assert in_other_thread(semaphore.acquire)
    theirs = elector.asked("PUT", "/semaphores")[-1].body["holder"]
    semaphore.acquire()
    mine = elector.asked("PUT", "/semaphores")[-1].body["holder"]
    semaphore.release(3)
    assert listed(elector) == [(3, [mine, theirs])]
    assert semaphores["x"].value == 6


def test_release_of_what_nobody_holds(semaphores):
    semaphore = Semaphore(1, name="x")
    semaphore.release()
    assert semaphores["x"].value == 2
    assert repr(semaphore).endswith(": value=2>")
    bounded = BoundedSemaphore(1, name="y")
    with pytest.raises(ValueError, match=r"^Semaphore released too many times$"):
        bounded.release()
    assert semaphores["y"].value == 1


def test_too_many_at_once_change_nothing(semaphores):
    bounded = BoundedSemaphore(3, name="x")
    bounded.acquire()
    bounded.acquire()
    with pytest.raises(ValueError, match="too many times"):
        bounded.release(3)
    assert bounded.held == 2
    assert len(semaphores["x"].permits) == 2
    bounded.release(2)
    assert semaphores["x"].value == 3


def test_a_permit_that_somebody_else_gave_back(semaphores):
    bounded = BoundedSemaphore(2, name="x")
    bounded.acquire()
    semaphores.release_anonymously("x")
    assert bounded.held == 1
    with pytest.raises(ValueError, match="too many times"):
        bounded.release()
    assert bounded.held == 0
    bounded.acquire()
    bounded.acquire()
    semaphores.release_anonymously("x")
    with pytest.raises(ValueError, match="too many times"):
        bounded.release(2)
    assert bounded.held == 2  # Nothing was changed.
    bounded.release()
    assert semaphores["x"].value == 2


def test_it_is_told_and_is_no_loss(semaphores, elector):
    told = []
    semaphore = Semaphore(2, name="x", on_lost=told.append)
    semaphore.acquire()
    semaphore.acquire()
    semaphores.lose("x", returned=True)
    assert eventually(lambda: semaphore.held == 1)
    semaphore.release()
    semaphore.release()
    assert told == []
    assert semaphores["x"].value == 3


def test_what_others_give_back_is_not_remembered_for_ever(semaphores, monkeypatch):
    monkeypatch.setattr("metaparticle_sync.wire.PERMITS_MAX", 3)
    semaphore = Semaphore(1, name="x")
    for _ in range(10):
        semaphore.acquire()
        semaphores.release_anonymously("x")
    semaphore.acquire()
    assert semaphore.held == len(semaphore._keeper.holds) == 3
    semaphore.release()
    semaphore.release()  # Not held any more, hence the oldest one of anybody.
    assert not semaphores["x"].permits


def test_loss_is_told_once_for_each_permit(semaphores):
    told = []
    semaphore = Semaphore(3, name="x", on_lost=told.append)
    for _ in range(3):
        semaphore.acquire()
    semaphores.lose("x")
    assert eventually(lambda: told)
    assert "lost the semaphore 'x' (token " in str(told[0])
    assert told[0].kind == "semaphore"
    assert semaphore.held == 2
    with pytest.raises(LockLost, match="because of the test"):
        semaphore.release()
    assert semaphore.held == 2
    semaphore.release(2)
    assert semaphores["x"].extra == 0
    semaphore.release()  # As `threading` does: it was acquired no more often than released.
    assert semaphores["x"].extra == 1


def test_a_lost_permit_counts_as_released(semaphores):
    semaphore = Semaphore(3, name="x")
    semaphore.acquire()
    semaphore.acquire()
    semaphores.lose("x")
    assert eventually(lambda: semaphore.held == 1)
    with pytest.raises(LockLost):
        semaphore.release(2)
    assert semaphore.held == 0
    assert (semaphores["x"].value, semaphores["x"].extra) == (3, 0)


def test_a_loss_waits_for_its_own_thread(semaphores):
    semaphore = Semaphore(3, name="x")
    lose, lost, results = threading.Event(), threading.Event(), []

    def work():
        semaphore.acquire()
        lose.set()
        lost.wait(20)
        with pytest.raises(LockLost):
            semaphore.release()
        results.append("told")

    thread, _ = in_thread(work)
    assert lose.wait(20)
    theirs = next(iter(semaphores["x"].permits))
    semaphore.acquire()
    semaphores.lose("x", theirs)
    assert eventually(lambda: semaphore.held == 1)
    semaphore.release()
    lost.set()
    thread.join(20)
    assert results == ["told"]


def test_a_later_thread_is_not_told_of_the_loss_of_one_that_ended(semaphores):
    semaphore = Semaphore(3, name="x")
    assert in_other_thread(semaphore.acquire)
    semaphores.lose("x")
    assert eventually(lambda: semaphore.held == 0)

    def use():
        semaphore.acquire()
        return semaphore.release()

    assert in_other_thread(use) is None
    with pytest.raises(LockLost):  # Nobody in particular.
        semaphore.release()


def test_the_end_of_a_with_tells_the_loss(semaphores):
    semaphore = Semaphore(3, name="x")
    semaphore.acquire()
    with pytest.raises(LockLost), semaphore:
        semaphores.lose("x", list(semaphores["x"].permits)[1])
        assert eventually(lambda: semaphore.held == 1)
    with pytest.raises(KeyError), semaphore:
        semaphores.lose("x", list(semaphores["x"].permits)[1])
        assert eventually(lambda: semaphore.held == 1)
        raise KeyError
    semaphore.release()
    assert semaphores["x"].value == 3


def test_the_end_of_a_with_tells_its_own_loss(semaphores):
    semaphore = Semaphore(3, name="x")
    semaphore.acquire()
    with pytest.raises(LockLost) as of_the_with, semaphore:
        semaphores.lose("x")
        semaphores.lose("x")
        assert eventually(lambda: semaphore.held == 0)
    with pytest.raises(LockLost) as of_the_first:
        semaphore.release()
    assert of_the_first.value.token < of_the_with.value.token
    assert (semaphores["x"].value, semaphores["x"].extra) == (3, 0)


def test_a_refused_release_keeps_the_loss_for_the_next(semaphores):
    bounded = BoundedSemaphore(3, name="x")
    bounded.acquire()
    semaphores.lose("x")
    assert eventually(lambda: bounded.held == 0)
    with pytest.raises(ValueError, match="too many times"):
        bounded.release(2)
    with pytest.raises(LockLost):
        bounded.release()


def test_a_loss_that_nobody_has_noticed_yet(semaphores, monkeypatch):
    semaphore = Semaphore(3, name="x")
    semaphore.acquire()
    for module in ("_permits", "_keeper"):
        monkeypatch.setattr(f"metaparticle_sync.{module}.now", lambda: now() + 60)
    with pytest.raises(LockLost, match="its time ran out"):
        semaphore.release()
    assert semaphores["x"].extra == 0


def test_what_went_back_at_the_end_of_the_process_is_not_released_again(semaphores):
    semaphore = Semaphore(3, name="x")
    semaphore.acquire()
    semaphore.acquire()
    semaphores["x"].permits.clear()
    semaphore._keeper.close()
    assert semaphore.held == 0
    semaphore.release()
    assert semaphores["x"].value == 3
    semaphore.release(2)
    assert semaphores["x"].value == 4


def test_a_with_is_not_told_of_another_loss(semaphores):
    semaphore = Semaphore(3, name="x")
    semaphore.acquire()
    with semaphore:
        semaphores.lose("x")
        assert eventually(lambda: semaphore.held == 1)
    with pytest.raises(LockLost):
        semaphore.release()
    assert semaphores["x"].value == 3


def test_time_that_runs_out_is_a_loss(semaphores, elector):
    told = []
    elector.valid_seconds = 1.0
    semaphore = Semaphore(3, name="x", on_lost=told.append)
    semaphore.acquire()
    semaphore.acquire()
    elector.kill()
    assert eventually(lambda: len(told) == 2)
    assert semaphore.held == 0
    elector.start()
    assert eventually(lambda: not semaphores["x"].permits)  # The keeper gives up what may be left.
    assert semaphores["x"].extra == 0


def test_permits_survive_a_restart_of_the_elector(semaphores, elector):
    semaphore = Semaphore(3, name="x")
    semaphore.acquire()
    semaphore.acquire()
    elector.kill()
    elector.incarnation = "two"
    elector.start()
    assert eventually(lambda: len(elector.asked("PUT", "/sessions")[-1].body["holds"]) == 2)
    presented = elector.asked("PUT", "/sessions")[-1].body["holds"]
    assert {(hold["kind"], hold["name"]) for hold in presented} == {("semaphore", "x")}
    assert {hold["holder"] for hold in presented} == set(semaphores["x"].permits)
    assert eventually(lambda: not semaphore._keeper.holds.has_unconfirmed())
    assert semaphore.held == 2
    semaphore.release(2)
    assert semaphores["x"].value == 3


def test_release_while_the_elector_is_away_is_made_up_for(semaphores, elector):
    semaphore = Semaphore(3, name="x")
    semaphore.acquire()
    semaphore.acquire()
    elector.kill()
    semaphore.release(2)
    assert semaphore.held == 0
    assert repr(semaphore).endswith(": value=3>")
    elector.start()
    assert eventually(lambda: semaphores["x"].value == 3)
    assert len(elector.asked("PUT", "/sessions")[-1].body["holds"]) == 2  # What is on its way back is still presented.
    assert eventually(lambda: not semaphore._keeper.farewells)
    assert semaphore._keeper.holds.unconfirmed_first() == []
    assert semaphores["x"].extra == 0


def test_a_release_whose_answer_is_lost_is_done_once(semaphores, elector):
    semaphore = Semaphore(3, name="x")
    semaphore.acquire()

    def release_and_drop(handler):
        body = elector.requests[-1].body
        with elector.changed:
            record = semaphores["x"]
            semaphores._give_back(record, body["permits"], body["holders"])
            record.operations[body["operation"]] = record.value
        drop(handler)

    elector.inject("POST", "/semaphores", release_and_drop)
    semaphore.release()
    assert len(elector.asked("POST", "/semaphores")) == 2
    elector.inject("POST", "/semaphores", release_and_drop)
    semaphore.release()  # Nobody's.
    assert (semaphores["x"].value, semaphores["x"].extra) == (4, 1)
    assert len({request.body["operation"] for request in elector.asked("POST", "/semaphores")}) == 2


def test_a_release_says_each_time_what_was_heard_when_it_was_first_sent(semaphores, elector):
    semaphore = Semaphore(3, name="x")
    semaphore.acquire()
    semaphore.release(2)

    def end(handler):
        elector.clients.clear()
        elector.incarnation = "two"
        drop(handler)

    elector.inject("POST", "/semaphores", end)
    semaphore.release(2)
    heard = [(request.body["incarnation"], request.body["operations"]) for request in elector.asked("POST", "/sema")]
    assert heard[0] == ("one", 0)
    assert len(heard) > 2
    assert set(heard[1:]) == {("one", 1)}
    assert semaphore._shared.operations == 2


def test_nobody_s_permits_need_an_elector(semaphores, elector):
    semaphore = Semaphore(3, name="x", unavailable_seconds=0.3)
    semaphore.acquire()
    elector.kill()
    with pytest.raises(ElectorUnavailable):
        semaphore.release(2)
    assert semaphore.held == 0
    elector.start()
    assert eventually(lambda: not semaphores["x"].permits)
    assert semaphores["x"].extra == 0


def test_what_time_may_have_freed_is_given_up_and_not_released(semaphores, elector):
    elector.valid_seconds = 1.0
    semaphore = Semaphore(3, name="x")
    semaphore.acquire()
    elector.inject("POST", "/semaphores", refuses(503, "elector_busy"), times=1_000_000)
    elector.inject("POST", "/sessions", refuses(503, "elector_busy"), times=1_000_000)
    semaphore.release()
    assert eventually(lambda: elector.asked("DELETE", "/semaphores"))
    elector.heal()
    assert eventually(lambda: not semaphore._keeper.farewells)
    assert (semaphores["x"].value, semaphores["x"].extra) == (3, 0)


def test_a_refused_farewell_gives_each_permit_up(semaphores, elector):
    semaphore = Semaphore(3, name="x")
    semaphore.acquire()
    semaphore.acquire()
    elector.inject("POST", "/semaphores", hang)
    elector.inject("POST", "/semaphores", refuses(400, "bad_body"))
    semaphore.release(2)
    assert eventually(lambda: len(elector.asked("DELETE", "/semaphores")) == 2)
    assert eventually(lambda: semaphores["x"].value == 3)
    assert semaphore._keeper.holds.unconfirmed_first() == []


def test_interrupted_releases_are_carried_out(semaphores, elector, interrupt_soon):
    semaphore = Semaphore(3, name="x")
    semaphore.acquire()
    elector.inject("POST", "/semaphores", hang)
    interrupt_soon(lambda: elector.asked("POST", "/semaphores"))
    with pytest.raises(KeyboardInterrupt):
        semaphore.release(2)
    assert eventually(lambda: semaphores["x"].value == 4)
    assert semaphore._keeper.holds.unconfirmed_first() == []


def test_an_interrupt_before_anything_is_said_leaves_no_permit_behind(semaphores, monkeypatch):
    """Nobody believes in them any more at that moment, and nobody else would ever give them back."""

    def interrupt(*_):
        raise KeyboardInterrupt

    semaphore = Semaphore(3, name="x")
    semaphore.acquire()
    monkeypatch.setattr(SharedSemaphore, "take_given_back", interrupt)
    with pytest.raises(KeyboardInterrupt):
        semaphore.release()
    assert eventually(lambda: semaphores["x"].value == 3)
    assert eventually(lambda: semaphore._keeper.holds.unconfirmed_first() == [])


def test_losses_in_transit_are_not_told(semaphores, elector):
    told = []
    semaphore = Semaphore(3, name="x", on_lost=told.append)
    semaphore.acquire()
    elector.inject("POST", "/semaphores", refuses(503, "elector_busy"), times=1_000_000)
    semaphore.release()
    semaphores.lose("x")
    assert eventually(lambda: elector.asked("DELETE", "/semaphores"))
    elector.heal()
    assert eventually(lambda: not semaphore._keeper.farewells)
    assert told == []
    assert semaphores["x"].value == 3
