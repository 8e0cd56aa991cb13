"""Fork while holding: the child has nothing of its parent's, and its end says nothing of its parent."""

from __future__ import annotations

import pytest

from tests.processes.electors import LONG
from tests.processes.history import now_ns, seconds_between
from tests.processes.machine import Machine
from tests.processes.running import GENEROUS, wait_until
from tests.processes.test_holder import queue_up


@pytest.mark.parametrize("leave", ["exit", "abrupt"])
def test_a_child_holds_nothing_and_releases_nothing(machine: Machine, leave: str):
    elector = machine.elector(LONG)
    parent, other = machine.worker(elector), machine.worker(elector)
    held = parent.acquire("x")

    parent.do("fork", name="x", leave=leave)
    assert parent.wait_for("forked").details == 0
    child = parent.wait_for("child").details
    assert child["held"] is False
    assert child["claimed"] is False
    assert child["release"].startswith("NotHeld: ")
    assert f":{parent.pid} " in child["release"]
    assert child["own"] is True

    # Its own lock went with it, its parent's did not.
    other.acquire("x of a child")
    assert parent.wait_for_belief("x", now_ns()).token == held.token
    other.do("acquire", name="x", timeout=0.5)
    assert other.wait_for("fail", name="x").error == "timeout"
    assert not parent.events("doubt")
    parent.release("x")
    other.acquire("x")


def test_a_parent_that_is_killed_is_dead_though_its_child_lives(machine: Machine):
    elector = machine.elector(LONG)
    parent, other = machine.worker(elector), machine.worker(elector)
    parent.acquire("x")
    parent.do("fork", name="x", leave="stay")
    child = parent.adopt(parent.wait_for("child").pid)
    queue_up(elector, "x", other)

    killed_at = parent.kill()
    next_hold = other.wait_for("ok", what="acquire")
    assert child.is_running()
    took = seconds_between(killed_at, next_hold.at)
    assert machine.measure("parent killed while its child lives, the next one holds", took, 1.0) < 1.0 * GENEROUS
    assert not elector.is_free("x of a child")

    child.end()
    wait_until(lambda: elector.is_free("x of a child"), "the child's own lock is free")
