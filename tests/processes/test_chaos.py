"""Faults by chance, one after the other, on two electors and their clients; after each of them the lock is granted on.

What is checked at the end is the same as in every other test here: beliefs, tokens, the store's history. A seed repeats
the faults, though not the run.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from tests.processes.electors import SHORT, ElectorProcess
from tests.processes.history import now_ns
from tests.processes.machine import Machine
from tests.processes.running import wait_until
from tests.processes.workers import WorkerProcess

SEED = int(os.environ.get("CHAOS_SEED", random.randrange(10**6)))
NAMES = ("x", "y")
WORKERS = 4


class Chaos:
    """The processes of one run, and what may happen to them."""

    def __init__(self, machine: Machine, dice: random.Random) -> None:
        self._machine = machine
        self._dice = dice
        self.electors = [machine.elector(SHORT) for _ in range(2)]
        self.workers = [self._toiling(self.electors[number % 2]) for number in range(WORKERS)]
        self.faults: list[Callable[[], None]] = [
            self.kill_a_client,
            self.kill_a_client,
            self.pause_a_client,
            self.kill_an_elector,
            self.kill_a_gunicorn_worker,
            self.kill_a_gunicorn_master,
            self.terminate_an_elector,
            self.pause_an_elector,
        ]

    def _toiling(self, elector: ElectorProcess) -> WorkerProcess:
        worker = self._machine.worker(elector, tells=True)
        for name in NAMES:
            worker.do("toil", name=name)
        return worker

    def wait_for_grants(self, after: int) -> None:
        """Wait until each lock has been granted since that moment."""
        for name in NAMES:
            wait_until(lambda name=name: self._is_granted(name, after), f"{name} is granted")

    def _is_granted(self, name: str, after: int) -> bool:
        return any(
            event.at > after for worker in self.workers for event in worker.events("ok", what="acquire", name=name)[-1:]
        )

    def kill_a_client(self) -> None:
        place = self._dice.randrange(WORKERS)
        self.workers[place].kill()
        self.workers[place] = self._toiling(self._dice.choice(self.electors))

    def pause_a_client(self) -> None:
        worker = self._dice.choice(self.workers)
        self.wait_for_grants(worker.pause())
        worker.resume()

    def kill_an_elector(self) -> None:
        elector = self._dice.choice(self.electors)
        self.wait_for_grants(elector.kill())
        elector.start()

    def kill_a_gunicorn_worker(self) -> None:
        elector = self._dice.choice(self.electors)
        elector.kill(master=False)
        elector.wait_until_serving()

    def kill_a_gunicorn_master(self) -> None:
        elector = self._dice.choice(self.electors)
        elector.kill(worker=False)
        elector.start()

    def terminate_an_elector(self) -> None:
        elector = self._dice.choice(self.electors)
        elector.terminate()
        assert elector.exit_code() == 0
        elector.start()

    def pause_an_elector(self) -> None:
        elector = self._dice.choice(self.electors)
        self.wait_for_grants(elector.pause())
        elector.resume()

    def stop(self) -> None:
        """Let all of them finish, and see that nothing is left behind."""
        for worker in self.workers:
            worker.do("stop")
        for worker in self.workers:
            for name in NAMES:
                worker.wait_for("done", name=name)
        for name in NAMES:
            wait_until(lambda name=name: self.electors[0].is_free(name), f"{name} is free")


@pytest.mark.parametrize("seed", [SEED])
def test_faults_by_chance(machine: Machine, seed: int):
    dice = random.Random(seed)
    chaos = Chaos(machine, dice)
    chaos.wait_for_grants(now_ns())
    dice.shuffle(chaos.faults)
    for fault in chaos.faults:
        fault()
        chaos.wait_for_grants(now_ns())
    chaos.stop()
