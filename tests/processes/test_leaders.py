"""Leaders in processes of their own, at running electors: who leads, who follows, and who hears of it."""

from __future__ import annotations

import json
import signal
from typing import Any

from metaparticle_sync import leader_of
from tests.processes.electors import LONG, ElectorProcess
from tests.processes.history import now_ns, seconds_between
from tests.processes.machine import Machine
from tests.processes.running import GENEROUS, ROOT, Process, wait_until


class Program:
    """One running `leader_program`."""

    def __init__(self, machine: Machine, elector: ElectorProcess, what: str, name: str = "x") -> None:
        environment = {"METAPARTICLE_SYNC_URL": elector.url, "PYTHONPATH": str(ROOT)}
        self.process: Process = machine.program(["-m", "tests.processes.leader_program", what, name], environment)

    def said(self, word: str) -> list[dict[str, Any]]:
        """What it has said so far under that word."""
        lines = [line for line in self.process.said().splitlines(keepends=True) if line.endswith("}\n")]
        return [said for said in map(json.loads, lines) if said["word"] == word]

    def wait_for(self, word: str, count: int = 1) -> dict[str, Any]:
        """The last of what it says under that word, as soon as it has said so much."""

        def found() -> list[dict[str, Any]]:
            was_running, said = self.process.is_running(), self.said(word)
            assert len(said) >= count or was_running, self.process.said()
            return said if len(said) >= count else []

        return wait_until(found, f"{count} times {word!r} of process {self.process.pid}")[-1]


def two(machine: Machine, what: str, elector: ElectorProcess) -> tuple[Program, Program]:
    """Two of them: the first one leads, the second one waits."""
    first = Program(machine, elector, what)
    first.wait_for("leads")
    second = Program(machine, elector, what)
    elector.wait_for_waiters("x", 1)
    return first, second


def test_one_of_two_decorated_functions_leads_at_a_time(machine: Machine):
    elector = machine.elector(LONG)
    first, second = two(machine, "wait", elector)
    assert not second.said("leads")
    first.process.tell("enough")
    first.wait_for("over")
    assert second.wait_for("leads")["token"] > first.said("leads")[0]["token"]
    second.process.close_input()
    assert second.process.exit_code() == 0
    assert elector.is_free("x")


def test_skip_while_somebody_else_leads(machine: Machine):
    elector = machine.elector(LONG)
    leader = Program(machine, elector, "wait")
    leader.wait_for("leads")
    assert Program(machine, elector, "skip").wait_for("result")["value"] == "skipped"
    leader.process.close_input()
    leader.wait_for("over")
    assert Program(machine, elector, "skip").wait_for("result")["value"] == "ran"


def test_skip_at_another_elector(machine: Machine):
    leader = Program(machine, machine.elector(LONG), "wait")
    leader.wait_for("leads")
    assert Program(machine, machine.elector(LONG), "skip").wait_for("result")["value"] == "skipped"


def test_everybody_sees_who_leads_and_what_it_says_about_itself(machine: Machine):
    elector, other = machine.elector(LONG), machine.elector(LONG)
    first, second = two(machine, "campaign", elector)
    expected = {"pid": first.process.pid, "zones": ["a", "ö"]}
    for asked in (elector, other):
        leader = leader_of("x", base_uri=asked.url)
        assert leader is not None
        assert leader.metadata == expected
        assert leader.token == first.said("leads")[0]["token"]
        assert leader.process.split()[0].endswith(f":{first.process.pid}")
        assert leader.since
    first.process.known.signal(signal.SIGKILL)
    second.wait_for("leads")
    leader = leader_of("x", base_uri=other.url)
    assert leader is not None
    assert leader.metadata == expected | {"pid": second.process.pid}


def test_a_hand_off_to_another_elector_keeps_what_the_next_leader_says(machine: Machine):
    elector, other = machine.elector(LONG), machine.elector(LONG)
    first = Program(machine, elector, "campaign")
    first.wait_for("leads")
    second = Program(machine, other, "campaign")
    elector.wait_for_waiters("x", 1)
    first.process.close_input()
    second.wait_for("leads")
    leader = leader_of("x", base_uri=elector.url)
    assert leader is not None
    assert leader.metadata["pid"] == second.process.pid


def test_resign_hands_over_when_the_callback_is_through_and_stands_again(machine: Machine):
    elector = machine.elector(LONG)
    first, second = two(machine, "campaign", elector)
    first.process.tell("resign")
    assert first.wait_for("stops")["held"]
    assert not second.said("leads")
    first.process.tell("end")
    assert first.wait_for("stopped")["held"]
    second.wait_for("leads")
    elector.wait_for_waiters("x", 1)  # The first one is a candidate again.
    second.process.close_input()
    assert first.wait_for("leads", 2)["token"] > second.said("leads")[0]["token"]


def test_whoever_watches_sees_the_change_after_the_leader_was_killed(machine: Machine):
    elector, other = machine.elector(LONG), machine.elector(LONG)
    watchers = [Program(machine, asked, "watch") for asked in (elector, other)]
    for watcher in watchers:
        assert watcher.wait_for("leader")["token"] is None
    first, second = two(machine, "campaign", elector)
    for watcher in watchers:
        assert watcher.wait_for("leader", 2)["metadata"]["pid"] == first.process.pid
    killed_at = first.process.known.signal(signal.SIGKILL)
    for watcher in watchers:
        wait_until(lambda watcher=watcher: watcher.said("leader")[-1]["token"] != first.said("leads")[0]["token"], "it")
    took = seconds_between(killed_at, now_ns())
    assert machine.measure("leader killed, everybody knows the next one", took, 1.0) < 1.0 * GENEROUS
    for watcher in watchers:
        assert watcher.said("leader")[-1]["metadata"]["pid"] == second.process.pid
        watcher.process.close_input()
        watcher.wait_for("over")


def test_whoever_watches_lives_through_a_restart_of_the_elector(machine: Machine):
    elector = machine.elector(LONG)
    leader = Program(machine, elector, "campaign")
    leader.wait_for("leads")
    watcher = Program(machine, elector, "watch")
    watcher.wait_for("leader")
    elector.kill()
    elector.start()
    leader.process.close_input()
    assert watcher.wait_for("leader", 2)["token"] is None
    assert len(watcher.said("leader")) == 2  # The restart was no change.


def test_a_cancelled_task_is_neither_candidate_nor_leader(machine: Machine):
    elector = machine.elector(LONG)
    first = Program(machine, elector, "wait")
    first.wait_for("leads")
    tasks = Program(machine, elector, "cancel")
    elector.wait_for_waiters("x", 1)
    tasks.process.tell("cancel the candidate")
    assert tasks.wait_for("cancelled")["was"]
    assert elector.lock("x")["waiters"] == 0
    tasks.process.tell("begin anew")
    elector.wait_for_waiters("x", 1)
    first.process.close_input()
    tasks.wait_for("leads")
    tasks.process.tell("cancel the leader")
    assert tasks.wait_for("cancelled", 2)["was"]
    assert elector.is_free("x")
    tasks.process.close_input()
    assert tasks.process.exit_code() == 0
