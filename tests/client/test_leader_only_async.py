"""`leader_only` in an event loop: nothing blocks it, and who is cancelled leaves no candidate and no leader behind."""

from __future__ import annotations

import asyncio
import inspect
import threading

import pytest

from metaparticle_sync import _candidate, current_leadership, leader_only
from metaparticle_sync._sidecar import Sidecar
from tests.client.fake_elector import eventually
from tests.client.faults import hang


async def soon(condition):
    """Wait until it is true, with a bound, while the event loop goes on."""
    return await asyncio.to_thread(eventually, condition)


def test_a_coroutine_function_runs_as_the_leader(elector):
    @leader_only("e")
    async def body(number):
        await asyncio.sleep(0)
        assert elector.locks["e"][2] == current_leadership().token
        return number

    assert inspect.iscoroutinefunction(body)
    assert asyncio.run(body(3)) == 3
    assert elector.locks == {}


def test_async_with_and_skip(elector):
    async def main():
        async with leader_only("e") as leadership:
            assert leadership.held
            assert current_leadership() is leadership
            async with leader_only("e") as again:
                assert again is leadership
        assert elector.locks == {}
        elector.take("e")
        async with leader_only("e", mode="skip") as nobody:
            assert nobody is None

        @leader_only("e", mode="skip", otherwise=1)
        async def body():
            return 2

        assert await body() == 1

    asyncio.run(main())


def test_the_event_loop_goes_on_while_a_task_waits_and_while_it_leaves(elector):
    elector.take("e")
    turns = []

    async def count():
        while True:
            turns.append(1)
            await asyncio.sleep(0.001)

    async def main():
        counting = asyncio.create_task(count())
        waiting = asyncio.create_task(leader_only("e")(asyncio.sleep)(0))
        assert await soon(lambda: elector.queues.get("e"))
        threads = [thread for thread in threading.enumerate() if thread.name == "metaparticle_sync: candidate for e"]
        assert [thread.daemon for thread in threads] == [True]  # The end of the process does not wait for it.
        before = len(turns)
        assert await soon(lambda: len(turns) >= before + 20)
        elector.inject("DELETE", "/locks/e", slow)
        elector.free("e")
        assert await soon(lambda: left)
        before = len(turns)
        assert await soon(lambda: len(turns) >= before + 20)
        assert not waiting.done()
        goes_on.set()
        await waiting
        counting.cancel()

    goes_on, left = threading.Event(), []

    def slow(handler):
        left.append(1)
        goes_on.wait(10)
        handler.answer(204)

    asyncio.run(main())


def test_no_request_is_made_in_the_thread_of_the_event_loop(elector, monkeypatch):
    threads = []
    send = Sidecar._send

    def noted(*arguments):
        threads.append(threading.current_thread())
        return send(*arguments)

    async def main():
        async with leader_only("e"):
            pass
        elector.take("e")
        waiting = asyncio.create_task(leader_only("e")(asyncio.sleep)(0))
        assert await soon(lambda: elector.queues.get("e"))
        waiting.cancel()
        await asyncio.wait([waiting])

    monkeypatch.setattr(Sidecar, "_send", noted)
    asyncio.run(main())
    assert len(elector.asked("DELETE", "/locks/e")) >= 2
    assert len(threads) >= 5
    assert threading.main_thread() not in threads


def test_a_cancelled_candidate_gives_up(elector):
    elector.take("e")

    async def main():
        waiting = asyncio.create_task(leader_only("e")(asyncio.sleep)(0))
        assert await soon(lambda: elector.queues.get("e"))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert elector.queues["e"] == []

    asyncio.run(main())


def test_a_candidate_cancelled_twice_gives_up_before_the_cancellation_goes_on(elector):
    elector.take("e")
    goes_on, left = threading.Event(), []

    def slow(handler):
        left.append(1)
        goes_on.wait(0.3)
        with elector.changed:
            handler._release("e", {"holder": elector.queues["e"][0]})

    async def main():
        waiting = asyncio.create_task(leader_only("e")(asyncio.sleep)(0))
        assert await soon(lambda: elector.queues.get("e"))
        elector.inject("DELETE", "/locks/e", slow)
        waiting.cancel()
        assert await soon(lambda: left)
        waiting.cancel()
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert elector.queues["e"] == []

    asyncio.run(main())


def test_a_timeout_of_asyncio_gives_up(elector):
    elector.take("e")

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), leader_only("e"):
                pass
        assert elector.queues["e"] == []

    asyncio.run(main())


def test_a_candidate_that_was_elected_just_when_it_was_cancelled_leaves(elector, monkeypatch):
    """The grant is there, and the task has not heard of it yet."""
    tasks = []
    loops = []
    elected = _candidate.Candidate._elected

    def cancel_in_between(self):
        term = elected(self)
        assert "e" in elector.locks
        loops[0].call_soon_threadsafe(tasks[0].cancel)
        return term

    async def main():
        loops.append(asyncio.get_running_loop())
        tasks.append(asyncio.create_task(leader_only("e")(asyncio.sleep)(0)))
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert elector.locks == {}

    monkeypatch.setattr(_candidate.Candidate, "_elected", cancel_in_between)
    asyncio.run(main())


def test_a_cancelled_leader_releases(elector):
    async def main():
        leads = asyncio.Event()

        @leader_only("e")
        async def body():
            leads.set()
            await asyncio.sleep(60)

        leading = asyncio.create_task(body())
        await leads.wait()
        assert "e" in elector.locks
        leading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leading
        assert elector.locks == {}

    asyncio.run(main())


def test_a_leader_cancelled_while_it_leaves_is_out_of_office_before_that_goes_on(elector):
    goes_on, left = threading.Event(), []

    def slow(handler):
        left.append(1)
        goes_on.wait(0.3)
        with elector.changed:
            handler._release("e", {"holder": elector.locks["e"][1]})

    async def main():
        elector.inject("DELETE", "/locks/e", slow)
        leading = asyncio.create_task(leader_only("e")(asyncio.sleep)(0))
        assert await soon(lambda: left)
        leading.cancel()
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await leading
        assert elector.locks == {}

    asyncio.run(main())


def test_tasks_of_one_process_lead_one_after_the_other(elector):
    running, most = [], []

    @leader_only("e")
    async def body():
        running.append(1)
        most.append(len(running))
        await asyncio.sleep(0.01)
        running.pop()

    async def main():
        await asyncio.gather(*(body() for _ in range(4)))

    asyncio.run(main())
    assert most == [1] * 4


def test_the_office_lasts_until_the_last_task_that_entered_it_has_left(elector):
    async def main():
        entered, goes_on = asyncio.Event(), asyncio.Event()

        @leader_only("e")
        async def child():
            entered.set()
            await goes_on.wait()
            return current_leadership().held

        @leader_only("e")
        async def parent():
            task = asyncio.create_task(child())
            await entered.wait()
            return task

        task = await parent()
        assert "e" in elector.locks
        goes_on.set()
        assert await task
        assert elector.locks == {}

    asyncio.run(main())


def test_a_task_that_enters_after_its_parent_left_is_a_candidate_of_its_own(elector):
    async def main():
        goes_on = asyncio.Event()
        tokens = []

        async def child():
            await goes_on.wait()
            async with leader_only("e") as leadership:
                tokens.append(leadership.token)

        async with leader_only("e") as leadership:
            tokens.append(leadership.token)
            task = asyncio.create_task(child())
            await asyncio.sleep(0)
        goes_on.set()
        await task
        assert tokens[0] < tokens[1]

    asyncio.run(main())


def test_an_event_loop_may_end_while_a_thread_still_gives_up(elector):
    elector.take("e")
    elector.inject("DELETE", "/locks/e", hang, times=100)

    async def main():
        waiting = asyncio.create_task(leader_only("e")(asyncio.sleep)(0))
        assert await soon(lambda: elector.queues.get("e"))
        waiting.cancel()

    asyncio.run(main())
