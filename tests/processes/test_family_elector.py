"""The elector is killed, stopped or gone, while permits are held and somebody waits at every kind of primitive."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from metaparticle_sync.wire import BARRIERS_PATH, CONDITIONS_PATH, SEMAPHORES_PATH
from tests.processes.electors import LONG, SHORT, ElectorProcess, Leases
from tests.processes.history import now_ns, seconds_between
from tests.processes.machine import Machine
from tests.processes.members import Call, Member, wait_for_spec
from tests.processes.running import GENEROUS, wait_until

AWAY_SECONDS = 5.0  # The client library puts up with no less.
NAMES = {"Semaphore": "s", "Event": "e", "Condition": "c", "Barrier": "b"}


class Crowd:
    """One process holds both permits of "s"; another one waits at everything."""

    def __init__(self, machine: Machine, leases: Leases, unavailable_seconds: float = 30.0) -> None:
        self.elector = machine.elector(leases, with_metrics=True)
        self.holder = machine.member(self.elector, unavailable_seconds=unavailable_seconds)
        self.waiter = machine.member(self.elector, unavailable_seconds=unavailable_seconds)
        for member in (self.holder, self.waiter):
            make_all(member)
        assert self.holder.call("s", "acquire")
        assert self.holder.call("s", "acquire")
        self.waiting = {
            "Semaphore": self.waiter.begin("s", "acquire"),
            "Event": self.waiter.begin("e", "wait"),
            "Condition": self.waiter.begin("c", "wait"),
            "Barrier": self.waiter.begin("b", "wait"),
        }
        self.all_wait()

    def all_wait(self) -> None:
        """Wait until all wait here, and the store knows of it."""
        wait_for_spec(self.elector, SEMAPHORES_PATH, "s", waiters=1, held=2)
        wait_for_spec(self.elector, CONDITIONS_PATH, "c", waiters=1)
        wait_for_spec(self.elector, BARRIERS_PATH, "b", waiting=1)
        wait_until(lambda: self.elector.waits()["event"] == 1, "one waits for the event")

    def all_go_on(self) -> None:
        """Nobody has lost or missed anything: each wait ends as it should, once it is time, and not before."""
        assert not any(call.is_over() for call in self.waiting.values())
        assert self.holder.call("s", "held") == 2
        for name, method in (("s", "release"), ("e", "set"), ("c", "notify"), ("b", "wait")):
            self.holder.call(name, method)
        assert self.waiting["Semaphore"].result() is True
        assert self.waiting["Event"].result() is True
        assert self.waiting["Condition"].result() is True
        assert self.waiting["Barrier"].result() == 0
        assert self.waiter.call("s", "get_value") == 0
        assert (self.holder.call("s", "held"), self.waiter.call("s", "held")) == (1, 1)
        for member in (self.holder, self.waiter):
            member.call("s", "release")
            assert not member.events("told")
            assert not member.events("fail")
            assert member.call("s", "held") == 0
        assert self.holder.call("s", "get_value") == 2
        for member in (self.holder, self.waiter):
            assert member.leave() == 0


def make_all(member: Member) -> None:
    member.make("Semaphore", "s", 2)
    member.make("Event", "e")
    member.make("Condition", "c", None)
    member.make("Barrier", "b", 2)


def kill_both(elector: ElectorProcess) -> None:
    elector.kill()
    elector.start()


def kill_worker(elector: ElectorProcess) -> None:
    elector.kill(master=False)
    elector.wait_until_serving()


def kill_master(elector: ElectorProcess) -> None:
    elector.kill(worker=False)
    elector.start()


def terminate(elector: ElectorProcess) -> None:
    elector.terminate()
    assert elector.exit_code() == 0
    elector.start()


@pytest.mark.parametrize("fault", [kill_both, kill_worker, kill_master, terminate])
def test_an_elector_that_comes_back_costs_nobody_anything(machine: Machine, fault: Callable[[ElectorProcess], None]):
    crowd = Crowd(machine, LONG)
    began_at = now_ns()
    fault(crowd.elector)
    crowd.all_wait()
    machine.measure(f"elector back after {fault.__name__}, all wait again", seconds_between(began_at, now_ns()), 2.0)
    crowd.all_go_on()


def test_who_comes_back_is_not_taken_for_gone_when_the_grace_is_over(machine: Machine):
    crowd = Crowd(machine, SHORT)
    gone, other = machine.member(crowd.elector), machine.member(crowd.elector)
    for member in (gone, other):
        member.make("Semaphore", "of the gone", 1)
    assert gone.call("of the gone", "acquire")
    crowd.elector.kill()
    gone.kill()
    crowd.elector.start()
    assert other.call("of the gone", "acquire")  # Nobody came back for it: the grace is over.
    other.call("of the gone", "release")
    crowd.all_wait()
    crowd.all_go_on()


def test_two_deaths_in_a_row_cost_nobody_anything(machine: Machine):
    crowd = Crowd(machine, LONG)
    kill_both(crowd.elector)
    kill_both(crowd.elector)
    crowd.all_wait()
    crowd.all_go_on()


def test_what_is_done_while_the_elector_is_away_is_done_when_it_is_back(machine: Machine):
    crowd = Crowd(machine, LONG)
    crowd.elector.kill()
    done = [crowd.holder.begin("s", "release"), crowd.holder.begin("e", "set"), crowd.holder.begin("b", "wait")]
    assert done[0].result() is None  # An own permit: to give it back needs nobody.
    assert not done[1].is_over()
    crowd.elector.start()
    for call in done:
        call.result()
    assert crowd.waiting["Semaphore"].result() is True
    assert crowd.waiting["Event"].result() is True
    assert {done[2].result(), crowd.waiting["Barrier"].result()} == {0, 1}
    crowd.holder.call("c", "notify")
    assert crowd.waiting["Condition"].result() is True
    wait_until(lambda: crowd.holder.call("s", "get_value") == 0, "each permit is somebody's")
    assert (crowd.holder.call("s", "held"), crowd.waiter.call("s", "held")) == (1, 1)


def test_an_elector_gone_for_good(machine: Machine):
    crowd = Crowd(machine, SHORT, AWAY_SECONDS)
    killed_at = crowd.elector.kill()
    told = wait_until(lambda: len(events := crowd.holder.events("told")) == 2 and events, "both losses are told")
    for event in told:
        took = machine.measure(
            "elector gone, a permit's holder is told", seconds_between(killed_at, event.at), SHORT.validity_seconds
        )
        assert took < SHORT.validity_seconds + 1.0 * GENEROUS
    assert crowd.holder.call("s", "held") == 0
    assert crowd.holder.begin("s", "release").end().error == "LockLost"
    for call in crowd.waiting.values():
        failed = call.end()
        assert failed.error == "ElectorUnavailable"
        assert crowd.elector.url in failed.text
        assert seconds_between(killed_at, failed.at) >= AWAY_SECONDS - 1.0  # It was heard of within the last second.
    for kind, name in NAMES.items():
        method = {"Semaphore": "acquire", "Barrier": "wait"}.get(kind, "wait")
        assert crowd.waiter.begin(name, method, timeout=0.2).end().error == "ElectorUnavailable"


def test_a_timeout_while_the_elector_is_away_is_no_false(machine: Machine):
    """False would say that somebody else has it, or that nobody has set or notified it; that is not known."""
    elector = machine.elector(LONG)
    member = machine.member(elector)
    make_all(member)
    assert member.call("s", "acquire")
    assert member.call("e", "wait", timeout=0) is False
    elector.kill()
    calls: list[Call] = [
        member.begin("s", "acquire", timeout=0.5),
        member.begin("s", "acquire", blocking=False),
        member.begin("e", "wait", timeout=0.5),
        member.begin("e", "is_set"),
        member.begin("b", "wait", timeout=0.5),
        member.begin("s", "get_value"),
        member.begin("b", "n_waiting"),
    ]
    assert {call.end().error for call in calls} == {"ElectorUnavailable"}
    assert member.call("s", "held") == 1


def test_what_the_records_say_outlives_a_death(machine: Machine):
    elector = machine.elector(LONG)
    maker, other = machine.member(elector), machine.member(elector)
    for member in (maker, other):
        make_all(member)
    maker.call("e", "set")
    maker.call("b", "abort")
    maker.call("s", "release", n=3)  # Nobody has one: there are more than at first.
    other.call("s", "acquire")
    maker.kill()
    kill_both(elector)
    assert other.call("e", "is_set") is True
    assert other.call("e", "wait", timeout=0) is True
    assert other.call("b", "broken") is True
    assert other.begin("b", "wait").end().error == "BrokenBarrierError"
    assert other.call("s", "get_value") == 4
    terminate(elector)
    assert other.call("e", "is_set") is True
    assert other.call("b", "broken") is True
    assert other.call("s", "get_value") == 4
    other.call("e", "clear")
    kill_both(elector)
    assert other.call("e", "is_set") is False
    assert not other.events("told")


def test_those_who_die_while_the_elector_is_away_are_found_out(machine: Machine):
    crowd = Crowd(machine, SHORT)
    other = machine.member(crowd.elector)
    make_all(other)
    waiting = {
        "Semaphore": other.begin("s", "acquire"),
        "Condition": other.begin("c", "wait"),
    }
    wait_for_spec(crowd.elector, CONDITIONS_PATH, "c", waiters=2)
    crowd.elector.kill()
    crowd.holder.kill()
    crowd.waiter.kill()
    started_at = now_ns()
    crowd.elector.start()
    # Nobody comes back for the permits, nor for the place at the barrier: after a grace they are free.
    assert waiting["Semaphore"].result() is True
    machine.measure(
        "died while their elector did, their permits are free",
        waiting["Semaphore"].seconds_since(started_at),
        SHORT.silence_seconds,
    )
    wait_for_spec(crowd.elector, SEMAPHORES_PATH, "s", held=1, value=1)
    wait_for_spec(crowd.elector, BARRIERS_PATH, "b", state="broken")
    wait_for_spec(crowd.elector, CONDITIONS_PATH, "c", waiters=1)
    other.call("c", "notify")
    assert waiting["Condition"].result() is True


def test_a_terminated_elector_with_waiters_of_every_kind_leaves_in_time(machine: Machine):
    crowd = Crowd(machine, LONG)
    terminated_at = crowd.elector.terminate()
    assert crowd.elector.exit_code() == 0
    took = machine.measure(
        "elector terminated with waits of every kind, it ends", seconds_between(terminated_at, now_ns()), 2.0
    )
    assert took < 2.0 * GENEROUS
    assert not any(call.is_over() for call in crowd.waiting.values())
    crowd.elector.start()
    assert "went on with session" in crowd.elector.output.read_text()
    crowd.all_wait()
    crowd.all_go_on()
