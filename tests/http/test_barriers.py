"""`/barriers`: what reaches the elector, and how its answers look."""

from __future__ import annotations

import json
from typing import Any

import pytest

from elector_server import problems
from elector_server.barriers import Arrival
from elector_server.rules.barrier import KIND, Barrier, Outcome, Party, Place, State
from elector_server.store import Record
from tests.http.asking import Answer, app_of, ask
from tests.http.fake_elector import CLIENT, HOLDER, FakeElector
from tests.http.test_semaphores import claimant

HERE = {"client": CLIENT, "holder": HOLDER}
ARRIVE = HERE | {"parties": 3, "acts": True, "arrived": None, "wait_seconds": 2.5}
CHANGE = {"client": CLIENT, "operation": "e" * 32, "parties": 3}
PLACE = {"generation": 7, "index": 1}
RECORD = Record(
    KIND,
    "phase",
    124,
    "",
    Barrier(3, 7, arrived=(Party(claimant(), acts=False),), used_by=claimant("9" * 32)).to_spec(),
)


def _ask(elector: FakeElector, method: str, body: Any = None, target: str = "/barriers/phase") -> Answer:
    return ask(app_of(elector), method, target, b"" if body is None else json.dumps(body).encode())


@pytest.mark.parametrize(
    ("outcome", "status"), [(Outcome.WAITING, 202), (Outcome.PASSED, 200), (Outcome.ACTING, 200)], ids=str
)
def test_arrive(outcome: Outcome, status: int) -> None:
    elector = FakeElector(barriers_arrive=Arrival("phase", HOLDER, outcome, Place(7, 1)))
    answer = _ask(elector, "PUT", ARRIVE)
    assert (answer.status, answer.json) == (
        status,
        {"name": "phase", "state": outcome.value, "holder": HOLDER, "generation": 7, "index": 1},
    )
    assert elector.calls == [("barriers_arrive", "phase", CLIENT, HOLDER, 3, None, 2.5, True)]


@pytest.mark.parametrize(("field", "place"), [({}, None), ({"arrived": None}, None), ({"arrived": PLACE}, Place(7, 1))])
def test_the_place_of_a_party_that_asks_again(field: Any, place: Place | None) -> None:
    elector = FakeElector(barriers_arrive=Arrival("phase", HOLDER, Outcome.WAITING, Place(7, 1)))
    _ask(elector, "PUT", HERE | {"parties": 3, "acts": False} | field)
    assert elector.calls == [("barriers_arrive", "phase", CLIENT, HOLDER, 3, place, 0.0, False)]


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (problems.BarrierBroken("phase"), "after a reset it can be used again"),
        (
            problems.PartiesMismatch("phase", "a barrier of 3", "a barrier of 2", "host:7 python at host:1"),
            "in use as a barrier of 2 by host:7 python at host:1, not as a barrier of 3",
        ),
        (problems.HolderDead("phase", HOLDER, KIND), "use a fresh id for each arrival"),
        (problems.NoRoom(KIND, "phase", "1000 have arrived already"), "no room for more"),
    ],
    ids=lambda value: value.code if isinstance(value, problems.Problem) else "",
)
def test_refusals_are_problems(problem: problems.Problem, said: str) -> None:
    answer = _ask(FakeElector(barriers_arrive=problem), "PUT", ARRIVE)
    assert (answer.status, answer.code) == (problem.status, problem.code)
    assert said in answer.detail
    assert HOLDER not in answer.detail  # it is a secret


@pytest.mark.parametrize("transition", ["open", "abort", "reset"])
def test_change(transition: str) -> None:
    elector = FakeElector(barriers_change=Barrier(3, 8, State.FILLING, (Party(claimant(), acts=False),)))
    answer = _ask(elector, "POST", CHANGE | {"transition": transition, "holder": HOLDER})
    assert (answer.status, answer.json) == (200, {"name": "phase", "state": "filling", "waiting": 1, "generation": 8})
    assert elector.calls == [("barriers_change", "phase", CLIENT, "e" * 32, 3, transition, HOLDER)]


@pytest.mark.parametrize("field", [{}, {"holder": None}])
def test_only_who_opens_has_to_say_who_it_is(field: Any) -> None:
    elector = FakeElector(barriers_change=Barrier(3, state=State.BROKEN))
    assert _ask(elector, "POST", CHANGE | {"transition": "abort"} | field).json["state"] == "broken"
    refused = _ask(FakeElector(), "POST", CHANGE | {"transition": "open"} | field)
    assert (refused.code, "field holder is missing" in refused.detail) == ("bad_body", True)


def test_open_by_another_party() -> None:
    elector = FakeElector(barriers_change=problems.BarrierBroken("phase", acting=HOLDER))
    answer = _ask(elector, "POST", CHANGE | {"transition": "open", "holder": HOLDER})
    assert (answer.status, answer.code) == (409, "barrier_broken")
    assert "does not wait for holder dddddddd... to open it" in answer.detail


@pytest.mark.parametrize(
    ("field", "arrived"), [({}, None), ({"arrived": None}, None), ({"arrived": PLACE}, Place(7, 1))]
)
@pytest.mark.parametrize(
    ("outcome", "place", "shown"),
    [
        (Outcome.BROKEN, None, {"state": "broken", "index": None}),
        (Outcome.BROKEN, Place(7, 1), {"state": "broken", "index": 1}),
        (Outcome.PASSED, Place(7, 0), {"state": "passed", "index": 0}),
    ],
)
def test_leave(field: Any, arrived: Place | None, outcome: Outcome, place: Place | None, shown: Any) -> None:
    elector = FakeElector(barriers_leave=(outcome, place))
    answer = _ask(elector, "DELETE", HERE | field)
    assert (answer.status, answer.json) == (200, {"name": "phase"} | shown)
    assert elector.calls == [("barriers_leave", "phase", CLIENT, HOLDER, arrived)]


def test_read_shows_the_record_without_secrets() -> None:
    answer = _ask(FakeElector(barriers_read=RECORD), "GET")
    assert (answer.status, answer.json) == (
        200,
        {
            "apiVersion": "metaparticle.io/v1",
            "kind": "Barrier",
            "metadata": {"name": "phase", "resourceVersion": "124"},
            "spec": {
                "parties": 3,
                "waiting": 1,
                "state": "filling",
                "generation": 7,
                "arrived": [{"holder": "dddddddd", "owner": "host:1", "process": "host:7 python"}],
            },
        },
    )


def test_list() -> None:
    answer = _ask(FakeElector(barriers_list=[RECORD]), "GET", target="/barriers")
    entry = {"name": "phase", "parties": 3, "waiting": 1, "state": "filling", "generation": 7}
    assert (answer.status, answer.json) == (200, {"barriers": [entry]})
