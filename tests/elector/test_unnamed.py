"""How long the record of an event without a name is kept: as long as its maker, or somebody who uses it, is known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from elector_server.client_sessions import MAKER_SECONDS
from metaparticle_sync import wire
from tests.http.in_process import InProcess, in_virtual_time

End = Callable[[], Awaitable[None]]
NOT_YET = MAKER_SECONDS - 0.1
LONG_AFTER = 1_000.0


def made_by(maker: str) -> str:
    return wire.path_of(wire.EVENTS_PATH, f"unnamed-{maker}-{wire.new_id()}")


async def use(elector: InProcess, path: str, client: str) -> None:
    answer = await elector.ask("PUT", path, {"client": client, "operation": wire.new_id(), "is_set": True})
    assert answer.status == 200, answer


async def is_there(elector: InProcess, path: str) -> bool:
    return (await elector.ask("GET", path)).status == 200


async def keep(elector: InProcess, client: str, seconds: float) -> None:
    """A client lives on for so long."""
    for _ in range(int(seconds // 10)):
        await elector.sleep(10)
        assert (await elector.ask("POST", wire.session_path(client), {})).status == 200


async def user(elector: InProcess) -> str:
    """A process that has just come."""
    client = wire.new_id()
    await elector.open(client)
    return client


@in_virtual_time
async def test_it_goes_with_the_last_who_uses_it(elector: InProcess) -> None:
    one, other = await user(elector), await user(elector)
    path = made_by(one)
    await use(elector, path, one)
    await use(elector, path, other)
    await elector.close(one)
    await keep(elector, other, LONG_AFTER)
    assert await is_there(elector, path)
    await elector.close(other)
    await elector.sleep(2 * MAKER_SECONDS)
    assert not await is_there(elector, path)


@in_virtual_time
async def test_a_maker_that_only_passed_it_on_keeps_it(elector: InProcess) -> None:
    for comes in ("before", "meanwhile", "just after"):
        await pass_on(elector, comes)


async def pass_on(elector: InProcess, comes: str) -> None:
    maker = wire.new_id()
    path = made_by(maker)
    if comes == "before":
        await elector.open(maker)
    child = await user(elector)
    await use(elector, path, child)
    if comes == "meanwhile":
        await elector.open(maker)
    await elector.close(child)
    if comes == "just after":
        await elector.sleep(NOT_YET)
        await elector.open(maker)
    await keep(elector, maker, LONG_AFTER)
    assert await is_there(elector, path)
    await elector.close(maker)
    await elector.sleep(2 * MAKER_SECONDS)
    assert not await is_there(elector, path)


@in_virtual_time
async def test_another_user_in_time_keeps_it(elector: InProcess) -> None:
    path = made_by(wire.new_id())
    first, second = await user(elector), await user(elector)
    await use(elector, path, first)
    await elector.close(first)
    await elector.sleep(NOT_YET)
    await use(elector, path, second)
    await keep(elector, second, LONG_AFTER)
    assert await is_there(elector, path)


@in_virtual_time
async def test_a_silent_maker_is_none(elector: InProcess) -> None:
    maker = await user(elector)
    path = made_by(maker)
    await use(elector, path, maker)
    await elector.sleep(LONG_AFTER)
    assert not await is_there(elector, path)


@in_virtual_time
async def test_what_has_a_name_is_kept(elector: InProcess) -> None:
    client = await user(elector)
    path = wire.path_of(wire.EVENTS_PATH, "a name")
    await use(elector, path, client)
    await elector.close(client)
    await elector.sleep(LONG_AFTER)
    assert await is_there(elector, path)


@in_virtual_time
async def test_the_next_process_of_a_stopped_elector_keeps_it_for_a_maker_that_is_idle(elector: InProcess) -> None:
    await restart_with_an_idle_maker(elector, elector.elector.stop)


@in_virtual_time
async def test_the_next_process_of_a_crashed_elector_keeps_it_for_a_maker_that_is_idle(elector: InProcess) -> None:
    await restart_with_an_idle_maker(elector, elector.crash)


async def restart_with_an_idle_maker(elector: InProcess, end: End) -> None:
    maker = await user(elector)
    path = made_by(maker)
    await use(elector, path, maker)
    await end()
    again = elector.another("here")
    await again.start()
    await again.open(maker)
    await keep(again, maker, LONG_AFTER)
    assert await is_there(again, path)
    await again.close(maker)
    await again.sleep(2 * MAKER_SECONDS)
    assert not await is_there(again, path)
    await again.elector.stop()


@in_virtual_time
async def test_the_next_process_of_a_stopped_elector_removes_what_was_left_behind(elector: InProcess) -> None:
    await restart_with_something_left_behind(elector, elector.elector.stop)


@in_virtual_time
async def test_the_next_process_of_a_crashed_elector_removes_what_was_left_behind(elector: InProcess) -> None:
    await restart_with_something_left_behind(elector, elector.crash)


async def restart_with_something_left_behind(elector: InProcess, end: End) -> None:
    child = await user(elector)
    path = made_by(wire.new_id())
    await use(elector, path, child)
    await elector.close(child)
    await end()
    again = elector.another("here")
    await again.start()
    assert await is_there(again, path)
    await again.sleep(LONG_AFTER)
    assert not await is_there(again, path)
    await again.elector.stop()


@in_virtual_time
async def test_a_permit_at_another_elector_is_not_taken_away_with_the_record(elector: InProcess) -> None:
    there = elector.another("there")
    await there.start()
    maker = await user(elector)
    path = wire.path_of(wire.SEMAPHORES_PATH, f"unnamed-{maker}-{wire.new_id()}")
    terms = {"limit": 2, "bounded": True, "wait_seconds": 0}
    far, near = {"client": there.client, "holder": wire.new_id()}, {"client": maker, "holder": wire.new_id()}
    for where, permit in ((there, far), (elector, near)):
        assert (await where.ask("PUT", path, permit | terms)).status == 200
    await elector.close(maker)
    await keep(there, there.client, LONG_AFTER)
    assert (await there.heartbeat())["lost"] == []
    assert (await there.ask("GET", path)).json["spec"]["held"] == 1

    await there.close(there.client)
    await there.sleep(2 * MAKER_SECONDS)
    assert not await is_there(there, path)
    await there.elector.stop()
