"""A process that has a permit, waits, notifies, sets or meets is killed or paused: those who live go on."""

from __future__ import annotations

import pytest

from metaparticle_sync.wire import BARRIERS_PATH, CONDITIONS_PATH, EVENTS_PATH, SEMAPHORES_PATH
from tests.processes.electors import LONG, SHORT, ElectorProcess
from tests.processes.history import now_ns, seconds_between
from tests.processes.machine import Machine
from tests.processes.members import Call, Member, spec, wait_for_spec
from tests.processes.running import GENEROUS, wait_until


def members(machine: Machine, elector: ElectorProcess, count: int, kind: str, *positional: object) -> list[Member]:
    """Processes that have made the primitive "x"."""
    made = [machine.member(elector) for _ in range(count)]
    for member in made:
        member.make(kind, "x", *positional)
    return made


def line_up(elector: ElectorProcess, collection: str, field: str, calls: list[tuple[Member, str]]) -> list[Call]:
    """Have the members call, each when the one before is in the record."""
    begun = []
    for member, method in calls:
        before = spec(elector, collection, "x").get(field, 0)
        begun.append(member.begin("x", method))
        wait_for_spec(elector, collection, "x", **{field: before + 1})
        wait_until(lambda: elector.is_free("condition:x"), "whoever waits has released the lock")
    return begun


@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
def test_the_permit_of_a_killed_process_goes_to_the_next_waiter(machine: Machine, kind: str):
    elector = machine.elector(LONG)
    holder, other, *waiting = members(machine, elector, 4, kind, 2)
    assert holder.call("x", "acquire")
    assert other.call("x", "acquire")
    first, second = line_up(elector, SEMAPHORES_PATH, "waiters", [(waiter, "acquire") for waiter in waiting])

    killed_at = holder.kill()
    assert first.result() is True
    took = machine.measure("permit's holder killed, the next one has it", first.seconds_since(killed_at), 1.0)
    assert took < 1.0 * GENEROUS
    assert not second.is_over()
    other.call("x", "release")
    assert second.result() is True
    wait_for_spec(elector, SEMAPHORES_PATH, "x", value=0, held=2, waiters=0)


def test_all_permits_of_a_killed_process_come_back(machine: Machine):
    elector = machine.elector(LONG)
    holder, other = members(machine, elector, 2, "BoundedSemaphore", 20)
    for _ in range(20):
        holder.call("x", "acquire")
    assert other.call("x", "acquire", blocking=False) is False
    waiting = [other.begin("x", "acquire") for _ in range(20)]
    wait_for_spec(elector, SEMAPHORES_PATH, "x", waiters=20)
    killed_at = holder.kill()
    assert all(call.result() for call in waiting)
    took = max(call.seconds_since(killed_at) for call in waiting)
    assert machine.measure("holder of 20 permits killed, others have them", took, 1.0) < 1.0 * GENEROUS
    assert other.call("x", "release", n=20) is None
    assert other.call("x", "get_value") == 20
    assert other.begin("x", "release").end().error == "ValueError"


def test_a_killed_waiter_is_passed_over(machine: Machine):
    elector = machine.elector(LONG)
    holder, vanishing, last = members(machine, elector, 3, "Semaphore", 1)
    assert holder.call("x", "acquire")
    _, waiting = line_up(elector, SEMAPHORES_PATH, "waiters", [(vanishing, "acquire"), (last, "acquire")])
    killed_at = vanishing.kill()
    holder.call("x", "release")
    assert waiting.result() is True
    assert waiting.seconds_since(killed_at) < 1.0 * GENEROUS


def test_a_permit_for_a_waiter_that_dies_just_then_is_passed_on(machine: Machine):
    elector = machine.elector(LONG)
    holder, vanishing, last = members(machine, elector, 3, "Semaphore", 1)
    assert holder.call("x", "acquire")
    _, waiting = line_up(elector, SEMAPHORES_PATH, "waiters", [(vanishing, "acquire"), (last, "acquire")])

    # It has it while it is paused and can not notice; then it dies.
    vanishing.pause()
    holder.call("x", "release")
    assert not waiting.is_over()
    killed_at = vanishing.kill()
    assert waiting.result() is True
    took = machine.measure("killed just when it got a permit, the next one has it", waiting.seconds_since(killed_at), 1)
    assert took < 1.0 * GENEROUS


def test_a_paused_holder_of_permits_is_told_when_it_goes_on(machine: Machine):
    elector = machine.elector(SHORT)
    holder, waiter = members(machine, elector, 2, "Semaphore", 2)
    assert holder.call("x", "acquire")
    assert holder.call("x", "acquire")
    (waiting,) = line_up(elector, SEMAPHORES_PATH, "waiters", [(waiter, "acquire")])

    paused_at = holder.pause()
    assert waiting.result() is True
    took = machine.measure(
        "permit's holder paused, the next one has it", waiting.seconds_since(paused_at), SHORT.silence_seconds
    )
    assert took < SHORT.silence_seconds + 1.0 * GENEROUS
    resumed_at = holder.resume()
    told = wait_until(lambda: len(events := holder.events("told")) == 2 and events, "both losses are told")
    assert all(event.at > resumed_at for event in told)
    assert holder.call("x", "held") == 0
    assert holder.begin("x", "release").end().error == "LockLost"
    # One of the two is the waiter's; the other is free for whoever comes.
    assert holder.call("x", "acquire") is True
    assert holder.call("x", "acquire", blocking=False) is False


def test_a_paused_waiter_gets_its_permit_when_it_goes_on(machine: Machine):
    elector = machine.elector(SHORT)
    holder, waiter = members(machine, elector, 2, "Semaphore", 1)
    assert holder.call("x", "acquire")
    (waiting,) = line_up(elector, SEMAPHORES_PATH, "waiters", [(waiter, "acquire")])
    waiter.pause()
    wait_for_spec(elector, SEMAPHORES_PATH, "x", waiters=0)  # Its time at the elector is over.
    waiter.resume()
    holder.call("x", "release")
    assert waiting.result() is True
    assert not waiter.events("told")
    assert waiter.call("x", "held") == 1


# Barriers -----------------------------------------------------------------------------------------------------------


def test_a_dead_party_breaks_the_barrier(machine: Machine):
    elector = machine.elector(LONG)
    first, second, dying, late = members(machine, elector, 4, "Barrier", 4)
    waiting = [member.begin("x", "wait") for member in (first, second, dying)]
    wait_for_spec(elector, BARRIERS_PATH, "x", waiting=3)

    killed_at = dying.kill()
    for call in waiting[:2]:
        assert call.end().error == "BrokenBarrierError"
        took = machine.measure("a party killed, the others are told", call.seconds_since(killed_at), 1.0)
        assert took < 1.0 * GENEROUS
    assert late.begin("x", "wait").end().error == "BrokenBarrierError"
    assert late.call("x", "broken") is True
    late.call("x", "reset")
    first.begin("x", "wait")
    wait_for_spec(elector, BARRIERS_PATH, "x", waiting=1, state="filling")


def test_a_party_killed_in_its_action_breaks_the_barrier(machine: Machine):
    elector = machine.elector(LONG)
    first, second = members(machine, elector, 2, "Barrier", 3)
    acting = machine.member(elector)
    acting.make("Barrier", "x", 3, action="act_for_ever")
    waiting = [member.begin("x", "wait") for member in (first, second)]
    wait_for_spec(elector, BARRIERS_PATH, "x", waiting=2)
    acting.begin("x", "wait")
    acting.wait_for("acting")
    wait_for_spec(elector, BARRIERS_PATH, "x", state="acting")
    assert not any(call.is_over() for call in waiting)

    killed_at = acting.kill()
    for call in waiting:
        assert call.end().error == "BrokenBarrierError"
        took = machine.measure("killed in its action, the others are told", call.seconds_since(killed_at), 1.0)
        assert took < 1.0 * GENEROUS


def test_a_paused_party_breaks_the_barrier_when_its_time_is_over(machine: Machine):
    elector = machine.elector(SHORT)
    paused, other = members(machine, elector, 2, "Barrier", 3)
    waiting = [member.begin("x", "wait") for member in (paused, other)]
    wait_for_spec(elector, BARRIERS_PATH, "x", waiting=2)
    paused_at = paused.pause()
    assert waiting[1].end().error == "BrokenBarrierError"
    assert waiting[1].seconds_since(paused_at) < SHORT.silence_seconds + 1.0 * GENEROUS
    paused.resume()
    assert waiting[0].end().error == "BrokenBarrierError"


# Conditions ---------------------------------------------------------------------------------------------------------


def test_the_notification_of_a_killed_waiter_wakes_another_one(machine: Machine):
    elector = machine.elector(LONG)
    dying, last, notifier = members(machine, elector, 3, "Condition")
    _, waiting = line_up(elector, CONDITIONS_PATH, "waiters", [(dying, "wait"), (last, "wait")])
    dying.pause()
    notifier.call("x", "notify")
    assert not waiting.is_over()
    killed_at = dying.kill()
    assert waiting.result() is True
    took = machine.measure("killed when it was notified, another one wakes", waiting.seconds_since(killed_at), 2.0)
    assert took < 2.0 * GENEROUS


def test_a_killed_waiter_is_not_notified(machine: Machine):
    elector = machine.elector(LONG)
    dying, last, notifier = members(machine, elector, 3, "Condition")
    _, waiting = line_up(elector, CONDITIONS_PATH, "waiters", [(dying, "wait"), (last, "wait")])
    dying.kill()
    wait_for_spec(elector, CONDITIONS_PATH, "x", waiters=1)
    notifier.call("x", "notify")
    assert waiting.result() is True


def test_a_waiter_that_was_paused_for_too_long_wakes_rather_than_waits_for_ever(machine: Machine):
    elector = machine.elector(SHORT)
    paused, last, notifier = members(machine, elector, 3, "Condition")
    late, waiting = line_up(elector, CONDITIONS_PATH, "waiters", [(paused, "wait"), (last, "wait")])
    paused.pause()
    wait_for_spec(elector, CONDITIONS_PATH, "x", waiters=1)
    notifier.call("x", "notify")
    assert waiting.result() is True
    paused.resume()
    assert late.result() is True


def test_what_a_killed_notifier_has_notified_stays_notified(machine: Machine):
    elector = machine.elector(LONG)
    waiter, notifier, other = members(machine, elector, 3, "Condition")
    waiting = line_up(elector, CONDITIONS_PATH, "waiters", [(waiter, "wait")])[0]
    waiter.pause()
    notifier.call("x", "notify")
    notifier.kill()
    waiter.resume()
    assert waiting.result() is True
    again = line_up(elector, CONDITIONS_PATH, "waiters", [(waiter, "wait")])[0]
    other.call("x", "notify")
    assert again.result() is True


def test_a_notifier_killed_before_it_notifies_leaves_the_lock_to_the_next(machine: Machine):
    elector = machine.elector(LONG)
    waiter, notifier, other = members(machine, elector, 3, "Condition")
    waiting = line_up(elector, CONDITIONS_PATH, "waiters", [(waiter, "wait")])[0]
    notifier.call("x", "acquire")
    notifying = other.begin("x", "notify")
    elector.wait_for_waiters("condition:x", 1)
    assert not notifying.is_over()
    killed_at = notifier.kill()
    assert notifying.result() is None
    assert notifying.seconds_since(killed_at) < 1.0 * GENEROUS
    assert waiting.result() is True


# Events -------------------------------------------------------------------------------------------------------------


def test_an_event_stays_set_when_its_setter_dies(machine: Machine):
    elector = machine.elector(LONG)
    setter, waiter = members(machine, elector, 2, "Event")
    waiting = waiter.begin("x", "wait")
    setter.call("x", "set")
    killed_at = setter.kill()
    assert waiting.result() is True
    assert waiting.seconds_since(killed_at) < 1.0 * GENEROUS
    assert waiter.call("x", "is_set") is True
    wait_for_spec(elector, EVENTS_PATH, "x", isSet=True)


def test_a_paused_waiter_misses_no_event(machine: Machine):
    elector = machine.elector(SHORT, with_metrics=True)
    waiter, setter, witness = members(machine, elector, 3, "Event")
    waiting, seen = [member.begin("x", "wait") for member in (waiter, witness)]
    wait_until(lambda: elector.waits()["event"] == 2, "both wait")
    paused_at = waiter.pause()
    setter.call("x", "set")
    assert seen.result() is True
    setter.call("x", "clear")
    wait_until(lambda: seconds_between(paused_at, now_ns()) > SHORT.silence_seconds, "the waiter is forgotten")
    assert not waiting.is_over()
    waiter.resume()
    assert waiting.result() is True
    assert waiter.call("x", "is_set") is False
