"""What the calls of `/barriers` do: a real elector in virtual time."""

from __future__ import annotations

from typing import Any

from metaparticle_sync import wire
from tests.http.asking import Answer
from tests.http.in_process import InProcess, in_virtual_time

PHASE = "/barriers/phase"


async def arrive(elector: InProcess, holder: str, **fields: Any) -> Answer:
    body = {"client": elector.client, "holder": holder, "parties": 2, "acts": False, "arrived": None}
    return await elector.ask("PUT", PHASE, body | fields)


async def change(elector: InProcess, transition: str, **fields: Any) -> Answer:
    body = {"client": elector.client, "operation": wire.new_id(), "parties": 2, "transition": transition}
    return await elector.ask("POST", PHASE, body | fields)


async def leave(elector: InProcess, holder: str, **fields: Any) -> Answer:
    return await elector.ask("DELETE", PHASE, {"client": elector.client, "holder": holder} | fields)


async def standing(elector: InProcess, **fields: Any) -> tuple[str, dict[str, int]]:
    """A party that has arrived first, and its place."""
    holder = wire.new_id()
    answer = await arrive(elector, holder, **fields)
    assert (answer.status, answer.json["state"]) == (202, "waiting")
    return holder, place_in(answer)


def place_in(answer: Answer) -> dict[str, int]:
    return {"generation": answer.json["generation"], "index": answer.json["index"]}


async def look(elector: InProcess) -> tuple[str, int, int]:
    spec = (await elector.ask("GET", PHASE)).json["spec"]
    return spec["state"], spec["generation"], spec["waiting"]


@in_virtual_time
async def test_all_pass_with_an_index_each(elector: InProcess) -> None:
    first, place = await standing(elector)
    body = {"client": elector.client, "holder": first, "parties": 2, "acts": False, "arrived": place}
    waiting = elector.begin("PUT", PHASE, body | {"wait_seconds": 25})
    await elector.sleep(3)
    last = await arrive(elector, wire.new_id())
    passed = await waiting
    assert [(answer.status, answer.json["state"]) for answer in (passed, last)] == [(200, "passed")] * 2
    assert {passed.json["index"], last.json["index"]} == {0, 1}
    assert await look(elector) == ("filling", 1, 0)


@in_virtual_time
async def test_arriving_again_is_not_another_arrival(elector: InProcess) -> None:
    holder, place = await standing(elector)
    assert place_in(await arrive(elector, holder)) == place
    assert place_in(await arrive(elector, holder, arrived=place, wait_seconds=1)) == place
    assert await look(elector) == ("filling", 0, 1)


@in_virtual_time
async def test_a_party_whose_answer_was_lost_hears_its_own_index_again(elector: InProcess) -> None:
    first, place = await standing(elector)
    last = await arrive(elector, wire.new_id())
    for arrived in (None, None, place):
        again = await arrive(elector, first, arrived=arrived)
        assert (again.json["state"], place_in(again)) == ("passed", place)
    assert place_in(await arrive(elector, last.json["holder"])) == place_in(last)


@in_virtual_time
async def test_a_party_that_was_told_of_the_break_does_not_pass_later(elector: InProcess) -> None:
    await standing(elector)
    await arrive(elector, wire.new_id())  # Generation 0 passes.
    holder, place = await standing(elector)
    await change(elector, "abort")
    for arrived in (place, None, place):
        assert (await arrive(elector, holder, arrived=arrived)).code == "barrier_broken"
    await change(elector, "reset")
    assert (await arrive(elector, holder, arrived=place)).code == "barrier_broken"


@in_virtual_time
async def test_the_last_party_acts_and_opens(elector: InProcess) -> None:
    first, place = await standing(elector, acts=True)
    last = wire.new_id()
    for _ in range(2):
        acting = await arrive(elector, last, acts=True)
        assert (acting.status, acting.json["state"], acting.json["index"]) == (200, "acting", 1)
    assert (await arrive(elector, first, arrived=place, wait_seconds=0.1)).status == 202
    opened = await change(elector, "open", holder=last)
    assert opened.json == {"name": "phase", "state": "filling", "waiting": 0, "generation": 1}
    assert (await arrive(elector, first, arrived=place)).json["state"] == "passed"


@in_virtual_time
async def test_an_opening_that_is_sent_again_is_done_once(elector: InProcess) -> None:
    first, _ = await standing(elector)
    last, operation = wire.new_id(), wire.new_id()
    await arrive(elector, last, acts=True)
    answers = [await change(elector, "open", holder=last, operation=operation) for _ in range(2)]
    answers.append(await change(elector, "open", holder=last))  # As if the record had forgotten the operation.
    assert [answer.json["generation"] for answer in answers] == [1, 1, 1]
    refused = await change(elector, "open", holder=first)
    assert (refused.status, refused.code) == (409, "barrier_broken")
    assert "open already" in refused.detail


@in_virtual_time
async def test_only_who_acts_opens(elector: InProcess) -> None:
    first, _ = await standing(elector)
    await arrive(elector, wire.new_id(), acts=True)
    refused = await change(elector, "open", holder=first)
    assert (refused.code, "another party acts" in refused.detail) == ("barrier_broken", True)
    assert await look(elector) == ("acting", 0, 0)


@in_virtual_time
async def test_who_comes_while_others_act_waits_for_the_next_time(elector: InProcess) -> None:
    await standing(elector)
    last = wire.new_id()
    await arrive(elector, last, acts=True)
    _, place = await standing(elector)
    assert place == {"generation": 1, "index": 0}


@in_virtual_time
async def test_who_leaves_breaks_it_for_all(elector: InProcess) -> None:
    first, place = await standing(elector, parties=3)
    second, _ = await standing(elector, parties=3)
    for _ in range(2):
        assert (await leave(elector, second)).json["state"] == "broken"
    assert (await arrive(elector, first, parties=3, arrived=place, wait_seconds=5)).code == "barrier_broken"
    assert (await arrive(elector, wire.new_id(), parties=3)).code == "barrier_broken"
    assert (await look(elector))[0] == "broken"


@in_virtual_time
async def test_who_leaves_too_late_has_passed(elector: InProcess) -> None:
    first, place = await standing(elector)
    await arrive(elector, wire.new_id())
    for _ in range(2):
        assert (await leave(elector, first)).json == {"name": "phase", "state": "passed", "index": place["index"]}
    assert await look(elector) == ("filling", 1, 0)


@in_virtual_time
async def test_who_has_passed_and_was_told_so_breaks_nothing_by_leaving(elector: InProcess) -> None:
    first, place = await standing(elector)
    await arrive(elector, wire.new_id())
    await arrive(elector, first, arrived=place)
    assert (await leave(elector, first)).json["state"] == "passed"
    assert (await look(elector))[0] == "filling"


@in_virtual_time
async def test_who_never_arrived_breaks_nothing_by_leaving(elector: InProcess) -> None:
    stranger = wire.new_id()
    assert (await leave(elector, stranger)).json == {"name": "phase", "state": "broken", "index": None}
    assert (await elector.ask("GET", PHASE)).code == "barrier_unused"
    await standing(elector)
    await leave(elector, stranger)
    assert await look(elector) == ("filling", 0, 1)


@in_virtual_time
async def test_ids_that_read_the_same_backwards_are_ids(elector: InProcess) -> None:
    holder = "abcddcba" * 4
    await arrive(elector, holder)
    assert (await leave(elector, holder)).json["state"] == "broken"
    assert (await look(elector))[0] == "broken"


@in_virtual_time
async def test_nobody_waits_or_leaves_for_another_client(elector: InProcess) -> None:
    other = wire.new_id()
    await elector.open(other)
    holder, place = await standing(elector)
    for refused in (
        await arrive(elector, holder, arrived=place, client=other),
        await leave(elector, holder, client=other),
    ):
        assert (refused.code, "belongs to another client" in refused.detail) == ("bad_body", True)
    assert await look(elector) == ("filling", 0, 1)


@in_virtual_time
async def test_two_users_count_two_numbers_of_parties(elector: InProcess) -> None:
    await standing(elector)
    refused = await arrive(elector, wire.new_id(), parties=3)
    assert (refused.status, refused.code) == (409, "parties_mismatch")
    assert "a barrier of 2 by host:7 test at here:13131, not as a barrier of 3" in refused.detail


@in_virtual_time
async def test_the_party_of_a_process_that_ends_breaks_it(elector: InProcess) -> None:
    other = wire.new_id()
    await elector.open(other)
    holder, place = await standing(elector, parties=3)
    await standing(elector, parties=3, client=other)
    await elector.close(other)
    assert (await arrive(elector, holder, parties=3, arrived=place, wait_seconds=5)).code == "barrier_broken"


@in_virtual_time
async def test_reset_makes_it_as_new(elector: InProcess) -> None:
    holder, place = await standing(elector)
    assert (await change(elector, "reset")).json["state"] == "filling"
    assert (await arrive(elector, holder, arrived=place)).code == "barrier_broken"
    await change(elector, "abort")
    assert (await arrive(elector, wire.new_id())).code == "barrier_broken"
    await change(elector, "reset")
    await standing(elector)


@in_virtual_time
async def test_a_party_goes_on_waiting_at_an_elector_that_restarted(elector: InProcess) -> None:
    passes, place = await standing(elector)
    await arrive(elector, wire.new_id())
    waits, later = await standing(elector)
    await elector.crash()
    again = elector.another("here")
    again.client = elector.client
    await again.start()
    assert (await arrive(again, passes, arrived=place)).json["state"] == "passed"
    assert (await arrive(again, waits, arrived=later, wait_seconds=1)).status == 202
    assert (await arrive(again, wire.new_id())).json["state"] == "passed"
    assert (await arrive(again, waits, arrived=later)).json["state"] == "passed"


@in_virtual_time
async def test_who_leaves_after_a_restart_says_where_it_stood(elector: InProcess) -> None:
    passed, place = await standing(elector)
    await arrive(elector, wire.new_id())
    await elector.crash()
    again = elector.another("here")
    again.client = elector.client
    await again.start()
    assert (await leave(again, passed, arrived=place)).json == {"name": "phase", "state": "passed", "index": 0}


@in_virtual_time
async def test_an_unknown_client_is_told_so(elector: InProcess) -> None:
    stranger = wire.new_id()
    for answer in (
        await arrive(elector, wire.new_id(), client=stranger),
        await leave(elector, wire.new_id(), client=stranger),
        await change(elector, "reset", client=stranger),
    ):
        assert (answer.status, answer.code) == (409, "unknown_client")


@in_virtual_time
async def test_lists_and_views_show_no_holder_id(elector: InProcess) -> None:
    holder, _ = await standing(elector)
    for path in (PHASE, "/barriers"):
        shown = (await elector.ask("GET", path)).body.decode()
        assert [secret for secret in (holder, elector.client) if secret in shown] == []
    entry = {"name": "phase", "parties": 2, "waiting": 1, "state": "filling", "generation": 0}
    assert (await elector.ask("GET", "/barriers")).json == {"barriers": [entry]}
