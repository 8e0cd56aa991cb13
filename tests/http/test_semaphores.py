"""`/semaphores`: what reaches the elector, and how its answers look."""

from __future__ import annotations

import json
from typing import Any

import pytest

from elector_server import problems
from elector_server.rules.claimant import Claimant, Hold
from elector_server.rules.semaphore import KIND, Permit, Semaphore, Terms
from elector_server.semaphores import Heard, PermitGranted, PermitsReleased
from elector_server.store import Record
from metaparticle_sync import wire
from tests.http.asking import Answer, app_of, ask
from tests.http.fake_elector import CLIENT, HOLDER, FakeElector

ACQUIRE = {"client": CLIENT, "holder": HOLDER, "limit": 3, "bounded": True, "wait_seconds": 2.5}
RELEASE = {
    "client": CLIENT,
    "operation": "e" * 32,
    "limit": 3,
    "bounded": True,
    "permits": 2,
    "holders": [HOLDER],
}
GIVE_UP = {"client": CLIENT, "holder": HOLDER}
HELD_BY = problems.HeldBy(owner="host:1", process="host:7 python", since="2025-01-31T12:00:00.000Z", token="123")


def claimant(holder: str = HOLDER) -> Claimant:
    return Claimant(Hold(holder, "session", 1), CLIENT, "host:1", "host:7 python", 20.0)


def record(name: str = "gpu", token: int | None = 123) -> Record:
    permit = Permit(claimant(), "2025-01-31T12:00:00.000Z", token)
    semaphore = Semaphore(Terms(1, bounded=True), 0, (permit,), (claimant("f" * 32),), used_by=claimant("9" * 32))
    return Record(KIND, name, 124, "", semaphore.to_spec())


def _ask(elector: FakeElector, method: str, body: Any = None, target: str = "/semaphores/gpu") -> Answer:
    return ask(app_of(elector), method, target, b"" if body is None else json.dumps(body).encode())


def test_acquire_renders_the_permit() -> None:
    elector = FakeElector(semaphores_acquire=PermitGranted("gpu", HOLDER, 123, 11.34567, "s.1", 2, 7))
    answer = _ask(elector, "PUT", ACQUIRE)
    assert answer.status == 200
    assert answer.headers["content-type"] == wire.JSON_TYPE
    assert answer.json == {
        "name": "gpu",
        "state": "held",
        "holder": HOLDER,
        "token": "123",
        "valid_seconds": 11.345,  # rounded down: it is a promise
        "incarnation": "s.1",
        "value": 2,
        "operations": 7,
    }
    assert elector.calls == [("semaphores_acquire", "gpu", CLIENT, HOLDER, Terms(3, bounded=True), 2.5)]


def test_acquire_without_wait_is_a_single_try() -> None:
    elector = FakeElector(semaphores_acquire=None)
    _ask(elector, "PUT", {key: value for key, value in ACQUIRE.items() if key != "wait_seconds"})
    assert elector.calls == [("semaphores_acquire", "gpu", CLIENT, HOLDER, Terms(3, bounded=True), 0.0)]


def test_acquire_that_still_waits() -> None:
    answer = _ask(FakeElector(semaphores_acquire=None), "PUT", ACQUIRE)
    assert (answer.status, answer.json) == (202, {"name": "gpu", "state": "waiting", "holder": HOLDER})


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (problems.NoPermit("gpu", 2, HELD_BY), 409),
        (problems.NoPermit("gpu", 0, None), 409),
        (problems.LimitMismatch("gpu", "a semaphore of 3", "a semaphore of 2", "host:7 python at host:1"), 409),
        (problems.HolderDead("gpu", HOLDER, KIND), 409),
        (problems.UnknownClient(CLIENT), 409),
        (problems.ElectorStarting("no session"), 503),
        (problems.StoreDown("it is locked"), 503),
        (problems.NoRoom(KIND, "gpu", "1000 wait already"), 503),
    ],
    ids=lambda value: value.code if isinstance(value, problems.Problem) else "",
)
def test_refusals_are_problems(problem: problems.Problem, status: int) -> None:
    answer = _ask(FakeElector(semaphores_acquire=problem), "PUT", ACQUIRE)
    assert (answer.status, answer.code) == (status, problem.code)
    assert answer.json.get("held_by") == problem.held_by
    assert HOLDER not in answer.detail  # it is a secret
    assert ("retry-after" in answer.headers) == (status == 503)


@pytest.mark.parametrize("code", ["elector_starting", "elector_stopping"])
@pytest.mark.parametrize(("method", "body"), [("PUT", ACQUIRE), ("POST", RELEASE)])
def test_who_is_not_let_in_asks_nothing(method: str, body: Any, code: str) -> None:
    problem = {
        "elector_starting": problems.ElectorStarting("no session"),
        "elector_stopping": problems.ElectorStopping(),
    }
    elector = FakeElector(admit=problem[code])
    assert _ask(elector, method, body).code == code
    assert [call for call in elector.calls if call[0] != "admit"] == []


def test_release() -> None:
    elector = FakeElector(semaphores_release=PermitsReleased("gpu", 2, 7))
    answer = _ask(elector, "POST", RELEASE)
    assert (answer.status, answer.json) == (200, {"name": "gpu", "value": 2, "operations": 7})
    assert elector.calls == [("semaphores_release", "gpu", CLIENT, "e" * 32, Terms(3, bounded=True), 2, [HOLDER], None)]


@pytest.mark.parametrize(
    ("fields", "heard"),
    [
        ({"incarnation": "s.1", "operations": 7}, Heard("s.1", 7)),
        ({"incarnation": "s.1"}, Heard("s.1", 0)),
        ({"operations": 7}, None),
    ],
)
def test_release_with_what_was_heard_when_it_was_first_sent(fields: dict[str, Any], heard: Heard | None) -> None:
    elector = FakeElector(semaphores_release=PermitsReleased("gpu", 2, 7))
    assert _ask(elector, "POST", RELEASE | fields).status == 200
    assert elector.calls[0][-1] == heard


def test_release_of_nobodys_permit_in_particular() -> None:
    elector = FakeElector(semaphores_release=PermitsReleased("gpu", 1, 7))
    assert _ask(elector, "POST", {key: value for key, value in RELEASE.items() if key != "holders"}).status == 200
    assert elector.calls[0][-3:] == (2, [], None)


def test_release_too_often() -> None:
    answer = _ask(FakeElector(semaphores_release=problems.SemaphoreFull("gpu", 2, 1)), "POST", RELEASE)
    assert (answer.status, answer.code) == (409, "semaphore_full")
    assert "can not take 2 back, because 1 of its permits is held; nothing was released" in answer.detail


@pytest.mark.parametrize(("is_written", "status", "body"), [(True, 204, b""), (False, 202, b'{"state":"releasing"}')])
def test_give_up(is_written: bool, status: int, body: bytes) -> None:  # noqa: FBT001 - a parameter of the test
    elector = FakeElector(semaphores_give_up=is_written)
    answer = _ask(elector, "DELETE", GIVE_UP)
    assert (answer.status, answer.body) == (status, body)
    assert elector.calls == [("semaphores_give_up", "gpu", CLIENT, HOLDER)]


@pytest.mark.parametrize(("token", "shown"), [(123, "123"), (None, "124")], ids=["written", "of a fresh record"])
def test_read_shows_the_record_without_secrets(token: int | None, shown: str) -> None:
    answer = _ask(FakeElector(semaphores_read=record(token=token)), "GET")
    assert answer.status == 200
    assert answer.json == {
        "apiVersion": "metaparticle.io/v1",
        "kind": "Semaphore",
        "metadata": {"name": "gpu", "resourceVersion": "124"},
        "spec": {
            "limit": 1,
            "bounded": True,
            "value": 0,
            "held": 1,
            "waiters": 1,
            "permits": [
                {
                    "holder": "dddddddd",
                    "owner": "host:1",
                    "process": "host:7 python",
                    "since": "2025-01-31T12:00:00.000Z",
                    "token": shown,
                }
            ],
            "queue": [{"holder": "ffffffff", "owner": "host:1", "process": "host:7 python"}],
        },
    }


def test_list() -> None:
    answer = _ask(FakeElector(semaphores_list=[record("a"), record("b/c")]), "GET", target="/semaphores")
    entry = {"limit": 1, "bounded": True, "value": 0, "held": 1, "waiters": 1}
    assert (answer.status, answer.json) == (200, {"semaphores": [{"name": "a"} | entry, {"name": "b/c"} | entry]})
