"""What the calls of `/events` do: a real elector in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

from metaparticle_sync import wire
from tests.http.asking import Answer
from tests.http.in_process import InProcess, in_virtual_time

GO = "/events/go"


async def put(elector: InProcess, *, is_set: bool, operation: str | None = None, client: str | None = None) -> Answer:
    body = {"client": client or elector.client, "operation": operation or wire.new_id(), "is_set": is_set}
    return await elector.ask("PUT", GO, body)


async def wait(elector: InProcess, **fields: Any) -> Answer:
    return await elector.ask("POST", GO, {"client": elector.client} | fields)


@in_virtual_time
async def test_set_and_clear_answer_with_the_event(elector: InProcess) -> None:
    assert (await put(elector, is_set=True)).json == {"name": "go", "is_set": True, "generation": 1}
    assert (await put(elector, is_set=True)).json == {"name": "go", "is_set": True, "generation": 2}
    assert (await put(elector, is_set=False)).json == {"name": "go", "is_set": False, "generation": 2}


@in_virtual_time
async def test_an_operation_that_is_sent_again_is_done_once(elector: InProcess) -> None:
    operation = wire.new_id()
    await put(elector, is_set=True, operation=operation)
    await put(elector, is_set=False)
    repeated = await put(elector, is_set=True, operation=operation)
    assert repeated.json == {"name": "go", "is_set": True, "generation": 1}  # What it was answered before.
    assert (await wait(elector)).json == {"name": "go", "is_set": False, "generation": 1}


@in_virtual_time
async def test_one_look_leaves_no_trace(elector: InProcess) -> None:
    answer = await wait(elector, wait_seconds=0)
    assert (answer.status, answer.json) == (202, {"name": "go", "is_set": False, "generation": 0})
    assert (await elector.ask("GET", GO)).code == "event_unused"


@in_virtual_time
async def test_who_waits_passes_when_it_is_set(elector: InProcess) -> None:
    waiting = elector.begin("POST", GO, {"client": elector.client, "wait_seconds": 25})
    await elector.sleep(3)
    assert not waiting.done()
    await put(elector, is_set=True)
    answer = await waiting
    assert (answer.status, answer.json["is_set"], elector.now() < 4) == (200, True, True)


@in_virtual_time
async def test_who_waits_passes_even_if_it_is_cleared_at_once(elector: InProcess) -> None:
    waiting = elector.begin("POST", GO, {"client": elector.client, "wait_seconds": 25})
    await elector.sleep(1)
    await asyncio.gather(put(elector, is_set=True), put(elector, is_set=False))
    assert (await waiting).status == 200


@in_virtual_time
async def test_what_happened_between_two_requests_is_not_missed(elector: InProcess) -> None:
    seen = (await wait(elector, wait_seconds=0.5)).json["generation"]
    await put(elector, is_set=True)
    await put(elector, is_set=False)
    passed = await wait(elector, generation=seen, wait_seconds=5)
    assert (passed.status, passed.json) == (200, {"name": "go", "is_set": True, "generation": 1})
    assert (await wait(elector, wait_seconds=0.5)).status == 202  # A wait that begins now begins now.


@in_virtual_time
async def test_a_wait_takes_its_time(elector: InProcess) -> None:
    assert (await wait(elector, wait_seconds=7)).status == 202
    assert 7 <= elector.now() < 8


@in_virtual_time
async def test_what_is_set_stays_set_when_its_process_ends_and_the_elector_restarts(elector: InProcess) -> None:
    other = wire.new_id()
    await elector.open(other)
    await put(elector, is_set=True, client=other)
    await elector.close(other)
    await elector.crash()
    again = elector.another("here")
    await again.start()
    assert (await wait(again)).json == {"name": "go", "is_set": True, "generation": 1}


@in_virtual_time
async def test_a_wait_goes_on_at_an_elector_that_restarted(elector: InProcess) -> None:
    await put(elector, is_set=False)
    seen = (await wait(elector, wait_seconds=0.5)).json["generation"]
    await elector.crash()
    again = elector.another("here")
    await again.start()
    await put(again, is_set=True)
    await put(again, is_set=False)
    assert (await wait(again, generation=seen)).status == 200


@in_virtual_time
async def test_an_unknown_client_is_told_so(elector: InProcess) -> None:
    stranger = wire.new_id()
    assert (await put(elector, is_set=True, client=stranger)).code == "unknown_client"
    assert (await wait(elector, client=stranger)).code == "unknown_client"
    assert (await elector.ask("GET", GO)).code == "event_unused"


@in_virtual_time
async def test_the_list_has_all_that_were_used(elector: InProcess) -> None:
    assert (await elector.ask("GET", "/events")).json == {"events": []}
    await put(elector, is_set=True)
    [listed] = (await elector.ask("GET", "/events")).json["events"]
    assert (listed["name"], listed["is_set"], listed["generation"]) == ("go", True, 1)
