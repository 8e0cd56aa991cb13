"""What the calls of `/semaphores` do: a real elector in virtual time."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from metaparticle_sync import wire
from tests.http.asking import Answer
from tests.http.in_process import InProcess, in_virtual_time

GPU = "/semaphores/gpu"
TERMS = {"limit": 2, "bounded": True}


async def acquire(elector: InProcess, holder: str, *, client: str | None = None, **fields: Any) -> Answer:
    body = {"client": client or elector.client, "holder": holder} | TERMS
    return await elector.ask("PUT", GPU, body | fields)


async def release(elector: InProcess, *holders: str, **fields: Any) -> Answer:
    body = {"client": elector.client, "operation": wire.new_id(), "permits": 1, "holders": list(holders)} | TERMS
    return await elector.ask("POST", GPU, body | fields)


async def give_up(elector: InProcess, holder: str, client: str | None = None) -> Answer:
    return await elector.ask("DELETE", GPU, {"client": client or elector.client, "holder": holder})


async def look(elector: InProcess) -> Any:
    return (await elector.ask("GET", GPU)).json["spec"]


async def held(elector: InProcess, count: int = 2, **fields: Any) -> list[str]:
    """So many permits, of this client."""
    holders = [wire.new_id() for _ in range(count)]
    for holder in holders:
        assert (await acquire(elector, holder, **fields)).status == 200
    return holders


@in_virtual_time
async def test_the_same_request_again_has_the_same_answer(elector: InProcess) -> None:
    holder = wire.new_id()
    first, second = await acquire(elector, holder), await acquire(elector, holder)
    assert (first.status, second.json) == (200, first.json)
    assert (await look(elector))["value"] == 1


@in_virtual_time
async def test_ids_that_begin_alike_are_different_ids(elector: InProcess) -> None:
    for number in range(2):
        assert (await acquire(elector, f"{number:032x}")).json["value"] == 1 - number
    assert (await acquire(elector, f"{2:032x}")).code == "no_permit"


@in_virtual_time
async def test_an_operation_may_have_the_id_of_a_holder(elector: InProcess) -> None:
    [holder] = await held(elector, 1)
    assert (await release(elector, holder, operation=holder)).json["value"] == 2


@in_virtual_time
async def test_tokens_rise(elector: InProcess) -> None:
    holder, later = wire.new_id(), wire.new_id()
    token = int((await acquire(elector, holder)).json["token"])
    await release(elector, holder)
    assert int((await acquire(elector, later)).json["token"]) > token


@in_virtual_time
async def test_a_single_try_is_told_who_holds(elector: InProcess) -> None:
    await held(elector)
    refused = await acquire(elector, wire.new_id())
    assert (refused.status, refused.code) == (409, "no_permit")
    assert refused.json["held_by"]["process"] == "host:7 test"
    assert "2 are held, the oldest by host:7 test at here:13131 since" in refused.detail
    assert elector.now() < 1.0


@in_virtual_time
async def test_where_nobody_holds_somebody_has_to_release(elector: InProcess) -> None:
    refused = await acquire(elector, wire.new_id(), limit=0)
    assert (refused.code, "held_by" in refused.json) == ("no_permit", False)
    assert "nobody holds one" in refused.detail


@in_virtual_time
async def test_a_waiter_gets_what_is_released(elector: InProcess) -> None:
    first, _ = await held(elector)
    waiter = wire.new_id()
    body = {"client": elector.client, "holder": waiter, "wait_seconds": 25} | TERMS
    waiting = elector.begin("PUT", GPU, body)
    await elector.sleep(1)
    assert (await look(elector))["waiters"] == 1
    assert (await release(elector, first)).json["value"] == 0
    assert (await waiting).json["state"] == "held"
    assert elector.now() < 2


@in_virtual_time
async def test_a_waiter_keeps_its_place_for_two_seconds(elector: InProcess) -> None:
    await held(elector)
    waiter = wire.new_id()
    for _ in range(3):
        assert (await acquire(elector, waiter, wait_seconds=1)).status == 202
        await elector.sleep(1.9)
    await elector.sleep(0.2)
    assert (await acquire(elector, waiter, wait_seconds=1)).code == "holder_dead"
    assert (await look(elector))["waiters"] == 0


@in_virtual_time
async def test_a_permit_that_nobody_comes_for_goes_on(elector: InProcess) -> None:
    first, _ = await held(elector)
    waiter = wire.new_id()
    assert (await acquire(elector, waiter, wait_seconds=0.5)).status == 202
    await release(elector, first)
    assert (await look(elector))["value"] == 0
    await elector.sleep(2.1)
    assert (await look(elector))["value"] == 1


@in_virtual_time
async def test_a_release_that_is_sent_again_is_done_once(elector: InProcess) -> None:
    first, _ = await held(elector)
    operation = wire.new_id()
    values = [(await release(elector, first, operation=operation)).json["value"] for _ in range(2)]
    assert values == [1, 1]


@in_virtual_time
async def test_a_release_of_nobodys_in_particular_takes_the_oldest(elector: InProcess) -> None:
    _, second = await held(elector)
    assert (await release(elector)).json["value"] == 1
    assert [permit["holder"] for permit in (await look(elector))["permits"]] == [wire.short_id(second)]


@in_virtual_time
async def test_whose_permit_was_released_by_somebody_else_can_still_say_that_it_is_done(elector: InProcess) -> None:
    first, _ = await held(elector)
    await release(elector)
    assert (await give_up(elector, first)).status == 204
    assert (await look(elector))["value"] == 1


@in_virtual_time
async def test_a_bounded_semaphore_takes_back_what_is_held_and_nothing_more(elector: InProcess) -> None:
    await held(elector)
    refused = await release(elector, permits=3)
    assert (refused.status, refused.code) == (409, "semaphore_full")
    assert "can not take 3 back, because 2 of its permits are held" in refused.detail
    assert (await look(elector))["held"] == 2
    assert (await release(elector, permits=2)).json["value"] == 2
    assert "none of its permits is held" in (await release(elector)).detail


@in_virtual_time
async def test_a_plain_semaphore_grows(elector: InProcess) -> None:
    assert (await release(elector, bounded=False, permits=3)).json["value"] == 5


@in_virtual_time
async def test_two_users_name_two_limits(elector: InProcess) -> None:
    other = wire.new_id()
    await elector.open(other, "host:8 other")
    await held(elector, 1)
    for refused in (await acquire(elector, wire.new_id(), client=other, limit=3), await release(elector, limit=3)):
        assert (refused.status, refused.code) == (409, "limit_mismatch")
        assert (
            "a bounded semaphore of 2 by host:7 test at here:13131, not as a bounded semaphore of 3" in refused.detail
        )
    plain = await acquire(elector, wire.new_id(), client=other, bounded=False)
    assert "a bounded semaphore of 2 by host:7 test at here:13131, not as a semaphore of 2" in plain.detail


@in_virtual_time
async def test_who_is_alone_with_a_semaphore_at_rest_may_change_its_limit(elector: InProcess) -> None:
    [holder] = await held(elector, 1)
    await release(elector, holder)
    assert (await acquire(elector, wire.new_id(), limit=5)).json["value"] == 4


@in_virtual_time
async def test_who_neither_holds_nor_waits_gives_up_nothing(elector: InProcess) -> None:
    await held(elector, 1)
    unknown = wire.new_id()
    refused = await give_up(elector, unknown)
    assert (refused.status, refused.code) == (409, "not_held")
    assert wire.short_id(unknown) in refused.detail
    assert unknown not in refused.detail
    assert (await acquire(elector, unknown)).code == "holder_dead"  # It was given up: a late request finds that.
    assert (
        await elector.ask("DELETE", "/semaphores/unused", {"client": elector.client, "holder": unknown})
    ).status == 204
    assert (await elector.ask("GET", "/semaphores/unused")).code == "semaphore_unused"


@in_virtual_time
async def test_nobody_gives_up_for_another_client(elector: InProcess) -> None:
    other = wire.new_id()
    await elector.open(other)
    [holder] = await held(elector, 1)
    refused = await give_up(elector, holder, client=other)
    assert (refused.code, "belongs to another client" in refused.detail) == ("not_held", True)
    assert (await acquire(elector, holder, client=other)).code == "bad_body"
    assert (await look(elector))["held"] == 1


@in_virtual_time
async def test_a_holder_id_is_for_one_thing(elector: InProcess) -> None:
    [holder] = await held(elector, 1)
    client, lock = elector.client, wire.new_id()
    assert (await elector.ask("PUT", "/locks/x", {"client": client, "holder": lock})).status == 200
    for path, body in (
        ("/semaphores/other", {"holder": holder} | TERMS),
        ("/semaphores/other", {"holder": lock} | TERMS),
        ("/conditions/x", {"holder": holder, "enqueued": False}),
        ("/barriers/x", {"holder": holder, "parties": 2, "acts": False}),
    ):
        refused = await elector.ask("PUT", path, {"client": client} | body)
        assert (refused.code, "is in use for something else" in refused.detail) == ("bad_body", True)


@in_virtual_time
async def test_a_holder_id_that_is_over_is_over(elector: InProcess) -> None:
    first, second = await held(elector)
    await release(elector, first)
    await give_up(elector, second)
    for holder in (first, second):
        assert (await acquire(elector, holder)).code == "holder_dead"
        assert (await give_up(elector, holder)).status == 204


@in_virtual_time
async def test_an_unknown_client_may_give_up_and_nothing_else(elector: InProcess) -> None:
    stranger = wire.new_id()
    assert (await acquire(elector, wire.new_id(), client=stranger)).code == "unknown_client"
    assert (await release(elector, client=stranger)).code == "unknown_client"
    assert (await give_up(elector, wire.new_id(), client=stranger)).code == "not_held"


@in_virtual_time
async def test_the_permits_of_a_process_that_ends_come_back(elector: InProcess) -> None:
    other = wire.new_id()
    await elector.open(other)
    await held(elector, client=other)
    await elector.close(other)
    assert (await acquire(elector, wire.new_id(), wait_seconds=1)).json["value"] == 1


@in_virtual_time
async def test_permits_are_presented_after_a_restart(elector: InProcess) -> None:
    first, second = await held(elector)
    token = (await acquire(elector, second)).json["token"]
    await elector.crash()
    again = elector.another("here")
    await again.elector.start()
    holds = [
        {"kind": "semaphore", "name": "gpu", "holder": holder, "token": token} for holder in (second, wire.new_id())
    ]
    status = (await again.open(elector.client, holds=holds)).json
    assert status["holds"] == [second]
    assert [(loss["kind"], loss["holder"]) for loss in status["lost"]] == [("semaphore", holds[1]["holder"])]
    again.client = elector.client
    assert (await release(again, second)).json["value"] == 1
    assert (await give_up(again, first)).status == 204  # Never presented, and found in the record all the same.
    assert (await look(again))["value"] == 2


@in_virtual_time
async def test_a_waiter_keeps_its_place_over_a_restart(elector: InProcess) -> None:
    other = elector.another("there")
    await other.start()
    [mine] = await held(other, 1, limit=1)
    first, second = wire.new_id(), wire.new_id()
    assert (await acquire(elector, first, limit=1, wait_seconds=1)).status == 202
    await elector.crash()
    body = {"client": other.client, "holder": second, "limit": 1, "bounded": True, "wait_seconds": 25}
    later = other.begin("PUT", GPU, body)
    again = elector.another("here")
    await again.elector.start()
    await again.open(elector.client)
    waiting = again.begin("PUT", GPU, body | {"client": elector.client, "holder": first})
    await elector.sleep(3)
    await release(other, mine, limit=1)
    assert (await waiting).json["state"] == "held"
    assert (await later).status == 202


@in_virtual_time
async def test_who_waited_in_a_session_that_has_ended_is_not_taken_for_a_holder(elector: InProcess) -> None:
    [mine] = await held(elector, 1, limit=1)
    other = elector.another("there")
    await other.start()
    waiter = wire.new_id()
    assert (await acquire(other, waiter, limit=1, wait_seconds=1)).status == 202
    await other.crash()
    # Its ticket gets the permit, and it takes a while until that is free again, for its session has to be ended.
    await release(elector, mine, limit=1)
    holder = wire.new_id()
    while (await acquire(elector, holder, limit=1, wait_seconds=5)).status == 202:
        assert elector.now() < 100
        await elector.heartbeat()
    again = elector.another("there")
    await again.elector.start()
    await again.open(other.client)
    refused = await acquire(again, waiter, limit=1, client=other.client, wait_seconds=5)
    assert (refused.status, refused.code) == (409, "holder_dead")
    assert [permit["holder"] for permit in (await look(elector))["permits"]] == [wire.short_id(holder)]


@in_virtual_time
async def test_a_loss_is_told_with_its_kind(elector: InProcess) -> None:
    [holder] = await held(elector, 1)
    session = elector.elector.session
    assert session is not None
    session.lose("for this test")
    await elector.sleep(1)
    lost = (await elector.heartbeat())["lost"]
    assert [(loss["kind"], loss["name"], loss["holder"]) for loss in lost] == [("semaphore", "gpu", holder)]


@in_virtual_time
async def test_lists_and_views_show_no_holder_id(elector: InProcess) -> None:
    holders = await held(elector)
    waiter = wire.new_id()
    await acquire(elector, waiter, wait_seconds=0.5)
    for path in (GPU, "/semaphores"):
        shown = (await elector.ask("GET", path)).body.decode()
        assert [secret for secret in (*holders, waiter, elector.client) if secret in shown] == []


@in_virtual_time
async def close(elector: InProcess) -> None:
    assert (await held(elector))[0]
    assert (await elector.ask("DELETE", f"/sessions/{elector.client}")).status == 204


def test_the_line_about_a_client_that_is_gone_counts_permits_as_holds(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "elector"):
        close()
    [line] = [message for message in caplog.messages if "is gone" in message]
    assert line.endswith(": 2 of its holds and 0 of its waits end")
