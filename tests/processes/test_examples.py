"""The examples do what they say."""

from __future__ import annotations

import ast
import re
import signal
from pathlib import Path

import pytest

from tests.processes.electors import LONG, ElectorProcess
from tests.processes.machine import Machine
from tests.processes.running import ROOT, Process, wait_until

SEARCH_PATH = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}

EXAMPLES = ROOT / "examples"

WITH_EXPECTED_OUTPUT = (
    "api_access.py",
    "original/election.py",
    "original/lock.py",
    "phases.py",
    "producer_consumer.py",
    "scheduler.py",
    "start_signal.py",
    "transfers.py",
)
"""Whose documentation shows what they print, every time."""

WITH_A_TEST_OF_THEIR_OWN = ("demo.py", "fencing.py", "leader.py", "nightly_report.py")


def run(machine: Machine, example: str, *arguments: str, elector: ElectorProcess | None = None) -> Process:
    environment = SEARCH_PATH | ({} if elector is None else {"METAPARTICLE_SYNC_URL": elector.url})
    return machine.program([f"examples/{example}", *arguments], environment)


def shown(example: str) -> str:
    """What the documentation of an example says that it prints."""
    documentation = ast.get_docstring(ast.parse((EXAMPLES / example).read_text())) or ""
    _, _, after = documentation.partition(f"    $ python examples/{example}\n")
    lines = after.partition("\n\n")[0].splitlines()
    assert lines, example
    return "".join(f"{line.removeprefix('    ')}\n" for line in lines)


@pytest.mark.parametrize("example", WITH_EXPECTED_OUTPUT)
def test_an_example_prints_what_it_says(machine: Machine, example: str):
    process = run(machine, example, elector=machine.elector(LONG))
    assert process.exit_code() == 0
    assert process.said() == shown(example)


def test_every_example_is_run():
    programs = {str(file.relative_to(EXAMPLES)) for file in EXAMPLES.rglob("*.py")}
    of_kubernetes = {program for program in programs if program.startswith("kubernetes/")}  # tests/cluster has those.
    assert programs - of_kubernetes == {*WITH_EXPECTED_OUTPUT, *WITH_A_TEST_OF_THEIR_OWN}


def test_an_example_can_be_run_again(machine: Machine):
    """What a run leaves in the store does not stand in the way of the next."""
    elector = machine.elector(LONG)
    for example in ("start_signal.py", "phases.py"):
        for _ in range(2):
            process = run(machine, example, elector=elector)
            assert process.exit_code() == 0
            assert process.said() == shown(example)


def test_the_demo_shows_what_it_promises(machine: Machine):
    demo = run(machine, "demo.py")
    assert demo.exit_code() == 0
    said = demo.said()
    assert max(map(len, said.splitlines())) <= 80
    assert "\033" not in said
    assert "no update was lost" in said
    assert re.search(r"cat was killed while it held, \w+ held [\d.]+ ms later", said)
    assert "WRONG" not in said
    assert len(re.findall(r"ms after (ada|ben|cat|dan)", said)) >= 10


def test_the_nightly_report_is_made_once(machine: Machine, tmp_path: Path):
    elector = machine.elector(LONG)
    reports = tmp_path / "reports"
    crowd = [run(machine, "nightly_report.py", str(reports), elector=elector) for _ in range(3)]
    assert [process.exit_code() for process in crowd] == [0, 0, 0]
    assert run(machine, "nightly_report.py", str(reports), elector=elector).exit_code() == 0

    said = "".join(process.said() for process in crowd)
    assert said.count("making tonight's report ...") == 1
    assert len(list(reports.iterdir())) == 1


def test_one_leader_follows_the_other(machine: Machine):
    elector = machine.elector(LONG)
    first = run(machine, "leader.py", elector=elector)
    wait_until(lambda: "leads, token" in first.said(), "the first one leads")
    second = run(machine, "leader.py", elector=elector)
    elector.wait_for_waiters("leader-example", 1)

    first.known.signal(signal.SIGTERM)
    assert first.exit_code() == 0
    assert first.said().endswith("stands down\n")
    wait_until(lambda: "leads, token" in second.said(), "the second one leads")
    second.known.signal(signal.SIGINT)
    assert second.exit_code() == 0


def test_the_guard_refuses_an_old_token(machine: Machine):
    fencing = run(machine, "fencing.py", elector=machine.elector(LONG))
    assert fencing.exit_code() == 0
    said = fencing.said()
    assert "is refused" in said
    assert said.endswith("the balance is 100\n")
