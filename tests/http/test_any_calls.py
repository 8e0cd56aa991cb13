"""Any calls in any order: each is answered in its time, by a success or by a problem that the description knows."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.http.asking import Answer
from tests.http.in_process import InProcess, in_virtual_time
from tests.http.test_openapi import DESCRIPTION

CLIENTS = ["a" * 32, "b" * 32]
STRANGER = "c" * 32
IDS = [f"{number:032x}" for number in range(6)]
LATE_SECONDS = 2.0

client = st.sampled_from([*CLIENTS, *CLIENTS, STRANGER])
some_id = st.sampled_from(IDS)
wait_seconds = st.sampled_from([0, 0, 0.5, 3])
place = st.none() | st.fixed_dictionaries({"generation": st.integers(0, 3), "index": st.integers(0, 2)})
terms = {"limit": st.sampled_from([2, 2, 2, 3]), "bounded": st.just(value=True)}
parties = st.sampled_from([2, 2, 2, 3])

CALLS = {
    ("PUT", "/locks/x"): {"holder": some_id, "wait_seconds": wait_seconds},
    ("DELETE", "/locks/x"): {"holder": some_id},
    ("PUT", "/semaphores/x"): {"holder": some_id, "wait_seconds": wait_seconds, **terms},
    ("POST", "/semaphores/x"): {
        "operation": some_id,
        "permits": st.integers(2, 3),
        "holders": st.lists(some_id, max_size=2),
        **terms,
    },
    ("DELETE", "/semaphores/x"): {"holder": some_id},
    ("PUT", "/events/x"): {"operation": some_id, "is_set": st.booleans()},
    ("POST", "/events/x"): {"generation": st.none() | st.integers(0, 3), "wait_seconds": wait_seconds},
    ("PUT", "/conditions/x"): {"holder": some_id, "enqueued": st.booleans(), "wait_seconds": wait_seconds},
    ("POST", "/conditions/x"): {"operation": some_id, "waiters": st.none() | st.integers(1, 3)},
    ("DELETE", "/conditions/x"): {"holder": some_id, "pass_on": st.booleans()},
    ("PUT", "/barriers/x"): {
        "holder": some_id,
        "parties": parties,
        "acts": st.booleans(),
        "arrived": place,
        "wait_seconds": wait_seconds,
    },
    ("POST", "/barriers/x"): {
        "operation": some_id,
        "parties": parties,
        "transition": st.sampled_from(["open", "abort", "reset"]),
        "holder": some_id,
    },
    ("DELETE", "/barriers/x"): {"holder": some_id, "arrived": place},
}
call = st.one_of(
    *(
        st.tuples(st.just(method), st.just(path), st.fixed_dictionaries({"client": client, **fields}))
        for (method, path), fields in CALLS.items()
    )
)
step = st.tuples(call, st.booleans(), st.sampled_from([0, 0, 0.1, 2.5]))
"""A call, whether the next one waits for its answer, and how much later that comes."""


def _check(method: str, path: str, answer: Answer) -> None:
    described = DESCRIPTION["paths"][path.replace("/x", "/{name}")][method.lower()]["responses"]
    assert str(answer.status) in described, answer
    if answer.status == 409:
        described_codes = described["409"]["content"]["application/problem+json"]["schema"]["allOf"][1]
        assert answer.code in described_codes["properties"]["code"]["enum"], answer
    elif answer.status >= 400:
        assert (answer.status, answer.code) == (400, "bad_body"), answer


async def _call(elector: InProcess, method: str, path: str, body: dict[str, Any]) -> None:
    begun_at = elector.now()
    answer = await elector.ask(method, path, body)
    assert elector.now() - begun_at <= body.get("wait_seconds", 0) + LATE_SECONDS
    _check(method, path, answer)


async def _look(elector: InProcess) -> None:
    views = {}
    for kind in ("semaphores", "events", "conditions", "barriers"):
        answer = await elector.ask("GET", f"/{kind}/x")
        views[kind] = answer.json.get("spec", {})
        assert [listed["name"] for listed in (await elector.ask("GET", f"/{kind}")).json[kind]] == ["x"] * bool(
            views[kind]
        )
    semaphore, barrier = views["semaphores"], views["barriers"]
    if semaphore:
        assert semaphore["value"] + semaphore["held"] == semaphore["limit"]
        assert semaphore["value"] == 0 or semaphore["waiters"] == 0
    if barrier:
        assert barrier["waiting"] < barrier["parties"]


@given(st.lists(step, max_size=25))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # The machine may be busy.
def test_any_calls(steps: list[Any]) -> None:
    @in_virtual_time
    async def scenario(elector: InProcess) -> None:
        for each in CLIENTS:
            await elector.open(each)
        begun = []
        for (method, path, body), in_background, pause in steps:
            task = asyncio.ensure_future(_call(elector, method, path, body))
            begun.append(task)
            if not in_background:
                await task
            await elector.sleep(pause)
        await asyncio.gather(*begun)
        await _look(elector)
        for each in CLIENTS:
            await elector.close(each)
        await elector.sleep(LATE_SECONDS)
        assert elector.elector.holds == {"lock": 0, "semaphore": 0}
        assert not any(elector.elector.waits.values())

    scenario()
