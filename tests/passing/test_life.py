"""Unnamed primitives live as long as the process that made them, or a process that uses them; then their records go."""

from __future__ import annotations

import pytest

from tests.passing.maker_program import TRACES
from tests.passing.records import records, wait_until_gone
from tests.passing.ways import METHODS
from tests.processes.electors import LONG, SHORT, ElectorProcess
from tests.processes.machine import Machine
from tests.processes.running import KnownProcess, wait_until

LEFT = {"semaphores", "events", "barriers"}


class Maker:
    """One running `maker_program`."""

    def __init__(self, machine: Machine, elector: ElectorProcess, method: str = "fork") -> None:
        environment = {"METAPARTICLE_SYNC_URL": elector.url}
        self.process = machine.program(["-m", "tests.passing.maker_program", method], environment)
        self._wait_for("ready")

    def do(self, command: str) -> None:
        """Have it do something, and wait until it has."""
        self._wait_for_more(f"done {command}", command)

    def keep_child(self) -> KnownProcess:
        """A child that uses them, and stays until it is killed."""
        self._wait_for_more("staying", "stay")
        line = next(line for line in reversed(self.process.said().splitlines()) if line.startswith("staying"))
        return KnownProcess(int(line.split()[1]))

    def kill(self) -> None:
        self.process.known.end()

    def leave(self) -> None:
        self.process.close_input()
        assert self.process.exit_code() == 0
        assert "Traceback" not in self.process.said()

    def _wait_for_more(self, text: str, command: str) -> None:
        before = self.process.said().count(text)
        self.process.tell(command)
        wait_until(lambda: self.process.said().count(text) > before, f"the maker says {text!r}")

    def _wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.process.said(), f"the maker says {text!r}")


def see_another_s_go(machine: Machine, elector: ElectorProcess) -> None:
    """Wait until whatever the elector had to remove by now has been removed: another one's records are."""
    before = records(elector)
    other = Maker(machine, elector)
    other.do("use")
    its = {name for names in records(elector).values() for name in names} - {
        name for names in before.values() for name in names
    }
    assert len(its) == len(LEFT)
    other.leave()
    wait_until(
        lambda: its.isdisjoint(name for names in records(elector).values() for name in names), "its records are gone"
    )


@pytest.mark.parametrize("method", METHODS)
def test_what_a_child_did_outlives_it_though_the_maker_has_never_used_it(machine: Machine, method: str):
    elector = machine.elector(LONG)
    maker = Maker(machine, elector, method)
    maker.do("child")
    see_another_s_go(machine, elector)
    assert records(elector).keys() == LEFT

    maker.do("look")
    assert TRACES in maker.process.said().splitlines()
    maker.leave()
    wait_until_gone(elector)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("command", ["use", "child"])
def test_their_records_go_when_their_maker_is_killed(machine: Machine, method: str, command: str):
    elector = machine.elector(LONG)
    maker = Maker(machine, elector, method)
    maker.do(command)
    assert records(elector).keys() == LEFT
    maker.kill()
    wait_until_gone(elector)


@pytest.mark.parametrize("method", METHODS)
def test_a_child_that_uses_them_keeps_their_records_when_their_maker_is_killed(machine: Machine, method: str):
    elector = machine.elector(LONG)
    maker = Maker(machine, elector, method)
    child = maker.keep_child()
    maker.kill()
    see_another_s_go(machine, elector)
    assert records(elector).keys() == LEFT
    child.end()
    wait_until_gone(elector)


def test_they_outlive_their_elector_s_restart_while_their_maker_is_idle(machine: Machine):
    elector = machine.elector(SHORT)
    maker = Maker(machine, elector)
    maker.do("child")
    holder, other = machine.worker(elector), machine.worker(elector)
    holder.acquire("x")
    elector.kill()
    holder.kill()
    elector.start()
    other.acquire("x")  # Possible only when the grace is over, after which the elector tidies.
    see_another_s_go(machine, elector)
    assert records(elector).keys() == {*LEFT, "locks"}

    maker.do("look")
    assert TRACES in maker.process.said().splitlines()
    maker.leave()
    other.release("x")
    wait_until_gone(elector)
