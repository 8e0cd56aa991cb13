"""`/events`: what reaches the elector, and how its answers look."""

from __future__ import annotations

import json
from typing import Any

import pytest

from elector_server import problems
from elector_server.events import EventSeen
from elector_server.rules.event import KIND, Event
from elector_server.store import Record
from tests.http.asking import Answer, app_of, ask
from tests.http.fake_elector import CLIENT, FakeElector

PUT = {"client": CLIENT, "operation": "e" * 32, "is_set": True}
RECORD = Record(KIND, "go", 124, "", Event(is_set=True, generation=3, changed_at="2025-01-31T12:00:00.000Z").to_spec())


def _ask(elector: FakeElector, method: str, body: Any = None, target: str = "/events/go") -> Answer:
    return ask(app_of(elector), method, target, b"" if body is None else json.dumps(body).encode())


@pytest.mark.parametrize("is_set", [True, False], ids=["set", "clear"])
def test_put(is_set: bool) -> None:  # noqa: FBT001 - a parameter of the test
    elector = FakeElector(events_put=EventSeen("go", is_set, 4))
    answer = _ask(elector, "PUT", PUT | {"is_set": is_set})
    assert (answer.status, answer.json) == (200, {"name": "go", "is_set": is_set, "generation": 4})
    assert elector.calls == [("events_put", "go", CLIENT, "e" * 32, is_set)]


@pytest.mark.parametrize(("is_set", "status"), [(True, 200), (False, 202)], ids=["passed", "not yet"])
def test_wait(is_set: bool, status: int) -> None:  # noqa: FBT001 - a parameter of the test
    elector = FakeElector(events_wait=EventSeen("go", is_set, 4))
    answer = _ask(elector, "POST", {"client": CLIENT, "generation": 4, "wait_seconds": 2.5})
    assert (answer.status, answer.json) == (status, {"name": "go", "is_set": is_set, "generation": 4})
    assert elector.calls == [("events_wait", "go", CLIENT, 4, 2.5)]


@pytest.mark.parametrize("body", [{"client": CLIENT}, {"client": CLIENT, "generation": None, "wait_seconds": 0}])
def test_a_wait_begins_with_one_look(body: Any) -> None:
    elector = FakeElector(events_wait=EventSeen("go", is_set=False, generation=0))
    _ask(elector, "POST", body)
    assert elector.calls == [("events_wait", "go", CLIENT, None, 0.0)]


@pytest.mark.parametrize("problem", [problems.UnknownClient(CLIENT), problems.StoreDown("it is locked")], ids=repr)
@pytest.mark.parametrize(("method", "body"), [("PUT", PUT), ("POST", {"client": CLIENT})], ids=["put", "wait"])
def test_refusals_are_problems(problem: problems.Problem, method: str, body: Any) -> None:
    answer = _ask(FakeElector(events_put=problem, events_wait=problem), method, body)
    assert (answer.status, answer.code) == (problem.status, problem.code)


def test_read() -> None:
    answer = _ask(FakeElector(events_read=RECORD), "GET")
    assert (answer.status, answer.json) == (
        200,
        {
            "apiVersion": "metaparticle.io/v1",
            "kind": "Event",
            "metadata": {"name": "go", "resourceVersion": "124"},
            "spec": {"isSet": True, "generation": 3, "changedAt": "2025-01-31T12:00:00.000Z"},
        },
    )


def test_list() -> None:
    answer = _ask(FakeElector(events_list=[RECORD]), "GET", target="/events")
    entry = {"name": "go", "is_set": True, "generation": 3, "changed_at": "2025-01-31T12:00:00.000Z"}
    assert (answer.status, answer.json) == (200, {"events": [entry]})
