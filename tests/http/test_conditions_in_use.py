"""What the calls of `/conditions` do: a real elector in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

from metaparticle_sync import wire
from tests.http.asking import Answer
from tests.http.in_process import InProcess, in_virtual_time

QUEUE = "/conditions/queue"


async def enqueue(elector: InProcess, holder: str | None = None, *, client: str | None = None) -> str:
    """A waiter, certainly in the record."""
    holder = holder or wire.new_id()
    body = {"client": client or elector.client, "holder": holder, "enqueued": False}
    answer = await elector.ask("PUT", QUEUE, body)
    assert (answer.status, answer.json) == (202, {"name": "queue", "state": "waiting", "holder": holder})
    return holder


async def wait(elector: InProcess, holder: str, seconds: float = 0, *, client: str | None = None) -> Answer:
    body = {"client": client or elector.client, "holder": holder, "enqueued": True, "wait_seconds": seconds}
    return await elector.ask("PUT", QUEUE, body)


async def notify(elector: InProcess, waiters: int | None = 1, **fields: Any) -> int:
    body = {"client": elector.client, "operation": wire.new_id(), "waiters": waiters}
    return int((await elector.ask("POST", QUEUE, body | fields)).json["notified"])


async def withdraw(elector: InProcess, holder: str, **fields: Any) -> Answer:
    return await elector.ask("DELETE", QUEUE, {"client": elector.client, "holder": holder} | fields)


async def look(elector: InProcess) -> tuple[int, int]:
    """How many wait, and how many have been notified and not told yet."""
    spec = (await elector.ask("GET", QUEUE)).json["spec"]
    return spec["waiters"], spec["notified"]


@in_virtual_time
async def test_the_oldest_waiter_is_notified(elector: InProcess) -> None:
    first, second = await enqueue(elector), await enqueue(elector)
    waiting = [
        elector.begin(
            "PUT", QUEUE, {"client": elector.client, "holder": holder, "enqueued": True, "wait_seconds": seconds}
        )
        for holder, seconds in ((second, 2), (first, 25))
    ]
    await elector.sleep(1)
    assert await notify(elector) == 1
    later, sooner = [await answer for answer in waiting]
    assert (sooner.status, sooner.json["state"]) == (200, "notified")
    assert (later.status, later.json["state"]) == (202, "waiting")


@in_virtual_time
async def test_enqueueing_again_changes_nothing(elector: InProcess) -> None:
    holder = await enqueue(elector)
    assert await enqueue(elector, holder) == holder
    assert await look(elector) == (1, 0)


@in_virtual_time
async def test_notify_says_how_many_there_were(elector: InProcess) -> None:
    assert await notify(elector) == 0
    for _ in range(3):
        await enqueue(elector)
    assert await notify(elector, 2) == 2
    assert await notify(elector, None) == 1
    assert await notify(elector, 5) == 0


@in_virtual_time
async def test_a_notification_that_is_sent_again_is_done_once(elector: InProcess) -> None:
    await enqueue(elector)
    await enqueue(elector)
    operation = wire.new_id()
    assert [await notify(elector, operation=operation) for _ in range(2)] == [1, 1]
    assert await look(elector) == (1, 1)


@in_virtual_time
async def test_no_wake_up_is_lost_between_enqueueing_and_waiting(elector: InProcess) -> None:
    holder = await enqueue(elector)
    await notify(elector)
    assert (await wait(elector, holder)).json["state"] == "notified"
    assert (await wait(elector, holder)).json["state"] == "notified"  # Its answer was lost: it is sent again.


@in_virtual_time
async def test_a_ticket_that_is_not_there_counts_as_notified(elector: InProcess) -> None:
    never_enqueued = wire.new_id()
    assert (await wait(elector, never_enqueued, 5)).json["state"] == "notified"
    assert (await withdraw(elector, never_enqueued)).json["state"] == "notified"
    assert (await elector.ask("GET", QUEUE)).code == "condition_unused"


@in_virtual_time
async def test_a_ticket_has_no_gap_to_keep(elector: InProcess) -> None:
    holder = await enqueue(elector)
    for _ in range(3):
        await elector.sleep(10)
        assert (await wait(elector, holder, 0.1)).status == 202


@in_virtual_time
async def test_a_notification_that_nobody_comes_for_goes_to_the_next(elector: InProcess) -> None:
    gone, patient = await enqueue(elector), await enqueue(elector)
    assert (await wait(elector, gone, 0.5)).status == 202
    await notify(elector)
    await elector.sleep(1.9)
    assert await look(elector) == (1, 1)
    answer = await wait(elector, patient, 5)
    assert (answer.status, elector.now() < 6) == (200, True)


@in_virtual_time
async def test_a_notification_goes_on_if_its_waiter_never_waited(elector: InProcess) -> None:
    await enqueue(elector)
    patient = await enqueue(elector)
    await notify(elector)
    assert (await wait(elector, patient, 5)).status == 200


@in_virtual_time
async def test_a_waiter_has_two_seconds_to_come_for_its_notification(elector: InProcess) -> None:
    first, second = await enqueue(elector), await enqueue(elector)
    await elector.sleep(1.9)
    await notify(elector)
    await elector.sleep(1.9)
    assert (await wait(elector, first)).status == 200
    assert (await wait(elector, second, 5)).status == 202


@in_virtual_time
async def test_who_withdraws_waits_no_longer(elector: InProcess) -> None:
    holder = await enqueue(elector)
    assert (await withdraw(elector, holder)).json == {"name": "queue", "state": "withdrawn"}
    assert await look(elector) == (0, 0)
    assert await notify(elector) == 0


@in_virtual_time
async def test_who_withdraws_too_late_is_notified(elector: InProcess) -> None:
    holder, other = await enqueue(elector), await enqueue(elector)
    await notify(elector)
    # The second answer is that to a request which is sent again, because the first one's answer was lost.
    assert [(await withdraw(elector, holder)).json["state"] for _ in range(2)] == ["notified", "notified"]
    assert (await wait(elector, other)).status == 202


@in_virtual_time
async def test_who_is_interrupted_passes_its_notification_on(elector: InProcess) -> None:
    holder, other = await enqueue(elector), await enqueue(elector)
    await notify(elector)
    for _ in range(2):
        assert (await withdraw(elector, holder, pass_on=True)).json["state"] == "withdrawn"
    assert (await wait(elector, other)).status == 200


@in_virtual_time
async def test_ids_that_read_the_same_backwards_are_ids(elector: InProcess) -> None:
    holder = await enqueue(elector, "abcddcba" * 4)
    assert (await withdraw(elector, holder)).json["state"] == "withdrawn"
    assert await look(elector) == (0, 0)


@in_virtual_time
async def test_nobody_waits_or_withdraws_for_another_client(elector: InProcess) -> None:
    other = wire.new_id()
    await elector.open(other)
    holder = await enqueue(elector)
    for refused in (await wait(elector, holder, client=other), await withdraw(elector, holder, client=other)):
        assert (refused.code, "belongs to another client" in refused.detail) == ("bad_body", True)
    assert await look(elector) == (1, 0)


@in_virtual_time
async def test_a_holder_id_that_is_over_is_over(elector: InProcess) -> None:
    holder = await enqueue(elector)
    await withdraw(elector, holder)
    refused = await elector.ask("PUT", QUEUE, {"client": elector.client, "holder": holder, "enqueued": False})
    assert (refused.code, "a fresh id for each wait" in refused.detail) == ("holder_dead", True)


@in_virtual_time
async def test_the_ticket_of_a_process_that_ends_is_skipped(elector: InProcess) -> None:
    other = wire.new_id()
    await elector.open(other)
    await enqueue(elector, client=other)
    patient = await enqueue(elector)
    await elector.close(other)
    assert await notify(elector) == 1
    assert (await wait(elector, patient, 1)).status == 200


@in_virtual_time
async def test_a_restart_of_the_elector_loses_no_wake_up(elector: InProcess) -> None:
    notified, waiting = await enqueue(elector), await enqueue(elector)
    await notify(elector)
    await elector.crash()
    again = elector.another("here")
    again.client = elector.client
    await again.start()
    assert (await wait(again, notified)).status == 200
    assert (await wait(again, waiting, 1)).status == 202
    assert await notify(again) == 1
    assert (await wait(again, waiting)).status == 200


@in_virtual_time
async def test_an_unknown_client_is_told_so(elector: InProcess) -> None:
    stranger, holder = wire.new_id(), wire.new_id()
    for answer in (
        await wait(elector, holder, client=stranger),
        await withdraw(elector, holder, client=stranger),
        await elector.ask("POST", QUEUE, {"client": stranger, "operation": wire.new_id()}),
    ):
        assert (answer.status, answer.code) == (409, "unknown_client")


@in_virtual_time
async def test_a_caller_that_goes_away_does_not_take_its_notification_along(elector: InProcess) -> None:
    left, patient = await enqueue(elector), await enqueue(elector)
    gone = asyncio.Event()
    body = {"client": elector.client, "holder": left, "enqueued": True, "wait_seconds": 25}
    request = elector.begin("PUT", QUEUE, body, gone=gone)
    await elector.sleep(1)
    gone.set()
    await request
    await notify(elector)
    assert (await wait(elector, patient, 10)).status == 200


@in_virtual_time
async def test_lists_and_views_show_no_holder_id(elector: InProcess) -> None:
    holders = [await enqueue(elector), await enqueue(elector)]
    await notify(elector)
    for path in (QUEUE, "/conditions"):
        shown = (await elector.ask("GET", path)).body.decode()
        assert [secret for secret in (*holders, elector.client) if secret in shown] == []
    assert (await elector.ask("GET", "/conditions")).json == {
        "conditions": [{"name": "queue", "waiters": 1, "notified": 1}]
    }
