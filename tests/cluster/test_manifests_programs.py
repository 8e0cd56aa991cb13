"""The programs inside the examples, run as they stand against electors of different pods."""

from __future__ import annotations

import contextlib
import re
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.electors import PodElector, pod_electors
from tests.cluster.namespaces import Namespace
from tests.cluster.workloads import EXAMPLES
from tests.processes.electors import LONG
from tests.processes.running import Process, wait_until

ENDED_BY_TERM = 143


@pytest.fixture
def two(namespace: Namespace) -> Iterator[list[PodElector]]:
    with pod_electors(namespace, 2, LONG) as electors:
        yield electors


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with contextlib.ExitStack() as stack:
        yield Running(tmp_path, stack)


class Running:
    """Starts programs of the examples; none of them is left."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._count = 0

    def start(self, program: str, elector: PodElector) -> Process:
        """With the elector of its pod."""
        self._count += 1
        path = self._folder / f"program-{self._count}.py"
        path.write_text(program)
        environment = {"METAPARTICLE_SYNC_URL": elector.url}
        process = Process(["-u", str(path)], path.with_suffix(".log"), environment)
        self._stack.callback(process.end)
        return process


def program_of(file: str) -> str:
    (config,) = [one for one in yaml.safe_load_all((EXAMPLES / file).read_text()) if one["kind"] == "ConfigMap"]
    (text,) = config["data"].values()
    assert isinstance(text, str)
    return text


def tokens(process: Process) -> list[int]:
    return [int(found) for found in re.findall(r"with token (\d+)", process.said())]


def test_one_leads_and_stands_down_for_the_next(two: list[PodElector], running: Running) -> None:
    program = program_of("leader.yaml")
    first = running.start(program, two[0])
    wait_until(lambda: tokens(first), "the first leads")
    second = running.start(program, two[1])
    two[0].wait_for_waiters("leader", 1)
    assert not tokens(second)
    first.known.signal(signal.SIGTERM)
    wait_until(lambda: tokens(second), "the second leads")
    assert first.exit_code() == 0
    assert "stands down" in first.said()
    assert tokens(second) > tokens(first)


def test_a_run_that_finds_another_one_ends_at_once(
    namespace: Namespace, two: list[PodElector], running: Running
) -> None:
    program = program_of("cronjob.yaml")
    first = running.start(program, two[0])
    wait_until(lambda: tokens(first), "the first is at work")
    second = running.start(program, two[1])
    assert second.exit_code() == 0
    assert second.said() == "another run is at work: nothing to do\n"
    first.known.signal(signal.SIGTERM)
    assert first.exit_code() == ENDED_BY_TERM
    wait_until(lambda: not namespace.locks(), "the lock is free")


def test_a_run_comes_to_its_end(two: list[PodElector], running: Running) -> None:
    process = running.start(program_of("cronjob.yaml").replace("sleep(90)", "sleep(0)"), two[0])
    assert process.exit_code() == 0
    assert process.said().endswith("made the report\n")


def test_one_migrates_and_the_others_see_it(two: list[PodElector], running: Running, tmp_path: Path) -> None:
    program = program_of("migration.yaml").replace("/database/", f"{tmp_path}/")
    all_of_them = [running.start(program, elector) for elector in (*two, two[0])]
    assert [one.exit_code() for one in all_of_them] == [0, 0, 0]
    said = sorted(re.findall(r"found version (\d), now it is (\d)", "".join(one.said() for one in all_of_them)))
    assert said == [("0", "2"), ("2", "2"), ("2", "2")]
    with contextlib.closing(sqlite3.connect(tmp_path / "shop.sqlite3")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)


def test_workers_take_turns(two: list[PodElector], running: Running) -> None:
    program = program_of("workers.yaml").replace("sleep(2)", "sleep(0.05)").replace("sleep(1)", "sleep(0.01)")
    workers = [running.start(program, elector) for elector in (*two, two[0])]
    wait_until(lambda: all(len(tokens(worker)) > 3 for worker in workers), "each had some turns")
    for worker in workers:
        worker.known.signal(signal.SIGTERM)
    assert {worker.exit_code() for worker in workers} == {ENDED_BY_TERM}
    given = [token for worker in workers for token in tokens(worker)]
    assert len(set(given)) == len(given)
    assert all(tokens(worker) == sorted(tokens(worker)) for worker in workers)


def test_the_program_of_the_component_takes_turns(two: list[PodElector], running: Running) -> None:
    program = (EXAMPLES / "kustomize" / "shop.py").read_text().replace("sleep(10)", "sleep(0.01)")
    first, second = (running.start(program.replace("sleep(2)", "sleep(0.05)"), elector) for elector in two)
    wait_until(lambda: len(tokens(first)) > 2 and len(tokens(second)) > 2, "both had some turns")
