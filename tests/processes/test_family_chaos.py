"""Processes hurry through one primitive while their elector is killed again and again: every count is right.

The elector dies each time when so many more turns have been done, so that a slow machine has as many deaths as a fast
one. What is done at the moment of a death is left to chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from tests.processes.electors import LONG, ElectorProcess
from tests.processes.history import Event
from tests.processes.machine import Machine
from tests.processes.member_program import PERMITS_MAX
from tests.processes.members import Member
from tests.processes.running import wait_until
from tests.processes.test_family_elector import kill_both, kill_worker, terminate

PROCESSES = 3
THREADS = 3
DEATHS: list[Callable[[ElectorProcess], None]] = [kill_both, kill_worker, terminate, kill_both, kill_both]
TURNS_PER_DEATH = 60


def turns_of(members: Iterable[Member]) -> list[Event]:
    return [turn for member in members for turn in member.events("ok", what="turn")]


def kill_again_and_again(elector: ElectorProcess, members: Sequence[Member]) -> None:
    """Each time when there were so many more turns."""
    for number, death in enumerate(DEATHS, start=1):
        wait_until(lambda number=number: len(turns_of(members)) >= number * TURNS_PER_DEATH, f"death {number} is due")
        assert not [event for member in members for event in member.events("done")], "it is over too early"
        death(elector)


def most_at_once(turns: Iterable[Event]) -> int:
    """How many permits were certainly held at one moment."""
    changes = [(turn.details["from"], turn.details["permits"]) for turn in turns]
    changes += [(turn.details["to"], -turn.details["permits"]) for turn in turns]
    held = most = 0
    for _, change in sorted(changes):
        held += change
        most = max(most, held)
    return most


# Whoever needs several permits may have some while others have the rest: with these limits, all can go on.
@pytest.mark.parametrize(("kind", "limit"), [("BoundedSemaphore", 19), ("Semaphore", 20)])
def test_no_permit_is_lost_or_made_up(machine: Machine, kind: str, limit: int):
    assert limit > PROCESSES * THREADS * (PERMITS_MAX - 1)
    turns = 2 * len(DEATHS) * TURNS_PER_DEATH // (PROCESSES * THREADS)
    elector = machine.elector(LONG)
    members = [machine.member(elector) for _ in range(PROCESSES)]
    for number, member in enumerate(members):
        member.make(kind, "x", limit)
        for thread in range(THREADS):
            member.do("toil", name="x", turns=turns, seed=THREADS * number + thread)
    kill_again_and_again(elector, members)
    for member in members:
        wait_until(lambda member=member: len(member.events("done")) == THREADS or member.events("fail"), "all is done")
        assert not member.events("fail")
        assert not member.events("told")
        assert member.call("x", "held") == 0
    wait_until(lambda: members[0].call("x", "get_value") == limit, "all permits are free")
    assert len(turns_of(members)) == turns * PROCESSES * THREADS
    assert 0 < most_at_once(turns_of(members)) <= limit


def test_every_generation_of_a_barrier_passes_whole_and_acts_once(machine: Machine):
    generations = 2 * len(DEATHS) * TURNS_PER_DEATH // PROCESSES
    elector = machine.elector(LONG)
    members = [machine.member(elector) for _ in range(PROCESSES)]
    for member in members:
        member.make("Barrier", "x", PROCESSES, action="act")
        member.do("march", name="x", turns=generations)
    kill_again_and_again(elector, members)
    for member in members:
        wait_until(lambda member=member: member.events("done") or member.events("fail"), "all is done")
        assert not member.events("fail")
    indices = [[turn.details for turn in turns_of([member])] for member in members]
    assert [sorted(of_one) for of_one in zip(*indices, strict=True)] == [list(range(PROCESSES))] * generations
    assert sum(len(member.events("acted")) for member in members) == generations
    assert len(Counter(index for of_member in indices for index in of_member)) == PROCESSES


def test_no_wake_up_is_lost(machine: Machine, tmp_path: Path):
    turns = 2 * len(DEATHS) * TURNS_PER_DEATH // PROCESSES
    number = tmp_path / "number"
    number.write_text("0")
    elector = machine.elector(LONG)
    members = [machine.member(elector) for _ in range(PROCESSES)]
    for rank, member in enumerate(members):
        member.make("Condition", "x", None)
        member.do("alternate", name="x", turns=turns, path=str(number), rank=rank, others=PROCESSES)
    kill_again_and_again(elector, members)
    for member in members:
        wait_until(lambda member=member: member.events("done") or member.events("fail"), "all is done")
        assert not member.events("fail")
    assert sorted(turn.details for turn in turns_of(members)) == list(range(turns * PROCESSES))
    assert number.read_text() == str(turns * PROCESSES)
    assert elector.is_free("condition:x")
