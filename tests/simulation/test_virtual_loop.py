"""The loop itself: virtual time, order by seed, pauses and crashes of owners, and its two guards."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from tests.simulation import virtual_loop
from tests.simulation.clock import SimulatedClock
from tests.simulation.virtual_loop import Deadlock, Owner, Runaway, VirtualLoop, run


def test_time_jumps_to_the_next_timer() -> None:
    async def main(loop: VirtualLoop) -> float:
        await asyncio.sleep(3600)
        return loop.time()

    assert run(1, main) == 3600


def test_timeout_and_wait_for_fire_in_virtual_time() -> None:
    async def main(loop: VirtualLoop) -> list[float]:
        times = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7):
                await loop.create_future()
        times.append(loop.time())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 5)
        times.append(loop.time())
        async with asyncio.timeout(5):
            await asyncio.sleep(4)
        times.append(loop.time())
        return times

    assert run(1, main) == [7, 12, 16]


def _order_of_wakes(seed: int) -> list[int]:
    async def main(_: VirtualLoop) -> list[int]:
        order: list[int] = []

        async def sleeper(number: int) -> None:
            await asyncio.sleep(1)
            order.append(number)

        await asyncio.gather(*(sleeper(number) for number in range(6)))
        return order

    return run(seed, main)


def test_the_seed_decides_the_order_of_those_who_are_ready_together() -> None:
    orders = {tuple(_order_of_wakes(seed)) for seed in range(20)}
    assert len(orders) > 10
    assert all(_order_of_wakes(seed) == _order_of_wakes(seed) for seed in range(5))


async def _tick(loop: VirtualLoop, ticks: list[float]) -> None:
    while True:
        await asyncio.sleep(1)
        ticks.append(loop.time())


def test_a_paused_owner_runs_nothing_and_catches_up_when_it_resumes() -> None:
    async def main(loop: VirtualLoop) -> list[float]:
        ticks: list[float] = []
        owner = Owner(loop, "process")
        owner.spawn(_tick(loop, ticks))
        await asyncio.sleep(2.5)
        owner.pause()
        await asyncio.sleep(4)
        owner.resume()
        await asyncio.sleep(1.5)
        return ticks

    assert run(1, main) == [1, 2, 6.5, 7.5]


def test_a_timeout_that_passed_during_a_pause_fires_after_it() -> None:
    async def main(loop: VirtualLoop) -> float:
        owner = Owner(loop, "process")

        async def work() -> float:
            try:
                await asyncio.wait_for(asyncio.Event().wait(), 1)
            except TimeoutError:
                return loop.time()
            return 0.0

        task = owner.spawn(work())
        await asyncio.sleep(0.5)
        owner.pause()
        await asyncio.sleep(9.5)
        assert not task.done()
        owner.resume()
        return await task

    assert run(1, main) == 10


def test_what_belongs_to_nobody_goes_on_while_an_owner_is_paused() -> None:
    async def main(loop: VirtualLoop) -> list[str]:
        seen: list[str] = []
        owner = Owner(loop, "process")
        answer: asyncio.Future[None] = loop.create_future()

        async def caller() -> None:
            await answer
            seen.append("caller woke")

        owner.spawn(caller())
        await asyncio.sleep(0.1)
        owner.pause()
        loop.call_later(1, answer.set_result, None)
        await asyncio.sleep(2)
        seen.append("answered" if answer.done() else "not answered")
        owner.resume()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return seen

    assert run(1, main) == ["answered", "caller woke"]


def test_a_crashed_owner_ends_without_cancellation_or_cleanup() -> None:
    cleaned: list[str] = []

    async def main(loop: VirtualLoop) -> None:
        owner = Owner(loop, "process")

        async def work() -> None:
            try:
                await asyncio.sleep(1)
            finally:
                cleaned.append("finally")

        async def child() -> None:
            await asyncio.gather(asyncio.create_task(work()), asyncio.create_task(work()))

        owner.spawn(child())
        await asyncio.sleep(0.5)
        owner.crash()
        await asyncio.sleep(5)
        assert cleaned == []

    run(1, main)


def test_a_crash_can_strike_after_any_step() -> None:
    async def main(loop: VirtualLoop) -> int:
        done: list[int] = []
        owner = Owner(loop, "process")

        async def work() -> None:
            for number in range(10):
                done.append(number)
                await asyncio.sleep(0)

        owner.after_steps(4, owner.crash)
        owner.spawn(work())
        await asyncio.sleep(1)
        return len(done)

    assert run(1, main) == 4


def test_tasks_started_by_an_owner_belong_to_it() -> None:
    async def main(loop: VirtualLoop) -> list[float]:
        ticks: list[float] = []
        owner = Owner(loop, "process")

        async def parent() -> None:
            asyncio.get_running_loop().create_task(_tick(loop, ticks))

        owner.spawn(parent())
        await asyncio.sleep(1.5)
        owner.crash()
        await asyncio.sleep(5)
        return ticks

    assert run(1, main) == [1]


def test_a_run_that_can_not_go_on_is_a_deadlock() -> None:
    async def main(loop: VirtualLoop) -> None:
        await loop.create_future()

    with pytest.raises(Deadlock):
        run(1, main)


def test_a_run_that_does_not_let_time_pass_is_a_runaway() -> None:
    async def main(_: VirtualLoop) -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    with pytest.raises(Runaway, match="time does not pass"):
        run(1, main)


def test_a_run_without_end_is_a_runaway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_loop, "STEPS_MAX", 1000)

    async def main(_: VirtualLoop) -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(1)

    with pytest.raises(Runaway, match="has not ended"):
        run(1, main)


async def _fail() -> None:
    raise ValueError("nobody expects this")


def _run_with_failure(*, owner_crashes: bool) -> None:
    async def main(loop: VirtualLoop) -> None:
        owner = Owner(loop, "process")
        owner.spawn(_fail())
        await asyncio.sleep(1)
        if owner_crashes:
            owner.crash()

    run(1, main)


def test_an_exception_that_nobody_sees_fails_the_run() -> None:
    with pytest.raises(AssertionError, match="nobody expects this"):
        _run_with_failure(owner_crashes=False)


def test_what_a_crashed_process_left_behind_is_no_failure() -> None:
    _run_with_failure(owner_crashes=True)


def test_the_clock_runs_at_its_own_rate() -> None:
    async def main(loop: VirtualLoop) -> None:
        clock = SimulatedClock(loop, rate=1.01, offset=1000.0, wall_offset=-60.0)
        assert clock.now() == 1000.0
        await clock.sleep(10.1)
        assert clock.now() == pytest.approx(1010.1, abs=1e-5)
        assert clock.now() >= 1010.1
        assert loop.time() == pytest.approx(10.0, abs=1e-5)
        assert clock.virtual_time_of(clock.now()) == pytest.approx(loop.time())
        assert clock.wall() == "2029-12-31T23:59:10.000Z"
        with pytest.raises(TimeoutError):
            async with clock.timeout(5.05):
                await asyncio.sleep(99)
        assert loop.time() == pytest.approx(15.0, abs=1e-5)

    run(1, main)


def test_a_deadline_loop_ends_in_spite_of_rounding() -> None:
    async def main(loop: VirtualLoop) -> int:
        clock = SimulatedClock(loop, rate=0.99 + Random(1).random() / 50, offset=123456.789)
        deadline = clock.now() + 1 / 3
        looks = 0
        while clock.now() < deadline:
            await clock.sleep(deadline - clock.now())
            looks += 1
        return looks

    assert run(1, main) <= 2
