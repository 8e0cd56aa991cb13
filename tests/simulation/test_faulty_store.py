"""The simulated network does what its scripts and probabilities say, whoever has given up or died meanwhile."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from elector_server.store import Conflict, Exists, OutcomeUnknown, StoreUnavailable, WatchExpired
from elector_server.store.memory import MemoryStore
from tests.simulation.faults import Faults
from tests.simulation.faulty_store import Network, StoreHandle
from tests.simulation.recorder import SharedStore
from tests.simulation.virtual_loop import Owner, VirtualLoop, run


class Scene:
    """One store handle of one process, over an empty store."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.shared = SharedStore(MemoryStore(first_version=1), loop)
        self.faults = Faults()
        self.network = Network(self.shared, loop, Random(1))
        self.handle = StoreHandle(self.network, self.faults, "e0")
        self.owner = Owner(loop, "e0")


def test_a_request_in_flight_lands_though_its_sender_gave_up() -> None:
    async def main(loop: VirtualLoop) -> None:
        scene = Scene(loop)
        plan = scene.handle.plan("create", "lock", "a", hold_request=True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await scene.handle.create("lock", "a", "s", {})
        assert scene.shared.record("lock", "a") is None
        plan.deliver()
        await asyncio.sleep(1)
        assert scene.shared.record("lock", "a") is not None

    run(1, main)


def test_a_request_in_flight_lands_though_its_sender_crashed() -> None:
    async def main(loop: VirtualLoop) -> None:
        scene = Scene(loop)
        scene.owner.spawn(scene.handle.create("lock", "a", "s", {}))
        await asyncio.sleep(0)
        scene.owner.crash()
        await asyncio.sleep(1)
        assert scene.shared.record("lock", "a") is not None

    run(1, main)


def test_a_lost_answer_leaves_the_effect() -> None:
    async def main(loop: VirtualLoop) -> None:
        scene = Scene(loop)
        scene.handle.plan("create", lose_answer=True, fail_after_seconds=3.0)
        with pytest.raises(OutcomeUnknown):
            await scene.handle.create("lock", "a", "s", {})
        assert loop.time() >= 3.0
        assert scene.shared.record("lock", "a") is not None

    run(1, main)


def test_a_lost_request_and_a_refused_one_have_none() -> None:
    async def main(loop: VirtualLoop) -> None:
        scene = Scene(loop)
        scene.handle.plan("create", lose_request=True, fail_after_seconds=1.0)
        scene.handle.plan("create", refuse=True)
        with pytest.raises(OutcomeUnknown):
            await scene.handle.create("lock", "a", "s", {})
        with pytest.raises(StoreUnavailable) as refusal:
            await scene.handle.create("lock", "a", "s", {})
        assert not isinstance(refusal.value, OutcomeUnknown)
        assert scene.shared.commits == []

    run(1, main)


def test_a_late_copy_of_a_create_lands_after_the_delete() -> None:
    async def main(loop: VirtualLoop) -> None:
        scene = Scene(loop)
        plan = scene.handle.plan("create", repeat=True)
        record = await scene.handle.create("lock", "a", "s", {})
        with pytest.raises(Exists):
            await scene.handle.create("lock", "a", "s", {})
        await scene.handle.delete("lock", "a", record.version)
        plan.deliver_copy()
        await plan.copied.wait()
        assert [commit.version for commit in scene.shared.commits] == [1, 2, 3]
        assert scene.shared.record("lock", "a") is not None

    run(1, main)


def test_a_stale_read_shows_the_past() -> None:
    async def main(loop: VirtualLoop) -> None:
        scene = Scene(loop)
        await asyncio.sleep(1)
        record = await scene.handle.create("lock", "a", "s", {"n": 1})
        await asyncio.sleep(1)
        between = loop.time()
        await asyncio.sleep(1)
        await scene.handle.replace("lock", "a", record.version, "t", {"n": 2})
        scene.handle.plan("get", stale_at=between)
        scene.handle.plan("list", stale_at=between)
        scene.handle.plan("get", stale_at=0.5)
        old = await scene.handle.get("lock", "a")
        listing = await scene.handle.list("lock", session="s")
        assert old is not None
        assert (old.spec, old.version, listing.version) == ({"n": 1}, 1, 1)
        assert [entry.name for entry in listing.records] == ["a"]
        assert await scene.handle.get("lock", "a") is None
        with pytest.raises(Conflict):
            await scene.handle.replace("lock", "a", old.version, "s", {})

    run(1, main)


def test_an_outage_ends_no_request_in_a_lie() -> None:
    async def main(loop: VirtualLoop) -> None:
        scene = Scene(loop)
        scene.faults.outage = True
        for _ in range(20):
            with pytest.raises((StoreUnavailable, TimeoutError)):
                async with asyncio.timeout(15):
                    await scene.handle.create("lock", "a", "s", {})
        assert scene.shared.commits == []
        scene.faults.heal()
        await scene.handle.create("lock", "a", "s", {})

    run(1, main)


def test_a_late_change_stays_the_next_one_when_its_reader_gives_up() -> None:
    async def main(loop: VirtualLoop) -> None:
        scene = Scene(loop)
        scene.faults.watch_late = 1.0
        async with scene.handle.watch("lock", 0) as watch:
            await scene.handle.create("lock", "a", "s", {})
            for _ in range(100):
                try:
                    async with asyncio.timeout(1):
                        change = await watch.next()
                except TimeoutError:
                    continue
                assert change.name == "a"
                return
        raise AssertionError("the change never came")

    run(1, main)


def test_a_watch_that_hangs_breaks_at_last() -> None:
    async def main(loop: VirtualLoop) -> None:
        scene = Scene(loop)
        scene.faults.watch_hang = 1.0
        async with scene.handle.watch("lock", 0) as watch:
            await scene.handle.create("lock", "a", "s", {})
            with pytest.raises(WatchExpired):
                await watch.next()

    run(1, main)
