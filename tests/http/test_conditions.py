"""`/conditions`: what reaches the elector, and how its answers look."""

from __future__ import annotations

import json
from typing import Any

import pytest

from elector_server import problems
from elector_server.rules.condition import KIND, Condition, Ticket
from elector_server.store import Record
from tests.http.asking import Answer, app_of, ask
from tests.http.fake_elector import CLIENT, HOLDER, FakeElector
from tests.http.test_semaphores import claimant

HERE = {"client": CLIENT, "holder": HOLDER}
NOTIFY = {"client": CLIENT, "operation": "e" * 32, "waiters": 2}
RECORD = Record(
    KIND, "queue", 124, "", Condition((Ticket(claimant(), notified=True), Ticket(claimant("f" * 32)))).to_spec()
)


def _ask(elector: FakeElector, method: str, body: Any = None, target: str = "/conditions/queue") -> Answer:
    return ask(app_of(elector), method, target, b"" if body is None else json.dumps(body).encode())


@pytest.mark.parametrize("wait", [{}, {"wait_seconds": 0}, {"wait_seconds": 20}])
def test_enqueue_does_not_wait(wait: Any) -> None:
    elector = FakeElector(conditions_enqueue=None)
    answer = _ask(elector, "PUT", HERE | {"enqueued": False} | wait)
    assert (answer.status, answer.json) == (202, {"name": "queue", "state": "waiting", "holder": HOLDER})
    assert elector.calls == [("conditions_enqueue", "queue", CLIENT, HOLDER)]


@pytest.mark.parametrize(("is_notified", "status", "state"), [(True, 200, "notified"), (False, 202, "waiting")])
def test_wait(is_notified: bool, status: int, state: str) -> None:  # noqa: FBT001 - a parameter of the test
    elector = FakeElector(conditions_wait=is_notified)
    answer = _ask(elector, "PUT", HERE | {"enqueued": True, "wait_seconds": 2.5})
    assert (answer.status, answer.json) == (status, {"name": "queue", "state": state, "holder": HOLDER})
    assert elector.calls == [("conditions_wait", "queue", CLIENT, HOLDER, 2.5)]


@pytest.mark.parametrize(("field", "pass_on"), [({}, False), ({"pass_on": False}, False), ({"pass_on": True}, True)])
def test_withdraw(field: Any, pass_on: bool) -> None:  # noqa: FBT001 - a parameter of the test
    elector = FakeElector(conditions_withdraw="withdrawn")
    answer = _ask(elector, "DELETE", HERE | field)
    assert (answer.status, answer.json) == (200, {"name": "queue", "state": "withdrawn"})
    assert elector.calls == [("conditions_withdraw", "queue", CLIENT, HOLDER, pass_on)]


@pytest.mark.parametrize(
    ("body", "waiters"),
    [(NOTIFY, 2), (NOTIFY | {"waiters": None}, None), ({"client": CLIENT, "operation": "e" * 32}, None)],
    ids=["two", "null is all", "left out is all"],
)
def test_notify(body: Any, waiters: int | None) -> None:
    elector = FakeElector(conditions_notify=1)
    answer = _ask(elector, "POST", body)
    assert (answer.status, answer.json) == (200, {"name": "queue", "notified": 1})
    assert elector.calls == [("conditions_notify", "queue", CLIENT, "e" * 32, waiters)]


@pytest.mark.parametrize(
    "problem",
    [
        problems.UnknownClient(CLIENT),
        problems.HolderDead("queue", HOLDER, KIND),
        problems.NoRoom(KIND, "queue", "1000 wait already"),
    ],
    ids=repr,
)
def test_refusals_are_problems(problem: problems.Problem) -> None:
    answer = _ask(FakeElector(conditions_enqueue=problem), "PUT", HERE | {"enqueued": False})
    assert (answer.status, answer.code) == (problem.status, problem.code)
    assert HOLDER not in answer.detail  # it is a secret


def test_a_dead_holder_is_told_what_its_id_was_for() -> None:
    elector = FakeElector(conditions_enqueue=problems.HolderDead("queue", HOLDER, KIND))
    assert "use a fresh id for each wait" in _ask(elector, "PUT", HERE | {"enqueued": False}).detail


def test_read_shows_the_record_without_secrets() -> None:
    answer = _ask(FakeElector(conditions_read=RECORD), "GET")
    who = {"owner": "host:1", "process": "host:7 python"}
    assert (answer.status, answer.json) == (
        200,
        {
            "apiVersion": "metaparticle.io/v1",
            "kind": "Condition",
            "metadata": {"name": "queue", "resourceVersion": "124"},
            "spec": {
                "waiters": 1,
                "notified": 1,
                "tickets": [
                    {"holder": "dddddddd", "notified": True} | who,
                    {"holder": "ffffffff", "notified": False} | who,
                ],
            },
        },
    )


def test_list() -> None:
    answer = _ask(FakeElector(conditions_list=[RECORD]), "GET", target="/conditions")
    assert (answer.status, answer.json) == (200, {"conditions": [{"name": "queue", "waiters": 1, "notified": 1}]})
