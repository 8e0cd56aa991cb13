"""The whole family over two electors on one store, as over two pods; and one of them dies with its clients alive."""

from __future__ import annotations

from metaparticle_sync.wire import BARRIERS_PATH, CONDITIONS_PATH, SEMAPHORES_PATH
from tests.processes.electors import LONG, SHORT
from tests.processes.history import now_ns, seconds_between
from tests.processes.machine import Machine
from tests.processes.members import wait_for_spec
from tests.processes.running import GENEROUS, wait_until
from tests.processes.test_family_deaths import line_up
from tests.processes.test_family_elector import make_all
from tests.processes.test_two_electors import TAKEOVER_SECONDS, seconds_since_last_renewal


def test_permits_pass_between_two_electors(machine: Machine):
    here, there = machine.elector(LONG), machine.elector(LONG)
    holders = [machine.member(here), machine.member(there)]
    waiters = [machine.member(there), machine.member(here)]
    for member in (*holders, *waiters):
        member.make("BoundedSemaphore", "x", 2)
    for holder in holders:
        assert holder.call("x", "acquire")
    waiting = line_up(here, SEMAPHORES_PATH, "waiters", [(waiter, "acquire") for waiter in waiters])
    for holder, call in zip(holders, waiting, strict=True):
        released_at = now_ns()
        holder.call("x", "release")
        assert call.result() is True
        took = machine.measure(
            "permit released, one of another elector has it", seconds_between(released_at, call.end().at), 1.0
        )
        assert took < 1.0 * GENEROUS
    for waiter in waiters:
        waiter.call("x", "release")
    assert holders[0].call("x", "get_value") == 2
    assert holders[0].begin("x", "release").end().error == "ValueError"


def test_a_killed_client_of_one_elector_frees_its_permits_for_the_other(machine: Machine):
    here, there = machine.elector(LONG), machine.elector(LONG)
    holder, waiter = machine.member(here), machine.member(there)
    for member in (holder, waiter):
        member.make("Semaphore", "x", 1)
    assert holder.call("x", "acquire")
    (waiting,) = line_up(there, SEMAPHORES_PATH, "waiters", [(waiter, "acquire")])
    killed_at = holder.kill()
    assert waiting.result() is True
    took = machine.measure("permit's holder killed, one of another elector", waiting.seconds_since(killed_at), 1.0)
    assert took < 1.0 * GENEROUS


def test_events_conditions_and_barriers_reach_over_two_electors(machine: Machine):
    here, there = machine.elector(LONG, with_metrics=True), machine.elector(LONG, with_metrics=True)
    one, other = machine.member(here), machine.member(there)
    for member in (one, other):
        make_all(member)
    for waiter, actor, elector in ((one, other, here), (other, one, there)):
        waiting = waiter.begin("e", "wait")
        wait_until(lambda elector=elector: elector.waits()["event"] == 1, "it waits for the event")
        actor.call("e", "set")
        actor.call("e", "clear")  # Whoever waited has seen it.
        assert waiting.result() is True
        assert waiter.call("e", "is_set") is False

        waiting = waiter.begin("c", "wait")
        wait_for_spec(elector, CONDITIONS_PATH, "c", waiters=1)
        actor.call("c", "notify")
        assert waiting.result() is True

        waiting = waiter.begin("b", "wait")
        wait_for_spec(elector, BARRIERS_PATH, "b", waiting=1)
        assert {actor.call("b", "wait"), waiting.result()} == {0, 1}


def test_a_dead_party_breaks_the_barrier_at_both_electors(machine: Machine):
    here, there = machine.elector(LONG), machine.elector(LONG)
    dying, neighbour, far = machine.member(here), machine.member(here), machine.member(there)
    for member in (dying, neighbour, far):
        member.make("Barrier", "x", 4)
    _, *waiting = [member.begin("x", "wait") for member in (dying, neighbour, far)]
    wait_for_spec(there, BARRIERS_PATH, "x", waiting=3)
    killed_at = dying.kill()
    for call in waiting:
        assert call.end().error == "BrokenBarrierError"
        took = machine.measure("a party killed, the others of two electors", call.seconds_since(killed_at), 1.0)
        assert took < 1.0 * GENEROUS


def test_what_hangs_on_a_killed_elector_passes_on_after_its_lease_and_never_before(machine: Machine):
    dying, other = machine.elector(SHORT), machine.elector(SHORT)
    lost, waiter, notifier = machine.member(dying), machine.member(other), machine.member(other)
    for member in (lost, waiter, notifier):
        make_all(member)
        member.make("Barrier", "b of 3", 3)
    assert lost.call("s", "acquire")
    assert lost.call("s", "acquire")
    lost.call("e", "set")
    of_the_lost = {"Condition": lost.begin("c", "wait"), "Barrier": lost.begin("b of 3", "wait")}
    wait_for_spec(other, CONDITIONS_PATH, "c", waiters=1)
    wait_for_spec(other, BARRIERS_PATH, "b of 3", waiting=1)
    waiting = {
        "Semaphore": waiter.begin("s", "acquire"),
        "Condition": waiter.begin("c", "wait"),
        "Barrier": waiter.begin("b of 3", "wait"),
    }
    wait_for_spec(other, SEMAPHORES_PATH, "s", waiters=1)
    wait_for_spec(other, CONDITIONS_PATH, "c", waiters=2)
    wait_for_spec(other, BARRIERS_PATH, "b of 3", waiting=2)

    killed_at = dying.kill()
    silent_since = now_ns() - int(seconds_since_last_renewal(dying) * 1e9)
    notifier.call("c", "notify")  # It goes to the one that waited first, who can not hear of it any more.
    assert waiter.call("e", "is_set") is True

    assert waiting["Semaphore"].result() is True
    assert waiting["Condition"].result() is True
    assert waiting["Barrier"].end().error == "BrokenBarrierError"
    for kind, call in waiting.items():
        assert call.seconds_since(silent_since) >= SHORT.observation_seconds, kind
        took = machine.measure(
            f"other elector killed, taken over: {kind}", call.seconds_since(killed_at), TAKEOVER_SECONDS
        )
        assert took < TAKEOVER_SECONDS + 1.0 * GENEROUS
    told = wait_until(lambda: len(events := lost.events("told")) == 2 and events, "both losses are told")
    assert all(event.at < waiting["Semaphore"].end().at for event in told)

    # It comes back: its client is told what became of what it waited for, and goes on.
    dying.start()
    assert of_the_lost["Condition"].result() is True
    assert of_the_lost["Barrier"].end().error == "BrokenBarrierError"
    assert lost.begin("s", "release").end().error == "LockLost"
    assert lost.call("s", "acquire") is True
    assert lost.call("s", "acquire", blocking=False) is False
    assert waiter.call("s", "held") == 1
    assert not waiter.events("told")


def test_a_waiter_of_a_killed_elector_hears_what_happened_at_the_other(machine: Machine):
    dying, other = machine.elector(LONG, with_metrics=True), machine.elector(LONG)
    waiter, actor = machine.member(dying), machine.member(other)
    for member in (waiter, actor):
        make_all(member)
    assert actor.call("s", "acquire")
    assert actor.call("s", "acquire")
    waiting = {
        "s": waiter.begin("s", "acquire"),
        "e": waiter.begin("e", "wait"),
        "c": waiter.begin("c", "wait"),
        "b": waiter.begin("b", "wait"),
    }
    wait_for_spec(other, SEMAPHORES_PATH, "s", waiters=1)
    wait_for_spec(other, CONDITIONS_PATH, "c", waiters=1)
    wait_for_spec(other, BARRIERS_PATH, "b", waiting=1)
    wait_until(lambda: dying.waits()["event"] == 1, "it waits for the event")
    dying.kill()
    actor.call("s", "release")
    actor.call("e", "set")
    actor.call("e", "clear")
    actor.call("c", "notify")
    passing = actor.begin("b", "wait")
    dying.start()
    assert waiting["s"].result() is True
    assert waiting["e"].result() is True
    assert waiting["c"].result() is True
    assert {waiting["b"].result(), passing.result()} == {0, 1}
    assert waiter.call("s", "held") == 1
    assert not waiter.events("told")
